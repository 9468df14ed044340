"""Figures at k: of the head of a ranking of hashtags."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

# The ranker needs this module where sacrebleu, which `written` imports, is not installed.
if TYPE_CHECKING:
    from hashgen.metrics.written import Floats, Hashtags

KS = (1, 5, 10)
# How many hashtags of a post are suggested, as many as Instagram allows.
SUREST = 5


def worth(targets: "Sequence[Hashtags]") -> npt.NDArray[np.float32]:
    """What one right hashtag adds to F1@5 of each post (posts,), divided by the mean over the posts.

    F1@5 of a post of n hashtags is 2 hits / (5 + n): a hit counts for less where there are many to hit.
    """
    each = 1 / (SUREST + np.array([len(target) for target in targets], np.float64))
    found: npt.NDArray[np.float32] = (each / each.mean()).astype(np.float32)
    return found


def ranked_figures(rankings: "Sequence[Hashtags]", targets: "Sequence[Hashtags]") -> "dict[str, Floats]":
    """Each post's value (posts,) of the figures at k."""
    deepest = max(KS)
    true = np.array([len(target) for target in targets], np.float64)
    hits = np.zeros((len(targets), deepest))  # (posts, places)
    for row, (ranking, target) in enumerate(zip(rankings, targets, strict=True)):
        known = set(target)
        for place, hashtag in enumerate(ranking[:deepest]):
            hits[row, place] = hashtag in known
    found = hits.cumsum(axis=1)
    figures: dict[str, Floats] = {}
    for k in KS:
        at_k = found[:, k - 1]
        figures |= {f"p_at_{k}": at_k / k, f"r_at_{k}": at_k / true, f"f1_at_{k}": 2 * at_k / (k + true)}
    figures["hit_at_5"] = (found[:, 4] > 0).astype(np.float64)
    precisions = found / np.arange(1, deepest + 1)
    figures["map_at_10"] = (precisions * hits).sum(axis=1) / np.minimum(true, deepest)
    return figures
