"""Everything the report shows about a run, as the stages before it left it."""

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, require
from hashgen.corpus.manifest import SPLITS, SplitName, read_manifest
from hashgen.corpus.tables import GRID_SCHEMA, PREDICTIONS_SCHEMA, REJECTS_SCHEMA, read_frame
from hashgen.params.report import Report
from hashgen.training.about import About

# Models whose folder holds what their training posts were: vectors of pictures, words of captions or pieces of them,
# hashtags.
KEEPERS = ("neighbours", "ranker")
# The pages that compare experiments: what makes each, and what it shows.
EXPERIMENTS = {
    "ablations.html": ("make ablations", "each input alone, other models and fewer posts"),
    "seeds.html": ("make seeds", "other seeds for training and for the split"),
}
_HISTORY = (
    "epoch",
    "train_loss",
    "val_loss",
    "train_bleu4",
    "val_bleu4",
    "train_bleu1",
    "val_bleu1",
    "val_f1",
    "learning_rate",
)
# What runs of earlier versions lack.
_LATER = ("val_f1_at_5",)


@dataclasses.dataclass(frozen=True)
class Findings:
    """One run.

    metrics: by stage, as it wrote them. about: how the model was made. manifests: posts by split.
    predictions: what was written for validation and test posts. grid: what was written for test pictures with each
    other's captions. rejects: dropped posts. history: losses and scores by epoch. thumbnails: JPEG bytes by post id,
    empty where pictures are left out. seeds: by dotted name of the parameter. languages: of the captions kept.
    seconds: wall time by stage, those that were timed. suggestion_seconds: wall time of one suggestion, by model.
    hashes: SHA-256 by what it is of. keeps_posts: whether the model folder holds words and hashtags of training posts.
    trained: how the model of the stage train was made, whether or not it is the one that suggests. beside: files in
    the folder of the page that it may link to (see `EXPERIMENTS`).
    """

    section: Report
    metrics: Mapping[str, Mapping[str, Any]]
    about: About
    manifests: Mapping[SplitName, pd.DataFrame]
    predictions: pd.DataFrame
    grid: pd.DataFrame
    rejects: pd.DataFrame
    history: pd.DataFrame
    thumbnails: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)
    languages: tuple[str, ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    suggestion_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    keeps_posts: bool = False
    trained: About | None = None
    beside: tuple[str, ...] = ()

    @property
    def is_sample(self) -> bool:
        """Whether the posts are drawn and invented."""
        return bool(self.metrics["scrape"]["source"] == "sample")

    @property
    def random_weights(self) -> bool:
        """Whether the pictures were read by a backbone that never learnt from any picture."""
        return self.about.recipe.weights == "random"

    @property
    def training_seconds(self) -> dict[str, float]:
        """Wall time of the stage that trained each model, by the model's name, where it was timed."""
        trained = "" if self.trained is None else self.trained.section.model
        names = [self.about.section.model, *self.metrics["evaluate"].get("others", {})]
        stages = {name: "train" if name == trained else "suggester" for name in names}
        return {name: self.seconds[stage] for name, stage in stages.items() if stage in self.seconds}

    @property
    def test(self) -> pd.DataFrame:
        """The predictions for the test posts."""
        return self.predictions[self.predictions["split"] == "test"]

    @property
    def posts(self) -> pd.DataFrame:
        """The posts of all splits."""
        return pd.concat([self.manifests[split] for split in SPLITS], ignore_index=True)


def read_findings(
    section: Report,
    metrics: Mapping[str, Path],
    *,
    model: Path,
    trained: Path,
    manifest: Path,
    predictions: Path,
    grid: Path,
    rejects: Path,
    history: Path,
) -> Findings:
    """Read one run; `metrics` are JSON files by stage. Raises HashgenError for whatever is missing or broken."""
    about, learnt = About.read(model), About.read(trained)
    return Findings(
        section=section,
        metrics={stage: read_json(path, stage) for stage, path in metrics.items()},
        about=about,
        manifests={split: read_manifest(manifest, split) for split in SPLITS},
        predictions=read_frame(predictions, "evaluate", PREDICTIONS_SCHEMA),
        grid=read_frame(grid, "evaluate", GRID_SCHEMA),
        rejects=read_frame(rejects, "filter", REJECTS_SCHEMA),
        history=read_history(history, learnt.epoch),
        trained=learnt,
        keeps_posts=any(name in KEEPERS for name in (about.section.model, *about.section.members())),
    )


def read_history(path: Path, epoch: int | None) -> pd.DataFrame:
    """Losses and scores by epoch as the stage train writes them; `epoch` is the one that was kept.

    Raises HashgenError when missing or broken.
    """
    return parse_history(require(path, "train").read_text(encoding="utf-8", errors="replace"), str(path), epoch)


def parse_history(text: str, where: str, epoch: int | None) -> pd.DataFrame:
    """The same from the text of such a file; no row where `epoch` is None, for a model that is not trained in epochs.

    where: names it in the HashgenError that is raised when it is broken.
    """
    try:
        found = pd.read_csv(io.StringIO(text))
        history = found[[*_HISTORY, *(name for name in _LATER if name in found)]]
        if history.empty != (epoch is None) or not np.isfinite(history.astype(float)).all(axis=None):
            raise ValueError("an epoch or a value is missing")
        return history
    except (ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise HashgenError(f"{where}: cannot be read ({reason}); run the stage train again") from error
