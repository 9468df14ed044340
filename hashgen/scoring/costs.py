"""What a model costs: how many numbers it holds, and how long a suggestion takes."""

import math
import statistics
import time
from pathlib import Path

from safetensors import safe_open

from hashgen.features.posts import Posts
from hashgen.metrics.ranked import SUREST
from hashgen.models import Model

# What a vocabulary gives a network to start from: not learnt, and in the network too.
_STARTING = "vectors.safetensors"
_TIMED = 20


def parameters(folder: Path) -> int:
    """How many real numbers a model's folder holds as arrays.

    Weights, and of a model that keeps its training posts (neighbours, ranker) their vectors. The frozen network that
    encodes pictures is no part of it.
    """
    total = 0
    for path in sorted(folder.rglob("*.safetensors")):
        if path.name != _STARTING:
            with safe_open(path, framework="numpy") as arrays:
                parts = [arrays.get_slice(name) for name in arrays.keys()]  # noqa: SIM118 - it is no dictionary
                total += sum(math.prod(one.get_shape()) for one in parts if "F" in one.get_dtype())
    return total


def seconds_of_one(model: Model, posts: Posts) -> float:
    """Median wall time in seconds to rank the hashtags of one post alone, its features known.

    Over the first posts, at most 20; one before them is not counted.
    """
    times = []
    for place in range(-1, min(_TIMED, len(posts))):
        one = posts.pair([place], [place])
        begin = time.perf_counter()
        model.rank(one, SUREST)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])
