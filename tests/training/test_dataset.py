"""Batches: padding, views, and the remainder of one post."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hashgen.features.store import label
from hashgen.text.vocabulary import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID
from hashgen.training.dataset import batches, make_examples, training_batches
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, small_manifest, small_vocabularies, write_features

CPU = torch.device("cpu")


def test_lengths_are_capped_and_unknown_hashtags_left_out_but_stay_targets(tmp_path: Path) -> None:
    manifest = small_manifest(4)
    vocabularies = small_vocabularies(manifest)
    manifest["hashtags"] = pd.Series([["never", "love", "sea", "run"], *manifest["hashtags"][1:]])
    manifest.at[1, "caption"] = "12 !"
    store = write_features(tmp_path, small_manifest(4))
    labelled = label(manifest, store)
    examples = make_examples(labelled.posts, vocabularies, 2, 2, labelled.hashtags)
    assert vocabularies.hashtags.decode(examples.hashtags[0]) == ["love", "sea"]
    assert examples.targets[0] == ["never", "love", "sea", "run"]
    assert all(1 <= len(words) <= 2 for words in examples.words)
    assert examples.words[1] == [UNKNOWN_ID] * 2


def test_batch_tensors(tmp_path: Path) -> None:
    section = train_section()
    data = small_examples(tmp_path, section)
    batch = next(batches(data.train, data.features, 5, CPU))
    assert batch.picture.shape == (5, 8) and batch.picture.dtype == torch.float32
    assert batch.inputs.shape == batch.targets.shape == (5, 5)
    assert (batch.inputs[:, 0] == BEGIN_ID).all()
    for row, hashtags in zip(batch.targets.tolist(), data.train.hashtags[:5], strict=True):
        assert row == [*hashtags, END_ID] + [PAD_ID] * (len(row) - len(hashtags) - 1)
    assert batch.lengths.tolist() == [len(words) for words in data.train.words[:5]]


def test_an_epoch_sees_every_post_once_and_never_a_batch_of_one(tmp_path: Path) -> None:
    section = train_section()
    data = small_examples(tmp_path, section, train=41)
    seen = [len(b) for b in training_batches(data.padded, 8, CPU, np.random.default_rng(0))]
    assert sum(seen) == 41 and min(seen) > 1 and seen[-1] == 9


def test_views_are_drawn_from_all_and_from_the_seed(tmp_path: Path) -> None:
    section = train_section()
    data = small_examples(tmp_path, section, train=64)

    def norms(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        images = torch.cat([batch.picture for batch in training_batches(data.padded, 8, CPU, rng)])
        return images.abs().sum(1)

    assert torch.equal(norms(1), norms(1))
    plain = np.abs(np.asarray(data.features.plain[data.train.rows], dtype=np.float32)).sum(1)
    unchanged = np.isin(norms(1).numpy().round(3), plain.round(3)).mean()
    assert 0.2 < unchanged < 0.8
