"""A post, and the Parquet shards of raw posts with their images inside."""

import dataclasses
import fnmatch
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import overload

import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.base.places import Place, Remote, fault_of, source_of
from hashgen.corpus.tables import RAW_SCHEMA

POSTS_PER_SHARD = 1000
# Bytes of pictures buffered before a row group is written: bounds memory for any number of posts.
ROW_GROUP_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post as its source gives it, before any cleaning.

    id: unique within the source; the same id twice is the same post found twice. caption: the raw text,
    hashtags included; None if the source has none. hashtags: only those given separately from the text, without
    `#`; None if the source gives none. seed_hashtags: the hashtags whose listing led to this post.
    author: a hash, never a name. date: timezone-aware UTC. kind: "image" or "video". media_index and
    n_media: the position of this picture in a carousel. image: the unchanged bytes of the file (readable or not);
    None if the post has no file. image_path: its file name, for people. licence: as stated by the source.
    """

    id: str
    source: str
    caption: str | None = None
    hashtags: Sequence[str] | None = None
    seed_hashtags: Sequence[str] = ()
    author: str | None = None
    date: datetime | None = None
    kind: str = "image"
    media_index: int = 0
    n_media: int = 1
    image: bytes | None = None
    image_path: str | None = None
    licence: str | None = None


def write_shards(posts: Iterable[Post], folder: Path, posts_per_shard: int = POSTS_PER_SHARD) -> int:
    """Write posts to `folder/posts-00000.parquet` and so on, in the order given. Returns how many.

    `folder` must exist. Memory is bounded by one row group (`ROW_GROUP_BYTES` of images).
    """
    count = 0
    writer: pq.ParquetWriter | None = None
    rows: list[dict[str, object]] = []
    held = 0
    try:
        for post in posts:
            if count % posts_per_shard == 0:
                _flush(writer, rows)
                held = _close(writer)
                # Pictures are compressed already; the statistics of their bytes would only bloat the footer.
                writer = pq.ParquetWriter(
                    folder / f"posts-{count // posts_per_shard:05d}.parquet",
                    RAW_SCHEMA,
                    compression={"image.bytes": "none"} | dict.fromkeys(_TEXT_COLUMNS, "zstd"),
                    use_dictionary=["source", "kind", "author", "licence"],
                    write_statistics=["id"],
                )
            rows.append(_row(post))
            count += 1
            held += len(post.image or b"")
            if held >= ROW_GROUP_BYTES:
                _flush(writer, rows)
                held = 0
        _flush(writer, rows)
    finally:
        _close(writer)
    return count


_TEXT_COLUMNS = ["id", "source", "caption", "author", "date", "kind", "media_index", "n_media", "sha256", "licence"]


def _row(post: Post) -> dict[str, object]:
    row: dict[str, object] = {
        field: getattr(post, field) for field in RAW_SCHEMA.names if field not in ("image", "sha256")
    }
    row["image"] = {"bytes": post.image, "path": post.image_path}
    row["sha256"] = None if post.image is None else hashlib.sha256(post.image).hexdigest()
    return row


def _flush(writer: pq.ParquetWriter | None, rows: list[dict[str, object]]) -> None:
    if writer is not None and rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=RAW_SCHEMA))
        rows.clear()


def _close(writer: pq.ParquetWriter | None) -> int:
    if writer is not None:
        writer.close()
    return 0


@overload
def shard_paths(folder: Path) -> list[Path]: ...
@overload
def shard_paths(folder: Remote) -> list[Remote]: ...
def shard_paths(folder: Place) -> list[Path] | list[Remote]:
    """The shards of a raw folder in order. Raises HashgenError if there is none."""
    pattern = "posts-*.parquet"
    paths: list[Path] | list[Remote]
    if isinstance(folder, Path):
        paths = sorted(folder.glob(pattern))
    else:
        paths = [folder / name for name in fnmatch.filter(folder.names(), pattern)]
    if not paths:
        raise HashgenError(f"{folder}: no shards of posts; the stage scrape creates them", stage="scrape")
    return paths


def read_shard(path: Place, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield (row number, row as a dict of RAW_SCHEMA's columns) of one shard, one row group in memory at a time.

    Raises HashgenError naming the shard if it is not a Parquet file, is damaged or lacks one of the columns.
    """
    yield from _records(path, None, 0, columns)


@dataclasses.dataclass(frozen=True, slots=True)
class RowGroup:
    """A piece of a shard that fits in memory: its number in the shard and the row it starts at."""

    shard: Place
    number: int
    start: int
    rows: int


def row_groups(folder: Place) -> list[RowGroup]:
    """The row groups of all shards of a raw folder, in order. Raises HashgenError if there is none or one is broken."""
    groups = []
    for shard in shard_paths(folder):
        metadata = _open(shard).metadata
        start = 0
        for number in range(metadata.num_row_groups):
            rows = metadata.row_group(number).num_rows
            groups.append(RowGroup(shard, number, start, rows))
            start += rows
    return groups


def read_row_group(group: RowGroup, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, object]]]:
    """Like `read_shard` for one row group; rows are numbered within the shard."""
    yield from _records(group.shard, [group.number], group.start, columns)


def _records(
    path: Place, groups: list[int] | None, start: int, columns: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, object]]]:
    file = _open(path)
    names = RAW_SCHEMA.names if columns is None else list(columns)
    missing = [name for name in names if name.partition(".")[0] not in file.schema_arrow.names]
    if missing:
        raise HashgenError(f"{path}: no column {', '.join(missing)}; run the stage scrape again", stage="scrape")
    row = start
    try:
        for batch in file.iter_batches(batch_size=64, row_groups=groups, columns=names):
            for record in batch.to_pylist():
                yield row, record
                row += 1
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def read_picture_bytes(path: Place, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (row, image bytes) for the wanted `rows` of one shard, in ascending order; other rows are not decoded."""
    wanted = sorted(set(rows))
    file = _open(path)
    start = position = 0
    try:
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if position < len(wanted) and wanted[position] < stop:
                column = file.read_row_group(group, columns=["image.bytes"]).column("image").combine_chunks()
                values = column.field("bytes") if isinstance(column, pa.StructArray) else column.chunk(0).field("bytes")
                while position < len(wanted) and wanted[position] < stop:
                    yield wanted[position], values[wanted[position] - start].as_py()
                    position += 1
            start = stop
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _open(path: Place) -> pq.ParquetFile:
    try:
        # Over a network, what is asked for is read in few large pieces.
        return pq.ParquetFile(source_of(path), pre_buffer=isinstance(path, Remote))
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Place, error: Exception) -> HashgenError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return fault_of(error, path) or HashgenError(
        f"{path}: not a readable Parquet shard ({reason}); run the stage scrape again", stage="scrape"
    )
