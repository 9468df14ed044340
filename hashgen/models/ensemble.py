"""Several models together: their calibrated probabilities, averaged with weights chosen on the validation posts."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hashgen.base.files import read_json, write_json
from hashgen.features.posts import Blind, Labelled, Posts
from hashgen.metrics.calibration import Calibration, best_length
from hashgen.models import Data, Model, Place, Ranking, model_class
from hashgen.models.habits import Habits

if TYPE_CHECKING:
    import torch

    from hashgen.params.train import Train
    from hashgen.training.about import About

Floats = npt.NDArray[np.float64]

# Of each member's ranking, so many hashtags are mixed, and the probabilities of so many of a post are calibrated.
_DEPTH = 50
_CALIBRATED = 10
# Weights are multiples of 1 / _PARTS. The F1@5 of a hundred posts tells no finer ones apart.
_PARTS = 5
_BEST = 5


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of the ensemble. weight: 0..1, of all together 1. calibration: of its scores; None leaves them."""

    name: str
    model: Model
    weight: float
    calibration: Calibration | None


class EnsembleModel(Model):
    """The weighted mean of what its members give each hashtag; one that a member does not rank gets 0 of it.

    calibration: of the mean, which says too little where members disagree. mean_length: hashtags of a training post.
    """

    gives_probabilities = True

    def __init__(
        self, members: Sequence[Member], habits: Habits, mean_length: float, calibration: Calibration | None = None
    ) -> None:
        self.members = list(members)
        self.habits = habits
        self.mean_length = mean_length
        self.calibration = calibration

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Fit each member by its own block, then calibrate and weigh them on the validation posts."""
        assert section.ensemble is not None
        members, given = [], []
        for name in section.ensemble.members:
            # Each has a checkpoint of its own; it goes with that of the ensemble.
            own = dataclasses.replace(place, checkpoint=place.checkpoint.with_suffix(f".{name}.pt"))
            model = model_class(name).fit(data, section.of(name), own)
            said = _clipped(model.rank(data.val.posts, _DEPTH))
            calibration = _calibration(said, data.val)
            members.append(Member(name, model, 0.0, calibration))
            given.append(_calibrated(said, calibration))
        weights = _best_weights(given, data.val.hashtags)
        weighed = [dataclasses.replace(member, weight=weight) for member, weight in zip(members, weights, strict=True)]
        habits = Habits(data.train.hashtags)
        mean_length = sum(habits.counts.values()) / len(data.train)
        return cls(weighed, habits, mean_length, _calibration(_mix(given, weights), data.val))

    def _probabilities(self, posts: Posts, blind: Blind | None) -> list[Ranking]:
        used = [member for member in self.members if member.weight > 0]
        said = [(_clipped(member.model.rank(posts, _DEPTH, blind)), member.calibration) for member in used]
        mixed = _mix([_calibrated(*one) for one in said], [member.weight for member in used])
        # Sorted again: the last bits of two that are nearly equal may turn round.
        return [_best_first(ranking) for ranking in _calibrated(mixed, self.calibration)]

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by their probability; those that no member ranks follow by frequency, with 0."""
        rankings = []
        for ranking in self._probabilities(posts, blind):
            head = dict(ranking[:depth])
            rankings.append([(hashtag, head.get(hashtag, 0.0)) for hashtag in self.habits.fill(list(head), depth)])
        return rankings

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """As many of the surest as promise the best F1 (see `best_length`), in the order of training posts."""
        written = []
        for ranking in self._probabilities(posts, blind):
            number = best_length([score for _, score in ranking], self.mean_length, max(1, len(ranking)))
            hashtags = self.habits.fill([hashtag for hashtag, _ in ranking[:number]], number)
            written.append(sorted(hashtags, key=lambda hashtag: self.habits.places[hashtag]))
        return written

    def save(self, folder: Path) -> None:
        """Write `ensemble.json`, and each member into a folder of its name."""
        members = {
            member.name: {"weight": member.weight, "calibration": _to_json(member.calibration)}
            for member in self.members
        }
        known: dict[str, Any] = {"members": members, "calibration": _to_json(self.calibration)}
        known |= {"habits": self.habits.to_json(), "mean_length": self.mean_length}
        write_json(folder / "ensemble.json", known, exact=True)
        for member in self.members:
            (folder / member.name).mkdir()
            member.model.save(folder / member.name)

    @classmethod
    def load(cls, folder: Path, about: "About", device: "torch.device") -> Self:
        """Read what `save` wrote."""
        assert about.section.ensemble is not None
        known: dict[str, Any] = read_json(folder / "ensemble.json", "train")
        members = []
        for name in about.section.ensemble.members:
            own = dataclasses.replace(about, section=about.section.of(name))
            model = model_class(name).load(folder / name, own, device)
            found = known["members"][name]
            members.append(Member(name, model, float(found["weight"]), _from_json(found["calibration"])))
        weights, mean_length = [member.weight for member in members], float(known["mean_length"])
        if not all(0 <= weight <= 1 for weight in weights) or not any(weights) or not 0 <= mean_length < math.inf:
            raise ValueError("weights or a mean length that no ensemble has")
        return cls(members, Habits.from_json(known["habits"]), mean_length, _from_json(known["calibration"]))


