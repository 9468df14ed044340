"""Stage scrape: collect posts from a source into Parquet shards, pictures inside."""

import contextlib
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from hashgen.base.errors import HashgenError, printable
from hashgen.base.files import atomic_file, atomic_folder, write_json
from hashgen.base.progress import progress
from hashgen.corpus.posts import Post, shard_paths, write_shards
from hashgen.corpus.tables import TRUTH_SCHEMA, write_table
from hashgen.params import read_section
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source, open_source
from hashgen.sources.authors import read_salt
from hashgen.sources.stops import disk_full
from stages.command import PARAMS, HomeOption, ParamsOption, StateOption, done, input_path, run

RefreshOption = Annotated[
    bool,
    typer.Option(
        "--refresh",
        envvar="HASHGEN_REFRESH",
        help="Also look for new posts of complete hashtags, and again for posts that were missing or rejected.",
    ),
]


def main(
    out: Annotated[Path, typer.Option(help="Folder to write the shards of posts to.")],
    truth: Annotated[Path, typer.Option(help="Parquet file to write the true labels of the built-in sample to.")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    home: HomeOption,
    params: ParamsOption = PARAMS,
    state: StateOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Collect posts from the source named in scrape.source, good or bad: the stage filter decides which to keep."""
    with _disk_errors(out):
        _scrape(read_section(params, Scrape), out, truth, metrics, home, state or home / "scrape", refresh)


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """Give a full disk its exit code, wherever it was met. out: named where the error names no file."""
    try:
        yield
    except (OSError, sqlite3.Error, HashgenError) as error:
        full = disk_full(error)
        if full is None or (isinstance(error, HashgenError) and error.exit_code == full.exit_code):
            raise
        cause = error if isinstance(error, OSError) else error.__cause__
        where = cause.filename if isinstance(cause, OSError) and cause.filename else out
        raise HashgenError(f"{where}: {full.what}; {full.advice()}", full.exit_code) from error


def _scrape(section: Scrape, out: Path, truth: Path, metrics: Path, home: Path, state: Path, refresh: bool) -> None:
    source = open_source(section, _opening(section, home, state, refresh))
    seen: Counter[str] = Counter()
    shards, empty = 0, None
    try:
        shards = _write(source, section.source, seen, out, truth)
    except _NoPosts as error:
        if not source.metrics():
            raise
        empty = error
    counts = {f"with_{name}": seen[name] for name in ("image", "author", "date", "seed_hashtags")}
    summary = {"source": section.source, "posts": seen["posts"], **counts, "shards": shards, **source.metrics()}
    write_json(metrics, summary)
    for warning in source.warnings():
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if fault := source.fault or empty:
        raise fault
    done("scrape", f"{seen['posts']:,} posts from {section.source}, {seen['image']:,} with a picture")


class _NoPosts(HashgenError):
    """A source that gave no posts: what it found instead is reported before the stage fails."""


def _opening(section: Scrape, home: Path, state: Path, refresh: bool) -> Opening:
    return Opening(input_path, lambda: read_salt(home) if section.keep_author == "hash" else None, state, refresh)


def _write(source: Source, name: str, seen: Counter[str], out: Path, truth: Path) -> int:
    """Write the posts of a source and count them in `seen`; returns the number of shards."""
    with atomic_folder(out) as folder, atomic_file(truth) as truth_file:
        posts = progress(source.posts(), total=source.total, unit="posts", label="scrape")
        write_shards(_counted(posts, seen), folder)
        if not seen["posts"]:
            raise _NoPosts(f"scrape.source: {name} gave no posts; fix scrape.{name}")
        write_table(source.truth(), truth_file, TRUTH_SCHEMA)
        return len(shard_paths(folder))


def _counted(posts: Iterable[Post], seen: Counter[str]) -> Iterator[Post]:
    """Pass posts on and count them in `seen`: all, and those with a picture, author, date, seed hashtag."""
    for post in posts:
        seen["posts"] += 1
        seen["image"] += post.image is not None
        seen["author"] += post.author is not None
        seen["date"] += post.date is not None
        seen["seed_hashtags"] += bool(post.seed_hashtags)
        yield post


if __name__ == "__main__":
    run(main)
