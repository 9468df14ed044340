"""Free-running predictions of a trained model and their scores, blind ones, ceilings and the filter's audit beside."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from hashgen.features.store import FeatureStore
from hashgen.models import Blind, encode
from hashgen.params.evaluate import Evaluate
from hashgen.scoring.figures import diversity, facets, paper_bleu, scores
from hashgen.sources.sample.ceiling import KNOWS, Knows, best_predictions
from hashgen.training.dataset import Examples, batches
from hashgen.training.decoding import decode, mixed_forcing
from hashgen.training.trained import Trained

Written = list[list[str]]

# Posts on each side of the grid of pictures by captions.
GRID = 3


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Hashtags that a model wrote for the posts of one split, free-running; one list a post in each.

    both: decoded as `evaluate.decoding` says; no_image, no_caption: likewise, that input replaced by its training
    mean; greedy, beam: with both inputs by either search.
    """

    both: Written
    no_image: Written
    no_caption: Written
    greedy: Written
    beam: Written


def predict(trained: Trained, examples: Examples, features: FeatureStore, section: Evaluate) -> Predictions:
    """Write hashtags for every example in every way that is scored."""
    width = _width(section)

    def write(beam: int, blind: Blind | None = None) -> Written:
        return _write(trained, examples, features, beam, section.length_penalty, blind)

    greedy, beam = write(1), write(section.beam)
    both = beam if section.decoding == "beam" else greedy
    return Predictions(both, write(width, "image"), write(width, "caption"), greedy, beam)


def _width(section: Evaluate) -> int:
    return section.beam if section.decoding == "beam" else 1


def _write(
    trained: Trained, examples: Examples, features: FeatureStore, beam: int, penalty: float, blind: Blind | None = None
) -> Written:
    length = trained.section.hashtag_length
    numbers = decode(trained.model, examples, features, length, beam=beam, penalty=penalty, blind=blind)
    return [trained.vocabularies.hashtags.decode(sequence) for sequence in numbers]


