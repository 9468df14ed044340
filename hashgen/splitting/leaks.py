"""What a split leaks and gives away, counted from the written manifests, independently of the code that made them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashgen.corpus.manifest import SPLITS, SplitName
from hashgen.params.split import Split
from hashgen.pictures.perceptual_hash import HASH_BITS, HASH_INSETS
from hashgen.text.in_caption import in_caption

Manifests = Mapping[SplitName, pd.DataFrame]

# Pictures of a split that are compared with all of another: a bound on time.
PICTURES_COMPARED = 3_000
# How many of the other are looked at together: so many stay in the processor's cache.
_AT_ONCE = 16_000
_NO_WORD = re.compile(r"[^\w\s]|_")


def summarise(manifests: Manifests, section: Split) -> dict[str, Any]:
    """Metrics of the manifests made with `section`: sizes, groups, leaks, and how much of a score needs no model.

    shares_off: shares of posts minus those of `split.shares`.
    leaks: see `leaks`. caption_words: the number of words from which captions count there, null for any (is not
    promised then). short_captions: distinct captions of fewer words that stand in more than one split, and may well be
    coincidence. seen_captions: share of the test posts whose caption, of any length, stands in a training post too.
    unseen_hashtags: share of the test posts' hashtags, distinct and as they occur, that no training post has.
    targets_in_caption: share of all hashtags that are in their own post's caption (`hashgen.text.in_caption`).
    seeds (where test has any): precision and recall, means over the test posts found by a seed hashtag, of writing
    their seed hashtags and nothing else.
    straddling (`by: time`): test posts no newer than the newest training post; a newer one shares their group.
    """
    groups = Counter(group for frame in manifests.values() for group in frame["group"])
    posts = sum(len(frame) for frame in manifests.values())
    shares = {name: len(manifests[name]) / posts for name in SPLITS}
    wanted = dict(zip(SPLITS, section.shares, strict=True))
    words = section.same_caption_words or 1
    return {
        "by": section.by,
        "sizes": {name: len(manifests[name]) for name in SPLITS},
        "shares": shares,
        "shares_off": {name: shares[name] - wanted[name] / sum(section.shares) for name in SPLITS},
        "groups": len(groups),
        "largest_group": max(groups.values()),
        "leaks": leaks(manifests, section),
        "caption_words": section.same_caption_words,
        "seen_captions": _seen_captions(manifests),
        "short_captions": _shared([_captions(manifests[name], 1, words - 1) for name in SPLITS]),
        "unseen_hashtags": _unseen(manifests["train"]["hashtags"], manifests["test"]["hashtags"]),
        "targets_in_caption": _in_caption(pd.concat([manifests[name] for name in SPLITS])),
        **_seeds(manifests["test"]),
        **({"straddling": _straddling(manifests)} if section.by == "time" else {}),
    }


def leaks(manifests: Manifests, section: Split) -> dict[str, int]:
    """How many distinct values occur in more than one split; all are 0 for manifests made with `section`.

    near_duplicate_images: perceptual hashes with one within `split.near_duplicate_bits` in another split; of each pair
    of splits at most PICTURES_COMPARED of the smaller, evenly chosen, are compared with all of the larger. captions:
    those of at least `split.same_caption_words` words. If these parameters are null, nothing is promised; then equal
    perceptual hashes and equal captions of any length are counted (see `broken_promises`).
    """
    return {
        "posts": shared(manifests, "post"),
        "images": shared(manifests, "image_sha256"),
        "near_duplicate_images": _near_across(manifests, section.near_duplicate_bits or 0),
        "authors": shared(manifests, "author"),
        "captions": _shared([_captions(manifests[name], section.same_caption_words or 1) for name in SPLITS]),
        "groups": shared(manifests, "group"),
    }


def broken_promises(found: Mapping[str, int], section: Split) -> dict[str, int]:
    """The leaks that the parameters forbid; empty if the split is sound."""
    off = {"near_duplicate_images": section.near_duplicate_bits is None, "captions": section.same_caption_words is None}
    return {name: count for name, count in found.items() if count and not off.get(name)}


def shared(manifests: Manifests, column: str) -> int:
    """How many distinct values of a column occur in more than one split, not counting nulls."""
    return _shared([frame[column].dropna() for frame in manifests.values()])


def _shared(splits: Iterable[Iterable[str]]) -> int:
    counts = Counter(value for values in splits for value in set(values))
    return sum(count > 1 for count in counts.values())


def _captions(posts: pd.DataFrame, least: int, most: int | None = None) -> list[str]:
    """Captions of `least` to `most` words, in lower case and without punctuation."""
    found = []
    for caption in posts["caption"]:
        plain = _NO_WORD.sub("", caption.lower()).split()
        if len(plain) >= least and (most is None or len(plain) <= most):
            found.append(" ".join(plain))
    return found


def _seen_captions(manifests: Manifests) -> float:
    known = set(_captions(manifests["train"], 1))
    test = _captions(manifests["test"], 0)
    return sum(caption in known for caption in test) / max(1, len(test))


def _near_across(manifests: Manifests, bits: int) -> int:
    """Number of distinct perceptual hashes that are within `bits` bits of a hash in another split."""
    hashes = {name: sorted(manifests[name]["image_phash"].dropna().unique()) for name in SPLITS}
    near: set[str] = set()
    for pair in itertools.combinations(SPLITS, 2):
        few, many = sorted((hashes[name] for name in pair), key=len)
        few = few[:: -(-len(few) // PICTURES_COMPARED) or 1]
        ones = _words(few)
        for start in range(0, len(many), _AT_ONCE):
            rest = many[start : start + _AT_ONCE]
            for one, other in _alike(ones, _words(rest), bits):
                near |= {few[one], rest[other]}
    return len(near)


def _words(hashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The bits of hashes as numbers: (n, insets, words)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(-1, len(HASH_INSETS), HASH_BITS // 64)


def _alike(ones: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64], bits: int) -> Iterator[tuple[int, int]]:
    """Pairs of rows of hashes (n, insets, words) and (m, insets, words) with an inset within `bits` bits."""
    insets = others.reshape(-1, others.shape[-1])
    first, second = np.ascontiguousarray(insets[:, :2].T)
    for row, one in enumerate(ones):
        for inset in one:
            # Nearly all are too far apart in their first two words already.
            maybe = np.flatnonzero(np.bitwise_count(first ^ inset[0]) + np.bitwise_count(second ^ inset[1]) <= bits)
            differing = np.bitwise_count(insets.take(maybe, axis=0) ^ inset).sum(axis=1)
            for other in maybe[differing <= bits].tolist():
                yield row, other // others.shape[1]


def _unseen(train: "pd.Series[Any]", test: "pd.Series[Any]") -> dict[str, float]:
    known = {hashtag for hashtags in train for hashtag in hashtags}
    counts = Counter(hashtag for hashtags in test for hashtag in hashtags)
    unseen = {hashtag: count for hashtag, count in counts.items() if hashtag not in known}
    return {"distinct": len(unseen) / len(counts), "occurrences": sum(unseen.values()) / counts.total()}


def _in_caption(posts: pd.DataFrame) -> float:
    hits = total = 0
    for caption, hashtags in zip(posts["caption"], posts["hashtags"], strict=True):
        hits += sum(in_caption(hashtags, caption))
        total += len(hashtags)
    return hits / total


def _seeds(test: pd.DataFrame) -> dict[str, Any]:
    pairs = zip(test["seed_hashtags"], test["hashtags"], strict=True)
    found = [(set(seeds), set(hashtags)) for seeds, hashtags in pairs if len(seeds)]
    if not found:
        return {}
    hits = [len(seeds & hashtags) for seeds, hashtags in found]
    precision = [hit / len(seeds) for hit, (seeds, _) in zip(hits, found, strict=True)]
    recall = [hit / len(hashtags) for hit, (_, hashtags) in zip(hits, found, strict=True)]
    scores = {"precision": sum(precision) / len(found), "recall": sum(recall) / len(found)}
    return {"seeds": {"posts": len(found), **scores}}


def _straddling(manifests: Manifests) -> int:
    return int((manifests["test"]["date"] <= manifests["train"]["date"].max()).sum())
