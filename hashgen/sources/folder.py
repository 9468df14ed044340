"""Posts from a folder of pictures with metadata.jsonl or metadata.csv, as Hugging Face's ImageFolder has them."""

import csv
import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from filelock import FileLock

from hashgen.errors import HashgenError
from hashgen.files import atomic_file
from hashgen.posts import Post

METADATA = ("metadata.jsonl", "metadata.csv")
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
# Bounds on memory: what is longer is no row of metadata and no picture.
MAX_LINE = 2**20
MAX_FILE = 2**28
_SALT_BYTES = 32
_NAMED_LINES = 5
# Also what a list becomes when a table is saved as CSV: ['a', 'b'].
_BETWEEN_HASHTAGS = re.compile(r"[\s,;\[\]\"']+")
_SURROGATE = re.compile("[\ud800-\udfff]")

Row = dict[str, Any]


@dataclasses.dataclass
class FolderCounts:
    """What a folder held besides good posts; complete once `FolderSource.posts()` has ended.

    rows: of metadata, broken ones included. broken_rows: no post could be made of them; broken_lines names the first
    few, each with its reason. rows_without_file: posts without a readable file. files_without_rows: pictures that no
    row names. unread_dates: dates neither ISO 8601 nor epoch seconds, taken as unknown.
    """

    rows: int = 0
    broken_rows: int = 0
    rows_without_file: int = 0
    files_without_rows: int = 0
    unread_dates: int = 0
    broken_lines: list[str] = dataclasses.field(default_factory=list)


class _BrokenRow(ValueError):
    """A row of metadata of which no post can be made; the message says why."""


class FolderSource:
    """Posts of one folder, in the order of its metadata; nothing but file names is held in memory.

    Each row of `metadata.jsonl` or `metadata.csv` is a post: `file_name` relative to the metadata file, the text in
    `text` or `caption`; optional `id` (default: the file's path below the folder), `hashtags` and `seed_hashtags` (a
    list, or a string parted by blanks or commas), `author` (only a hash of it is kept, keyed with `salt`), `date` (ISO
    8601, UTC unless it says otherwise, or epoch seconds), `licence` or `license`. Subfolders may hold metadata of their
    own (train/metadata.jsonl). `counts` says what was wrong with the rest.
    """

    def __init__(self, path: Path, salt: bytes) -> None:
        self.counts = FolderCounts()
        self._path = path
        self._salt = salt

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no folder, no metadata or no row that makes a post."""
        metadata, unnamed = _walk(self._path)
        self.counts = counts = FolderCounts()
        for file in metadata:
            read = _jsonl_rows if file.suffix == ".jsonl" else _csv_rows
            for line, row in read(file):
                counts.rows += 1
                try:
                    post = self._post(file, row)
                except _BrokenRow as error:
                    self._count_broken(file, line, str(error))
                    continue
                unnamed.discard(post.image_path or "")
                yield post
        counts.files_without_rows = len(unnamed)
        names = ", ".join(str(file) for file in metadata)
        if counts.rows == 0:
            raise HashgenError(f"{names}: no rows; give each picture a row with file_name and text")
        if counts.rows == counts.broken_rows:
            raise HashgenError(f"{names}: all {counts.rows:,} rows are broken ({'; '.join(counts.broken_lines)})")

    def _count_broken(self, file: Path, line: int, reason: str) -> None:
        self.counts.broken_rows += 1
        if len(self.counts.broken_lines) < _NAMED_LINES:
            self.counts.broken_lines.append(f"{file.relative_to(self._path).as_posix()} line {line}: {reason}")

    def _post(self, metadata: Path, row: Row | _BrokenRow) -> Post:
        if isinstance(row, _BrokenRow):
            raise row
        path = metadata.parent / _file_name(row)
        name = path.relative_to(self._path).as_posix()
        if "text" not in row and "caption" not in row:
            raise _BrokenRow("no text")
        author = _text(row, "author")
        is_video = path.suffix.lower() in VIDEOS
        image = None if is_video else _read_file(path)
        self.counts.rows_without_file += image is None and not is_video
        return Post(
            id=_text(row, "id") or name,
            source="folder",
            caption=_text(row, "text") or _text(row, "caption"),
            hashtags=_hashtags(row, "hashtags"),
            seed_hashtags=_hashtags(row, "seed_hashtags") or (),
            author=hash_author(author, self._salt) if author else None,
            date=self._date(row.get("date")),
            kind="video" if is_video else "image",
            image=image,
            image_path=name,
            licence=_text(row, "licence") or _text(row, "license"),
        )

    def _date(self, value: object) -> datetime | None:
        if value is None or value == "":
            return None
        try:
            return _parse_date(value)
        except (ValueError, OverflowError, OSError):
            self.counts.unread_dates += 1
            return None


def hash_author(author: str, salt: bytes) -> str:
    """A name that tells authors apart and nobody's identity: keyed BLAKE2b, 32 hex digits. salt: at most 64 bytes."""
    return hashlib.blake2b(author.encode(), key=salt, digest_size=16).hexdigest()