MODEL = EnsembleModel


def simplex(members: int, parts: int) -> Iterator[tuple[float, ...]]:
    """All weights of so many members that are multiples of 1 / parts and make 1, the most even first."""
    whole = (one for one in itertools.product(range(parts + 1), repeat=members) if sum(one) == parts)
    for one in sorted(whole, key=lambda weights: sum(weight**2 for weight in weights)):
        yield tuple(weight / parts for weight in one)


def _best_weights(given: Sequence[Sequence[Ranking]], hashtags: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """The weights with the highest F1@5 of the posts, the most even of equals. given: rankings (posts), by member."""
    scores: list[Floats] = []  # of each post (members, hashtags)
    right: list[npt.NDArray[np.bool_]] = []  # (hashtags,)
    for rankings, true in zip(zip(*given, strict=True), map(set, hashtags), strict=True):
        union = list(dict.fromkeys(hashtag for ranking in rankings for hashtag, _ in ranking))
        known = [dict(ranking) for ranking in rankings]
        scores.append(np.array([[one.get(hashtag, 0.0) for hashtag in union] for one in known]))
        right.append(np.array([hashtag in true for hashtag in union]))

    def f1(weights: tuple[float, ...]) -> float:
        total = 0.0
        for found, hits, true in zip(scores, right, hashtags, strict=True):
            best = np.argsort(-(np.array(weights) @ found), kind="stable")[:_BEST]
            total += 2 * float(hits[best].sum()) / (_BEST + len(true))
        return total

    return max(simplex(len(given), _PARTS), key=f1)


def _mix(given: Sequence[Sequence[Ranking]], weights: Sequence[float]) -> list[Ranking]:
    """Weighted means of each post's scores, best first; of equals, first what an earlier member ranks higher.

    given: rankings (posts), by member.
    """
    mixed = []
    for rankings in zip(*given, strict=True):
        total: dict[str, float] = {}
        for ranking, weight in zip(rankings, weights, strict=True):
            for hashtag, score in ranking:
                total[hashtag] = total.get(hashtag, 0.0) + weight * score
        mixed.append(_best_first([(hashtag, min(1.0, score)) for hashtag, score in total.items() if score > 0]))
    return mixed


def _best_first(ranking: Ranking) -> Ranking:
    """By score; equals stay as they are."""
    return sorted(ranking, key=lambda pair: -pair[1])


def _clipped(rankings: Sequence[Ranking]) -> list[Ranking]:
    """Rankings without what has no score, the others at most 1: neighbours give a bonus beyond that."""
    return [[(hashtag, min(1.0, score)) for hashtag, score in ranking if score > 0] for ranking in rankings]


def _calibration(rankings: Sequence[Ranking], labelled: Labelled) -> Calibration | None:
    """What makes the scores of each post's surest hashtags hold; None without any."""
    return Calibration.fit_to([ranking[:_CALIBRATED] for ranking in rankings], labelled.hashtags)


def _calibrated(rankings: Sequence[Ranking], calibration: Calibration | None) -> list[Ranking]:
    """The same rankings with their scores as probabilities."""
    if calibration is None:
        return list(rankings)
    found = []
    for ranking in rankings:
        chances = calibration.apply([score for _, score in ranking]).tolist()
        found.append([(hashtag, chance) for (hashtag, _), chance in zip(ranking, chances, strict=True)])
    return found


def _to_json(calibration: Calibration | None) -> dict[str, float] | None:
    return None if calibration is None else calibration.to_json()


def _from_json(found: Any) -> Calibration | None:
    return None if found is None else Calibration.from_json(found)
