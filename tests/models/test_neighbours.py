"""Tuned neighbours: votes, what is copied from the caption, and how many posts are scored at once."""

import numpy as np
import pytest

from hashgen.features.posts import Features, Labelled, Posts
from hashgen.models import neighbours
from hashgen.models.neighbours import NeighboursModel
from hashgen.params.train import Neighbours as Settings
from hashgen.training.similarity import Near

PICTURES = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 0, 1]], np.float16)


def posts(pictures: np.ndarray, captions: list[str]) -> Posts:
    features = Features(pictures, np.empty((len(pictures), 0, 3), np.float16))
    return Posts(features, np.arange(len(pictures)), captions)


TRAIN = Labelled(
    posts(PICTURES, ["quiet"] * 5),
    [["beach", "golden_hour"], ["beach"], ["wood", "mydog"], ["wood"], ["rain"]],
)
ASKED = posts(PICTURES[[0, 2]], ["a golden light in the last hour", "my dog is quiet"])


def learn(copy_bonus: float) -> NeighboursModel:
    return NeighboursModel.learn(TRAIN, Settings(posts=2, power=1.0, copy_bonus=copy_bonus), "both")


def test_a_hashtag_whose_words_all_stand_in_the_caption_gets_the_bonus() -> None:
    plain, copying = learn(0.0), learn(0.25)
    one, other = plain.scores(ASKED), copying.scores(ASKED)
    expected = np.zeros_like(one)
    expected[0, plain.hashtags.index("golden_hour")] = expected[1, plain.hashtags.index("mydog")] = 0.25
    assert other - one == pytest.approx(expected, abs=1e-6)
    assert copying.scores(ASKED, "caption") == pytest.approx(plain.scores(ASKED, "caption"))
    assert plain.rank(ASKED, 1)[0][0][0] == "beach"
    assert dict(copying.rank(ASKED, 2)[0]).keys() == {"beach", "golden_hour"}


def test_posts_are_ranked_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    model, many = learn(0.25), ASKED.pair([0, 1] * 5, [1, 0] * 5)
    whole, blocks = model.rank(many, 6), []
    scores = NeighboursModel._scores

    def counted(self: NeighboursModel, part: Posts, near: Near, blind: None = None) -> np.ndarray:
        blocks.append(len(part))
        return scores(self, part, near, blind)

    monkeypatch.setattr(NeighboursModel, "_scores", counted)
    monkeypatch.setattr(neighbours, "_BLOCK", 4)
    assert model.rank(many, 6) == whole and blocks == [4, 4, 2]