def read_salt(home: Path) -> bytes:
    """The secret of this machine that author hashes are keyed with: 32 bytes in `home/salt`, made on first use.

    Readable by its owner alone. Raises HashgenError if `home` cannot be written to or the file is damaged.
    """
    path = home / "salt"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / "salt.lock"):
            if not path.exists():
                with atomic_file(path) as partial:
                    partial.touch(mode=0o600)
                    partial.write_bytes(secrets.token_bytes(_SALT_BYTES))
        salt = path.read_bytes()
    except OSError as error:
        raise HashgenError(f"{path}: {error.strerror or error}; name a folder that can be written: --home") from error
    if len(salt) != _SALT_BYTES:
        raise HashgenError(f"{path}: damaged; restore it, or delete it (author hashes will then differ from before)")
    return salt


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


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row | _BrokenRow]]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, _caught(_json_row, line)


def _json_row(line: str) -> Row:
    _check_text(line)
    try:
        row = json.loads(line, parse_constant=lambda _: None)  # pandas writes NaN for what is missing
    except (ValueError, RecursionError) as error:
        raise _BrokenRow("not valid JSON") from error
    if not isinstance(row, dict):
        raise _BrokenRow("not a JSON object")
    return row


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | _BrokenRow]]:
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
            yield reader.line_num, _BrokenRow(str(error))
            continue
        if values:
            yield reader.line_num, _caught(_csv_row, header, values)


def _csv_row(header: list[str], values: list[str]) -> Row:
    for value in values:
        _check_text(value)
    if len(values) != len(header):
        raise _BrokenRow(f"{len(values)} values for {len(header)} columns")
    return {name: value for name, value in zip(header, values, strict=True) if value or name in ("text", "caption")}


def _caught(parse: Callable[..., Row], *values: object) -> Row | _BrokenRow:
    try:
        return parse(*values)
    except _BrokenRow as error:
        return error


def _check_text(value: str) -> None:
    if "\0" in value:
        raise _BrokenRow("a NUL character, or a line over 1 MiB")
    if _SURROGATE.search(value):
        raise _BrokenRow("not UTF-8")


def _text(row: Row, key: str) -> str | None:
    """A value as text: numbers as they are written; None where there is none."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool | list | dict):
        raise _BrokenRow(f"{key} is no text")
    # pandas writes a column of whole numbers with gaps as 12.0.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    _check_text(text)
    return text


def _file_name(row: Row) -> PurePosixPath:
    name = _text(row, "file_name")
    if name is None:
        raise _BrokenRow("no file_name")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or not path.name:
        raise _BrokenRow("file_name leads out of the folder")
    return path


def _hashtags(row: Row, key: str) -> list[str] | None:
    value = row.get(key)
    if isinstance(value, str):
        value = _BETWEEN_HASHTAGS.split(value)
    elif value is not None and not isinstance(value, list):
        raise _BrokenRow(f"{key} is neither a list nor text")
    if value is None:
        return None
    return [tag for tag in (_text({key: tag}, key) for tag in value) if tag]


def _parse_date(value: object) -> datetime:
    """ISO 8601 or epoch seconds, as UTC. Raises ValueError or OverflowError for anything else."""
    text = str(value).strip()
    # Fewer digits are a year or a day: 2019, 20190430.
    if re.fullmatch(r"-?\d{9,}(\.\d*)?", text):
        return datetime.fromtimestamp(float(text), tz=UTC)
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_FILE else None
    except OSError:
        return None