def choose_grid(ids: Sequence[str], written: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> list[int]:
    """Places of up to `GRID` posts to cross pictures and captions of; no one's taste, the same each time.

    Of the posts whose F1 is at least the median (what a model that fails on a post does with its parts says little)
    the first by a hash of its id, then each time the post whose true hashtags overlap least with those chosen, the
    first by the hash among equals: unlike posts show best what comes from which input.
    """
    sets = [set(target) for target in targets]
    f1 = [2 * len(set(w) & t) / (len(w) + len(t)) for w, t in zip(written, sets, strict=True)]
    order = sorted(range(len(ids)), key=lambda post: hashlib.sha256(ids[post].encode()).hexdigest())
    fair = [post for post in order if f1[post] >= float(np.median(f1))]
    chosen = fair[:1]
    while len(chosen) < min(GRID, len(fair)):
        taken = set().union(*(sets[post] for post in chosen))
        rest = [post for post in fair if post not in chosen]
        chosen.append(min(rest, key=lambda post: len(sets[post] & taken)))
    return chosen


def cross(
    trained: Trained,
    posts: pd.DataFrame,
    examples: Examples,
    features: FeatureStore,
    section: Evaluate,
    places: list[int],
) -> pd.DataFrame:
    """What is written for each picture with each caption of the posts at `places` (n): n x n rows, picture by picture.

    Columns: `picture` and `caption_of`, ids of posts; `caption`, the text; `written`, decoded as `evaluate.decoding`
    says. posts, examples: the manifest and its encoding, row by row.
    """
    pictures = np.repeat(np.array(places), len(places))
    texts = np.tile(np.array(places), len(places))
    pairs = dataclasses.replace(examples.take(texts), rows=examples.rows[pictures])
    written = _write(trained, pairs, features, _width(section), section.length_penalty)
    ids, captions = list(posts["id"]), list(posts["caption"])
    return pd.DataFrame(
        {
            "picture": [ids[post] for post in pictures],
            "caption_of": [ids[post] for post in texts],
            "caption": [captions[post] for post in texts],
            "written": written,
        }
    )


def score_predictions(
    predictions: Predictions, manifest: pd.DataFrame, train: pd.DataFrame, section: Evaluate
) -> dict[str, Any]:
    """Scores with intervals under `both`, `no_image` and `no_caption`; `greedy` and `beam` in short.

    `both` also holds the facets (not the seed, not in the caption, rare in training) and the diversity of what is
    written. `manifest` is the split that was written for, `train` the training posts.
    """
    targets = list(manifest["hashtags"])
    result: dict[str, Any] = {
        name: scores(getattr(predictions, name), targets, bootstrap=section.bootstrap, seed=section.seed)
        for name in ("both", "no_image", "no_caption")
    }
    counts = Counter(hashtag for hashtags in train["hashtags"] for hashtag in hashtags)
    result["both"]["facets"] = facets(
        predictions.both, targets, list(manifest["seed_hashtags"]), list(manifest["caption"]), counts
    )
    result["both"]["diversity"] = diversity(predictions.both, counts)
    for name in ("greedy", "beam"):
        full = scores(getattr(predictions, name), targets)
        result[name] = {key: full[key] for key in ("bleu4", "f1", "p_at_1")}
    return result


def ceilings(truth: pd.DataFrame, manifest: pd.DataFrame, length: int) -> dict[Knows, dict[str, float]] | None:
    """Scores that the best known predictions from the sample's own probabilities reach on these very posts.

    Set metrics at k take the ranking that is best in expectation, F1 and BLEU each its best known policy (see
    `hashgen.sources.sample.ceiling`). None where the truth is unknown (any source but the sample).
    """
    known = truth.set_index("id").reindex(manifest["id"])
    if truth.empty or known["mood"].isna().any():
        return None
    targets = list(manifest["hashtags"])
    result: dict[Knows, dict[str, float]] = {}
    for knows in KNOWS:
        best = best_predictions(known, knows, length)
        ranked, written = scores(best.heads, targets, rankings=best.ranked), scores(best.sequences, targets)
        result[knows] = {key: value for key, value in ranked.items() if "_at_" in key or key == "f1"}
        result[knows] |= {key: written[key] for key in ("bleu4", "bleu1")}
    return result


def shorten(result: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The few figures by which runs are compared, of all metrics by split: `result` has `val` and `test`.

    On top those of the test posts (`f1_low` to `f1_high` is the 95 % interval); nested F1 and BLEU-4 of the validation
    posts, of the model blind to picture or caption, and of the ceiling where it is known.
    """
    test = result["test"]
    low, high = test["both"]["f1_ci95"]
    short = {"f1": test["both"]["f1"], "f1_low": low, "f1_high": high}
    short |= {key: test["both"][key] for key in ("bleu4", "p_at_1", "f1_at_5")}
    others = {"val": result["val"]["both"]} | {name: test[name] for name in ("no_image", "no_caption")}
    if test["ceiling"]:
        others["ceiling"] = test["ceiling"]["both"]
    return short | {name: {key: block[key] for key in ("f1", "bleu4")} for name, block in others.items()}


def paper_protocol(
    trained: Trained, examples: Examples, features: FeatureStore, common: str, seed: int
) -> dict[str, float]:
    """The paper's own kind of score, for the model, one constant hashtag and nothing. Comparable to nothing else.

    Unigram BLEU a time step, averaged over batches, under teacher forcing (`hashgen.scoring.figures.paper_bleu`).
    common: the one hashtag that is guessed for every post.
    """
    section, hashtags = trained.section, trained.vocabularies.hashtags
    coins = torch.Generator().manual_seed(seed)
    device = next(trained.model.parameters()).device
    written: Written = []
    for batch in batches(examples, features, section.batch_size, device):
        with torch.inference_mode():
            state = encode(trained.model, batch.image, batch.words, batch.lengths)
            logits = mixed_forcing(trained.model, state, batch.inputs, section.teacher_forcing, coins)
        written += [hashtags.decode(row) for row in logits.argmax(2).tolist()]
    targets = [hashtags.decode(row) for row in examples.hashtags]
    constant = [[common]] * len(targets)
    compared: dict[str, Written] = {"model": written, "constant": constant, "nothing": [[]] * len(targets)}
    size, length = section.batch_size, section.hashtag_length
    return {name: paper_bleu(one, targets, size, length) for name, one in compared.items()}


def audit_filter(truth: pd.DataFrame, kept: Sequence[str], rejects: pd.DataFrame) -> dict[str, Any] | None:
    """What the filter did, held against the sample's hidden truth; None where the truth is unknown.

    dirty_kept: planted dirt that got through. clean_lost: clean posts that were dropped. wrong_reason: dirt that was
    dropped for another reason than the planted one; by_reason: how many of each planted kind were dropped.
    """
    if truth.empty:
        return None
    ids = set(kept)
    dirty = truth[truth["dirt"].notna()]
    clean = truth[truth["dirt"].isna()]
    reasons = dict(zip(rejects["id"], rejects["reason"], strict=True))
    dropped = dirty[~dirty["id"].isin(ids)]
    wrong = sum(reasons.get(post) != dirt for post, dirt in zip(dropped["id"], dropped["dirt"], strict=True))
    return {
        "posts": len(truth),
        "dirty": len(dirty),
        "dirty_kept": len(dirty) - len(dropped),
        "clean_lost": int((~clean["id"].isin(ids)).sum()),
        "wrong_reason": int(wrong),
        "by_reason": {str(reason): int(count) for reason, count in sorted(Counter(dropped["dirt"]).items())},
    }
