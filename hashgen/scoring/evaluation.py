"""One way to score every model: what it writes and how it ranks, free-running, on the posts of one split."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from hashgen.features.posts import Blind, Labelled
from hashgen.features.store import FeatureStore, label
from hashgen.metrics.calibration import reliability
from hashgen.metrics.facets import diversity, facets
from hashgen.metrics.paired import paired
from hashgen.metrics.ranked import SUREST, ranked_figures
from hashgen.metrics.scores import scores
from hashgen.models import Decoding, Model
from hashgen.models.habits import Habits

# Hashtags of a ranking that are kept; the deepest figure at k looks at as many.
RANKED = 10
SEARCHES: tuple[Literal["greedy", "beam"], ...] = ("greedy", "beam")
# Posts of a split that are scored. With so many, a mean F1@5 is known to about 0.01 (95 %); all of very many would take
# hours and say little more.
MOST_SCORED = 2_000

Written = list[list[str]]


def scored_posts(manifest: pd.DataFrame) -> pd.DataFrame:
    """The posts of a split that are scored: all, or `MOST_SCORED` of more, by a hash of their ids; in their order."""
    if len(manifest) <= MOST_SCORED:
        return manifest
    hashes = np.array([hashlib.sha256(id.encode()).hexdigest() for id in manifest["id"]])
    chosen = np.sort(np.argsort(hashes)[:MOST_SCORED])
    return manifest.iloc[chosen].reset_index(drop=True)


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Resamples of groups of posts for the 95 % intervals (0: no intervals), and the seed that draws them."""

    resamples: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Scored:
    """The posts that models are scored on.

    labelled: what a model sees of them, and their true hashtags. seeds: the hashtags that they were found under, one
    list a post. habits: of the training posts.
    """

    labelled: Labelled
    seeds: Sequence[Sequence[str]]
    habits: Habits

    @classmethod
    def of(
        cls, manifest: pd.DataFrame, train: pd.DataFrame, features: FeatureStore, sentiment: bool = False
    ) -> "Scored":
        """The posts of a manifest; `train` is the manifest of the training posts. sentiment: see `label`."""
        labelled = label(manifest, features, sentiment)
        return cls(labelled, list(manifest["seed_hashtags"]), Habits(list(train["hashtags"])))

    @property
    def depth(self) -> int:
        """How deep a ranking is asked for: no less than what a training post has on average."""
        return max(RANKED, self.habits.length)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model says of the posts of one split: hashtags as written, and its ranking; one list a post in each.

    chances: the probabilities of the ranked ones; None for a model that gives none.
    """

    written: Written
    ranked: Written
    chances: list[list[float]] | None = None


def predict(model: Model, scored: Scored, blind: Blind | None = None) -> Predictions:
    """Write and rank hashtags for every post, blind to the picture or the caption if asked."""
    posts = scored.labelled.posts
    rankings = model.rank(posts, scored.depth, blind)
    ranked = [[hashtag for hashtag, _ in ranking] for ranking in rankings]
    chances = [[score for _, score in ranking] for ranking in rankings] if model.gives_probabilities else None
    return Predictions(model.write(posts, blind), ranked, chances)


def predict_all(model: Model, scored: Scored, decoding: Decoding) -> dict[str, Predictions]:
    """All ways in which a model is scored: `both`, `no_image`, `no_caption` (blind to that input).

    A model that searches for what it writes does so as `decoding` says, and is there by either search too: `greedy`,
    `beam`, with both inputs.
    """
    model = model.with_decoding(decoding)
    found = {"both": predict(model, scored)}
    found |= {"no_image": predict(model, scored, "image"), "no_caption": predict(model, scored, "caption")}
    if model.decoding is not None:
        for search in SEARCHES:
            other = model.with_decoding(dataclasses.replace(decoding, search=search))
            known = found["both"].written if search == decoding.search else other.write(scored.labelled.posts)
            found[search] = Predictions(known, found["both"].ranked)
    return found


def score(
    written: Sequence[Sequence[str]], ranked: Sequence[Sequence[str]], scored: Scored, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Scores with intervals, `facets` (not the seed, not in the caption, rare in training) and `diversity`.

    Figures at k are of the ranking, all others of what is written. Nothing else scores hashtags here: models,
    baselines and the oracle cannot differ in a definition.
    """
    targets, captions, counts = scored.labelled.hashtags, scored.labelled.posts.captions, scored.habits.counts
    groups = scored.labelled.groups
    result = scores(
        written, targets, rankings=ranked, groups=groups, bootstrap=bootstrap.resamples, seed=bootstrap.seed
    )
    result["facets"] = facets(written, targets, scored.seeds, captions, counts, rankings=ranked)
    result["diversity"] = diversity(written, counts)
    return result


