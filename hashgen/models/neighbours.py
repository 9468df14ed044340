"""Nearest neighbours: the hashtags of the training posts that are most like a post, by picture, caption or both."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from hashgen.base.files import read_json, require, write_json
from hashgen.features.posts import Blind, Inputs, Labelled, Posts
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits
from hashgen.params.train import Neighbours as Settings
from hashgen.training.hashtag_words import HashtagWords
from hashgen.training.similarity import (
    Floats,
    Near,
    Views,
    arrays_of,
    blocks,
    flags,
    flags_of,
    part_of,
    take,
    votes,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from hashgen.params.train import Train
    from hashgen.training.about import About

# Posts scored at once: the bound on memory.
_BLOCK = 256
# As many neighbours are found and remembered, so that models that differ in how many vote need not search again.
_FOUND = 40


class NeighboursModel(Model):
    """The nearest training posts vote for their hashtags; those whose words all stand in the caption get a bonus.

    Nearest by the sum of the cosines of all views (see `hashgen.training.similarity`). Popular hashtags fill up.
    """

    views: Views

    def __init__(
        self,
        settings: Settings,
        search: "Search",
        known: "csr_array",
        habits: Habits,
        words: HashtagWords,
    ) -> None:
        self.settings = settings
        self.search = search
        self.views = search.views
        self.habits = habits
        self.hashtags = list(habits.popular)
        self.words = words
        self._known = known  # (train, hashtags)

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Keep the training posts."""
        assert section.neighbours is not None
        return cls.learn(data.train, section.neighbours, section.inputs)

    @classmethod
    def learn(cls, train: Labelled, settings: Settings, inputs: Inputs, like: "NeighboursModel | None" = None) -> Self:
        """Keep posts. like: a model of the same posts and inputs, whose search is shared."""
        if like is not None:
            return cls(settings, like.search, like._known, like.habits, like.words)
        habits = Habits(train.hashtags)
        known = flags([[habits.popular[hashtag] for hashtag in one] for one in train.hashtags], len(habits.popular))
        search = Search(Views.fit(train.posts, inputs))
        return cls(settings, search, known, habits, HashtagWords.of(list(habits.popular)))

    def scores(self, posts: Posts, blind: Blind | None = None) -> Floats:
        """Shares of the votes and bonuses: (n, hashtags), in the order of `hashtags`."""
        return self._scores(posts, self.search.nearest(posts, self.settings.posts, blind), blind)

    def _scores(self, posts: Posts, near: Near, blind: Blind | None) -> Floats:
        found = votes(near, self.settings.power, self._known)
        if self.settings.copy_bonus and self.views.words is not None and blind != "caption":
            found += np.float32(self.settings.copy_bonus) * (self.words.shares(posts.captions) == 1)
        return found

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by their scores, equals by frequency; those without a vote follow with 0."""
        near = self.search.nearest(posts, self.settings.posts, blind)
        rankings: list[Ranking] = []
        for block in blocks(len(posts), _BLOCK):
            scores = self._scores(take(posts, np.arange(block.start, block.stop)), near.some(block), blind)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
            rankings += [
                [(self.hashtags[place], float(row[place])) for place in places]
                for row, places in zip(scores, order.tolist(), strict=True)
            ]
        return rankings

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """The head of the ranking (see `Habits.write`)."""
        rankings = self.rank(posts, self.habits.length, blind)
        return [self.habits.write([hashtag for hashtag, _ in ranking]) for ranking in rankings]

    def save(self, folder: Path) -> None:
        """Write `neighbours.safetensors` and `neighbours.json`: the training posts as vectors, and their hashtags."""
        arrays = {f"views.{name}": array for name, array in self.views.arrays().items()} | arrays_of(self._known)
        save_file(
            {name: np.ascontiguousarray(part) for name, part in arrays.items()}, folder / "neighbours.safetensors"
        )
        pieces = None if self.views.words is None else self.views.words.pieces
        known = {"pieces": pieces, "hashtag_words": self.words.words, "habits": self.habits.to_json()}
        write_json(folder / "neighbours.json", known, exact=True)

    @classmethod
    def load(cls, folder: Path, about: "About", device: Any) -> Self:
        """Read what `save` wrote."""
        settings = about.section.neighbours
        assert settings is not None
        known = read_json(folder / "neighbours.json", "train")
        arrays = dict(load_file(require(folder / "neighbours.safetensors", "train")))
        habits = Habits.from_json(known["habits"])
        views = Views.from_arrays(known["pieces"], part_of(arrays, "views."), about.recipe.dim)
        hashtags = flags_of(arrays, len(habits.popular))
        return cls(settings, Search(views), hashtags, habits, HashtagWords(known["hashtag_words"]))


MODEL = NeighboursModel


class Search:
    """The nearest training posts by all views together; those of the posts that were asked for last are remembered."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self._last: tuple[Posts, Blind | None, Near] | None = None

    def nearest(self, posts: Posts, count: int, blind: Blind | None) -> Near:
        """The nearest `count` of each post."""
        last = self._last
        if last is None or last[0] is not posts or last[1] != blind or last[2].rows.shape[1] < count:
            together = self.views.kernels[-1]
            found = self.views.nearest(posts, {together: max(count, _FOUND)}, blind)
            last = self._last = posts, blind, found[together]
        return last[2].first(count)
