"""What a model costs: its numbers are counted in its folder, its time is that of one post after the other."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from hashgen.features.posts import Blind, Posts
from hashgen.models import Place, Ranking, model_class
from hashgen.models.folder import Trained
from hashgen.models.popularity import Popularity
from hashgen.models.sequence import SequenceModel
from hashgen.scoring.costs import parameters, seconds_of_one
from hashgen.training.about import About
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data


def test_real_numbers_of_all_files_are_counted_but_those_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    save_file({"w": np.zeros((3, 4), np.float32), "h": np.zeros(5, np.float16), "i": np.zeros(7, np.int64)},
              tmp_path / "a.safetensors")  # fmt: skip
    save_file({"one": np.zeros((), np.float64)}, tmp_path / "part" / "b.safetensors")
    save_file({"words": np.zeros((9, 9), np.float32)}, tmp_path / "vectors.safetensors")
    (tmp_path / "model.json").write_text("{}")
    assert parameters(tmp_path) == 12 + 5 + 1


def test_a_network_has_the_parameters_that_torch_counts(tmp_path: Path) -> None:
    section = train_section(model="transformer", epochs=1)
    model = model_class("transformer").fit(small_data(tmp_path), section, Place(torch.device("cpu"), tmp_path / "c"))
    assert not isinstance(model, SequenceModel)
    (tmp_path / "model").mkdir()
    Trained(model, About(section, small_recipe(), model.epoch)).save(tmp_path / "model")
    state = model.network.state_dict()  # type: ignore[attr-defined]
    assert parameters(tmp_path / "model") == sum(one.numel() for one in state.values() if one.is_floating_point())


def test_each_suggestion_is_of_one_post(tmp_path: Path) -> None:
    asked = []

    class Watched(Popularity):
        def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
            asked.append((len(posts), posts.captions[0], depth))
            return super().rank(posts, depth, blind)

    data = small_data(tmp_path, val=3)
    assert seconds_of_one(Watched(data.train.hashtags), data.val.posts) > 0
    captions = data.val.posts.captions
    assert asked == [(1, caption, 5) for caption in (captions[2], *captions)]
