"""The grid: a few test pictures, each with each other's captions."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hashgen.features.posts import Posts
from hashgen.models import Model

# Posts on each side of the grid.
GRID = 3


def choose_grid(ids: Sequence[str], written: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> list[int]:
    """Places of up to `GRID` posts to cross pictures and captions of; by rule, the same each time.

    Of the posts whose F1 is at least the median (what a model that fails on a post does with its parts says little)
    the first by a hash of its id, then each time the post whose true hashtags overlap least with those chosen, the
    first by the hash among equals: unlike posts show best what comes from which input.
    """
    sets = [set(target) for target in targets]
    f1 = [2 * len(set(w) & t) / (len(w) + len(t)) for w, t in zip(written, sets, strict=True)]
    order = sorted(range(len(ids)), key=lambda post: hashlib.sha256(ids[post].encode()).hexdigest())
    fair = [post for post in order if f1[post] >= float(np.median(f1))]
    chosen = fair[:1]
    while len(chosen) < min(GRID, len(fair)):
        taken = set().union(*(sets[post] for post in chosen))
        rest = [post for post in fair if post not in chosen]
        chosen.append(min(rest, key=lambda post: len(sets[post] & taken)))
    return chosen


def cross(model: Model, ids: Sequence[str], posts: Posts, places: Sequence[int]) -> pd.DataFrame:
    """What is written for each picture with each caption of the posts at `places` (n): n x n rows, picture by picture.

    Columns: `picture` and `caption_of`, ids of posts; `caption`, the text; `written`. ids: of `posts`, one by one.
    """
    pictures = [place for place in places for _ in places]
    texts = [place for _ in places for place in places]
    pairs = posts.pair(pictures, texts)
    return pd.DataFrame(
        {
            "picture": [ids[post] for post in pictures],
            "caption_of": [ids[post] for post in texts],
            "caption": pairs.captions,
            "written": model.write(pairs),
        }
    )
