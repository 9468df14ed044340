"""Posts from a folder of pictures with metadata.jsonl or metadata.csv, as Hugging Face's ImageFolder has them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.picture_files import PICTURES, VIDEOS, read_picture
from hashgen.sources.rows.text_files import csv_rows, json_rows
from hashgen.sources.rows.values import BrokenRow, Row, RowCounts, read_date, read_hashtags, read_text

METADATA = ("metadata.jsonl", "metadata.csv")


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.folder` describes."""
    return FolderSource(opening.resolve(section.folder.path), opening.salt())


class FolderSource(Source):
    """Posts of one folder, in the order of its metadata; nothing but file names is held in memory.

    Each row of `metadata.jsonl` or `metadata.csv` is a post: `file_name` relative to the metadata file, the text in
    `text` or `caption`; optional `id` (default: the file's path below the folder), `hashtags` and `seed_hashtags` (a
    list, or text separated by spaces or commas), `author` (only a hash of it is kept, keyed with `salt`), `date` (as
    `read_date` reads it), `licence` or `license`. Subfolders may hold metadata of their own (train/metadata.jsonl).
    `counts` says what was wrong with the rest. salt: None keeps no author.
    """

    def __init__(self, path: Path, salt: bytes | None) -> None:
        self.counts = RowCounts()
        self._path = path
        self._salt = salt

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no folder, no metadata or no row that makes a post."""
        metadata, unnamed = _walk(self._path)
        self.counts = counts = RowCounts()
        for file in metadata:
            read = json_rows if file.suffix == ".jsonl" else _csv_rows
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
            raise HashgenError(f"{names}: no rows; add a row with file_name and text for each picture")
        if counts.rows == counts.broken_rows:
            raise HashgenError(f"{names}: all {counts.rows:,} rows are broken ({'; '.join(counts.broken_names)})")

    def metrics(self) -> dict[str, int]:
        """Counts of broken rows, rows without a file, files without a row, and unreadable dates."""
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
        image = None if is_video else read_picture(path)
        if image is None and not is_video:
            self.counts.add_without_file(path)
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
        raise HashgenError(f"{folder}: {problem}; fix scrape.folder.path")
    metadata: list[Path] = []
    pictures: set[str] = set()
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        metadata += [Path(here, name) for name in METADATA if name in names]
        prefix = Path(here).relative_to(folder)
        media = (name for name in names if not name.startswith(".") and name.lower().endswith(PICTURES + VIDEOS))
        pictures.update((prefix / name).as_posix() for name in media)
    if not metadata:
        raise HashgenError(f"{folder}: no metadata.jsonl or metadata.csv; add one with the text of each picture")
    if len({file.suffix for file in metadata}) > 1:
        raise HashgenError(f"{folder}: both metadata.jsonl and metadata.csv; keep only one of them")
    return metadata, pictures


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | BrokenRow]]:
    def check_header(header: list[str]) -> None:
        if "file_name" not in header or not {"text", "caption"} & set(header):
            found = ", ".join(header)[:200]
            raise HashgenError(
                f"{path}: needs the columns file_name and text (or caption), separated by commas; found {found}"
            )

    return csv_rows(path, check_header)


def _file_name(row: Row) -> PurePosixPath:
    name = read_text(row, "file_name")
    if name is None:
        # Usually the column has another name.
        found = "" if "file_name" in row else f" among the columns {' '.join(', '.join(row).split())}"[:92]
        raise BrokenRow(f"no file_name{found}")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or not path.name:
        raise BrokenRow("file_name points outside the folder")
    return path
