"""Models against neighbours over several random splits of the same posts: one split with few posts says little.

Run in a clone after `dvc repro` has encoded the pictures (real posts, not the sample):

    python -m benchmarks.splits --splits 10

Groups of posts are dealt anew to training, validation and test (80 : 10 : 10). Each ratio is of F1@5 on all test posts
of all splits, with a 95 % interval from resampling groups; settings come from params.yaml.
"""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from hashgen.corpus.manifest import SPLITS, read_manifest
from hashgen.features.posts import Labelled
from hashgen.features.store import FeatureStore, label
from hashgen.metrics.paired import paired
from hashgen.metrics.ranked import ranked_figures
from hashgen.models import Data, Model, Place, model_class
from hashgen.params import read_section
from hashgen.params.train import Train
from hashgen.scoring.baselines import baselines
from hashgen.text.vocabulary import Vocabularies

FIGURES = ("f1_at_5", "p_at_1", "p_at_5")
RIVALS = ("knn_both", "knn_tuned", "knn_copy")
RESAMPLES = 2000


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests.")] = Path("data/manifest"),
    features: Annotated[Path, typer.Option(help="Folder of the features.")] = Path("data/features"),
    vocab: Annotated[Path, typer.Option(help="Folder of the vocabularies; for models that write step by step.")] = Path(
        "data/vocab"
    ),
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
    splits: Annotated[int, typer.Option(min=1, help="Number of splits.")] = 10,
    models: Annotated[str, typer.Option(help="Names of models, separated by commas.")] = "ranker",
) -> None:
    """Print mean and deviation of each method over the splits, and how models compare with neighbours."""
    store, section = FeatureStore.open(features), read_section(params, Train)
    posts = pd.concat([read_manifest(manifest, split) for split in SPLITS], ignore_index=True)
    vocabularies = Vocabularies.load(vocab)
    found: dict[str, list[dict[str, Any]]] = {}
    groups: list[str] = []
    for seed in range(splits):
        train, val, test = (label(part, store, section.sentiment) for part in deal(posts, seed))
        groups += test.groups or []
        methods: dict[str, Model] = dict(baselines(deal(posts, seed)[0], store, 10, val))
        seconds = dict.fromkeys(methods, 0.0)
        for name in models.split(","):
            begin = time.monotonic()
            methods[name] = learn(name, Data(train, val, vocabularies), section, seed)
            seconds[name] = time.monotonic() - begin
        for name, method in methods.items():
            found.setdefault(name, []).append(score(method, test) | {"seconds": seconds[name]})
        print(f"split {seed + 1} of {splits}: {len(train):,} training posts, {len(test):,} test posts", flush=True)
    print_table(found, groups, models.split(","))


def deal(posts: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    """Training, validation and test posts: groups are dealt at random, 80 : 10 : 10."""
    names = np.unique(posts["group"])
    np.random.default_rng(seed).shuffle(names)
    bounds = [0, int(0.8 * len(names)), int(0.9 * len(names)), len(names)]
    parts = [set(names[low:high]) for low, high in itertools.pairwise(bounds)]
    return [posts[posts["group"].isin(part)].reset_index(drop=True) for part in parts]


def learn(name: str, data: Data, section: Train, seed: int) -> Model:
    """A model trained on the CPU with the settings of params.yaml and this seed."""
    chosen = Train(**dict(section) | {"model": name, "seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        return model_class(name).fit(data, chosen, Place(torch.device("cpu"), Path(folder) / "checkpoint.pt"))


def score(model: Model, test: Labelled) -> dict[str, Any]:
    """Figures of each test post."""
    rankings = [[hashtag for hashtag, _ in ranking] for ranking in model.rank(test.posts, 10)]
    figures = ranked_figures(rankings, test.hashtags)
    return {name: figures[name] for name in FIGURES}


def print_table(found: dict[str, list[dict[str, Any]]], groups: list[str], models: list[str]) -> None:
    """One line a method, then one for each pair of a model and its rivals."""
    print(f"\n{'method':12} {'F1@5':>15} {'P@1':>6} {'P@5':>6} {'seconds':>8}")
    for name, runs in found.items():
        means = {figure: [float(run[figure].mean()) for run in runs] for figure in FIGURES}
        f1 = means["f1_at_5"]
        print(
            f"{name:12} {np.mean(f1):6.3f} ± {np.std(f1):.3f} {np.mean(means['p_at_1']):6.3f} "
            f"{np.mean(means['p_at_5']):6.3f} {np.mean([run['seconds'] for run in runs]):8.1f}"
        )
    print("\nF1@5, ratio of means over all test posts [95 % interval]")
    pooled = {name: np.concatenate([run["f1_at_5"] for run in runs]) for name, runs in found.items()}
    for model in models:
        for rival in RIVALS:
            one = paired(pooled[model], pooled[rival], groups, RESAMPLES)
            low, high = one.ratio_ci95 or (float("nan"), float("nan"))
            print(f"{model} / {rival:10} {one.ratio or float('nan'):.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    typer.run(main)
