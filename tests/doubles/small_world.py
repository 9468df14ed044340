"""A tiny world for tests of learning: two picture kinds, two caption kinds, hashtags that need both."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.features.store import FeatureStore
from hashgen.params.train import Lstm, Train
from hashgen.text.vocabulary import Vocabularies, build_vocabulary, embed
from hashgen.text.words import tokenise
from hashgen.training.dataset import make_examples
from hashgen.training.fit import Data

PICTURES = ("sea", "wood")
CAPTIONS = {"run": "morning run done", "rest": "slow day at home"}
DIMENSION = 8


def train_section(**changes: object) -> Train:
    """Parameters of a training that takes a second."""
    section = {
        "model": "lstm",
        "inputs": "both",
        "epochs": 3,
        "patience": None,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "min_learning_rate": 0.0,
        "restart_epochs": 10,
        "restart_factor": 1,
        "weight_decay": 0.0,
        "teacher_forcing": 0.5,
        "clip_norm": 5.0,
        "caption_length": 16,
        "hashtag_length": 6,
        "seed": 1,
        "lstm": Lstm(hidden=16, layers=1, dropout=0.0, batch_norm_momentum=0.1),
    }
    return Train(**(section | changes))  # type: ignore[arg-type]


def small_manifest(posts: int, prefix: str = "p") -> pd.DataFrame:
    """Posts that run through all pairs of picture and caption, with a hashtag that only the pair gives."""
    rows = []
    for number in range(posts):
        picture = PICTURES[number % 2]
        mood = list(CAPTIONS)[number // 2 % 2]
        hashtags = [f"{picture}{mood}", picture, mood, "love"]
        rows.append({"id": f"{prefix}{number}", "caption": CAPTIONS[mood], "hashtags": hashtags, "seed_hashtags": []})
    return pd.DataFrame(rows)


def write_features(folder: Path, manifest: pd.DataFrame, views: int = 1) -> FeatureStore:
    """A feature store in which the picture kind is the sign of every value."""
    rng = np.random.default_rng(3)
    sign = np.array([1.0 if tags[1] == PICTURES[0] else -1.0 for tags in manifest["hashtags"]])
    plain = sign[:, None] + rng.normal(0, 0.2, (len(manifest), DIMENSION))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "plain.npy", plain.astype(np.float16))
    np.save(folder / "views.npy", np.repeat(plain[:, None] * 1.1, views, 1).astype(np.float16))
    pq.write_table(pa.table({"id": list(manifest["id"])}), folder / "ids.parquet")
    (folder / "features.json").write_text(json.dumps({"dim": DIMENSION, "views": views, "backbone": "none"}))
    return FeatureStore.open(folder)


def small_vocabularies(manifest: pd.DataFrame) -> Vocabularies:
    words = build_vocabulary([tokenise(caption) for caption in manifest["caption"]], 1)
    hashtags = build_vocabulary(manifest["hashtags"], 1)
    vectors = [embed(vocabulary, 12, None, 1, split_words=False).vectors for vocabulary in (words, hashtags)]
    return Vocabularies(words, hashtags, *vectors)


def small_data(folder: Path, section: Train, train: int = 41, val: int = 12) -> Data:
    """Training and validation posts of the tiny world. 41 posts leave a remainder of one with batches of 8."""
    parts = [small_manifest(train, "t"), small_manifest(val, "v")]
    store = write_features(folder, pd.concat(parts, ignore_index=True))
    vocabularies = small_vocabularies(parts[0])
    examples = [
        make_examples(part, vocabularies, store, section.caption_length, section.hashtag_length) for part in parts
    ]
    return Data(examples[0], examples[1], store, vocabularies)
