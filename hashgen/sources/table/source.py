"""Posts from the rows of a table: CSV, TSV, JSON Lines or Parquet, of any size."""

import contextlib
import functools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.params import scrape
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.parquet_files import parquet_rows, read_footer
from hashgen.sources.rows.picture_files import VIDEOS, PictureFinder, read_picture
from hashgen.sources.rows.picture_values import ADDRESS_KEYS, picture_of
from hashgen.sources.rows.shared_ids import SharedIds
from hashgen.sources.rows.text_files import csv_rows, json_rows
from hashgen.sources.rows.values import (
    HASHTAG_KEYS,
    NOTHING,
    BrokenRow,
    Row,
    RowCounts,
    mended,
    quoted,
    read_caption,
    read_date,
    read_hashtags,
    read_text,
)

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
# Of what is named .json, one object a line can be read.
_JSON = (".jsonl", ".ndjson", ".json")
# After this many JSON rows without a caption or image column, the column counts as missing.
_ROWS_TO_JUDGE = 1000

# How they write whole numbers once a column has gaps: 12.0, 1.7e+16.
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0+|-?[0-9](\.[0-9]+)?[eE]\+[0-9]{2}")

# Of the files in a folder of shards these are tables too, but not read.
_OTHER_TABLES = (*_DELIMITERS, *_JSON, ".pq", ".parq", ".arrow", ".feather", ".orc")

