"""Candidates, then a ranker: hashtags that neighbours, ridge regression or a classifier propose, ordered by trees.

Each training post is scored as if it were unknown: neighbours and ridge leave out its own group, the classifier is one
that never saw it. From these scores the trees learn which to believe.

Ridges and classifier say how likely a hashtag is. Neighbours and trees aim at F1@5: they count a hashtag of a post by
what it is worth there (see `hashgen.metrics.ranked.worth`).

A post without a caption, or without a picture, is judged by trees of its own, which learnt from the rest alone.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file

from hashgen.base.files import read_json, require, write_json
from hashgen.features.posts import Blind, Labelled, Posts, spaced
from hashgen.metrics.calibration import MOST_CALIBRATED, Calibration, best_length
from hashgen.metrics.ranked import worth
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits
from hashgen.params.train import Ranker as Settings
from hashgen.training.hashtag_words import HashtagWords
from hashgen.training.perceptron import Classifier
from hashgen.training.similarity import (
    SUM,
    Arrays,
    Floats,
    Near,
    Views,
    arrays_of,
    blocks,
    flags,
    flags_of,
    nearest,
    part_of,
    take,
    votes,
    with_sum,
)
from hashgen.training.trees import Trees

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from hashgen.params.train import Train
    from hashgen.training.about import About

# The closed form of ridge regression takes memory with the square of the posts and time with their cube, so that of
# more posts than this a part drawn by chance is its support; the trees learn from the same part.
MOST_SUPPORT = 10_000
# Posts scored at once: the bound on memory.
_BLOCK = 256
_LEAST_SCORE = 1e-5
# Of each validation post, probabilities of so many hashtags are calibrated: those that are suggested.
_CALIBRATED = 10
_LEAST_LOG_ODDS = -12.0
# The classifier's log-odds among the scores; others are named by their kind and kernel.
_CLASSIFIER = "classifier"

# Of some posts: their rows, which hashtags are candidates (n, hashtags), and the features of each (pairs, features).
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], Floats]
# Of a post: numbers of hashtags, surest first, their log-odds, and the expected number of its hashtags.
Candidates = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float]


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Kernel ridge regression of one kernel. weights: (support, targets)."""

    weights: Floats

    @classmethod
    def fit(
        cls, kernel: Floats, targets: Floats, penalty: float, groups: Sequence[Sequence[int]]
    ) -> tuple[Self, Floats]:
        """Weights for a kernel (n, n), and what each group of rows gets from all others (n, targets), exactly.

        targets: (n, targets), their means already taken off. Leaving a group G out of the fit changes its residuals to
        inv(A_GG) (A y)_G with A = inv(K + penalty I): the closed form of leave-one-out, by blocks.
        """
        regular = kernel.astype(np.float64)
        regular[np.diag_indices_from(regular)] += penalty
        inverse = np.linalg.inv(regular)
        weights = inverse @ targets
        left_out = np.empty(targets.shape, np.float32)
        for group in groups:
            rows = np.array(group)
            left_out[rows] = targets[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], weights[rows])
        return cls(weights.astype(np.float32)), left_out


