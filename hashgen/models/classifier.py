"""Plain classification over a finite set of hashtags, the paper's own next step: a yes or no for each hashtag."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from hashgen.base.files import read_json, write_json
from hashgen.features.posts import Blind, Posts
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits
from hashgen.training.perceptron import Classifier
from hashgen.training.similarity import blocks, take

if TYPE_CHECKING:
    from hashgen.params.train import Train
    from hashgen.training.about import About

# Posts scored at once: the bound on memory.
_BLOCK = 1024


class ClassifierModel(Model):
    """A yes or no for each hashtag of two or more training posts; knows nothing of order or number."""

    gives_probabilities = True

    def __init__(self, classifier: Classifier, habits: Habits) -> None:
        self.classifier = classifier
        self.habits = habits

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Train the perceptron; validation posts choose nothing."""
        settings = section.classifier
        assert settings is not None
        habits = Habits(data.train.hashtags)
        classifier = Classifier.learn(
            data.train, habits.repeated(), settings, section.inputs, section.seed, place.device, "train"
        )
        return cls(classifier, habits)

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by their probability; those of a single training post follow with 0."""
        rankings = []
        for block in blocks(len(posts), _BLOCK):
            for row in self.classifier.log_odds(take(posts, np.arange(block.start, block.stop)), blind):
                order = np.argsort(-row, kind="stable")[:depth]
                scores = (1 / (1 + np.exp(-row[order].astype(np.float64)))).tolist()
                head = dict(zip((self.classifier.hashtags[number] for number in order), scores, strict=True))
                rankings.append([(hashtag, head.get(hashtag, 0.0)) for hashtag in self.habits.fill(list(head), depth)])
        return rankings

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """The head of the ranking (see `Habits.write`)."""
        rankings = self.rank(posts, self.habits.length, blind)
        return [self.habits.write([hashtag for hashtag, _ in ranking]) for ranking in rankings]

    def save(self, folder: Path) -> None:
        """Write the classifier's files and `habits.json`."""
        self.classifier.save(folder)
        write_json(folder / "habits.json", self.habits.to_json(), exact=True)

    @classmethod
    def load(cls, folder: Path, about: "About", device: torch.device) -> Self:
        """Read what `save` wrote."""
        settings = about.section.classifier
        assert settings is not None
        habits = Habits.from_json(read_json(folder / "habits.json", "train"))
        return cls(Classifier.read(folder, settings, about, device), habits)


MODEL = ClassifierModel
