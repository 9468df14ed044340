"""The tables that stages pass on: every column in one place, and one way to read them."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from hashgen.base.errors import HashgenError
from hashgen.base.files import require

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


def read_table(path: Path, made_by: str, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file that the stage `made_by` writes. Raises HashgenError when it is missing or broken."""
    try:
        return pd.read_parquet(require(path, made_by), columns=columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise HashgenError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); run the stage {made_by} again", stage=made_by
        ) from error