Rows = Iterator[tuple[int, Row | BrokenRow]]


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.table` describes."""
    return TableSource(section.table, opening.resolve(section.table.path), opening.salt())


class TableSource(Source):
    """Posts of a table, in the order of its rows; a few rows, and what tells ids apart, are in memory at a time.

    path: a CSV, TSV or JSON Lines file (.csv, .tsv, .jsonl, .ndjson, .json, also with .gz after it), a Parquet file, or
    a folder of Parquet files, read in the order of their names; links to folders in it are not followed.
    section.columns says which column holds what. Pictures are what `picture_of` reads: paths (absolute or relative to
    the table's folder) or bytes. Without an id, `<file>:<row>` is used, which stays the same when rows are added at the
    end; rows that share an id are told apart by `SharedIds`. Dates are as `read_date` reads them, or Arrow's, UTC if
    they have no zone. Empty text, NaN, None and null mean no value, and so do these words, except in captions. Of
    authors only a hash is kept, keyed with `salt`, or not even that (None). `counts` says what was wrong with the rest.

    Raises HashgenError for a table that does not exist, is of an unknown kind or (Parquet only; for others `posts`
    does) lacks the columns.
    """

    def __init__(self, section: scrape.Table, path: Path, salt: bytes | None) -> None:
        self.counts = RowCounts()
        self.total = None
        self._columns: dict[str, str] = {role: name for role, name in section.columns.model_dump().items() if name}
        self._folder = path if path.is_dir() else path.parent
        self._salt = salt
        self._finder = PictureFinder()
        self._found = _table_files(path)
        self._files = self._found.files
        if _kind(self._files[0]) == ".parquet":
            self.total = sum(self._checked_rows(file) for file in self._files)

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError for a damaged table, a missing column, and if no row makes a post."""
        self.counts = counts = RowCounts()
        for folder in self._found.links:
            counts.add_linked(folder)
        for name in self._found.others:
            counts.add_unread_file(f"{name}; of a folder only .parquet files are read")
        ids = SharedIds(counts)
        unit = "row" if self.total is not None else "line"
        for file in self._files:
            name = file.relative_to(self._folder).as_posix()
            for number, (line, row) in enumerate(self._rows(file), start=1):
                counts.rows += 1
                place, own_id = f"{name} {unit} {line}", f"{name}:{number}"
                counts.place = place
                try:
                    post = self._post(row, own_id)
                except BrokenRow as error:
                    counts.add_broken(place, error)
                    continue
                yield post if post.id == own_id else ids.placed(post, place, own_id)
        if counts.rows == counts.broken_rows:
            where = self._folder if len(self._files) > 1 else self._files[0]
            if counts.rows == 0:
                raise HashgenError(f"{where}: no rows; add a row for each post, or fix scrape.table.path")
            raise HashgenError(f"{where}: all {counts.rows:,} rows are broken ({counts.broken()})")

    def metrics(self) -> dict[str, int]:
        """Counts of broken rows, rows without a readable picture, unreadable dates, and what else `RowCounts` has."""
        return self.counts.metrics()

    def warnings(self) -> list[str]:
        """One line for each kind of fault."""
        return self.counts.warnings()

    def _rows(self, file: Path) -> Rows:
        kind = _kind(file)
        if kind == ".parquet":
            return parquet_rows(file, list(dict.fromkeys(self._columns.values())))
        if kind in _JSON:
            return self._json_rows(file)
        check_header = functools.partial(self._check_header, file)
        name = file.relative_to(self._folder).as_posix()
        return csv_rows(
            file,
            check_header,
            _DELIMITERS[kind],
            self._columns["image"],
            lambda line: self.counts.add_doubtful(f"{name} line {line}"),
        )

    def _json_rows(self, file: Path) -> Rows:
        """The rows of a JSON Lines file; as it has no header, its columns are those that any row has."""
        missing = set(self._columns.values())
        found: list[str] | None = None
        with contextlib.closing(json_rows(file, set(missing))) as rows:
            for number, (line, row) in enumerate(rows, start=1):
                if not isinstance(row, BrokenRow):
                    found = list(row) if found is None else found
                    missing -= row.keys()
                if number == _ROWS_TO_JUDGE and found is not None:
                    needed = (self._columns[role] for role in ("caption", "image"))
                    self._check_columns(file, missing.intersection(needed), found)
                yield line, row
        if found is not None:
            self._check_columns(file, missing, found)

    def _checked_rows(self, file: Path) -> int:
        """The number of a Parquet file's rows, once its columns and their types have been checked."""
        schema, rows = read_footer(file)
        self._check_header(file, schema.names)
        for role, name in self._columns.items():
            if not _suits(role, schema.field(name).type):
                kind = str(schema.field(name).type)[:100]
                raise HashgenError(
                    f"{file}: column {name} has the type {kind}, not a {role}; fix scrape.table.columns.{role}"
                )
        return rows

    def _check_header(self, file: Path, header: list[str]) -> None:
        twice = [name for name in self._columns.values() if header.count(name) > 1]
        if twice:
            raise HashgenError(f"{file}: two columns are named {quoted(twice[0])}; rename one")
        self._check_columns(file, set(self._columns.values()) - set(header), header)

    def _check_columns(self, file: Path, missing: Collection[str], found: list[str]) -> None:
        if not missing:
            return
        roles = [role for role, name in self._columns.items() if name in missing]
        names = ", ".join(self._columns[role] for role in roles)
        keys = ", ".join(f"scrape.table.columns.{role}" for role in roles)
        if len(found) == 1 and ";" in found[0]:
            raise HashgenError(f"{file}: columns separated by semicolons; save it with commas, or as .tsv with tabs")
        delimiter = {",": "commas", "\t": "tabs"}.get(_DELIMITERS.get(_kind(file), ""))
        separated = f" (separated by {delimiter})" if delimiter else ""
        raise HashgenError(f"{file}: no column {names}; found{separated} {', '.join(found)[:200]!r}; fix {keys}")

    def _post(self, row: Row | BrokenRow, place: str) -> Post:
        if isinstance(row, BrokenRow):
            raise row
        fields = mended({role: row.get(name) for role, name in self._columns.items()}, self.counts)
        fields = {role: _present(value, role) for role, value in fields.items()}
        picture = picture_of(fields["image"])
        data, path, fault = picture
        kind = "video" if data is None and path and PurePosixPath(path).suffix.lower() in VIDEOS else "image"
        if data is None and path and not fault and kind == "image":
            data, fault = read_picture(self._finder.find(self._folder / path))
        post = Post(
            id=read_text(fields, "id") or place,
            source="table",
            caption=read_caption(fields, "caption", self.counts),
            hashtags=read_hashtags(fields, "hashtags", self.counts),
            seed_hashtags=read_hashtags(fields, "seed_hashtags", self.counts) or (),
            author=hash_author(read_text(fields, "author"), self._salt),
            kind=kind,
            image=data,
            image_path=path,
            licence=read_text(fields, "licence"),
            # Read last, because it counts unreadable dates: a broken row must not be counted twice.
            date=read_date(fields.get("date"), self.counts),
        )
        if data is None and kind == "image":
            self.counts.add_without_file(fault)
        return post


class _Found(NamedTuple):
    """The files that make up a table; of a folder also what is left out: links to folders, and other tables."""

    files: list[Path]
    links: Sequence[str] = ()
    others: Sequence[str] = ()


def _table_files(path: Path) -> _Found:
    """The files that make up a table. Raises HashgenError where there is none, or a folder cannot be read."""
    if path.is_dir():
        return _shards(path)
    if not path.is_file():
        raise HashgenError(f"{path}: {'not a file' if path.exists() else 'no such file'}; fix scrape.table.path")
    if _kind(path) not in (*_DELIMITERS, *_JSON, ".parquet"):
        raise HashgenError(
            f"{path}: unknown kind of table; scrape.table.path accepts .csv .tsv .jsonl .ndjson (also .gz) and .parquet"
        )
    return _Found([path])


def _shards(folder: Path) -> _Found:
    def fail(error: OSError) -> None:
        raise HashgenError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error

    files: list[Path] = []
    links: list[str] = []
    others: list[str] = []
    for here, folders, names in os.walk(folder, onerror=fail):
        # Spark and its like leave hidden and underscored files beside the data.
        folders[:] = [name for name in folders if name[0] not in "._"]
        links += [_below(folder, Path(here, name)) for name in folders if Path(here, name).is_symlink()]
        for file in (Path(here, name) for name in names if name[0] not in "._"):
            if file.is_symlink() and not file.exists() and _kind(file) == ".parquet":
                raise HashgenError(f"{file}: a link to a file that is not there; download it again")
            if file.is_file() and _kind(file) == ".parquet":
                files.append(file)
            elif file.is_file() and _kind(file) in _OTHER_TABLES:
                others.append(_below(folder, file))
    if not files:
        link = f" (the link {min(links)} is not followed)" if links else ""
        raise HashgenError(f"{folder}: no .parquet files in this folder{link}; set scrape.table.path to a table file")
    return _Found(sorted(files, key=lambda file: _below(folder, file)), sorted(links), sorted(others))


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _kind(path: Path) -> str:
    return PurePosixPath(path.name.lower().removesuffix(".gz")).suffix


def _suits(role: str, kind: pa.DataType) -> bool:
    """Whether a column of this type can hold what its role asks for."""
    if role == "image" and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return _suits(role, kind.value_type)
    if role == "image" and pa.types.is_struct(kind):
        return not {"bytes", "path", *ADDRESS_KEYS}.isdisjoint(field.name for field in kind)
    if role in ("hashtags", "seed_hashtags") and pa.types.is_nested(kind):
        item = getattr(kind, "value_type", None)
        if item is not None and pa.types.is_struct(item):
            return not {field.name for field in item}.isdisjoint(HASHTAG_KEYS)
        return item is not None and not pa.types.is_nested(item)
    # Numbers would be labels, whose names are not in the table.
    return not pa.types.is_nested(kind) and not (role == "hashtags" and pa.types.is_integer(kind))


def _present(value: object, role: str) -> object:
    """A value, bytes of a text column as text; None for all ways to write that there is none."""
    if role != "image" and isinstance(value, bytes):
        value = _decoded(value, role)
    if isinstance(value, float) and value != value:
        return None
    if not isinstance(value, str):
        return value
    if not value or (role != "caption" and value.strip() in NOTHING):
        return None
    is_number = role in ("id", "author") and _WHOLE_FLOAT.fullmatch(value) and float(value).is_integer()
    return str(int(float(value))) if is_number else value


def _decoded(value: bytes, role: str) -> str:
    """Bytes as the UTF-8 they should be; of an id or author that are none, as hexadecimal digits."""
    text = value.decode("utf-8", "surrogateescape")
    return value.hex() if role in ("id", "author") and not text.isprintable() else text
