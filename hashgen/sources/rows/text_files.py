"""Rows of CSV and JSON Lines files, one at a time, in bounded memory; damage is reported row by row."""

import contextlib
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hashgen.base.errors import HashgenError
from hashgen.sources.rows.values import BrokenRow, Row, check_text

if TYPE_CHECKING:
    from _csv import Reader

# Bounds memory: a longer line is not a row of metadata.
MAX_LINE = 2**20

# Replaces a line that is too long: no valid line contains a NUL.
_NO_LINE = "\0\n"


def csv_rows(
    path: Path, check_header: Callable[[list[str]], None], delimiter: str = ","
) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows of a CSV file: the line each ends on, and its values by column or what is wrong with it.

    path: UTF-8, quoted as Excel does, gzipped if its name ends in .gz. Values separated by tabs may contain bare
    quotes, as databases write them. check_header gets the stripped names of the columns before the first row, and may
    raise; an empty file has none and no rows. An empty value is None. Raises HashgenError if the file as a whole cannot
    be used.
    """
    # Closed explicitly, or an error would leave the file to the garbage collector.
    with contextlib.closing(_lines(path, MAX_LINE)) as lines:
        taken: list[str] = []
        reader = csv.reader(_noted(lines, taken), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise HashgenError(f"{path}: the first line is not a header ({error}); it must name the columns") from error
        if header:
            check_header(header)
            for number, row in _csv_records(reader, header, taken):
                if isinstance(row, BrokenRow) and delimiter == "\t":
                    yield from _unquoted(header, taken, number)
                else:
                    yield number, row


def json_rows(path: Path, max_line: int = MAX_LINE) -> Generator[tuple[int, Row | BrokenRow], None, None]:
    """The rows of a JSON Lines file: the line of each, and its object or what is wrong with it; NaN is None.

    path: UTF-8, gzipped if its name ends in .gz. max_line: bytes; a longer one is a broken row. Raises HashgenError
    if the file as a whole cannot be used.
    """
    with contextlib.closing(_lines(path, max_line)) as lines:
        for number, line in enumerate(lines, start=1):
            if line == _NO_LINE:
                yield number, BrokenRow(f"a NUL character, or a line over {max_line // 2**20} MiB")
            elif line.strip():
                yield number, _caught(_json_row, line)


def _noted(lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _unquoted(header: list[str], lines: list[str], last: int) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows of lines up to number `last`, each one by itself and its quotes a part of it."""
    for number, line in enumerate(lines, start=last - len(lines) + 1):
        yield number, _caught(_csv_row, header, line.rstrip("\r\n").split("\t"))


def _csv_records(reader: "Reader", header: list[str], taken: list[str]) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows as the reader has them; `taken` holds the lines of each while it is yielded."""
    while True:
        taken.clear()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, BrokenRow(str(error))
            continue
        if values:
            yield reader.line_num, _caught(_csv_row, header, values)


def _csv_row(header: list[str], values: list[str]) -> Row:
    for value in values:
        check_text(value)
    if len(values) != len(header):
        raise BrokenRow(f"{len(values)} values for {len(header)} columns")
    return {name: value or None for name, value in zip(header, values, strict=True)}


def _json_row(line: str) -> Row:
    check_text(line)
    try:
        row = json.loads(line, parse_constant=lambda _: None)  # pandas writes NaN for what is missing
    except (ValueError, RecursionError) as error:
        raise BrokenRow("not valid JSON") from error
    if not isinstance(row, dict):
        raise BrokenRow("not a JSON object")
    return row


def _caught(parse: Callable[..., Row], *values: object) -> Row | BrokenRow:
    try:
        return parse(*values)
    except BrokenRow as error:
        return error


def _lines(path: Path, max_line: int) -> Generator[str, None, None]:
    """The lines of a text file with their ends; _NO_LINE for one longer than `max_line` bytes.

    Bytes that are not UTF-8 come as surrogates. A byte order mark is left out.
    """
    try:
        with _open(path) as stream:
            start = stream.read(3)
            if start.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise HashgenError(f"{path}: encoded as UTF-16; save it as UTF-8")
            stream.seek(3 if start == b"\xef\xbb\xbf" else 0)
            while line := stream.readline(max_line):
                if len(line) < max_line or line.endswith(b"\n"):
                    yield line.decode("utf-8", "surrogateescape")
                    continue
                while (rest := stream.readline(max_line)) and not rest.endswith(b"\n"):
                    pass
                yield _NO_LINE
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HashgenError(f"{path}: damaged gzip file ({error}); download or compress it again") from error
    except OSError as error:
        raise HashgenError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its disk"
        ) from error


def _open(path: Path) -> BinaryIO:
    try:
        if path.name.lower().endswith(".gz"):
            return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path)))
        return path.open("rb")
    except OSError as error:
        raise HashgenError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
