"""Posts from a folder of pictures with metadata.jsonl or metadata.csv, as Hugging Face's ImageFolder has them."""

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
    read_caption,
    read_date,
    read_hashtags,
    read_text,
)

METADATA = ("metadata.jsonl", "metadata.csv")
# What else people keep their texts in, and what to do with it.
_NEAR = {
    ".parquet": "set scrape.source: table and scrape.table.path to {name}",
    ".jsonl": "rename {name} to metadata.jsonl",
    ".ndjson": "rename {name} to metadata.jsonl",
    ".csv": "rename {name} to metadata.csv",
    ".json": "write {name} as metadata.jsonl, one object a line: jq -c '.[]' {name} > metadata.jsonl",
    ".tsv": "set scrape.source: table and scrape.table.path to {name}",
    ".gz": "unpack {name}",
    ".xlsx": "save {name} as metadata.csv (CSV UTF-8)",
    ".xls": "save {name} as metadata.csv (CSV UTF-8)",
} | dict.fromkeys(ARCHIVES, "unpack {name}")


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
        self._linked = 0

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no folder, no metadata or no row that makes a post."""
        self.counts = counts = RowCounts()
        found = _walk(self._path, counts)
        self._linked = found.linked_folders
        unnamed, ids = found.pictures, SharedIds(counts)
        for file in found.metadata:
            read = json_rows if file.suffix == ".jsonl" else _csv_rows
            name = file.relative_to(self._path).as_posix()
            for number, (line, row) in enumerate(read(file), start=1):
                counts.rows += 1
                place = f"{name} line {line}"
                try:
                    post = self._post(file, row)
                except BrokenRow as error:
                    counts.add_broken(place, error)
                    continue
                unnamed.discard(post.image_path or "")
                yield ids.placed(post, place, f"{name}:{number}")
        counts.files_without_rows = len(unnamed)
        if counts.rows_without_file and found.archives:
            counts.first_missing = f"{counts.first_missing}; unpack {found.archives[0]}"
        names = ", ".join(str(file) for file in found.metadata)
        if counts.rows == 0:
            raise HashgenError(f"{names}: no rows; add a row with file_name and text for each picture")
        if counts.rows == counts.broken_rows:
            raise HashgenError(f"{names}: all {counts.rows:,} rows are broken ({counts.broken()})")

    def metrics(self) -> dict[str, int]:
        """Counts of broken rows, rows without a file, files without a row, and unreadable dates."""
        return self.counts.metrics()

    def warnings(self) -> list[str]:
        """One line for each kind of fault."""
        linked = [f"{self._linked:,} links to folders, not followed"] if self._linked else []
        return self.counts.warnings() + linked

    def _post(self, metadata: Path, row: Row | BrokenRow) -> Post:
        if isinstance(row, BrokenRow):
            raise row
        row = {key: None if _is_nothing(key, value) else value for key, value in row.items()}
        name = _file_name(row, metadata.parent, self._path)
        if "text" not in row and "caption" not in row:
            raise BrokenRow("no text")
        path = self._finder.find(self._path / name)
        if not Path(os.path.realpath(path)).is_relative_to(self._real_path):
            raise BrokenRow("file_name is a link that leads out of the folder")
        is_video = path.suffix.lower() in VIDEOS
        image = None if is_video else read_picture(path)
        if image is None and not is_video:
            self.counts.add_without_file(path)
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
    return key not in ("text", "caption", "file_name") and isinstance(value, str) and value.strip() in NOTHING


class _Found(NamedTuple):
    """What is below a folder. pictures: names relative to it, videos included. archives: names at its top."""

    metadata: list[Path]
    pictures: set[str]
    archives: list[str]
    linked_folders: int


def _walk(folder: Path, counts: RowCounts) -> _Found:
    """What is below a folder; a subfolder that cannot be read is counted as a broken row."""
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise HashgenError(f"{folder}: {problem}; fix scrape.folder.path")

    def count(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise HashgenError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
        counts.rows += 1
        counts.add_broken(f"{Path(error.filename).relative_to(folder).as_posix()}/", error.strerror)

    found = _Found([], set(), sorted(name for name in _names(folder) if name.lower().endswith(ARCHIVES)), 0)
    linked = 0
    for here, folders, names in os.walk(folder, onerror=count):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += sum(Path(here, name).is_symlink() for name in folders)
        found.metadata.extend(Path(here, name) for name in METADATA if name in names)
        prefix = Path(here).relative_to(folder)
        media = (name for name in names if not name.startswith(".") and name.lower().endswith(PICTURES + VIDEOS))
        found.pictures.update((prefix / name).as_posix() for name in media)
    if not found.metadata:
        raise HashgenError(f"{folder}: no metadata.jsonl or metadata.csv; {_remedy(_names(folder))}")
    root = os.path.realpath(folder)
    for file in found.metadata:
        if not Path(os.path.realpath(file)).is_relative_to(root):
            raise HashgenError(f"{file}: a link that leads out of the folder; put the file itself there")
    if len({file.suffix for file in found.metadata}) > 1:
        raise HashgenError(f"{folder}: both metadata.jsonl and metadata.csv; keep only one of them")
    return found._replace(linked_folders=linked)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    except OSError:
        return []


def _remedy(names: list[str]) -> str:
    """What to do in a folder that has no metadata but these files."""
    # Names like that of metadata come first.
    for name in sorted(names, key=lambda name: not name.lower().startswith("metadata")):
        for end, remedy in _NEAR.items():
            if name.lower().endswith(end):
                return remedy.format(name=name)
    return "add one with the text of each picture"


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | BrokenRow]]:
    def check_header(header: list[str]) -> None:
        if "file_name" not in header or not {"text", "caption"} & set(header):
            found = ", ".join(header)[:200]
            raise HashgenError(
                f"{path}: needs the columns file_name and text (or caption), separated by commas; found {found}"
            )
        twice = [name for name in ("file_name", "text", "caption") if header.count(name) > 1]
        if twice:
            raise HashgenError(f"{path}: two columns are named {twice[0]}; rename one")

    return csv_rows(path, check_header, picture="file_name")


def _file_name(row: Row, here: Path, folder: Path) -> str:
    """The path of a row's file below `folder`, which need not exist. here: the folder of the metadata."""
    name = (read_text(row, "file_name") or "").strip()
    if not name:
        # Usually the column has another name.
        found = "" if "file_name" in row else f" among the columns {' '.join(', '.join(row).split())}"[:92]
        if any("file_name" in key for key in row if key != "file_name"):
            found += "; a row needs one picture, named in file_name"
        raise BrokenRow(f"no file_name{found}")
    if is_address(name):
        raise BrokenRow(f"file_name is an address; {NOT_FETCHED}")
    if re.match(r"[A-Za-z]:[\\/]", name):
        raise BrokenRow("file_name is an absolute path of Windows, and points outside the folder")
    root = PurePosixPath(os.path.normpath(folder.absolute()))
    path = PurePosixPath(os.path.normpath(here.absolute() / name.replace("\\", "/")))
    if path == root or not path.is_relative_to(root):
        raise BrokenRow("file_name points outside the folder")
    return path.relative_to(root).as_posix()
