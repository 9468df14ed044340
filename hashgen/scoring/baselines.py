"""What a model must beat: popular hashtags, the hashtags of the nearest training posts, and the seeds as an oracle.

Each method ranks hashtags of the training posts for every post, 10 or more where training has as many. What it
writes is the head of its ranking, as long as a training post's hashtags are on average, in the order in which
training posts have them: a vote knows no order, and BLEU would punish that alone.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashgen.features.store import FeatureStore
from hashgen.params.baselines import Baselines
from hashgen.scoring.figures import diversity, facets, scores
from hashgen.text.words import tokenise

Ranking = list[str]
Similarities = npt.NDArray[np.float32]
Neighbours = list[list[tuple[int, int]]]  # for each post (training row, weight), nearest first

RANKED = 10

# Similarities held at once, and picture features turned to float32 at once: the bound on memory.
_CELLS = 2**25
_BLOCK = 8192
# Similarities become whole numbers of this step, so that the last bits of the arithmetic part no equals.
_STEP = 1e-6


def score_baselines(
    train: pd.DataFrame, posts: pd.DataFrame, features: FeatureStore, section: Baselines
) -> dict[str, dict[str, Any]]:
    """Scores with intervals, facets and diversity of every baseline on `posts`, by its name.

    train, posts: manifests. Figures at k are of the ranking, all others of what is written (the module says how much).
    """
    counts = hashtag_counts(train)
    length, places = written_length(train), mean_places(train)
    targets, seeds, captions = list(posts["hashtags"]), list(posts["seed_hashtags"]), list(posts["caption"])
    result = {}
    for name, rankings in rank_all(train, posts, features, section.neighbours).items():
        written = [in_written_order(ranking[:length], places) for ranking in rankings]
        result[name] = scores(written, targets, rankings=rankings, bootstrap=section.bootstrap, seed=section.seed)
        result[name]["facets"] = facets(written, targets, seeds, captions, counts, rankings=rankings)
        result[name]["diversity"] = diversity(written, counts)
    return result


def rank_all(
    train: pd.DataFrame, posts: pd.DataFrame, features: FeatureStore, neighbours: int
) -> dict[str, list[Ranking]]:
    """The ranking of every baseline for each post: popularity, knn_image, knn_caption, knn_both, seeds.

    `seeds` is there only where a post of `posts` has one. No hashtag comes from `posts` but seeds that training has.
    """
    popular = {hashtag: place for place, hashtag in enumerate(popularity(train))}
    depth = max(RANKED, written_length(train))
    hashtags = list(train["hashtags"])
    rankings = {"popularity": [list(popular)[:depth]] * len(posts)}
    for name, nearest in nearest_posts(train, posts, features, neighbours).items():
        rankings[name] = [vote(found, hashtags, popular, depth) for found in nearest]
    seeds = list(posts["seed_hashtags"])
    if any(seeds):
        rankings["seeds"] = [seeds_first(seed, popular, depth) for seed in seeds]
    return rankings


def hashtag_counts(train: pd.DataFrame) -> Counter[str]:
    """How many training posts have each hashtag."""
    return Counter(hashtag for hashtags in train["hashtags"] for hashtag in hashtags)


def popularity(train: pd.DataFrame) -> Ranking:
    """All hashtags of the training posts, the most frequent first; equals alphabetically."""
    counts = hashtag_counts(train)
    return sorted(counts, key=lambda hashtag: (-counts[hashtag], hashtag))


def written_length(train: pd.DataFrame) -> int:
    """Mean number of hashtags of a training post, rounded, at least 1: what every baseline writes.

    The mean and not the median, since BLEU's brevity penalty compares the total written with the total true.
    """
    return max(1, int(train["hashtags"].map(len).mean() + 0.5))


def mean_places(train: pd.DataFrame) -> dict[str, float]:
    """For each hashtag its mean relative place in the training posts that have it: 0 for the first, 1 for the last."""
    places: dict[str, list[float]] = {}
    for hashtags in train["hashtags"]:
        for place, hashtag in enumerate(hashtags):
            places.setdefault(hashtag, []).append(place / max(1, len(hashtags) - 1))
    return {hashtag: sum(found) / len(found) for hashtag, found in places.items()}


def in_written_order(hashtags: Ranking, places: Mapping[str, float]) -> Ranking:
    """Hashtags of training posts by their mean place; equals stay as ranked."""
    return sorted(hashtags, key=lambda hashtag: places[hashtag])


def seeds_first(seeds: Sequence[str], popular: Mapping[str, int], depth: int) -> Ranking:
    """The oracle: the hashtags that a post was found under and training has, then popular ones, `depth` in all.

    No model may know the seeds when a post is written; it shows how much of a score the crawl gives away.
    popular: the place of each training hashtag by frequency, in that order.
    """
    return _filled([seed for seed in seeds if seed in popular], popular, depth)


def vote(
    nearest: Sequence[tuple[int, int]], hashtags: Sequence[Sequence[str]], popular: Mapping[str, int], depth: int
) -> Ranking:
    """Hashtags of the nearest training posts by the sum of their weights, then popular ones, `depth` in all.

    nearest: (training row, weight). hashtags: those of each training row. popular: the place of each training hashtag
    by frequency, in that order; equal sums go by it.
    """
    votes: Counter[str] = Counter()
    for row, weight in nearest:
        votes.update(dict.fromkeys(hashtags[row], weight))
    return _filled(sorted(votes, key=lambda hashtag: (-votes[hashtag], popular[hashtag])), popular, depth)


def _filled(ranking: Sequence[str], popular: Mapping[str, int], depth: int) -> Ranking:
    head = list(dict.fromkeys(ranking))[:depth]
    fill = (hashtag for hashtag in popular if hashtag not in head)
    return head + list(itertools.islice(fill, depth - len(head)))


def nearest_posts(
    train: pd.DataFrame, posts: pd.DataFrame, features: FeatureStore, neighbours: int
) -> dict[str, Neighbours]:
    """The nearest training posts of each post by picture, by caption and by both, and their weights.

    knn_image: cosine of the plain features. knn_caption: cosine of TF-IDF over the caption's tokens, its vocabulary
    and weights from training captions. knn_both: the sum of the two after each has been standardised over the training
    posts (mean 0, deviation 1), since cosines of pictures may differ little where those of captions differ much. A
    training post without similarity (<= 0) is no neighbour, so a post may have fewer than `neighbours`, even none; of
    equals the earlier row is nearer. Weights are similarities in millionths. Memory is bounded whatever the number
    of posts.
    """
    rows = features.rows(list(train["id"])), features.rows(list(posts["id"]))
    known, asked = _tfidf(train["caption"], posts["caption"])
    found: dict[str, Neighbours] = {"knn_image": [], "knn_caption": [], "knn_both": []}
    for chunk in _chunks(len(posts), max(1, _CELLS // len(train))):
        by_image = _cosines(features.plain, rows[0], rows[1][chunk])
        by_caption: Similarities = (asked[chunk] @ known.T).toarray()  # (chunk, train)
        found["knn_image"] += [_nearest(row, neighbours) for row in by_image]
        found["knn_caption"] += [_nearest(row, neighbours) for row in by_caption]
        by_both = _standardised(by_image) + _standardised(by_caption)
        found["knn_both"] += [_nearest(row, neighbours) for row in by_both]
    return found


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _tfidf(train: "pd.Series[str]", posts: "pd.Series[str]") -> tuple[Any, Any]:
    """Sparse rows of length 1, or all zero where no token is known: (train, tokens) and (posts, tokens) float32."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(analyzer=tokenise, dtype=np.float32)
    return vectoriser.fit_transform(train), vectoriser.transform(posts)


