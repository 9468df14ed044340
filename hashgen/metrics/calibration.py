"""Probabilities that hashtags are right: whether they hold, how to make them hold, and how many hashtags to write."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
# More posts than these, ten hashtags of each, make no better calibration: of drawn posts 250 did as well as 5,000.
MOST_CALIBRATED = 1_000
# Scores are kept this far from 0 and 1, whose log-odds are infinite.
_EDGE = 1e-4


@dataclasses.dataclass(frozen=True)
class Bin:
    """Pairs of similar probability: how many, their mean probability, and the share of them that is right, 0..1."""

    count: int
    confidence: float
    right: float


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How well probabilities hold.

    bins: ascending. ece: expected calibration error, the mean over pairs of the distance of a bin's confidence from its
    share right, 0..1 (Naeini et al. 2015, here with bins of equal count). brier: mean squared distance of a probability
    from 1 for right and 0 for wrong (Brier 1950), 0..1. Lower is better for both.
    """

    bins: list[Bin]
    ece: float
    brier: float


def reliability(probabilities: npt.ArrayLike, right: npt.ArrayLike) -> Reliability:
    """The reliability of the probabilities of (post, hashtag) pairs, in at most `BINS` bins of equal count.

    probabilities: (pairs,), 0..1. right: (pairs,), whether the hashtag is a true one of the post. Equal probabilities
    share a bin, so that the order of the pairs decides nothing; counts are then unequal. Raises ValueError without
    pairs, when lengths differ, and for a probability outside of 0..1.
    """
    chances, true = _pairs(probabilities, right)
    if not chances.size:
        raise ValueError("at least one pair is needed")
    _, places, counts = np.unique(chances, return_inverse=True, return_counts=True)
    # A value's bin is that of the middle of its ranks.
    numbers = ((counts.cumsum() - counts / 2) * BINS / len(chances)).astype(np.int64)[places]
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        bins.append(Bin(int(inside.sum()), float(chances[inside].mean()), float(true[inside].mean())))
    ece = sum(one.count * abs(one.confidence - one.right) for one in bins) / len(chances)
    return Reliability(bins, ece, float(((chances - true) ** 2).mean()))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Beta calibration (Kull, Silva Filho & Flach 2017): log-odds = rise ln p - fall ln(1 - p) + shift.

    rise, fall: 0 or more, so a higher score never gets a lower probability. 1, 1, 0 changes nothing; equal rise and
    fall is Platt scaling of the log-odds.
    """

    rise: float = 1.0
    fall: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.rise, self.fall, self.shift]).all() and self.rise >= 0 and self.fall >= 0):
            raise ValueError(f"no calibration: {self}")

    @classmethod
    def fit(cls, scores: npt.ArrayLike, right: npt.ArrayLike) -> "Calibration":
        """The calibration of pairs that the model has not learnt from (validation).

        scores: (pairs,), 0..1; any other score s goes through 1 / (1 + exp(-s)) first. right: (pairs,), whether the
        hashtag is a true one of the post. Three numbers are fitted, by maximum likelihood with a Gaussian prior of
        deviation 1 around "change nothing": few pairs change little, none nothing. Isotonic regression follows noise
        below a thousand pairs or so (Niculescu-Mizil & Caruana 2005), which 90 posts do not give, and makes ties.

        Raises ValueError when lengths differ, and for a score outside of 0..1.
        """
        from scipy.optimize import minimize  # needed to fit alone

        values, true = _pairs(scores, right)
        features, nothing = _features(values), np.array([1.0, 1.0, 0.0])

        def loss(weights: Floats) -> tuple[float, Floats]:
            odds, away = features @ weights, weights - nothing
            value = np.logaddexp(0, odds).sum() - odds @ true + away @ away / 2
            return float(value), features.T @ (_logistic(odds) - true) + away

        found = minimize(loss, nothing, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
        return cls(*found.x.tolist())

    @classmethod
    def fit_to(
        cls, rankings: Iterable[Sequence[tuple[str, float]]], hashtags: Iterable[Sequence[str]]
    ) -> "Calibration | None":
        """`fit` to the hashtags that are ranked with a score above 0; None where there is none.

        rankings: of each post hashtags with scores, of which one above 1 counts as 1. hashtags: its true ones. Raises
        ValueError when these differ in number.
        """
        pairs = [
            (min(score, 1.0), hashtag in true)
            for ranking, true in zip(rankings, map(set, hashtags), strict=True)
            for hashtag, score in ranking
            if score > 0
        ]
        return cls.fit(*zip(*pairs, strict=True)) if pairs else None

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """The probability that each hashtag is right (pairs,), 0..1, in the order of scores (pairs,), 0..1.

        Scores within 0.0001 of 0 or 1 are taken as that far away, and so get equal probabilities: to order hashtags,
        take the scores. Raises ValueError for a score outside of 0..1.
        """
        return _logistic(_features(_probabilities(scores)) @ np.array([self.rise, self.fall, self.shift]))

    def apply_to_odds(self, odds: npt.ArrayLike) -> Floats:
        """The same from log-odds (pairs,) of any size, none of which are taken as equal."""
        values = np.asarray(odds, np.float64)
        falling, rising = -np.logaddexp(0, -values), np.logaddexp(0, values)  # ln p, -ln(1 - p)
        return _logistic(self.rise * falling + self.fall * rising + self.shift)

    def to_json(self) -> dict[str, float]:
        """The three numbers by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Calibration":
        """What `to_json` gave. Raises ValueError for anything else."""
        try:
            return cls(*(float(found[field.name]) for field in dataclasses.fields(cls)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no calibration: {found}") from error


def best_length(probabilities: Sequence[float] | Floats, expected: float, most: int) -> int:
    """How many hashtags of a ranking to write, so that the expected F1 is highest; 1 or more, `most` at most.

    The n with the highest 2 (p1 + … + pn) / (n + expected), the smallest of several. probabilities: calibrated, in the
    order of the ranking. expected: how many true hashtags the post is expected to have. 1 for an empty ranking. Raises
    ValueError for `most` below 1 or a negative `expected`.
    """
    if most < 1 or expected < 0:
        raise ValueError(f"at most {most} hashtags of {expected} expected: needs 1 or more, and 0 or more")
    chances = np.asarray(probabilities, np.float64)[:most]
    if not chances.size:
        return 1
    return 1 + int(np.argmax(chances.cumsum() / (np.arange(1, len(chances) + 1) + expected)))


def _pairs(scores: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Floats, Floats]:
    values, true = _probabilities(scores), np.asarray(right).astype(bool).astype(np.float64)
    if values.shape != true.shape:
        raise ValueError(f"one answer a score is needed, found {values.shape} scores and {true.shape} answers")
    return values, true


def _probabilities(scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("scores must be a list of numbers in 0..1")
    return values


def _features(values: Floats) -> Floats:
    """What the log-odds are linear in: (pairs,) to (pairs, 3)."""
    inside = values.clip(_EDGE, 1 - _EDGE)
    return np.column_stack([np.log(inside), -np.log1p(-inside), np.ones(len(inside))])


def _logistic(odds: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -odds))
