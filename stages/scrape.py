"""Stage scrape: collect posts from a source into Parquet shards, images inside."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

from hashgen.errors import HashgenError
from hashgen.files import atomic_file, atomic_folder, write_json
from hashgen.params import Scrape, read_params
from hashgen.posts import Post, shard_paths, write_shards
from hashgen.progress import progress
from hashgen.sources.folder import FolderCounts, FolderSource, read_salt
from hashgen.sources.sample import TRUTH_SCHEMA, SampleSource
from stages.command import PARAMS, HomeOption, ParamsOption, done, input_path, run


def main(
    out: Annotated[Path, typer.Option(help="Folder to write the shards of posts to.")],
    truth: Annotated[Path, typer.Option(help="Parquet file to write what the drawn sample knows of itself to.")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    home: HomeOption,
    params: ParamsOption = PARAMS,
) -> None:
    """Collect the posts of the source that scrape.source names; good or not: the stage filter judges them."""
    section = read_params(params).scrape
    source = _open_source(section, home)
    seen: Counter[str] = Counter()
    with atomic_folder(out) as folder, atomic_file(truth) as truth_file:
        write_shards(_counted(_with_progress(source, section), seen), folder)
        if not seen["posts"]:
            raise HashgenError(f"scrape.source: {section.source} gave no posts; mend scrape.{section.source}")
        table = source.truth() if isinstance(source, SampleSource) else TRUTH_SCHEMA.empty_table()
        pq.write_table(table, truth_file, compression="zstd")
        shards = len(shard_paths(folder))
    counts = source.counts if isinstance(source, FolderSource) else FolderCounts(rows=seen["posts"])
    write_json(metrics, _summary(section.source, seen, shards, counts))
    _warn(counts)
    done("scrape", f"{seen['posts']:,} posts from {section.source}, {seen['with_image']:,} with a picture")


def _open_source(section: Scrape, home: Path) -> SampleSource | FolderSource:
    if section.source == "sample":
        return SampleSource(section.sample)
    return FolderSource(input_path(section.folder.path), read_salt(home))


def _with_progress(source: SampleSource | FolderSource, section: Scrape) -> Iterator[Post]:
    total = section.sample.posts if isinstance(source, SampleSource) else None
    return progress(source.posts(), total=total, unit="posts", label="scrape")


def _counted(posts: Iterable[Post], seen: Counter[str]) -> Iterator[Post]:
    """Pass posts on and count them in `seen`: all, and those with a picture, author, date, seed hashtag."""
    for post in posts:
        seen["posts"] += 1
        seen["with_image"] += post.image is not None
        seen["with_author"] += post.author is not None
        seen["with_date"] += post.date is not None
        seen["with_seed_hashtags"] += bool(post.seed_hashtags)
        yield post


def _summary(source: str, seen: Counter[str], shards: int, counts: FolderCounts) -> dict[str, Any]:
    return {
        "source": source,
        "posts": seen["posts"],
        "with_image": seen["with_image"],
        "with_author": seen["with_author"],
        "with_date": seen["with_date"],
        "with_seed_hashtags": seen["with_seed_hashtags"],
        "shards": shards,
        "broken_rows": counts.broken_rows,
        "rows_without_file": counts.rows_without_file,
        "files_without_rows": counts.files_without_rows,
        "unread_dates": counts.unread_dates,
    }


def _warn(counts: FolderCounts) -> None:
    messages = {
        f"{counts.broken_rows:,} broken rows left out ({'; '.join(counts.broken_lines)})": counts.broken_rows,
        f"{counts.rows_without_file:,} rows without a readable file": counts.rows_without_file,
        f"{counts.files_without_rows:,} files that no row names": counts.files_without_rows,
        f"{counts.unread_dates:,} dates neither ISO 8601 nor epoch seconds": counts.unread_dates,
    }
    for message, count in messages.items():
        if count:
            print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
