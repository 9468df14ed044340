"""The bootstrap: figures of posts drawn again and again, groups of posts that belong together as one."""

from collections.abc import Hashable, Sequence

import numpy as np

from hashgen.metrics.written import Floats

# Resamples that are drawn at once, so that memory is bounded.
_AT_ONCE = 500


def resampled_sums(columns: Floats, groups: Sequence[Hashable], resamples: int, seed: int) -> Floats:
    """Sums (resamples, n) of columns (posts, n) over the posts of the groups that each resample draws.

    groups: what each post belongs to (posts,). Posts of a group are no independent evidence, so a resample draws
    groups, with replacement and as many as there are, each with all of its posts (the pairs cluster bootstrap: Cameron,
    Gelbach & Miller 2008, after Efron & Tibshirani 1993); the number of posts differs between resamples. One seed
    draws the same groups, however many columns. Raises ValueError for fewer than one resample, and when lengths differ.
    """
    if resamples < 1:
        raise ValueError(f"at least one resample is needed, found {resamples}")
    if len(groups) != len(columns):
        raise ValueError(f"one group a post is needed, found {len(groups)} for {len(columns)} posts")
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(group, len(numbers)) for group in groups]
    count = len(numbers)
    totals = np.zeros((count, columns.shape[1]))
    np.add.at(totals, places, columns)
    rng, sums = np.random.default_rng(seed), np.empty((resamples, columns.shape[1]))
    for start in range(0, resamples, _AT_ONCE):
        part = sums[start : start + _AT_ONCE]
        drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(len(part))]
        part[:] = np.stack(drawn) @ totals
    return sums
