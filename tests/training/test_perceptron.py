"""The classifier learns from very many posts in bounded time."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hashgen.params.train import Classifier as Settings
from hashgen.training import perceptron
from hashgen.training.perceptron import Classifier, Perceptron
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_data


def learn(folder: Path, settings: Settings) -> Classifier:
    train = small_data(folder, train=41).train
    hashtags = sorted({hashtag for hashtags in train.hashtags for hashtag in hashtags})
    return Classifier.learn(train, hashtags, settings, "both", 1, torch.device("cpu"), "test")


@pytest.mark.parametrize(("most", "epochs"), [(17, 2), (18, 3), (30, 5), (1000, 5), (1, 1)])
def test_there_are_fewer_epochs_where_they_have_many_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, epochs: int
) -> None:
    steps = []

    def counted(self: Perceptron, picture: Tensor, text: Tensor) -> Tensor:
        steps.append(self.training)
        return forward(self, picture, text)

    forward = Perceptron.forward
    monkeypatch.setattr(Perceptron, "forward", counted)
    monkeypatch.setattr(perceptron, "MOST_STEPS", most)
    settings = train_section().classifier
    assert settings is not None and settings.batch_size == 8
    learn(tmp_path, settings.model_copy(update={"epochs": 5}))
    assert sum(steps) == 6 * epochs  # 41 posts are six batches


def test_the_most_frequent_words_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = train_section().classifier
    assert settings is not None
    assert learn(tmp_path, settings).words == ["at", "day", "done", "home", "morning", "run", "slow"]
    # "morning run done" is the caption of 21 posts, "slow day at home" of 20.
    monkeypatch.setattr(perceptron, "MOST_WORDS", 5)
    model = learn(tmp_path, settings)
    assert model.words == ["at", "day", "done", "morning", "run"]
    assert model.network.text_mean.shape == (5,)
