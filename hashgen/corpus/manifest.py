"""The manifests of the split: which posts train, validate and test."""

from pathlib import Path
from typing import Literal

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.corpus.tables import read_table

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def read_manifest(folder: Path, split: SplitName) -> pd.DataFrame:
    """The posts of one split in the order of the raw shards, columns as the stage split writes them.

    `hashtags` and `seed_hashtags` are lists of str. Raises HashgenError when the file is missing, broken or empty.
    """
    path = folder / f"{split}.parquet"
    frame = read_table(path, "split")
    if frame.empty:
        raise HashgenError(
            f"{path}: no posts; change split.shares or add more posts, then run the stage split again", stage="split"
        )
    if missing := {"id", "caption", "hashtags", "seed_hashtags"} - set(frame.columns):
        raise HashgenError(f"{path}: no column {', '.join(sorted(missing))}; run the stage split again", stage="split")
    for column in ("hashtags", "seed_hashtags"):
        frame[column] = [list(values) for values in frame[column]]
    return frame
