"""The manifests of the split: which posts train, validate and test."""

from pathlib import Path
from typing import Literal

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.corpus.tables import MANIFEST_SCHEMA, read_frame

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def read_manifest(folder: Path, split: SplitName) -> pd.DataFrame:
    """The posts of one split in the order of the raw shards, columns of MANIFEST_SCHEMA as far as the file has them.

    `hashtags` and `seed_hashtags` are lists of str. Raises HashgenError when the file is missing, broken or empty.
    """
    path = folder / f"{split}.parquet"
    frame = read_frame(path, "split", MANIFEST_SCHEMA, ["id", "caption", "hashtags", "seed_hashtags"])
    if frame.empty:
        raise HashgenError(
            f"{path}: no posts; change split.shares or add more posts, then run the stage split again", stage="split"
        )
    for column in ("hashtags", "seed_hashtags"):
        frame[column] = [list(values) for values in frame[column]]
    return frame