def _cosines(plain: npt.NDArray[np.float16], train: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Similarities:
    """Cosines (rows, train) of features by their rows in `plain` (n, dim)."""
    asked = _normalised(plain[rows])
    similarities = np.empty((len(rows), len(train)), np.float32)
    for block in _chunks(len(train), _BLOCK):
        similarities[:, block] = asked @ _normalised(plain[train[block]]).T
    return similarities


def _normalised(vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    wide /= lengths
    return wide


def _standardised(similarities: Similarities) -> Similarities:
    """Rows (posts, train) with mean 0 and deviation 1; 0 where all are (nearly) equal."""
    centred: Similarities = similarities - similarities.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.where(deviation > _STEP, centred / np.maximum(deviation, _STEP), np.float32(0))


def _nearest(similarities: Similarities, neighbours: int) -> list[tuple[int, int]]:
    """(row, weight) of the most similar of (train,), nearest first; of equals the first row."""
    weights = np.rint(similarities / _STEP).astype(np.int64)
    count = min(neighbours, len(weights))
    least = max(1, int(np.partition(weights, -count)[-count]))
    rows = np.flatnonzero(weights >= least)
    rows = rows[np.argsort(-weights[rows], kind="stable")][:neighbours]
    return list(zip(rows.tolist(), weights[rows].tolist(), strict=True))
