"""The classifier learns from very many posts in bounded time."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hashgen.features.posts import Inputs
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

    def counted(self: Perceptron, picture: Tensor, text: Tensor, columns: Tensor | None = None) -> Tensor:
        steps.append(self.training)
        return forward(self, picture, text, columns)

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


def test_columns_of_zeros_may_be_left_out() -> None:
    settings = train_section().classifier
    assert settings is not None
    torch.manual_seed(1)
    network = Perceptron(3, 6, 5, settings).eval()
    network.picture_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    picture = torch.randn(3, 3)
    text = torch.tensor([[1.0, 0, 1, 0, 0.5, 0], [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, -2, 0]])
    columns = torch.tensor([0, 2, 3, 4])
    assert torch.allclose(network(picture, text[:, columns], columns), network(picture, text), atol=1e-6)


@pytest.mark.parametrize("inputs", ["both", "caption", "image"])
def test_very_many_posts_are_learnt_in_larger_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: Inputs
) -> None:
    sizes = []

    def counted(self: Perceptron, picture: Tensor, text: Tensor, columns: Tensor | None = None) -> Tensor:
        sizes.extend([len(picture)] if self.training else [])
        return forward(self, picture, text, columns)

    forward = Perceptron.forward
    monkeypatch.setattr(Perceptron, "forward", counted)
    monkeypatch.setattr(perceptron, "MANY", 40)
    settings = train_section().classifier
    assert settings is not None and settings.batch_size == 8
    train = small_data(tmp_path, train=41).train
    hashtags = sorted({hashtag for tags in train.hashtags for hashtag in tags})
    settings = settings.model_copy(update={"epochs": 60})
    model = Classifier.learn(train, hashtags, settings, inputs, 1, torch.device("cpu"), "test")
    assert sizes == [32, 9] * 60
    found = model.log_odds(train.posts)
    told = [model.hashtags[row.argmax()] in tags for row, tags in zip(found, train.hashtags, strict=True)]
    assert told == [True] * 41
