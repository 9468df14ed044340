"""Rows of CSV and JSON Lines files, one at a time, in bounded memory; damage is reported row by row."""

import contextlib
import csv
import dataclasses
import enum
import gzip
import io
import itertools
import json
import re
import shlex
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from hashgen.base.errors import HashgenError
from hashgen.sources.rows.downloads import not_the_file
from hashgen.sources.rows.picture_files import looks_like_picture
from hashgen.sources.rows.values import BrokenRow, Row, check_text

# Bounds memory: a longer line, or row of lines, is not a row of metadata. A picture in base64 fits.
MAX_LINE = 2**25
csv.field_size_limit(MAX_LINE)

# Replaces a line that is too long: no valid line contains a NUL.
_NO_LINE = "\0\n"
_TOO_LONG = "a NUL character, or a line over 32 MiB"
_STRAY_QUOTE = "a quote that is never closed, or not doubled within a value"
_START = 2**16  # bytes that show what kind of file it is

# A quote that is never closed takes everything up to the limit, and all but its first line is then read again. Bounds
# the time for many of them: once this much was read again, a row ends after so many characters.
_MOST_REREAD = 8 * MAX_LINE
_ROW_AFTERWARDS = 2**16

# Of the lines of one row, so many must be rows that name a picture, and at least half of them, to say that a quote is
# missing; or so many must have all of three values or more, in data whose pictures do not look like such.
_TELLING_PICTURES, _TELLING_LINES, _TELLING_COLUMNS = 2, 10, 3

# Excel's way to name the delimiter, in a line before the header.
_SEPARATOR = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
# Some put a blank after the comma, before the quote that opens a value.
_BLANK_BEFORE_QUOTE = re.compile(r'(?:^|,) +"(?!")')

_AROUND = " \ufeff"  # of names in a header
_SURROGATE = re.compile("[\ud800-\udfff]")