class RankerModel(Model):
    """Gradient-boosted trees over candidates; scores are probabilities, calibrated on the validation posts.

    hashtags: those of two or more training posts, most frequent first. Others are never candidates; they follow by
    frequency.
    """

    gives_probabilities = True
    views: Views

    def __init__(
        self,
        settings: Settings,
        views: Views,
        known: "csr_array",
        worths: Floats,
        habits: Habits,
        support: npt.NDArray[np.int64],
        words: HashtagWords,
    ) -> None:
        self.settings = settings
        self.views = views
        self.habits = habits
        self.hashtags = habits.repeated()
        self._known = known  # (train, hashtags)
        self._worths = worths  # (train,)
        self._valued = known.multiply(worths[:, None]).tocsr()
        self._support = support
        # What the ridges compare with; the views themselves where that is all posts.
        self._supporting = None if len(support) == known.shape[0] else views.part(support)
        self._words = words
        self._meanings = None if views.words is None else views.words.rows([" ".join(one) for one in words.words])
        counts = np.array([habits.counts[hashtag] for hashtag in self.hashtags], np.float32)
        self._counts = np.log(counts)
        self._means: Floats = (counts / known.shape[0]).astype(np.float32)
        self.ridges: dict[str, Ridge] = {}
        self.mean_length = float(sum(habits.counts.values()) / known.shape[0])
        self.classifier: Classifier | None = None
        # By what they are blind to; of a model that reads one input, None alone.
        self.trees: dict[Blind | None, Trees] = {}
        self.calibrations: dict[Blind | None, Calibration | None] = {}
        self._last: tuple[Posts, Blind | None, list[Candidates]] | None = None

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Fit views, ridges, the classifier and then the trees; validation posts calibrate the probabilities."""
        settings = section.ranker
        assert settings is not None
        train = data.train
        habits = Habits(train.hashtags)
        hashtags = habits.repeated()
        ids = {hashtag: number for number, hashtag in enumerate(hashtags)}
        known = flags([[ids[tag] for tag in tags if tag in ids] for tags in train.hashtags], len(hashtags))
        model = cls(
            settings,
            Views.fit(train.posts, section.inputs),
            known,
            worth(train.hashtags),
            habits,
            choose_support(len(train), section.seed),
            HashtagWords.of(hashtags),
        )
        left_out = model._fit_ridges(train)
        unseen = model._cross_fit(train, section, place.device)
        pairs: dict[Blind | None, list[Pairs]] = {blind: [] for blind in model._blinds}
        for part, rows, scores in model._left_out(train, left_out):
            for blind, some in pairs.items():
                some.append((rows, *model._pairs(scores | {_CLASSIFIER: unseen[part]}, train.posts, rows, blind)))
        for blind, some in pairs.items():
            model.trees[blind] = model._fit_trees(some)
            model.calibrations[blind] = model._calibrate(data.val, blind)
        return model

    @property
    def _blinds(self) -> list[Blind | None]:
        """What there are trees for."""
        return [None, "image", "caption"] if self.views.picture is not None and self.views.words is not None else [None]

    def _seen(self, blind: Blind | None) -> list[str]:
        """What trees look at: kernels and, if they are blind to nothing, the classifier."""
        if blind not in self._blinds[1:]:
            return [*self.views.kernels, _CLASSIFIER]
        return [name for name in self.views.names if (name == "picture") == (blind == "caption")]

    def _fit_trees(self, pairs: list[Pairs]) -> Trees:
        settings = self.settings
        return Trees.fit(
            np.concatenate([features for _, _, features in pairs]),
            np.concatenate([self._known[rows].toarray()[mask] > 0 for rows, mask, _ in pairs]),
            np.concatenate([self._worths[rows[np.nonzero(mask)[0]]] for rows, mask, _ in pairs]),
            trees=settings.trees,
            leaves=settings.leaves,
            least=settings.least,
            rate=settings.learning_rate,
            penalty=settings.l2,
        )

    def _calibrate(self, val: Labelled, blind: Blind | None) -> Calibration | None:
        """Make the probabilities of the surest hashtags hold on the validation posts; their order stays."""
        places = spaced(len(val), MOST_CALIBRATED)
        rankings = self.rank(take(val.posts, places), _CALIBRATED, blind)
        return Calibration.fit_to(rankings, [val.hashtags[place] for place in places])

    def _fit_ridges(self, train: Labelled) -> dict[str, Floats]:
        """Fit the ridges; returns what each post of the support gets from all others, by kernel."""
        support = self._support
        targets = self._known[support].toarray() - self._means  # (support, hashtags)
        lengths = np.array([len(train.hashtags[post]) for post in support], np.float32)[:, None] - self.mean_length
        targets = np.concatenate([targets, lengths], axis=1)
        groups = _same(self._groups(train)[support])
        left_out = {}
        for name, kernel in self._kernels(train.posts, support).items():
            self.ridges[name], left_out[name] = Ridge.fit(kernel, targets, self.settings.ridge, groups)
        return left_out

    def _kernels(self, posts: Posts, rows: npt.NDArray[np.int64]) -> dict[str, Floats]:
        """Similarities (rows, support) of training posts, by view and together."""
        kernels = {name: np.empty((len(rows), len(self._support)), np.float32) for name in self.views.names}
        for block in blocks(len(rows), _BLOCK):
            for name, found in (self._supporting or self.views).similarities(take(posts, rows[block])).items():
                kernels[name][block] = found
        return with_sum(kernels)

    @staticmethod
    def _groups(train: Labelled) -> npt.NDArray[np.int64]:
        """The number of each post's group."""
        names = train.groups if train.groups is not None else [str(post) for post in range(len(train))]
        return np.unique(names, return_inverse=True)[1]

    def _left_out(
        self, train: Labelled, left_out: dict[str, Floats]
    ) -> Iterator[tuple[slice, npt.NDArray[np.int64], dict[str, Floats]]]:
        """Scores of the support's posts by block, each as if its own group were unknown."""
        groups = self._groups(train)
        for part in blocks(len(self._support), _BLOCK):
            rows = self._support[part]
            near = self.views.nearest(take(train.posts, rows), self._voting, groups=(groups[rows], groups))
            ridges = {name: found[part, :-1] + self._means for name, found in left_out.items()}
            yield part, rows, self._votes(near) | {f"ridge {name}": found for name, found in ridges.items()}

    @property
    def _voting(self) -> dict[str, int]:
        """How many posts vote, by kernel."""
        settings = self.settings
        return {
            name: settings.picture_posts if name == "picture" else settings.caption_posts for name in self.views.kernels
        }

    def _votes(self, near: dict[str, Near]) -> dict[str, Floats]:
        return {f"votes {name}": votes(one, self.settings.power, self._valued) for name, one in near.items()}

    def _cross_fit(self, train: Labelled, section: "Train", device: torch.device) -> Floats:
        """Train the classifier on all posts; returns log-odds (support, hashtags) of others that never saw the post.

        There are `folds` of them, each trained without one share of the groups.
        """
        settings = self.settings
        fold = np.array([_fold(group, settings.folds) for group in self._groups(train).tolist()])
        found = np.full((len(self._support), len(self.hashtags)), _LEAST_LOG_ODDS, np.float32)

        def learn(posts: Labelled, number: int) -> Classifier:
            label = f"classifier {number} of {settings.folds + 1}"
            # Those too that these posts have once or never. Had they no score, that would tell the trees the answer: if
            # a hashtag of two posts has a score, both posts are here, and none of those asked has it.
            hashtags = list(dict.fromkeys(Habits(posts.hashtags).repeated() + self.hashtags))
            return Classifier.learn(posts, hashtags, settings.classifier, section.inputs, section.seed, device, label)

        for number in range(settings.folds):
            rest, asked = np.flatnonzero(fold != number), np.flatnonzero(fold[self._support] == number)
            if len(rest) and len(asked):
                other = learn(Labelled(take(train.posts, rest), [train.hashtags[post] for post in rest]), number + 1)
                found[asked] = self._in_order(other, other.log_odds(take(train.posts, self._support[asked])))
        self.classifier = learn(train, settings.folds + 1)
        return found

    def _in_order(self, classifier: Classifier, log_odds: Floats) -> Floats:
        """Log-odds in the order of `hashtags`, the least for those that the classifier does not know."""
        found = np.full((len(log_odds), len(self.hashtags)), _LEAST_LOG_ODDS, np.float32)
        ids = {hashtag: number for number, hashtag in enumerate(self.hashtags)}
        pairs = [(place, ids[hashtag]) for place, hashtag in enumerate(classifier.hashtags) if hashtag in ids]
        if pairs:
            there, here = map(list, zip(*pairs, strict=True))
            found[:, here] = np.maximum(log_odds[:, there], _LEAST_LOG_ODDS)
        return found

    def _pairs(
        self, scores: dict[str, Floats], posts: Posts, rows: npt.NDArray[np.int64], blind: Blind | None
    ) -> tuple[npt.NDArray[np.bool_], Floats]:
        """Which hashtags are candidates (n, hashtags), and the features (pairs, features) of each, row by row.

        scores: by name, each (n, hashtags); those that trees blind to an input do not look at are left out.
        """
        captions = [posts.captions[row] for row in rows]
        reads = self.views.words is not None and blind != "caption"
        none = np.zeros((len(rows), len(self.hashtags)), np.float32)
        shares = self._words.shares(captions) if reads else none
        scores = {name: found for name, found in scores.items() if name.split()[-1] in self._seen(blind)}
        mask = shares == 1
        for found in scores.values():
            count = min(self.settings.candidates, found.shape[1])
            np.put_along_axis(mask, np.argpartition(-found, count - 1, axis=1)[:, :count], True, axis=1)
        _, columns = np.nonzero(mask)
        features = []
        for name, found in scores.items():
            picked = found[mask]
            features.append(picked)
            if name != _CLASSIFIER:
                features.append(np.log(np.maximum(picked, np.float32(_LEAST_SCORE))))
        features += [self._counts[columns], shares[mask]]
        if self._meanings is not None and self.views.words is not None:
            near = (self.views.words.rows(captions) @ self._meanings.T).toarray() if reads else none
            features.append(near[mask])
        return mask, np.stack(features, axis=1).astype(np.float32)

    def _columns(self, blind: Blind | None) -> int:
        """The number of features of `_pairs`."""
        seen = self._seen(blind)
        return 4 * len(seen) - 3 * (_CLASSIFIER in seen) + 2 + (self._meanings is not None)

    def judge(self, posts: Posts, blind: Blind | None = None) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
        """Of each post, log-odds by the trees (hashtags,), -inf for no candidate; and its expected number of hashtags.

        One post after the other: the log-odds of all at once could fill the memory.
        """
        assert self.classifier is not None
        seen = self._seen(blind)
        voting = {name: count for name, count in self._voting.items() if name in seen}
        trees = self.trees[blind if blind in self.trees else None]
        for block in blocks(len(posts), _BLOCK):
            part = take(posts, np.arange(block.start, block.stop))
            kernels = (self._supporting or self.views).similarities(part, blind)
            kernels = with_sum(kernels) if SUM in voting else {name: kernels[name] for name in voting}
            if self._supporting is None:
                near = {name: nearest(kernel, voting[name]) for name, kernel in kernels.items()}
            else:
                near = self.views.nearest(part, voting, blind)
            scores = self._votes(near)
            ridges = {name: kernel @ self.ridges[name].weights for name, kernel in kernels.items()}
            scores |= {f"ridge {name}": found[:, :-1] + self._means for name, found in ridges.items()}
            lengths = self.mean_length + list(ridges.values())[-1][:, -1]
            if _CLASSIFIER in seen:
                scores[_CLASSIFIER] = self._in_order(self.classifier, self.classifier.log_odds(part, blind))
            mask, features = self._pairs(scores, part, np.arange(len(part)), blind)
            judged = np.full(mask.shape, -np.inf)
            judged[mask] = trees.log_odds(features)
            yield from zip(judged, np.maximum(lengths, 1).tolist(), strict=True)

    def _candidates(self, posts: Posts, blind: Blind | None) -> list[Candidates]:
        """The candidates of each post, surest first. In the order of the trees: calibrated probabilities can be equal.

        `rank` and `write` ask for the same posts one after the other, so the last ones are remembered.
        """
        last = self._last
        if last is None or last[0] is not posts or last[1] != blind:
            found = []
            for log_odds, length in self.judge(posts, blind):
                order = np.argsort(-log_odds, kind="stable")[: int(np.isfinite(log_odds).sum())]
                found.append((order, log_odds[order], length))
            last = self._last = posts, blind, found
        return last[2]

    def _chances(self, log_odds: npt.NDArray[np.float64], blind: Blind | None) -> npt.NDArray[np.float64]:
        calibration = self.calibrations.get(blind if blind in self.trees else None)
        chances: npt.NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
        return chances if calibration is None else calibration.apply(chances)

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Candidates by their probability; all others follow by frequency, with 0."""
        rankings = []
        for order, log_odds, _ in self._candidates(posts, blind):
            hashtags = [self.hashtags[place] for place in order[:depth]]
            head = dict(zip(hashtags, self._chances(log_odds[:depth], blind).tolist(), strict=True))
            rankings.append([(hashtag, head.get(hashtag, 0.0)) for hashtag in self.habits.fill(hashtags, depth)])
        return rankings

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """As many of the surest as promise the best F1 (see `best_length`), in the order of training posts."""
        written = []
        for order, log_odds, length in self._candidates(posts, blind):
            number = best_length(self._chances(log_odds, blind), length, len(self.hashtags))
            hashtags = [self.hashtags[place] for place in order]
            written.append(sorted(self.habits.fill(hashtags, number), key=lambda tag: self.habits.places[tag]))
        return written

    def save(self, folder: Path) -> None:
        """Write `ranker.safetensors`, `ranker.json` and the classifier's files."""
        assert self.classifier is not None
        arrays: Arrays = {f"views.{name}": array for name, array in self.views.arrays().items()}
        arrays |= {f"ridge.{name}": ridge.weights for name, ridge in self.ridges.items()}
        for blind, trees in self.trees.items():
            arrays |= {f"trees.{_name(blind)}.{name}": array for name, array in trees.arrays().items()}
        arrays |= arrays_of(self._known)
        arrays |= {"support": self._support, "worths": self._worths}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "ranker.safetensors")
        pieces = None if self.views.words is None else self.views.words.pieces
        known = {"pieces": pieces, "hashtag_words": self._words.words, "habits": self.habits.to_json()}
        known["calibrations"] = {
            _name(blind): None if one is None else one.to_json() for blind, one in self.calibrations.items()
        }
        write_json(folder / "ranker.json", known, exact=True)
        self.classifier.save(folder)

    @classmethod
    def load(cls, folder: Path, about: "About", device: torch.device) -> Self:
        """Read what `save` wrote."""
        settings = about.section.ranker
        assert settings is not None
        known: dict[str, Any] = read_json(folder / "ranker.json", "train")
        arrays: Arrays = dict(load_file(require(folder / "ranker.safetensors", "train")))
        model = cls._of(settings, known, arrays, about.recipe.dim)
        model.classifier = Classifier.read(folder, settings.classifier, about, device)
        return model

    @classmethod
    def _of(cls, settings: Settings, known: dict[str, Any], arrays: Arrays, dim: int) -> Self:
        habits = Habits.from_json(known["habits"])
        views = Views.from_arrays(known["pieces"], part_of(arrays, "views."), dim)
        hashtags = flags_of(arrays, len(habits.repeated()))
        if len(known["hashtag_words"]) != hashtags.shape[1]:
            raise ValueError("hashtags and their words differ in number")
        support = arrays["support"].astype(np.int64)
        if not ((support >= 0) & (support < hashtags.shape[0])).all():
            raise ValueError("a support of posts that are not there")
        worths = arrays["worths"].astype(np.float32)
        if worths.shape != (hashtags.shape[0],) or not (worths > 0).all():
            raise ValueError("hashtags of no worth, or of other posts")
        model = cls(settings, views, hashtags, worths, habits, support, HashtagWords(known["hashtag_words"]))
        names = views.kernels
        for name in names:
            model.ridges[name] = Ridge(arrays[f"ridge.{name}"].astype(np.float32))
            if model.ridges[name].weights.shape != (len(support), hashtags.shape[1] + 1):
                raise ValueError("weights do not fit the posts and hashtags")
        for blind in model._blinds:
            calibration = known["calibrations"][_name(blind)]
            model.calibrations[blind] = None if calibration is None else Calibration.from_json(calibration)
            model.trees[blind] = Trees.from_arrays(part_of(arrays, f"trees.{_name(blind)}."), model._columns(blind))
        return model


MODEL = RankerModel


def _name(blind: Blind | None) -> str:
    return blind or "nothing"


def choose_support(posts: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of all posts, or of `MOST_SUPPORT` drawn by chance, in ascending order."""
    if posts <= MOST_SUPPORT:
        return np.arange(posts)
    return np.sort(np.random.default_rng(seed).permutation(posts)[:MOST_SUPPORT])


def _same(groups: npt.NDArray[np.int64]) -> list[list[int]]:
    """The places of each group."""
    found: dict[int, list[int]] = {}
    for place, group in enumerate(groups.tolist()):
        found.setdefault(group, []).append(place)
    return list(found.values())


def _fold(group: int, folds: int) -> int:
    return int.from_bytes(hashlib.sha256(str(group).encode()).digest()[:4], "big") % folds
