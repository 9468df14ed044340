"""Posts from a folder of pictures with metadata.jsonl or metadata.csv, as Hugging Face's ImageFolder has them."""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.picture_files import (
    ARCHIVES,
    NOT_FETCHED,
    ONE_EACH,
    PICTURES,
    VIDEOS,
    PictureFinder,
    is_address,
    read_picture,
)
from hashgen.sources.rows.shared_ids import SharedIds
from hashgen.sources.rows.text_files import csv_rows, json_rows
from hashgen.sources.rows.values import (
    NOTHING,
    BrokenRow,
    Row,
    RowCounts,
    mended,
    read_caption,
    read_date,
    read_hashtags,
    read_text,
)

METADATA = ("metadata.jsonl", "metadata.csv")
_TEXTS = ("text", "caption")
# What else people keep their texts in, and what to do with it.
_AS_TABLE = "set scrape.source: table and scrape.table.path: {path}"
_NEAR = {
    ".parquet": _AS_TABLE,
    ".jsonl": "rename {name} to metadata.jsonl",
    ".ndjson": "rename {name} to metadata.jsonl",
    ".csv": "rename {name} to metadata.csv",
    ".json": "write {name} as metadata.jsonl, one object a line: jq -c '.[]' {name} > metadata.jsonl",
    ".tsv": _AS_TABLE,
    ".gz": "unpack {name}",
    ".xlsx": "save {name} as metadata.csv (CSV UTF-8)",
    ".xls": "save {name} as metadata.csv (CSV UTF-8)",
} | dict.fromkeys(ARCHIVES, "unpack {name}")
# metadata.csv.txt, metadata.jsonl.bak, metadata.csv (2): the end that counts stands before another.
_INNER_END = re.compile(r"metadata.*(\.(?:jsonl|ndjson|csv))\b", re.IGNORECASE)


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.folder` describes."""
    return FolderSource(opening.resolve(section.folder.path), opening.salt())


class FolderSource(Source):
    """Posts of one folder, in the order of its metadata; file names and what tells ids apart are held in memory.

    Each row of `metadata.jsonl` or `metadata.csv` is a post: `file_name` relative to the metadata file (or absolute, if
    that is in the folder), the text in `text` or `caption`; optional `id` (default: the file's path below the folder),
    `hashtags` and `seed_hashtags` (as `read_hashtags` reads them), `author` (only a hash of it is kept, keyed with
    `salt`), `date` (as `read_date` reads it), `licence` or `license`. Rows that share an id are told apart by
    `SharedIds`. Subfolders may hold metadata of their own (train/metadata.jsonl); links to folders are not followed,
    and files that a link leads to outside the folder are not read. `counts` says what was wrong with the rest. salt:
    None keeps no author.
    """

    def __init__(self, path: Path, salt: bytes | None) -> None:
        self.counts = RowCounts()
        self._path = path
        self._real_path = os.path.realpath(path)
        self._salt = salt
        self._finder = PictureFinder()

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no folder, no metadata or no row that makes a post."""
        self.counts = counts = RowCounts()
        found = _walk(self._path, counts)
        unnamed, ids = found.pictures, SharedIds(counts)
        for file in found.metadata:
            name = file.relative_to(self._path).as_posix()
            for number, (line, row) in enumerate(self._rows(file, name), start=1):
                counts.rows += 1
                counts.place = place = f"{name} line {line}"
                try:
                    post = self._post(file, row)
                except BrokenRow as error:
                    counts.add_broken(place, error)
                    continue
                unnamed.discard(post.image_path or "")
                yield ids.placed(post, place, f"{name}:{number}")
        counts.files_without_rows = len(unnamed)
        if unnamed:
            counts.first["files_without_rows"] = min(unnamed)
        if counts.rows_without_file and found.archives:
            counts.first["rows_without_file"] += f"; unpack {found.archives[0]}"
        names = ", ".join(str(file) for file in found.metadata)
        if counts.rows == 0:
            raise HashgenError(f"{names}: no rows; add a row with file_name and text for each picture")
        if counts.rows == counts.broken_rows:
            raise HashgenError(f"{names}: all {counts.rows:,} rows are broken ({counts.broken()})")

    def metrics(self) -> dict[str, int]:
        """Counts of broken rows, rows without a file, files without a row, and what else `RowCounts` has."""
        return self.counts.metrics()

    def warnings(self) -> list[str]:
        """One line for each kind of fault."""
        return self.counts.warnings()

    def _rows(self, file: Path, name: str) -> Iterator[tuple[int, Row | BrokenRow]]:
        if file.suffix == ".jsonl":
            return json_rows(file, ("file_name", *_TEXTS))
        doubt = functools.partial(_doubt, self.counts, name)
        return csv_rows(file, functools.partial(_check_header, file), picture="file_name", doubt=doubt)

    def _post(self, metadata: Path, row: Row | BrokenRow) -> Post:
        if isinstance(row, BrokenRow):
            raise row
        row = {key: None if _is_nothing(key, value) else value for key, value in mended(row, self.counts).items()}
        name = _file_name(row, metadata.parent, self._path)
        if row.keys().isdisjoint(_TEXTS):
            raise BrokenRow("no text")
        path = self._finder.find(self._path / name)
        if not Path(os.path.realpath(path)).is_relative_to(self._real_path):
            raise BrokenRow("file_name is a link that leads out of the folder")
        is_video = path.suffix.lower() in VIDEOS
        image, fault = (None, None) if is_video else read_picture(path)
        if image is None and not is_video:
            self.counts.add_without_file(fault)
        return Post(
            id=read_text(row, "id") or name,
            source="folder",
            caption=read_caption(row, "text", self.counts) or read_caption(row, "caption", self.counts),
            hashtags=read_hashtags(row, "hashtags", self.counts),
            seed_hashtags=read_hashtags(row, "seed_hashtags", self.counts) or (),
            author=hash_author(read_text(row, "author"), self._salt),
            date=read_date(row.get("date"), self.counts),
            kind="video" if is_video else "image",
            image=image,
            image_path=path.relative_to(self._path).as_posix(),
            licence=read_text(row, "licence") or read_text(row, "license"),
        )


def _is_nothing(key: str, value: object) -> bool:
    return key not in ("file_name", *_TEXTS) and isinstance(value, str) and value.strip() in NOTHING


class _Found(NamedTuple):
    """What is below a folder. pictures: names relative to it, videos included. archives: names at its top."""

    metadata: list[Path]
    pictures: set[str]
    archives: list[str]


def _walk(folder: Path, counts: RowCounts) -> _Found:
    """What is below a folder; files that may be meant as metadata are counted, and what `_entries` counts.

    Raises HashgenError if there is no folder, no metadata, or metadata of both kinds or from elsewhere.
    """
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise HashgenError(f"{folder}: {problem}; fix scrape.folder.path")
    files, folders = _entries(folder, counts)
    metadata = [path for path in files if path.name in METADATA]
    media = {path for path in files if path.name.lower().endswith(PICTURES + VIDEOS)}
    others = [path for path in files if path.name not in METADATA and path not in media]
    others += [path for path in folders if path.name.lower() in METADATA]
    # Those at the top come first, and of each folder those named like metadata.
    others.sort(key=lambda path: (len(path.parts), "metadata" not in path.name.lower(), path))
    if not metadata:
        raise HashgenError(f"{folder}: no metadata.jsonl or metadata.csv; {_remedy(folder, others, counts)}")
    for path in others:
        if "metadata" in path.name.lower() and (remedy := _remedy_of(path, folder)):
            counts.add_unread_file(remedy)
    root = os.path.realpath(folder)
    for file in metadata:
        if not file.exists():
            raise HashgenError(f"{file}: a link to a file that is not there; put the file itself there")
        if not Path(os.path.realpath(file)).is_relative_to(root):
            raise HashgenError(f"{file}: a link that leads out of the folder; put the file itself there")
    if len({file.suffix for file in metadata}) > 1:
        raise HashgenError(f"{folder}: both metadata.jsonl and metadata.csv; keep only one of them")
    archives = [path.name for path in others if path.parent == folder and path.name.lower().endswith(ARCHIVES)]
    return _Found(metadata, {_below(folder, path) for path in media}, archives)


def _entries(folder: Path, counts: RowCounts) -> tuple[list[Path], list[Path]]:
    """The files and the folders below a folder that are not hidden, those of one folder after another.

    Links to folders are counted, and so, as broken rows, are subfolders that cannot be read. Raises HashgenError if the
    folder itself cannot be.
    """

    def count(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise HashgenError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
        counts.rows += 1
        counts.add_broken(f"{_below(folder, Path(error.filename))}/", error.strerror)

    files: list[Path] = []
    folders: list[Path] = []
    for here, below, names in os.walk(folder, onerror=count):
        below[:] = sorted(name for name in below if not name.startswith("."))
        folders += (Path(here, name) for name in below)
        files += (Path(here, name) for name in names if not name.startswith("."))
    for path in folders:
        if path.is_symlink():
            counts.add_linked(_below(folder, path))
    return files, folders


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _remedy(folder: Path, others: list[Path], counts: RowCounts) -> str:
    """What to do in a folder that has no metadata but these files, and what was counted."""
    if counts.broken_names:
        return f"folders cannot be read ({'; '.join(counts.broken_names)}): check their permissions"
    if remedy := next(filter(None, (_remedy_of(path, folder) for path in others)), None):
        return remedy
    if counts.linked_folders:
        return f"links to folders are not followed ({counts.first['linked_folders']}): put the folder itself there"
    return "add one with the text of each picture"


def _remedy_of(path: Path, folder: Path) -> str | None:
    """What to do with a file so that it is read; None where it is no kind of metadata."""
    name = _below(folder, path)
    if path.is_dir():
        return f"{name} is a folder; put a file of that name there instead"
    for end, remedy in _NEAR.items():
        if name.lower().endswith(end):
            return remedy.format(name=name, path=path)
    inner = _INNER_END.search(path.name)
    return _NEAR[inner[1].lower()].format(name=name) if inner else None


def _check_header(path: Path, header: list[str]) -> None:
    if "file_name" not in header or not set(_TEXTS) & set(header):
        found = ", ".join(header)[:200]
        raise HashgenError(
            f"{path}: needs the columns file_name and text (or caption), separated by commas; found {found}"
        )
    twice = [name for name in ("file_name", *_TEXTS) if header.count(name) > 1]
    if twice:
        raise HashgenError(f"{path}: two columns are named {twice[0]}; rename one")


def _doubt(counts: RowCounts, name: str, line: int) -> None:
    counts.add_doubtful(f"{name} line {line}")


def _file_name(row: Row, here: Path, folder: Path) -> str:
    """The path of a row's file below `folder`, which need not exist. here: the folder of the metadata."""
    value = row.get("file_name")
    if isinstance(value, list):
        if len(value) != 1:
            raise BrokenRow(f"file_name is a list of {len(value)} pictures; {ONE_EACH}")
        value = value[0]
    if isinstance(value, dict):
        value = value.get("url") or value.get("path") or value
    name = (read_text({"file_name": value}, "file_name") or "").strip()
    if not name:
        # Usually the column has another name.
        found = "" if "file_name" in row else f" among the columns {' '.join(', '.join(row).split())}"[:92]
        if any("file_name" in key for key in row if key != "file_name"):
            found += "; a row needs one picture, named in file_name"
        raise BrokenRow(f"no file_name{found}")
    if is_address(name):
        raise BrokenRow(f"file_name is an address; {NOT_FETCHED}")
    if name[:5].lower() == "data:":
        raise BrokenRow("file_name is a picture in base64; save it as a file, or set scrape.source: table")
    if re.match(r"[A-Za-z]:[\\/]", name):
        raise BrokenRow("file_name is an absolute path of Windows, and points outside the folder")
    root = PurePosixPath(os.path.normpath(folder.absolute()))
    path = PurePosixPath(os.path.normpath(here.absolute() / name.replace("\\", "/")))
    if path == root or not path.is_relative_to(root):
        raise BrokenRow("file_name points outside the folder")
    return path.relative_to(root).as_posix()
