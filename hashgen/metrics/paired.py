"""Two methods on the same posts: how far their scores lie apart, and how sure that is."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from hashgen.metrics.resampling import resampled_sums
from hashgen.metrics.written import Floats

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Paired:
    """Method a against method b on the same posts.

    difference: score of a minus score of b. ratio: score of a over score of b, None where that of b is 0. `_ci95`: 95 %
    intervals; None where there are fewer than two groups, that of the ratio also where b scores 0 in some resample.
    p: two-sided, of no difference, 0 < p <= 1; None where there are fewer than two groups.
    """

    difference: float
    difference_ci95: Interval | None
    ratio: float | None
    ratio_ci95: Interval | None
    p: float | None


def paired(a: npt.ArrayLike, b: npt.ArrayLike, groups: Sequence[Hashable], resamples: int, seed: int = 0) -> Paired:
    """The means over posts of one figure of two methods, by a paired bootstrap of groups of posts.

    a, b: the figure of each post (posts,). groups: what each post belongs to (posts,); a resample has both methods'
    figures of the posts of its groups (see `resampled_sums`). Intervals are the 2.5 and 97.5 percentiles. p is twice
    the share of resamples on the far side of 0, or on it, each count plus one (Davison & Hinkley 1997), so never 0.
    One seed draws the same groups.

    Raises ValueError without posts, when lengths differ, for fewer than one resample, or a figure that is not finite.
    """
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (one.shape == other.shape == (len(groups),) and len(groups)):
        raise ValueError(f"one figure and one group a post is needed, found {one.shape}, {other.shape}, {len(groups)}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a figure is not finite")
    columns = np.column_stack([one, other, np.ones(len(one))])  # (posts, 3)
    sums = resampled_sums(columns, groups, resamples, seed)
    means = sums[:, :2] / sums[:, 2:] if len(set(groups)) > 1 else None
    return _compare(float(one.mean()), float(other.mean()), means)


def _compare(one: float, other: float, resampled: Floats | None) -> Paired:
    """One score against the other. resampled: both in each resample (resamples, 2)."""
    difference, ratio = one - other, one / other if other else None
    if resampled is None:
        return Paired(difference, None, ratio, None, None)
    differences = resampled[:, 0] - resampled[:, 1]
    past = min((differences <= 0).sum(), (differences >= 0).sum())
    p = min(1.0, 2 * (1 + float(past)) / (1 + len(differences)))
    ratios = _interval(resampled[:, 0] / resampled[:, 1]) if resampled[:, 1].all() else None
    return Paired(difference, _interval(differences), ratio, ratios, p)


def _interval(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high