# What other files begin with, and what to do with them.
_OTHER_FILES = {
    b"\xff\xfe": "encoded as UTF-16; save it as UTF-8",
    b"\xfe\xff": "encoded as UTF-16; save it as UTF-8",
    b"\x1f\x8b": "compressed with gzip; add .gz to its name",
    b"PK\x03\x04": "a ZIP or Excel file; unpack it, or save it as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an Excel file; save it as CSV UTF-8",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it",
    b"BZh": "compressed with bzip2; unpack it",
    b"\xfd7zXZ": "compressed with xz; unpack it",
    b"PAR1": "a Parquet file; change the end of its name to .parquet",
}
# MongoDB's way to write types that JSON lacks: {"$oid": "5d1…"} (MongoDB Extended JSON v2).
_MONGODB = ("$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$uuid", "$symbol")
# What may stand between objects on a line: also a comma, RFC 7464's mark, and that of the byte order in joined files.
_BLANKS = re.compile("[ \t\n\r\ufeff\x1e,]*")
# A list of objects within a larger one, in JSON over several lines.
_LIST_WITHIN = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*\[\s*\{')
_PEEKED_LINES = 1000
_DEPTH = 3  # of objects around that list
_NEEDS_LINES = "one object a line is needed, without commas between them: jq -c '.[]' OLD > NEW.jsonl"


def csv_rows(
    path: Path,
    check_header: Callable[[list[str]], None],
    delimiter: str = ",",
    picture: str | None = None,
    doubt: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows of a CSV file: the line each ends on, and its values by column or what is wrong with it.

    path: UTF-8, quoted as Excel does, gzipped if its name ends in .gz. The first line that is not blank, nor Excel's
    `sep=`, is the header. check_header gets the stripped names of the columns before the first row, and may raise; an
    empty file has none and no rows. An empty value is None, and so are values that a row lacks at its end. A row whose
    quotes make no sense is read as a single line, its quotes a part of the values, and reading goes on after it.
    picture: the column that names a picture, by which lines within one value tell of a quote that was never closed.
    doubt: gets the line of a row, before that is yielded, whose lines look like rows but may be those of a value.
    Raises HashgenError if the file as a whole cannot be used.
    """
    # Closed explicitly, or an error would leave the file to the garbage collector.
    with contextlib.closing(_lines(path)) as stream:
        lines = _Lines(stream)
        header: list[str] = []
        try:
            while not any(header):
                lines.taken.clear()
                header = [name.strip() for name in next(csv.reader(lines, delimiter=delimiter, strict=True))]
                # With commas, `sep=,` falls apart into two.
                if separator := _SEPARATOR.fullmatch(lines.taken[0].rstrip("\r\n")):
                    header, delimiter = [], separator[1]
        except StopIteration:
            return
        except csv.Error as error:
            raise HashgenError(f"{path}: the first line is not a header ({error}); it must name the columns") from error
        if any(map(_SURROGATE.search, header)):
            raise HashgenError(f"{path}: its first line is not UTF-8; save it as UTF-8, not Windows-1252 or the like")
        check_header(header)
        yield from _csv_records(lines, _Shape(header, delimiter, picture), doubt)


def json_rows(path: Path, columns: Collection[str] = ()) -> Generator[tuple[int, Row | BrokenRow], None, None]:
    """The rows of a JSON Lines file: the line of each, and its object or what is wrong with it; NaN is None.

    path: UTF-8, gzipped if its name ends in .gz. A line may hold several objects; MongoDB's objects for types that JSON
    lacks are their values. columns: of which a row has at least one. Raises HashgenError if the file as a whole cannot
    be used, and for JSON of another form: an array, objects with commas between them or over several lines, or an
    object around a list of those that could be rows.
    """
    is_first = True
    with contextlib.closing(_lines(path)) as lines:
        for number, line in enumerate(lines, start=1):
            if line == _NO_LINE:
                yield number, BrokenRow(_TOO_LONG)
            elif text := line.strip():
                if is_first:
                    _check_first_json(path, text, lines, columns)
                is_first = False
                for row in _json_values(line):
                    yield number, row


def _check_first_json(path: Path, line: str, following: Iterator[str], columns: Collection[str]) -> None:
    """Raise HashgenError if the first line shows that the file is JSON, but not a row a line."""
    row = next(_json_values(line), None)
    if line.startswith("[") and not isinstance(row, dict):
        raise HashgenError(f"{path}: a JSON array; {_NEEDS_LINES}")
    if line.startswith("{") and line.endswith(",") and _are_rows(line[:-1]):
        raise HashgenError(f"{path}: JSON objects with commas between them; {_NEEDS_LINES}")
    if line == "{" or (line.startswith("{") and line.endswith((",", "{", "["))):
        found = _LIST_WITHIN.search("".join((line, *itertools.islice(following, _PEEKED_LINES))))
        items = _jq([found[1]]) if found else "."
        raise HashgenError(
            f"{path}: a JSON object over several lines; one object a line is needed: jq -c {items} OLD > NEW.jsonl"
        )
    if isinstance(row, dict) and row.keys().isdisjoint(columns) and (keys := _keys_of_list(row)):
        raise HashgenError(
            f"{path}: one JSON object around a list of objects; one object a line is needed: "
            f"jq -c {_jq(keys)} OLD > NEW.jsonl"
        )


def _are_rows(line: str) -> bool:
    return not any(isinstance(row, BrokenRow) for row in _json_values(line))


def _keys_of_list(row: Row, depth: int = _DEPTH) -> list[str]:
    """The keys that lead to the first list of objects in an object; none where there is no such list."""
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [key]
        if isinstance(value, dict) and depth > 1 and (keys := _keys_of_list(value, depth - 1)):
            return [key, *keys]
    return []


def _jq(keys: list[str]) -> str:
    """What jq is to print of a file, quoted for a shell: the objects of the list that the keys lead to."""
    return shlex.quote("".join(f".{key}" if key.isidentifier() else f".[{json.dumps(key)}]" for key in keys) + "[]")


class _Lines:
    """The lines of a file one by one; `taken` holds those of the row in hand, `number` counts all."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._back: list[str] = []
        self._reread = 0
        self._length = 0
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if not self.taken:
            self._length = 0
        elif self._length > (MAX_LINE if self._reread <= _MOST_REREAD else _ROW_AFTERWARDS):
            raise csv.Error("a row that is too long")
        line = self._back.pop() if self._back else next(self._lines)
        self.number += 1
        self._length += len(line)
        self.taken.append(line)
        return line

    def give_back(self) -> None:
        """Have all lines of the row in hand but the first read again."""
        others = self.taken[1:]
        self._back += reversed(others)
        self._reread += self._length
        self.number -= len(others)
        del self.taken[1:]


class _Holds(enum.Enum):
    """Whether the lines of a row are rows by themselves."""

    NONE = enum.auto()
    PERHAPS = enum.auto()
    ROWS = enum.auto()


@dataclasses.dataclass(frozen=True)
class _Shape:
    header: list[str]
    delimiter: str
    picture: str | None

    def row(self, values: list[str]) -> Row:
        """Values by column: empty ones at the end may be too few or too many."""
        for value in values:
            check_text(value)
        columns = len(self.header)
        if len(values) == columns and [value.strip(_AROUND) for value in values] == self.header:
            raise BrokenRow("the header again, as after joining files")
        if any(values[columns:]):
            raise BrokenRow(f"{len(values)} values for {columns} columns")
        padded = values[:columns] + [""] * (columns - len(values))
        return {name: value or None for name, value in zip(self.header, padded, strict=True)}

    def row_astray(self, values: list[str], needs_picture: bool) -> Row:
        """A row after one whose quotes made no sense, so that it may be the rest of that.

        It must have all values, or name a picture; it must do that if `needs_picture`, because other rows do. Raises
        BrokenRow if not.
        """
        row = self.row(values)
        if not self.names_picture(row) and (needs_picture or len(values) < len(self.header)):
            raise BrokenRow(_STRAY_QUOTE)
        return row

    def names_picture(self, row: Row) -> bool:
        """Whether a row has what looks like a picture in its column."""
        return self.picture is not None and looks_like_picture(row.get(self.picture))

    def line(self, line: str, needs_picture: bool = False) -> Row:
        """A line by itself, whose quotes make no sense. Raises BrokenRow if its values are not those of a row.

        needs_picture: other rows name one, so that this must.
        """
        line = line.rstrip("\r\n")
        check_text(line)
        values = line.split(self.delimiter)
        if self.delimiter != "\t":
            values = [_unquoted(value) for value in values]
            if len(values) > len(self.header):
                with contextlib.suppress(csv.Error):  # an end of line within
                    values = next(csv.reader([line], delimiter=self.delimiter), [])
        row = self.row(values)
        if (needs_picture or len(values) < len(self.header)) and not self.names_picture(row):
            raise BrokenRow(_STRAY_QUOTE)
        return row

    def holds_rows(self, lines: list[str], needs_picture: bool) -> "_Holds":
        """Whether lines that the quotes make one row are rows by themselves, all or most of them.

        needs_picture: whether what is in this file's column of pictures looks like such.
        """
        if len(lines) < 2:
            return _Holds.NONE
        # Where the picture comes first, the first line of any row names one.
        asked = lines[1:] if self.picture == self.header[0] else lines
        rows = [_caught(self.line, line) for line in asked if line.strip()]
        whole = [row for row in rows if not isinstance(row, BrokenRow)]
        pictures = sum(map(self.names_picture, whole))
        if pictures >= _TELLING_PICTURES and 2 * pictures >= len(rows):
            return _Holds.ROWS
        are_whole = len(self.header) >= _TELLING_COLUMNS and len(whole) == len(rows)
        if are_whole and len(rows) >= _TELLING_LINES:
            return _Holds.ROWS
        # One of the lines names the picture of the row itself.
        others = pictures if asked is not lines else pictures - 1
        is_likely = are_whole and pictures == 0 and (asked is lines or not needs_picture)
        return _Holds.PERHAPS if others > 0 or is_likely else _Holds.NONE


def _unquoted(value: str) -> str:
    """A value without the quotes around it, or the one before it. Raises BrokenRow if it may be a part of one."""
    if not value.startswith('"'):
        return value
    if len(value) == 1 or not value.endswith('"'):
        return value[1:]
    inner = value[1:-1].replace('""', "")
    if inner.count('"') % 2:
        raise BrokenRow(_STRAY_QUOTE)
    return value[1:-1].replace('""', '"')


def _csv_records(lines: _Lines, shape: _Shape, doubt: Callable[[int], None]) -> Iterator[tuple[int, Row | BrokenRow]]:
    """The rows; `lines.taken` holds the lines of each while it is yielded."""
    is_astray = False  # what follows may be the rest of a row whose quotes made no sense
    astray_to = 0  # the last line of rows that quotes had made one row
    named = 0  # how many rows with sound quotes more than not name what looks like a picture
    while True:
        lines.taken.clear()
        try:
            first = next(lines)
        except StopIteration:
            return
        values = _csv_values(first, lines, shape)
        needs_picture = named >= 0
        holds = _Holds.NONE if values is None else shape.holds_rows(lines.taken, needs_picture)
        if values is None or holds is _Holds.ROWS:
            is_astray = values is None
            astray_to = 0 if is_astray else lines.number
            lines.give_back()
            row = _caught(shape.line, first, needs_picture)
        elif not values:
            continue
        elif is_astray and "".join(lines.taken).count('"') % 2:
            row = BrokenRow(_STRAY_QUOTE)
        elif is_astray or lines.number <= astray_to:
            row = _caught(shape.row_astray, values, needs_picture)
            is_astray = is_astray and isinstance(row, BrokenRow)
        else:
            row = _caught(shape.row, values)
            if not isinstance(row, BrokenRow):
                named += 1 if shape.names_picture(row) else -1
        if holds is _Holds.PERHAPS and not isinstance(row, BrokenRow):
            doubt(lines.number)
        yield lines.number, row


def _csv_values(first: str, lines: Iterator[str], shape: _Shape) -> list[str] | None:
    """The values of the row that begins with the line `first`; None if its quotes make no sense."""
    has_blanks = shape.delimiter == "," and _BLANK_BEFORE_QUOTE.search(first) is not None
    rest = itertools.chain([first], lines)
    try:
        return next(csv.reader(rest, delimiter=shape.delimiter, strict=True, skipinitialspace=has_blanks))
    except csv.Error:
        return None


def _json_values(line: str) -> Iterator[Row | BrokenRow]:
    """The objects of a line, one after another; the last is broken where the line is, and nothing after it is read."""
    try:
        check_text(line)
    except BrokenRow as error:
        yield error
        return
    line = line.rstrip("\r\n")  # or an error at the end would be in the next line's first column
    position = _after_blanks(line, 0)
    while position < len(line):
        try:
            row, position = _DECODER.raw_decode(line, position)
        except json.JSONDecodeError as error:
            row = BrokenRow(f"not valid JSON ({error.msg}, column {error.colno})")
        except (ValueError, RecursionError):  # a number of thousands of digits, or nested too deeply
            row = BrokenRow("not valid JSON")
        if not isinstance(row, dict):
            yield row if isinstance(row, BrokenRow) else BrokenRow("not a JSON object")
            return
        yield row
        position = _after_blanks(line, position)


def _after_blanks(line: str, position: int) -> int:
    found = _BLANKS.match(line, position)
    return found.end() if found else position


def _unwrapped(value: Row) -> object:
    """The value that an object of MongoDB stands for; any other object as it is."""
    if "$binary" in value:
        inner = value["$binary"]
        return {"bytes": inner.get("base64") if isinstance(inner, dict) else inner}
    key = next(iter(value), "")
    return value[key] if len(value) == 1 and key in _MONGODB else value


# pandas writes NaN for what is missing.
_DECODER = json.JSONDecoder(object_hook=_unwrapped, parse_constant=lambda _: None)


def _caught(parse: Callable[..., Row], *values: object) -> Row | BrokenRow:
    try:
        return parse(*values)
    except BrokenRow as error:
        return error


def _lines(path: Path) -> Generator[str, None, None]:
    """The lines of a text file with their ends; _NO_LINE for one longer than MAX_LINE bytes.

    Bytes that are not UTF-8 come as surrogates. A byte order mark is left out.
    """
    try:
        with _open(path) as stream:
            start = stream.read(_START)
            _check_start(path, start)
            stream.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
            while line := stream.readline(MAX_LINE):
                if len(line) < MAX_LINE or line.endswith(b"\n"):
                    yield line.decode("utf-8", "surrogateescape")
                    continue
                while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield _NO_LINE
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        with path.open("rb") as stream:
            instead = not_the_file(stream.read(_START))
        if instead:
            raise HashgenError(f"{path}: {instead}") from error
        raise HashgenError(f"{path}: damaged gzip file ({error}); download or compress it again") from error
    except OSError as error:
        raise HashgenError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its disk"
        ) from error


def _check_start(path: Path, start: bytes) -> None:
    """Raise HashgenError if a file begins as something else than lines of UTF-8."""
    for magic, problem in _OTHER_FILES.items():
        if start.startswith(magic):
            raise HashgenError(f"{path}: {problem}")
    if _is_utf16(start):
        raise HashgenError(f"{path}: encoded as UTF-16, or no text; save it as UTF-8")
    if instead := not_the_file(start):
        raise HashgenError(f"{path}: {instead}")
    if b"\r" in start.partition(b"\n")[0].rstrip(b"\r"):
        raise HashgenError(f"{path}: lines end in CR, as on old Macs; save it with line ends LF or CRLF")


def _is_utf16(start: bytes) -> bool:
    """Whether a file that has no byte order mark begins as UTF-16 does, in any script."""
    # Of letters as in names of columns or `{"`, each has a zero.
    if start[:8].count(0) >= 3:
        return True
    first = start.partition(b"\n")[0].strip()
    with contextlib.suppress(UnicodeDecodeError):
        if first and b"\0" not in first and first.decode():
            return False
    # Of others, delimiters and ends of lines have one, all on the same side.
    return max(start[::2].count(0), start[1::2].count(0)) >= max(2, start.count(b"\n"))


def _open(path: Path) -> BinaryIO:
    try:
        if path.name.lower().endswith(".gz"):
            return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path)))
        return path.open("rb")
    except OSError as error:
        raise HashgenError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
