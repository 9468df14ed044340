"""A tiny world for tests of learning: two picture kinds, two caption kinds, hashtags that need both."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hashgen.features.posts import GRID_SIDE, Posts
from hashgen.features.store import FeatureStore, label
from hashgen.models import Data, Place
from hashgen.models.folder import Trained
from hashgen.models.lstm import LstmModel
from hashgen.models.sequence import sizes_of
from hashgen.params.train import Train
from hashgen.text.vocabulary import Vocabularies, build_vocabulary, embed
from hashgen.text.words import tokenise
from hashgen.training import fit
from hashgen.training.about import About
from hashgen.training.dataset import make_examples
from hashgen.training.history import Epoch, best_epoch
from hashgen.training.network import SequenceNetwork
from tests.doubles.settings import DIMENSION, small_recipe

PICTURES = ("sea", "wood")
CAPTIONS = {"run": "morning run done", "rest": "slow day at home"}


def small_manifest(posts: int, prefix: str = "p") -> pd.DataFrame:
    """Posts that run through all pairs of picture and caption, with a hashtag that only the pair gives."""
    rows = []
    for number in range(posts):
        picture = PICTURES[number % 2]
        mood = list(CAPTIONS)[number // 2 % 2]
        hashtags = [f"{picture}{mood}", picture, mood, "love"]
        rows.append({"id": f"{prefix}{number}", "caption": CAPTIONS[mood], "hashtags": hashtags, "seed_hashtags": []})
    return pd.DataFrame(rows)


def write_features(
    folder: Path, manifest: pd.DataFrame, views: int = 1, dim: int = DIMENSION, grid: bool = False
) -> FeatureStore:
    """A feature store in which the picture kind is the sign of every value, in every place of a grid too."""
    rng = np.random.default_rng(3)
    sign = np.array([1.0 if tags[1] == PICTURES[0] else -1.0 for tags in manifest["hashtags"]])
    plain = sign[:, None] + rng.normal(0, 0.2, (len(manifest), dim))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "plain.npy", plain.astype(np.float16))
    np.save(folder / "views.npy", np.repeat(plain[:, None] * 1.1, views, 1).astype(np.float16))
    pq.write_table(pa.table({"id": list(manifest["id"])}), folder / "ids.parquet")
    if grid:
        noise = rng.normal(0, 0.2, (len(manifest), GRID_SIDE**2, dim))
        np.save(folder / "grid.npy", (plain[:, None] + noise).astype(np.float16))
    (folder / "features.json").write_text(json.dumps(small_recipe(views=views, dim=dim, grid=grid).to_json()))
    return FeatureStore.open(folder)


def small_vocabularies(manifest: pd.DataFrame) -> Vocabularies:
    words = build_vocabulary([tokenise(caption) for caption in manifest["caption"]], 1)
    hashtags = build_vocabulary(manifest["hashtags"], 1)
    vectors = [embed(vocabulary, 12, None, 1, split_words=False).vectors for vocabulary in (words, hashtags)]
    return Vocabularies(words, hashtags, *vectors)


def small_data(
    folder: Path,
    train: int = 41,
    val: int = 12,
    dim: int = DIMENSION,
    grid: bool = False,
    sentiment: bool = False,
) -> Data:
    """Training and validation posts of the tiny world. 41 posts leave a remainder of one with batches of 8.

    sentiment: posts have one, which no lexicon knows.
    """
    parts = [small_manifest(train, "t"), small_manifest(val, "v")]
    store = write_features(folder, pd.concat(parts, ignore_index=True), dim=dim, grid=grid)
    labelled = [label(part, store) for part in parts]
    if sentiment:
        labelled = [dataclasses.replace(one, posts=_felt(one.posts)) for one in labelled]
    return Data(labelled[0], labelled[1], small_vocabularies(parts[0]))


def _felt(posts: Posts) -> Posts:
    moods = [[0.5, 0.75] if "run" in caption else [-0.25, 0.5] for caption in posts.captions]
    return dataclasses.replace(posts, sentiment=np.array(moods, np.float32))


def small_examples(folder: Path, section: Train, train: int = 41, val: int = 12) -> fit.Data:
    """`small_data` as numbers, for the network alone."""
    data = small_data(folder, train, val)
    parts = [
        make_examples(part.posts, data.vocabularies, section.caption_length, section.hashtag_length, part.hashtags)
        for part in (data.train, data.val)
    ]
    return fit.Data(parts[0], parts[1], data.train.posts.features, data.vocabularies)


def small_network(section: Train, data: fit.Data) -> SequenceNetwork:
    """The paper's network for the tiny world, its weights from torch's random state."""
    return LstmModel.make(section, sizes_of(data.vocabularies, data.features.dim))


def train_network(
    data: fit.Data, section: Train, checkpoint: Path, on_epoch: Callable[[Epoch], None] = lambda _: None
) -> tuple[SequenceNetwork, list[Epoch]]:
    """`fit` of the paper's network on a CPU."""
    return fit.fit(data, section, lambda: small_network(section, data), torch.device("cpu"), checkpoint, on_epoch)


def train_lstm(data: Data, section: Train, checkpoint: Path) -> LstmModel:
    """The paper's model, trained on a CPU."""
    return LstmModel.fit(data, section, Place(torch.device("cpu"), checkpoint))


def save_model(model: LstmModel, section: Train, folder: Path) -> None:
    """Write a model folder of the tiny world."""
    best = best_epoch(model.history)
    folder.mkdir(parents=True)
    Trained(model, About(section, small_recipe(), model.epoch, best.val_f1_at_5)).save(folder)
