"""The index of a model folder: its training posts by name, their hashtags, and what they look like."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from hashgen.base.files import read_json, require, write_json
from hashgen.features.posts import Blind, Labelled, Posts, spaced
from hashgen.metrics.calibration import MOST_CALIBRATED, Calibration
from hashgen.models import Model
from hashgen.models.habits import Habits
from hashgen.training import lookup
from hashgen.training.about import unfit
from hashgen.training.hashtag_words import HashtagWords
from hashgen.training.similarity import Arrays, Floats, Views, arrays_of, blocks, flags, flags_of, part_of, take

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_NAME = "index"
# A hashtag that stands beside another in all of few posts may do so by chance: as if so many posts more, in which it is
# as frequent as everywhere, had the other too. The value did best on validation posts of food photos (1, 2 and 4
# hashtags given), as did those below.
_DOUBT = 5.0
# How much a hashtag that is already typed counts against what the model says, and the least share of a hashtag's
# frequency that is held to be its probability, so that what the model did not propose can be proposed by it. Chosen on
# validation posts: of food photos, F1@5 of the remaining hashtags with 2 given .292 -> .318, with 4 .295 -> .330; of
# the sample with 2 .687 -> .694. At weight 1 the gain with 4 given is half as large.
_STEER, _FLOOR = 0.5, 0.1
# Of each validation post, scores of so many hashtags are calibrated; with 1, 2, … of its own hashtags given, the last
# for more as well, on so many posts at most.
_CALIBRATED = 10
_GIVEN, _MOST_GIVEN = 5, 500
# Fewer pairs of post and hashtag than this calibrate nothing. Posts that are ranked at once: the bound on memory.
_LEAST_PAIRS, _AT_ONCE = 200, 50
_EDGE = 1e-6
# Of more training posts than `lookup.MOST_COMPARED`, those among which one with a hashtag is looked for.
_ALIKE = 1000
# What the model may be blind to, as the file names it.
_BLIND: Mapping[str, Blind | None] = {"both": None, "no_image": "image", "no_caption": "caption"}


class Index:
    """The training posts of a model.

    ids: of the posts. hashtags: all that they have, most frequent first. counts: in how many posts each is. words:
    those that each hashtag is made of. calibrations: turn the model's scores into probabilities, by what it is blind
    to. given: the same for probabilities that 1, 2, … hashtags have steered. source: where the posts came from.
    """

    def __init__(
        self,
        ids: Sequence[str],
        habits: Habits,
        known: "csr_array",
        words: HashtagWords,
        views: Views,
        calibrations: Mapping[Blind | None, Calibration],
        given: Mapping[Blind | None, Sequence[Calibration]],
        source: str,
    ) -> None:
        self.ids = list(ids)
        self.habits = habits
        self.hashtags = list(habits.popular)
        self.places: Mapping[str, int] = habits.popular
        self.counts = np.array([habits.counts[hashtag] for hashtag in self.hashtags], np.int64)
        self.words = words
        self.views = views
        self.calibrations = calibrations
        self.given = given
        self.source = source
        self._known = known  # (posts, hashtags)

    @classmethod
    def of(cls, model: Model, ids: Sequence[str], train: Labelled, val: Labelled, source: str) -> Self:
        """Index the training posts, and calibrate the model's scores on the validation posts, blind or not."""
        habits = Habits(train.hashtags)
        known = flags([[habits.popular[hashtag] for hashtag in one] for one in train.hashtags], len(habits.popular))
        views = model.views or Views.fit(train.posts, "both")
        words = HashtagWords.of(list(habits.popular))
        calibrations = {blind: _calibrate(model, val, blind) for blind in _BLIND.values()}
        index = cls(ids, habits, known, words, views, calibrations, {}, source)
        index.given = index._calibrate_given(model, val)
        return index

    def _calibrate_given(self, model: Model, val: Labelled) -> dict[Blind | None, list[Calibration]]:
        """Make steered probabilities hold: of validation posts some hashtags are given, drawn by chance.

        Steering leaves them too high: what is given is true and no longer there to be found. Where too few posts have
        so many hashtags, the calibration of fewer given ones has to do.
        """
        places = spaced(len(val), _MOST_GIVEN)
        pairs: dict[Blind | None, list[list[tuple[float, bool]]]]
        pairs = {blind: [[] for _ in range(_GIVEN)] for blind in _BLIND.values()}
        for part in blocks(len(places), _AT_ONCE):
            rows = places[part]
            drawn = [self._draw(val.hashtags[row], row) for row in rows.tolist()]
            lifts = [np.cumsum([self.lift(hashtag) for hashtag in one], axis=0) for one in drawn]
            for blind, found in pairs.items():
                rankings = model.rank(take(val.posts, rows), len(self.hashtags), blind)
                for row, ranking, given, lift in zip(rows.tolist(), rankings, drawn, lifts, strict=True):
                    chances, true = self.scores(ranking, blind), set(val.hashtags[row])
                    for number in range(len(given)):
                        steered = self._steered(chances, lift[number])
                        steered[[self.places[hashtag] for hashtag in given[: number + 1]]] = -np.inf
                        first = np.argsort(-steered, kind="stable")[: min(_CALIBRATED, len(steered) - number - 1)]
                        right = [self.hashtags[place] in true for place in first.tolist()]
                        found[number] += zip(chance(steered[first]).tolist(), right, strict=True)
        calibrations: dict[Blind | None, list[Calibration]] = {}
        for blind, found in pairs.items():
            last, calibrations[blind] = Calibration(), []
            for some in found:
                last = Calibration.fit(*zip(*some, strict=True)) if len(some) >= _LEAST_PAIRS else last
                calibrations[blind].append(last)
        return calibrations

    def _draw(self, hashtags: Sequence[str], seed: int) -> list[str]:
        """Up to `_GIVEN` of a post's hashtags that training posts have, in random order; at least one is left."""
        known = [hashtag for hashtag in hashtags if hashtag in self.places]
        order = np.random.default_rng(seed).permutation(len(known))[: min(_GIVEN, len(hashtags) - 1)]
        return [known[place] for place in order.tolist()]

    @property
    def prior(self) -> Floats:
        """The share of the training posts that have each hashtag: (hashtags,)."""
        prior: Floats = (self.counts / len(self.ids)).astype(np.float32)
        return prior

    def scores(self, ranking: Sequence[tuple[str, float]], blind: Blind | None) -> Floats:
        """The calibrated probability of each hashtag (hashtags,); 0 for those that the model does not rank above 0."""
        found = np.zeros(len(self.hashtags), np.float32)
        pairs = [(self.places[hashtag], score) for hashtag, score in ranking if score > 0 and hashtag in self.places]
        if pairs:
            places, values = zip(*pairs, strict=True)
            found[list(places)] = self.calibrations[blind].apply(np.minimum(values, 1.0))
        return found

    def steer(
        self, chances: npt.NDArray[np.floating[Any]], given: Sequence[str], blind: Blind | None
    ) -> npt.NDArray[np.floating[Any]]:
        """The probability of each hashtag (hashtags,) beside those given, from what it is without (`scores`).

        Given ones that no training post has say nothing.
        """
        lifts = [self.lift(hashtag) for hashtag in given if hashtag in self.places]
        if not lifts:
            return chances
        calibration = self.given[blind][min(len(lifts), _GIVEN) - 1]
        return calibration.apply_to_odds(self._steered(chances, np.sum(lifts, axis=0)))

    def _steered(self, chances: npt.NDArray[np.floating[Any]], lift: Floats) -> npt.NDArray[np.float64]:
        """Log-odds (hashtags,), not calibrated. lift: the sum over what is given."""
        return log_odds(np.maximum(chances, _FLOOR * self.prior)) + _STEER * lift.astype(np.float64)

    def lift(self, hashtag: str) -> Floats:
        """How much more likely each hashtag (hashtags,) is beside this one than everywhere: log of the ratio.

        Smoothed (see `_DOUBT`); 0 for a hashtag of no training post.
        """
        if hashtag not in self.places:
            return np.zeros(len(self.hashtags), np.float32)
        place = self.places[hashtag]
        beside = self._columns[[place]] @ self._known  # (1, hashtags)
        prior = self.prior
        ratio = (beside.toarray()[0] + _DOUBT * prior) / ((self.counts[place] + _DOUBT) * prior)
        lift: Floats = np.log(ratio).astype(np.float32)
        return lift

    @functools.cached_property
    def _columns(self) -> "csr_array":
        return self._known.T.tocsr()

    def nearest(self, posts: Posts, blind: Blind | None) -> npt.NDArray[np.int64]:
        """The places of the training posts that are most like one post (posts has one), the most alike first.

        Those without similarity are left out; of very many posts, all but about `_ALIKE` are.
        """
        count = len(self.ids) if len(self.ids) <= lookup.MOST_COMPARED else _ALIKE
        together = self.views.kernels[-1]
        near = self.views.nearest(posts, {together: count}, blind)[together]
        rows: npt.NDArray[np.int64] = near.rows[0][near.similarities[0] > 0]
        return rows

    def having(self, hashtag: str, places: npt.NDArray[np.int64], most: int) -> list[str]:
        """The ids of the first `most` of the posts at `places` that have a hashtag."""
        if hashtag not in self.places:
            return []
        column = self._columns[[self.places[hashtag]]]
        have = set(column.indices.tolist())
        return [self.ids[place] for place in itertools.islice((one for one in places.tolist() if one in have), most)]

    def save(self, folder: Path, model: Model) -> None:
        """Write `index.json` and `index.safetensors`; the vectors only if the model's own files do not hold them."""
        own = model.views is self.views
        arrays: Arrays = arrays_of(self._known)
        arrays |= {} if own else {f"views.{name}": array for name, array in self.views.arrays().items()}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / f"{_NAME}.safetensors"
        )
        document: dict[str, Any] = {
            "source": self.source,
            "ids": self.ids,
            "habits": self.habits.to_json(),
            "hashtag_words": self.words.words,
            "caption_pieces": None if own or self.views.words is None else self.views.words.pieces,
            "calibrations": {name: self.calibrations[blind].to_json() for name, blind in _BLIND.items()},
            "given": {name: [one.to_json() for one in self.given[blind]] for name, blind in _BLIND.items()},
        }
        write_json(folder / f"{_NAME}.json", document, exact=True)

    @classmethod
    def load(cls, folder: Path, model: Model, dim: int) -> "Index | None":
        """Read what `save` wrote; None for a folder without an index. Raises HashgenError for a damaged one.

        dim: length of a picture's features.
        """
        if not (folder / f"{_NAME}.json").exists():
            return None
        document = read_json(folder / f"{_NAME}.json", "evaluate")
        try:
            arrays: Arrays = dict(load_file(require(folder / f"{_NAME}.safetensors", "evaluate")))
            habits = Habits.from_json(document["habits"])
            known = flags_of(part_of(arrays, ""), len(habits.popular))
            views = model.views or Views.from_arrays(document["caption_pieces"], part_of(arrays, "views."), dim)
            words = HashtagWords(document["hashtag_words"])
            calibrations = {
                blind: Calibration.from_json(document["calibrations"][name]) for name, blind in _BLIND.items()
            }
            given = {
                blind: [Calibration.from_json(one) for one in document["given"][name]] for name, blind in _BLIND.items()
            }
            ids = [str(one) for one in document["ids"]]
            if len(ids) != known.shape[0] or len(words.words) != known.shape[1]:
                raise ValueError("posts, hashtags and their words differ in number")
            if any(len(one) != _GIVEN for one in given.values()):
                raise ValueError("too few or too many calibrations")
            return cls(ids, habits, known, words, views, calibrations, given, str(document["source"]))
        except Exception as error:  # the parsers of damaged files raise nearly anything
            raise unfit(folder, error) from error


def _calibrate(model: Model, val: Labelled, blind: Blind | None) -> Calibration:
    places = spaced(len(val), MOST_CALIBRATED)
    rankings = model.rank(take(val.posts, places), _CALIBRATED, blind)
    return Calibration.fit_to(rankings, [val.hashtags[place] for place in places]) or Calibration()


def log_odds(chances: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Of probabilities, kept a little away from 0 and 1."""
    inside = np.clip(chances.astype(np.float64), _EDGE, 1 - _EDGE)
    found: npt.NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return found


def chance(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probability of log-odds."""
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return found
