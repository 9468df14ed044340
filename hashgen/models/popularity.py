"""The most frequent hashtags of the training posts, the same for every post."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from hashgen.base.files import read_json, write_json
from hashgen.features.posts import Blind, Posts
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits, texts_by_post

if TYPE_CHECKING:
    import torch

    from hashgen.params.train import Train
    from hashgen.training.about import About


class Popularity(Model):
    """Scores are shares of the training posts. It sees nothing of a post, so that it cannot be made blind."""

    def __init__(self, hashtags: list[list[str]]) -> None:
        self._hashtags = hashtags
        self.habits = Habits(hashtags)

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Count the hashtags of the training posts."""
        return cls(data.train.hashtags)

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """The same ranking for each post."""
        counts, total = self.habits.counts, len(self._hashtags)
        ranking = [(hashtag, counts[hashtag] / total) for hashtag in self.habits.fill([], depth)]
        return [list(ranking) for _ in posts.captions]

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """The head of the ranking (see `Habits.write`)."""
        written = self.habits.write(self.habits.fill([], self.habits.length))
        return [list(written) for _ in posts.captions]

    def save(self, folder: Path) -> None:
        """Write `posts.json`: the hashtags of the training posts."""
        write_json(folder / "posts.json", {"hashtags": self._hashtags})

    @classmethod
    def load(cls, folder: Path, about: "About", device: "torch.device") -> Self:
        """Read what `save` wrote."""
        return cls(texts_by_post(read_json(folder / "posts.json", "train")["hashtags"]))


MODEL = Popularity
