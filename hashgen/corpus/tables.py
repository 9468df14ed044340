"""The tables that stages pass on: every column in one place, and one way to read them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.base.places import Place, fault_of, present, source_of

# `image` is the struct that Hugging Face datasets use, so `load_dataset("parquet")` and DuckDB read it.
RAW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("caption", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("seed_hashtags", pa.list_(pa.string())),
        ("author", pa.string()),
        ("date", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("media_index", pa.int32()),
        ("n_media", pa.int32()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("sha256", pa.string()),
        ("licence", pa.string()),
    ],
    metadata={b"hashgen.schema": b"raw-posts-1"},
)

# One row per id. dirt: why the filter should drop the post; null for a clean one. scene, light: what the picture
# shows, null if it shows nothing. mood: the mood of the caption, null if it has none.
TRUTH_SCHEMA = pa.schema(
    [("id", pa.string()), ("dirt", pa.string()), ("scene", pa.string()), ("light", pa.string()), ("mood", pa.string())]
)

POSTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("post", pa.string()),
        ("caption", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("seed_hashtags", pa.list_(pa.string())),
        ("author", pa.string()),
        ("date", pa.timestamp("us", tz="UTC")),
        ("source", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image_sha256", pa.string()),
        ("image_phash", pa.string()),
        ("licence", pa.string()),
    ]
)
REJECTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("seed_hashtags", pa.list_(pa.string())),
        ("caption", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("detail", pa.string()),
    ]
)


# What a post of a split has besides: the posts of one `group` are on one side of the split.
MANIFEST_SCHEMA = POSTS_SCHEMA.append(pa.field("group", pa.string()))
# What a model wrote for each post, free-running: with `both` inputs, blind to one, by either search (null for a model
# that does not search). ranked: what it is surest of, best first.
PREDICTIONS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("caption", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("seed_hashtags", pa.list_(pa.string())),
        ("split", pa.string()),
        ("model", pa.string()),
        ("both", pa.list_(pa.string())),
        ("no_image", pa.list_(pa.string())),
        ("no_caption", pa.list_(pa.string())),
        ("greedy", pa.list_(pa.string())),
        ("beam", pa.list_(pa.string())),
        ("ranked", pa.list_(pa.string())),
    ]
)
# What each baseline (`name`) says of each post: hashtags as written, and its ranking, best first.
BASELINES_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("name", pa.string()),
        ("written", pa.list_(pa.string())),
        ("ranked", pa.list_(pa.string())),
    ]
)
# What is written for the picture of one post with the caption of another; both are ids.
GRID_SCHEMA = pa.schema(
    [
        ("picture", pa.string()),
        ("caption_of", pa.string()),
        ("caption", pa.string()),
        ("written", pa.list_(pa.string())),
    ]
)


def read_table(path: Place, made_by: str, schema: pa.Schema, needed: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file that the stage `made_by` writes: those of the columns of `schema` that it has.

    Raises HashgenError when it is missing or broken, and when it lacks one of the columns `needed` (default: all).
    """
    again = f"run the stage {made_by} again"
    try:
        there = pq.read_schema(source_of(present(path, made_by))).names
        table = pq.read_table(source_of(path), columns=[name for name in schema.names if name in there])
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise fault_of(error, path) or HashgenError(
            f"{path}: cannot be read ({reason}); {again}", stage=made_by
        ) from error
    if missing := [name for name in (schema.names if needed is None else needed) if name not in table.column_names]:
        raise HashgenError(f"{path}: no column {', '.join(missing)}; {again}", stage=made_by)
    return table


def read_frame(path: Path, made_by: str, schema: pa.Schema, needed: Sequence[str] | None = None) -> pd.DataFrame:
    """`read_table` as a DataFrame; lists are arrays of str."""
    frame: pd.DataFrame = read_table(path, made_by, schema, needed).to_pandas()
    return frame


def write_table(table: pa.Table | pd.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write a table with exactly these columns; one that a DataFrame lacks is null."""
    if isinstance(table, pd.DataFrame):
        columns = [
            pa.array(table[name], kind) if name in table else pa.nulls(len(table), kind)
            for name, kind in ((field.name, field.type) for field in schema)
        ]
        table = pa.Table.from_arrays(columns, schema=schema)
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)  # Arrow names no file, and removes the one that it could not write
        raise
