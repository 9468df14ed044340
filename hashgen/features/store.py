"""The feature store: the folder of features that later stages read, and the posts that they belong to."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import read_json, require
from hashgen.corpus.manifest import SplitName, read_manifest
from hashgen.features.posts import GRID_SIDE, Features, Labelled, Posts
from hashgen.features.recipe import Recipe
from hashgen.text.sentiment import sentiments


@dataclasses.dataclass(frozen=True)
class FeatureStore(Features):
    """The folder data/features/, memory-mapped: features, the posts they belong to, and how they were made.

    ids: (n) of the posts. recipe: features.json. sentences: (n, recipe.caption_dim) float16, the vectors of the
    captions; None without a caption encoder.
    """

    ids: list[str]
    recipe: Recipe
    sentences: npt.NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_row", {id: row for row, id in enumerate(self.ids)})

    @classmethod
    def open(cls, folder: Path) -> "FeatureStore":
        """Open a folder. Raises HashgenError when a file is missing, broken or does not fit the others."""
        document = read_json(folder / "features.json", "featurize")
        names = ("plain.npy", "views.npy", "ids.parquet")
        plain, views, ids = (require(folder / name, "featurize") for name in names)
        try:
            recipe = Recipe.from_json(document)
            store = cls(
                np.load(plain, mmap_mode="r"),
                np.load(views, mmap_mode="r"),
                pq.read_table(ids).column("id").to_pylist(),
                recipe,
                None if recipe.caption_sha256 is None else np.load(folder / "captions.npy", mmap_mode="r"),
                grid=np.load(folder / "grid.npy", mmap_mode="r") if recipe.grid else None,
            )
        except Exception as error:  # the parsers of damaged files raise nearly anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise system_fault(error) or HashgenError(
                f"{folder}: cannot be read ({reason}); run the stage featurize again", stage="featurize"
            ) from error
        store._check(folder)
        return store

    def _check(self, folder: Path) -> None:
        if not len(self.plain) == len(self.views) == len(self.ids):
            raise HashgenError(
                f"{folder}: its files have different lengths; run the stage featurize again", stage="featurize"
            )
        n, recipe = len(self.ids), self.recipe
        arrays: list[tuple[npt.NDArray[np.float16], tuple[int, ...]]] = [
            (self.plain, (n, recipe.dim)),
            (self.views, (n, recipe.views, recipe.dim)),
        ]
        if self.sentences is not None:
            arrays.append((self.sentences, (n, recipe.caption_dim or 0)))
        if self.grid is not None:
            arrays.append((self.grid, (n, GRID_SIDE**2, recipe.dim)))
        # "<f2" are float16 with the lower byte first, as any processor of today has them.
        if any(array.shape != shape or array.dtype.str != "<f2" for array, shape in arrays):
            raise HashgenError(
                f"{folder}: its arrays are not those that features.json describes; run the stage featurize again",
                stage="featurize",
            )

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Rows (len(ids),) of posts by id. Raises HashgenError that names posts without features."""
        known: dict[str, int] = self._row  # type: ignore[attr-defined]
        missing = [id for id in ids if id not in known]
        if missing:
            more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
            raise HashgenError(
                f"features: missing for post {', '.join(missing[:3])}{more}; run the stage featurize again",
                stage="featurize",
            )
        return np.array([known[id] for id in ids], dtype=np.int64)


def label(manifest: pd.DataFrame, store: FeatureStore, sentiment: bool = False) -> Labelled:
    """The posts of a manifest, row by row.

    sentiment: whether models read that of the captions. Raises HashgenError that names posts without features, and
    when the package for sentiment is not installed.
    """
    rows = store.rows(list(manifest["id"]))
    sentences = None if store.sentences is None else store.sentences[rows].astype(np.float32)
    captions = list(manifest["caption"])
    posts = Posts(store, rows, captions, sentences, sentiments(captions) if sentiment else None)
    groups = list(manifest["group"]) if "group" in manifest else None
    return Labelled(posts, list(manifest["hashtags"]), groups)


def read_labelled(folder: Path, split: SplitName, store: FeatureStore, sentiment: bool = False) -> Labelled:
    """The posts of one split. Raises HashgenError as `read_manifest` and `label`."""
    return label(read_manifest(folder, split), store, sentiment)
