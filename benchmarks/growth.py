"""Memory and time of models on many made-up posts.

    python -m benchmarks.growth --posts 130000

Pictures are noise, captions are words by Zipf's law, hashtags are words too, half of them from the caption. Each model
learns in a process of its own and suggests in another, one post after the other, features known; settings come from
params.yaml. A line a model, for the table in benchmarks/README.md.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import torch
import typer

from hashgen.features.posts import Features, Labelled, Posts
from hashgen.features.recipe import Recipe
from hashgen.models import Data, Place, model_class
from hashgen.models.folder import Trained
from hashgen.params import read_section
from hashgen.params.train import Train
from hashgen.text.vocabulary import Vocabularies, build_vocabulary, embed
from hashgen.text.words import tokenise, word_costs
from hashgen.training.about import About

Result = TypeVar("Result")

DIM = 512
WORDS = 20_000
VALIDATION = 500
SUGGESTIONS = 20


def main(
    posts: Annotated[int, typer.Option(min=100, help="Number of training posts.")] = 10_000,
    hashtags: Annotated[int, typer.Option(min=10, max=WORDS, help="Number of different hashtags.")] = 2_000,
    models: Annotated[str, typer.Option(help="Names of models, separated by commas.")] = "neighbours,ranker",
) -> None:
    """Print for each model: time and memory to learn and to suggest. A time is of the processor, all cores together."""
    print("| model | posts | seconds to learn | GiB to learn | ms a suggestion | GiB to suggest |", flush=True)
    for name in models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            seconds, most = in_a_process(learn, name, posts, hashtags, Path(folder))
            each, least = in_a_process(suggest, posts, hashtags, Path(folder))
        print(f"| {name} | {posts:,} | {seconds:,.0f} | {most:.1f} | {1000 * each:.0f} | {least:.1f} |", flush=True)


def in_a_process(work: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    """What `work` returns in a new process, and the most memory of that in GiB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *arguments).result()


def _measured(work: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    result = work(*arguments)
    unit = 1 if sys.platform == "darwin" else 1024
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def learn(name: str, posts: int, hashtags: int, folder: Path) -> float:
    """Learn from drawn posts and save the model; returns the processor time of learning in seconds."""
    section = Train(**dict(read_section(Path("params.yaml"), Train)) | {"model": name})
    train, val = draw(posts, hashtags, 1), draw(VALIDATION, hashtags, 2)
    data = Data(train, val, vocabularies(train))
    begin = time.process_time()
    model = model_class(name).fit(data, section, Place(torch.device("cpu"), folder / "checkpoint"))
    seconds = time.process_time() - begin
    recipe = Recipe("none", "random", "0" * 64, None, DIM, 0, 224, "float32", 1, 1)
    Trained(model, About(section, recipe, model.epoch)).save(folder)
    return seconds


def suggest(posts: int, hashtags: int, folder: Path) -> float:
    """Load the model and rank five hashtags for one new post after the other; returns the processor time of one."""
    model, asked = Trained.load(folder, torch.device("cpu")).model, draw(SUGGESTIONS + 1, hashtags, 3).posts
    model.rank(asked.pair([0], [0]), 5)
    begin = time.process_time()
    for place in range(1, len(asked)):
        model.rank(asked.pair([place], [place]), 5)
    return (time.process_time() - begin) / SUGGESTIONS


def draw(posts: int, hashtags: int, seed: int) -> Labelled:
    """Made-up posts of about 12 words and 5 hashtags."""
    rng = np.random.default_rng(seed)
    plain = np.empty((posts, DIM), np.float16)
    for start in range(0, posts, 10_000):
        plain[start : start + 10_000] = rng.normal(size=plain[start : start + 10_000].shape)
    words = [word for word in sorted(word_costs("large")) if len(word) > 3]
    words = [words[place] for place in np.random.default_rng(0).permutation(len(words))[:WORDS]]
    captions, tags = [], []
    for _ in range(posts):
        caption = zipf(rng, WORDS, 1 + rng.poisson(11))
        said = [number for number in caption if number < hashtags][:3]
        captions.append(" ".join(words[number] for number in caption))
        tags.append([words[number] for number in dict.fromkeys(said + zipf(rng, hashtags, 1 + rng.poisson(2)))])
    return Labelled(Posts(Features(plain, np.empty((posts, 0, DIM), np.float16)), np.arange(posts), captions), tags)


def zipf(rng: np.random.Generator, most: int, count: int) -> list[int]:
    """Numbers below `most`, each with a chance of about 1 / (number + 1)."""
    return [int(number) for number in (most + 1) ** rng.random(count) - 1]


def vocabularies(train: Labelled) -> Vocabularies:
    """Words and hashtags of posts, with random vectors; for models that write step by step."""
    words = build_vocabulary([tokenise(caption) for caption in train.posts.captions], 2)
    hashtags = build_vocabulary(train.hashtags, 2)
    vectors = [embed(vocabulary, 100, None, 1, split_words=False).vectors for vocabulary in (words, hashtags)]
    return Vocabularies(words, hashtags, *vectors)


if __name__ == "__main__":
    typer.run(main)