def score_all(predictions: Mapping[str, Predictions], scored: Scored, bootstrap: Bootstrap) -> dict[str, Any]:
    """`score` of each way but the searches, whose BLEU-4 and F1 alone are kept."""
    result = {name: score(one.written, one.ranked, scored, bootstrap) for name, one in predictions.items()}
    if reliable := calibration(predictions["both"], scored):
        result["both"]["calibration"] = reliable
    for search in set(SEARCHES) & result.keys():
        result[search] = {key: result[search][key] for key in ("bleu4", "f1")}
    return result


def calibration(predictions: Predictions, scored: Scored) -> dict[str, Any] | None:
    """Whether the probabilities of the `SUREST` hashtags of each post hold (see `reliability`); None without any."""
    if predictions.chances is None:
        return None
    chances = [chance for row in predictions.chances for chance in row[:SUREST]]
    pairs = zip(predictions.ranked, map(set, scored.labelled.hashtags), strict=True)
    right = [hashtag in true for ranking, true in pairs for hashtag in ranking[:SUREST]]
    return dataclasses.asdict(reliability(chances, right))


# Figures by which one method is held against another, post by post.
COMPARED = ("f1_at_5", "p_at_1", "p_at_5")


def compare(one: Written, other: Written, scored: Scored, bootstrap: Bootstrap) -> dict[str, Any]:
    """Two rankings of the same posts by a paired bootstrap of their groups, by figure (see `Paired`)."""
    targets = scored.labelled.hashtags
    groups = scored.labelled.groups or list(map(str, range(len(targets))))
    figures, others = ranked_figures(one, targets), ranked_figures(other, targets)
    return {
        key: dataclasses.asdict(paired(figures[key], others[key], groups, bootstrap.resamples, bootstrap.seed))
        for key in COMPARED
    }


HEADLINE = ("f1_at_5", "p_at_1", "p_at_5", "f1", "bleu4")


def shorten(result: Mapping[str, Any]) -> dict[str, Any]:
    """The few figures by which runs are compared, of all metrics by split: `result` has `val`, `test` and `others`.

    On top those of the test posts (`f1_at_5_low` to `f1_at_5_high` is the 95 % interval); nested fewer of the
    validation posts, of the model blind to picture or caption, of the ceiling where it is known, and of other models.
    """
    test = result["test"]
    low, high = test["both"]["f1_at_5_ci95"] or (None, None)
    blocks = {"val": result["val"]["both"]} | {name: test[name] for name in ("no_image", "no_caption")}
    if test["ceiling"]:
        blocks["ceiling"] = test["ceiling"]["both"]
    short = {key: test["both"][key] for key in HEADLINE} | {"f1_at_5_low": low, "f1_at_5_high": high}
    short |= {name: _few(block) for name, block in blocks.items()}
    others = result["others"].items()
    return short | {name: _few(one["test"]["both"]) | {"val": _few(one["val"]["both"])} for name, one in others}


def _few(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: block[key] for key in ("f1_at_5", "p_at_1", "bleu4") if key in block}
