"""Tables of posts that tests write, and their source."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hashgen.corpus.posts import Post
from hashgen.params import scrape
from hashgen.sources.rows.values import RowCounts
from hashgen.sources.table.source import TableSource

SALT = bytes(range(32))
ROLES = ("id", "caption", "hashtags", "image", "author", "date", "licence", "seed_hashtags")
KINDS = ("csv", "tsv", "jsonl", "ndjson", "csv.gz", "tsv.gz", "jsonl.gz", "ndjson.gz", "CSV")
# Texts that mean nothing in all columns but the caption.
NOTHING = ["", "NaN", "nan", "None", "null", "NULL", "<NA>", "NaT", "\\N"]


def table(path: Path, *roles: str, **names: str) -> TableSource:
    """The source of a table whose columns are caption, image and those given, by the names of their roles."""
    columns = {role: role if role in ("caption", "image", *roles) else None for role in ROLES} | names
    section = scrape.Table(path=str(path), columns=scrape.TableColumns.model_validate(columns))
    return TableSource(section, path, SALT)


def read(path: Path, *roles: str, **names: str) -> tuple[list[Post], RowCounts]:
    source = table(path, *roles, **names)
    return list(source.posts()), source.counts


def written(path: Path, rows: Sequence[Any]) -> Path:
    """A file of these rows, of the kind its name says, and a picture a.jpg beside it."""
    out = io.StringIO(newline="")
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("csv", "tsv"):
        writer = csv.DictWriter(out, list(rows[0]), delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
    else:
        out.write("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return saved(path, out.getvalue().encode())


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    (path.parent / "a.jpg").write_bytes(b"picture")
    return path
