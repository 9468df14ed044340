"""Scores on the hashtags that are not given away, and how varied the hashtags are."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.written import Hashtags, check_lengths, written_figures
from hashgen.text.in_caption import plain, spelled_in

# A hashtag in fewer training posts than this is rare.
RARE_BELOW = 10


def facets(
    predictions: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    seeds: Sequence[Hashtags],
    captions: Sequence[str],
    counts: Mapping[str, int],
    *,
    rankings: Sequence[Hashtags] | None = None,
    rare_below: int = RARE_BELOW,
) -> dict[str, dict[str, float]]:
    """Scores on the hashtags that are not given away: `not_seed`, `not_in_caption`, `rare`.

    A facet keeps some hashtags of a post: those that it was not found under (seeds); those that are no word of the
    caption and no run of consecutive words written together (case, `_` and punctuation aside); those in fewer than
    `rare_below` training posts, unseen ones too (counts: training posts by hashtag). All others are taken out of
    predictions, rankings (as in `scores`) and targets alike. Then, for each facet: `share` of all targets that are
    kept; `posts` that keep at least one target; and means over these posts alone: `p_at_1` (whether the first hashtag
    left in the ranking is right; 0 if none is left), `precision` (0 if none is left), `recall`, `f1`. Without such
    posts the means are absent. Raises ValueError when lengths differ.
    """
    rankings = predictions if rankings is None else rankings
    check_lengths(predictions, rankings, targets, seeds, captions)
    found_under = [set(seed) for seed in seeds]
    longest = max(map(len, itertools.chain(*predictions, *rankings, *targets)), default=0)
    spelled = [spelled_in(caption, longest) for caption in captions]
    kept: dict[str, Callable[[int, str], bool]] = {
        "not_seed": lambda post, hashtag: hashtag not in found_under[post],
        "not_in_caption": lambda post, hashtag: plain(hashtag) not in spelled[post],
        "rare": lambda post, hashtag: counts.get(hashtag, 0) < rare_below,
    }
    return {name: _facet(predictions, rankings, targets, keeps) for name, keeps in kept.items()}


def _facet(
    predictions: Sequence[Hashtags],
    rankings: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    keeps: Callable[[int, str], bool],
) -> dict[str, float]:
    written, ranked, true = (
        [[hashtag for hashtag in one if keeps(post, hashtag)] for post, one in enumerate(all_posts)]
        for all_posts in (predictions, rankings, targets)
    )
    total = sum(map(len, targets))
    posts = [post for post, target in enumerate(true) if target]
    result: dict[str, float] = {"share": sum(map(len, true)) / total if total else 0.0, "posts": len(posts)}
    if posts:
        wanted = [true[post] for post in posts]
        figures = ranked_figures([ranked[post] for post in posts], wanted)
        figures |= written_figures([written[post] for post in posts], wanted)
        result |= {name: float(figures[name].mean()) for name in ("p_at_1", "precision", "recall", "f1")}
    return result


def diversity(predictions: Sequence[Hashtags], counts: Mapping[str, int]) -> dict[str, float]:
    """How varied the predictions are; a collapsed model writes much the same for every post.

    `distinct` hashtags written; `vocabulary_share`: the share of the distinct training hashtags (keys of `counts`)
    that are ever written; `most_common_share`: the share of posts that get the hashtag that most posts get;
    `distinct_sequences`: distinct sequences over posts; `entropy`: bits of the distribution of all hashtags written,
    0 for a constant one. Raises ValueError without posts.
    """
    check_lengths(predictions)
    posts = Counter(hashtag for written in predictions for hashtag in dict.fromkeys(written))
    chances = np.array(list(posts.values()), np.float64) / max(1, posts.total())
    return {
        "distinct": len(posts),
        "vocabulary_share": len(posts.keys() & counts.keys()) / len(counts) if counts else 0.0,
        "most_common_share": max(posts.values(), default=0) / len(predictions),
        "distinct_sequences": len({tuple(written) for written in predictions}) / len(predictions),
        # Adding 0.0 turns the -0.0 of a constant into 0.0.
        "entropy": float(-(chances * np.log2(chances)).sum() + 0.0),
    }
