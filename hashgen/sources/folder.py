"""Posts from a folder of pictures with metadata.jsonl or metadata.csv, as Hugging Face's ImageFolder has them."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hashgen.errors import HashgenError
from hashgen.posts import Post
from hashgen.sources.authors import hash_author
from hashgen.sources.rows import BrokenRow, Row, RowCounts, check_text, read_date, read_hashtags, read_text

METADATA = ("metadata.jsonl", "metadata.csv")
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
# Bounds on memory: what is longer is no row of metadata and no picture.
MAX_LINE = 2**20
MAX_FILE = 2**28


class FolderSource:
    """Posts of one folder, in the order of its metadata; nothing but file names is held in memory.

    Each row of `metadata.jsonl` or `metadata.csv` is a post: `file_name` relative to the metadata file, the text in
    `text` or `caption`; optional `id` (default: the file's path below the folder), `hashtags` and `seed_hashtags` (a
    list, or a string parted by blanks or commas), `author` (only a hash of it is kept, keyed with `salt`), `date` (ISO
    8601, UTC unless it says otherwise, or epoch seconds), `licence` or `license`. Subfolders may hold metadata of their
    own (train/metadata.jsonl). `counts` says what was wrong with the rest. salt: None keeps no author.
    """

    total: int | None = None
    fault: HashgenError | None = None

    def __init__(self, path: Path, salt: bytes | None) -> None:
        self.counts = RowCounts()
        self._path = path
        self._salt = salt

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no folder, no metadata or no row that makes a post."""
        metadata, unnamed = _walk(self._path)
        self.counts = counts = RowCounts()
        for file in metadata:
            read = _jsonl_rows if file.suffix == ".jsonl" else _csv_rows
            for line, row in read(file):
                counts.rows += 1
                try:
                    post = self._post(file, row)
                except BrokenRow as error:
                    counts.add_broken(f"{file.relative_to(self._path).as_posix()} line {line}", error)
                    continue
                unnamed.discard(post.image_path or "")
                yield post
        counts.files_without_rows = len(unnamed)
        names = ", ".join(str(file) for file in metadata)
        if counts.rows == 0:
            raise HashgenError(f"{names}: no rows; give each picture a row with file_name and text")
        if counts.rows == counts.broken_rows:
            raise HashgenError(f"{names}: all {counts.rows:,} rows are broken ({'; '.join(counts.broken_names)})")

    def metrics(self) -> dict[str, int]:
        """Counts of broken rows, of rows without file and files without row, of unread dates."""
        return self.counts.metrics()

    def warnings(self) -> list[str]:
        """One line for each kind of fault."""
        return self.counts.warnings()

    def _post(self, metadata: Path, row: Row | BrokenRow) -> Post:
        if isinstance(row, BrokenRow):
            raise row
        path = metadata.parent / _file_name(row)
        name = path.relative_to(self._path).as_posix()
        if "text" not in row and "caption" not in row:
            raise BrokenRow("no text")
        is_video = path.suffix.lower() in VIDEOS
        image = None if is_video else _read_file(path)
        self.counts.rows_without_file += image is None and not is_video
        return Post(
            id=read_text(row, "id") or name,
            source="folder",
            caption=read_text(row, "text") or read_text(row, "caption"),
            hashtags=read_hashtags(row, "hashtags"),
            seed_hashtags=read_hashtags(row, "seed_hashtags") or (),
            author=hash_author(read_text(row, "author"), self._salt),
            date=read_date(row.get("date"), self.counts),
            kind="video" if is_video else "image",
            image=image,
            image_path=name,
            licence=read_text(row, "licence") or read_text(row, "license"),
        )


def _walk(folder: Path) -> tuple[list[Path], set[str]]:
    """The metadata files below a folder, and the names of all its pictures and videos relative to it."""
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise HashgenError(f"{folder}: {problem}; mend scrape.folder.path")
    metadata: list[Path] = []
    pictures: set[str] = set()
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        metadata += [Path(here, name) for name in METADATA if name in names]
        prefix = Path(here).relative_to(folder)
        media = (name for name in names if not name.startswith(".") and name.lower().endswith(PICTURES + VIDEOS))
        pictures.update((prefix / name).as_posix() for name in media)
    if not metadata:
        raise HashgenError(f"{folder}: no metadata.jsonl and no metadata.csv; one must give each picture its text")
    if len({file.suffix for file in metadata}) > 1:
        raise HashgenError(f"{folder}: both metadata.jsonl and metadata.csv; which one? Remove the other")
    return metadata, pictures


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends; one longer than MAX_LINE comes as NUL, which no good line holds.

    Bytes that are not UTF-8 come as surrogates. A byte order mark is left out.
    """
    with _open(path) as stream:
        start = stream.read(3)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise HashgenError(f"{path}: UTF-16; save it as UTF-8")
        stream.seek(3 if start == b"\xef\xbb\xbf" else 0)
        while line := stream.readline(MAX_LINE):
            if len(line) < MAX_LINE or line.endswith(b"\n"):
                yield line.decode("utf-8", "surrogateescape")
                continue
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield "\0\n"


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise HashgenError(f"{path}: cannot be read ({error.strerror}); mend its permissions") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row | BrokenRow]]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, _caught(_json_row, line)


def _json_row(line: str) -> Row:
    check_text(line)
    try:
        row = json.loads(line, parse_constant=lambda _: None)  # pandas writes NaN for what is missing
    except (ValueError, RecursionError) as error:
        raise BrokenRow("not valid JSON") from error
    if not isinstance(row, dict):
        raise BrokenRow("not a JSON object")
    return row


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | BrokenRow]]:
    reader = csv.reader(_lines(path), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise HashgenError(f"{path}: its first line is no header ({error}); it must name the columns") from error
    if not header:
        return
    if "file_name" not in header or not {"text", "caption"} & set(header):
        found = ", ".join(header)[:200]
        raise HashgenError(
            f"{path}: needs the columns file_name and text (or caption), parted by commas; found {found}"
        )
    while True:
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
    return {name: value for name, value in zip(header, values, strict=True) if value or name in ("text", "caption")}


def _caught(parse: Callable[..., Row], *values: object) -> Row | BrokenRow:
    try:
        return parse(*values)
    except BrokenRow as error:
        return error


def _file_name(row: Row) -> PurePosixPath:
    name = read_text(row, "file_name")
    if name is None:
        raise BrokenRow("no file_name")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or not path.name:
        raise BrokenRow("file_name leads out of the folder")
    return path


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_FILE else None
    except OSError:
        return None
