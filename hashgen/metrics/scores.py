"""Scores of predicted hashtags against true ones, with bootstrap intervals.

Unless a docstring says otherwise a figure is the mean over posts of each post's own value, in 0..1. Other averages
(micro, macro over hashtags) give other numbers on the same predictions. Corpus BLEU is the exception: one figure
for all posts together.
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.resampling import resampled_sums
from hashgen.metrics.written import (
    ORDERS,
    Floats,
    Hashtags,
    Ints,
    bleu_counts,
    check_lengths,
    written_figures,
    written_scores,
)

_WITH_INTERVAL = ("bleu4", "bleu1", "p_at_1", "p_at_5", "r_at_5", "f1_at_5", "f1", "hit_at_5", "map_at_10")


def scores(
    predictions: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    *,
    rankings: Sequence[Hashtags] | None = None,
    groups: Sequence[Hashable] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores of written hashtags; one sequence a post in each argument, order as written.

    - `posts`; `length` (mean number of hashtags written); `precision` (0 for a post where none is written), `recall`
      and `f1` of the whole sequence.
    - `p_at_k`, `r_at_k`, `f1_at_k` for k = 1, 5, 10 of its first k. P@k divides by k even where fewer are written,
      R@k by all targets of the post, F1@k is 2 hits / (k + targets). `hit_at_5`: share of posts with a hit in 5.
    - `map_at_10`: mean over posts of the sum of precision at each hit's place in 10, over min(10, targets).
    - `bleu1` … `bleu4`: corpus BLEU of cumulated n-grams up to that order (Papineni et al. 2002) by sacrebleu, one
      hashtag = one token, no smoothing and no effective order (`bleu_signature`): 0 when no n-gram of some order
      matches.

    rankings: what the figures at k are taken from instead of `predictions`, for a method that can rank more than it
    writes. bootstrap: resamples for `NAME_ci95` beside the main figures, the 2.5 and 97.5 percentiles; 0 for none.
    groups: what each post belongs to, drawn together (see `resampled_sums`); None where each is drawn alone. One seed
    draws the same ones for every method, so their intervals are paired. Fewer than two groups tell nothing of others:
    then the intervals are None.

    Raises ValueError without posts, when lengths differ, when a post has no target, and for a hashtag that is
    repeated in a post, empty, or holds white space.
    """
    rankings = predictions if rankings is None else rankings
    _check(predictions, rankings, targets)
    figures = written_figures(predictions, targets) | ranked_figures(rankings, targets)
    result: dict[str, Any] = written_scores(predictions, targets)
    result |= {name: float(values.mean()) for name, values in figures.items()}
    if not bootstrap:
        return result
    intervals = _intervals(figures, bleu_counts(predictions, targets), groups, bootstrap, seed)
    beside: dict[str, Any] = {}
    for name, value in result.items():
        beside[name] = value
        if name in intervals:
            beside[f"{name}_ci95"] = intervals[name]
    return beside


def _check(predictions: Sequence[Hashtags], rankings: Sequence[Hashtags], targets: Sequence[Hashtags]) -> None:
    check_lengths(predictions, targets)
    check_lengths(rankings, targets)
    for hashtags in itertools.chain(predictions, rankings, targets):
        if len(set(hashtags)) != len(hashtags):
            raise ValueError(f"a hashtag is repeated: {list(hashtags)}")
        if " ".join(hashtags).split() != list(hashtags):
            raise ValueError(f"a hashtag is empty or holds white space: {list(hashtags)}")
    if not all(targets):
        raise ValueError(f"post {[bool(hashtags) for hashtags in targets].index(False)} has no target")


def corpus_bleus(counts: Floats, order: int) -> Floats:
    """`corpus_bleu` of many resamples at once: counts (resamples, 10) to (resamples,)."""
    lengths, true = counts[:, 0], counts[:, 1]
    matches, totals = counts[:, 2 : 2 + order], counts[:, 6 : 6 + order]
    scored = matches.all(axis=1)  # an order without a match makes BLEU 0
    result = np.zeros(len(counts))
    brevity = np.minimum(0.0, 1 - true[scored] / lengths[scored])
    result[scored] = np.exp(brevity + np.log(matches[scored] / totals[scored]).mean(axis=1))
    return result


def _intervals(
    figures: Mapping[str, Floats], counts: Ints, groups: Sequence[Hashable] | None, resamples: int, seed: int
) -> dict[str, list[float] | None]:
    names = [name for name in _WITH_INTERVAL if name in figures]
    posts = len(counts)
    groups = range(posts) if groups is None else groups
    if len(set(groups)) < 2:
        return dict.fromkeys(_WITH_INTERVAL)
    values = np.column_stack([*(figures[name] for name in names), counts, np.ones(posts)])  # (posts, names + 10 + 1)
    sums = resampled_sums(values, groups, resamples, seed)
    samples = {name: sums[:, column] / sums[:, -1] for column, name in enumerate(names)}
    samples |= {f"bleu{order}": corpus_bleus(sums[:, len(names) : -1], order) for order in ORDERS}
    return {name: np.percentile(samples[name], [2.5, 97.5]).tolist() for name in _WITH_INTERVAL}
