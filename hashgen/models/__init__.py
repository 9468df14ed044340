"""The models: what every one can do, and which there are. One file each; a model owns how it learns.

To add one, start from a copy of popularity.py: a class `MODEL`; its name in `train.model` and its block in params.yaml
and `hashgen/params/train.py`, where a model finds it as `section.NAME`. Only the chosen model's file is imported.
"""

import abc
import copy
import dataclasses
import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from hashgen.features.posts import Blind, Labelled, Posts

if TYPE_CHECKING:
    import torch

    from hashgen.params.train import Train
    from hashgen.text.vocabulary import Vocabularies
    from hashgen.training.about import About
    from hashgen.training.history import Epoch
    from hashgen.training.similarity import Views

# Hashtags with scores, best first. Scores of one ranking compare with each other, not with those of another model.
Ranking = list[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How a model that writes hashtag by hashtag searches for them (see `hashgen.training.decoding.beam_search`).

    search: greedy ignores the rest. beam: hypotheses a post. length_penalty: 0 ranks them by probability, 1 by the mean
    a token, the value that did best on validation posts (`beam_search` has the figures).
    """

    search: Literal["greedy", "beam"] = "greedy"
    beam: int = 5
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if (
            self.search not in ("greedy", "beam")
            or not 1 <= self.beam <= 100
            or not 0 <= self.length_penalty < math.inf
        ):
            raise ValueError(f"no such decoding: {self}")


@dataclasses.dataclass(frozen=True)
class Data:
    """What a model learns from: training posts, validation posts to choose by, words and hashtags of training."""

    train: Labelled
    val: Labelled
    vocabularies: "Vocabularies"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a model learns: torch's device, a file for what must outlive a kill, and a callback for each epoch."""

    device: "torch.device"
    checkpoint: Path
    on_epoch: "Callable[[Epoch], None]" = lambda _: None


class Model(abc.ABC):
    """A model of any kind: it ranks hashtags for a post, and writes some of them in order."""

    history: "Sequence[Epoch]" = ()
    """Losses and scores by epoch of the training that made this model; empty where there are no epochs."""

    epoch: int | None = None
    """The epoch that was kept, from 1; None where there are no epochs."""

    decoding: Decoding | None = None
    """How `write` searches; None for a model that does not write hashtag by hashtag."""

    views: "Views | None" = None
    """The vectors of its training posts, of a model that keeps them."""

    learns_together = False
    """Whether several processes can train it together (see `hashgen.training.ranks`)."""

    gives_probabilities = False
    """Whether the scores of a ranking are probabilities that the post has the hashtag, 0..1."""

    @classmethod
    @abc.abstractmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Learn from the training posts; validation posts choose between epochs or settings.

        The same data and section give the same model. Raises HashgenError when the posts or parameters do not allow
        it.
        """

    @abc.abstractmethod
    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """The `depth` distinct hashtags, or all that it knows, with scores that the model is surest of, best first.

        A shorter ranking is the head of a longer one.

        blind: what the model must not see of the posts.
        """

    @abc.abstractmethod
    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """Distinct hashtags for each post, at least one, as many and in such order as people write them."""

    def with_decoding(self, decoding: Decoding) -> Self:
        """This model with another way to search; itself where there is no search."""
        if self.decoding is None:
            return self
        other = copy.copy(self)
        other.decoding = decoding
        return other

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an existing folder; no pickles."""

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path, about: "About", device: "torch.device") -> Self:
        """Read what `save` wrote. Raises HashgenError when a file is missing, any Exception when one does not fit.

        Allocates no more than the files are large, whatever numbers they hold.
        """


def model_class(name: str) -> type[Model]:
    """The class of the model that `train.model` names. Its file is imported here and no other's."""
    kind: type[Model] = importlib.import_module(f"hashgen.models.{name}").MODEL
    return kind
