import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashgen import Suggester
from hashgen.base.errors import HashgenError
from hashgen.features.backbone import load_encoder
from hashgen.features.captions import load_caption_encoder
from hashgen.features.posts import Blind, Posts
from hashgen.models import Model, Place, model_class
from hashgen.models.folder import Trained
from hashgen.training.about import About
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.doubles.static_model import write_static_model

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose pictures resnet18 encodes and whose captions a tiny model of model2vec does."""
    encoder = load_encoder(small_recipe(backbone="resnet18"), "random", CPU)
    captions = load_caption_encoder("model2vec", write_static_model(tmp_path / "static"), CPU)
    recipe = small_recipe(
        backbone="resnet18",
        dim=encoder.dim,
        weights_sha256=encoder.digest,
        captions="model2vec",
        caption_weights=str(tmp_path / "static"),
        caption_sha256=captions.digest,
        caption_dim=captions.dim,
    )
    section = train_section(model="neighbours")
    data = small_data(tmp_path / "data", dim=encoder.dim)
    model = model_class("neighbours").fit(data, section, Place(CPU, tmp_path / "checkpoint.pt"))
    (tmp_path / "model").mkdir()
    Trained(model, About(section, recipe)).save(tmp_path / "model")
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "picture.png")
    return tmp_path / "model"


class Watching:
    """A model that keeps the posts it is handed."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seen: list[Posts] = []

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        self.seen.append(posts)
        return self.model.write(posts, blind)


def test_a_caption_is_encoded_as_in_training(folder: Path) -> None:
    suggester = Suggester.load(folder, device="cpu")
    watching = Watching(suggester.trained.model)
    trained = dataclasses.replace(suggester.trained, model=watching)  # type: ignore[arg-type]
    watched = dataclasses.replace(suggester, trained=trained)
    picture = folder.parent / "picture.png"
    assert watched.suggest(picture, "Sea wood #sea") == suggester.suggest(picture, "Sea wood")
    assert watched.suggest(picture)
    full, empty = (posts.sentences for posts in watching.seen)
    assert full is not None and full.dtype == np.float32 and full.tolist() == [[1.5, 2, 0]]
    assert empty is not None and empty.tolist() == [[0, 0, 0]]


def test_an_encoder_that_moved_is_named_or_refused(folder: Path) -> None:
    static, moved = folder.parent / "static", folder.parent / "moved"
    static.rename(moved)
    with pytest.raises(HashgenError, match=r"featurize\.caption_weights"):
        Suggester.load(folder, device="cpu")
    assert Suggester.load(folder, device="cpu", caption_weights=moved).captions is not None
    write_static_model(static, normalise=True)
    with pytest.raises(HashgenError, match=r"trained with other weights than .*static has now; restore them"):
        Suggester.load(folder, device="cpu")


def test_places_and_sentiment_reach_a_model_that_learnt_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashgen.text.sentiment._analyse", lambda: lambda caption: (len(caption) / 100, 0.5))
    recipe = small_recipe(backbone="resnet18", image_size=64, grid=True)
    encoder = load_encoder(recipe, "random", CPU)
    recipe = dataclasses.replace(recipe, dim=encoder.dim, weights_sha256=encoder.digest)
    section = train_section(model="attention", sentiment=True)
    data = small_data(tmp_path / "data", dim=encoder.dim, grid=True, sentiment=True)
    model = model_class("attention").fit(data, section, Place(CPU, tmp_path / "checkpoint.pt"))
    (tmp_path / "model").mkdir()
    Trained(model, About(section, recipe, 1, 0.5)).save(tmp_path / "model")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "picture.png")
    suggester = Suggester.load(tmp_path / "model", device="cpu")
    watching = Watching(suggester.trained.model)
    trained = dataclasses.replace(suggester.trained, model=watching)  # type: ignore[arg-type]
    assert dataclasses.replace(suggester, trained=trained).suggest(tmp_path / "picture.png", "sea run #sea")
    (posts,) = watching.seen
    assert posts.sentiment is not None and posts.sentiment.tolist() == [[pytest.approx(0.07), 0.5]]
    assert posts.features.grid is not None and posts.features.grid.shape == (1, 49, 512)
    np.testing.assert_allclose(posts.features.grid.astype(float).mean(1), posts.features.plain, rtol=0.01, atol=0.01)
