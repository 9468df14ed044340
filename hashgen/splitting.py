"""Groups of posts that belong together, the split of each group, and the audit that nothing leaks across."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from hashgen.errors import HashgenError
from hashgen.manifest import SPLITS, SplitName
from hashgen.params import Split

# Posts that agree in one of these columns of posts.parquet belong to one group; null agrees with nothing.
GROUP_KEYS = ("id", "image_sha256", "author")
_WORD = re.compile(r"\w+")


def group_posts(posts: pa.Table) -> list[str]:
    """The group of each post, in the order of `posts`: the id of the group's first member in that order.

    posts: columns id and GROUP_KEYS. Since new posts come last, a group keeps its name when it grows, and groups that
    merge take the name of the one that was there first.
    """
    parents = list(range(posts.num_rows))
    for key in GROUP_KEYS:
        first: dict[str, int] = {}
        for row, value in enumerate(posts.column(key).to_pylist()):
            if value is not None:
                _unite(parents, first.setdefault(value, row), row)
    ids = posts.column("id").to_pylist()
    return [ids[_root(parents, row)] for row in range(len(ids))]


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = row = parents[parents[row]]
    return row


def _unite(parents: list[int], one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)


def split_of_group(group: str, shares: Sequence[float], seed: int) -> SplitName:
    """The split of a group, from its hash and no other group. shares: of train, val, test, in any unit."""
    place = _hash(group, seed, b"split") * sum(shares)
    train, val, _ = shares
    if place < train:
        return "train"
    return "val" if place < train + val else "test"


def choose_posts(groups: Sequence[str], limit: int | None, seed: int) -> list[int]:
    """Rows of the posts that are used, ascending: all, or exactly `limit` if there are more.

    Whole groups in an order that hashes give; the last one is cut to hit the number. A lower limit chooses a subset
    of what a higher one does.
    """
    rows = range(len(groups))
    if limit is None or limit >= len(groups):
        return list(rows)
    rank = {group: (_hash(group, seed, b"limit"), group) for group in set(groups)}
    return sorted(sorted(rows, key=lambda row: (rank[groups[row]], row))[:limit])


def _hash(group: str, seed: int, purpose: bytes) -> float:
    """A number in 0 <= x < 1 from seed and group, independent for each purpose (at most 16 bytes)."""
    digest = hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8, person=purpose).digest()
    # 53 bits are what a float holds; with 64 the largest hashes would round to 1.
    return (int.from_bytes(digest) >> 11) / 2**53


def split_posts(posts: pa.Table, section: Split) -> dict[SplitName, pa.Table]:
    """The manifests: the columns of `posts` and `group`, in the order of `posts`.

    Groups come from all posts, so that `split.limit` moves no group. Raises HashgenError if a split is empty.
    """
    groups = group_posts(posts)
    rows: dict[SplitName, list[int]] = {name: [] for name in SPLITS}
    for row in choose_posts(groups, section.limit, section.seed):
        rows[split_of_group(groups[row], section.shares, section.seed)].append(row)
    if not all(rows.values()):
        sizes = ", ".join(f"{name} {len(rows[name]):,}" for name in SPLITS)
        limit = "" if section.limit is None else "raise split.limit, "
        count = f"{posts.num_rows:,} posts in {len(set(groups)):,} groups"
        raise HashgenError(
            f"split: an empty split ({sizes} of {count}); {limit}change split.shares or bring more posts"
        )
    named = posts.append_column(pa.field("group", pa.string()), pa.array(groups, pa.string()))
    return {name: named.take(pa.array(rows[name], pa.int64())) for name in SPLITS}


def summarise(manifests: Mapping[SplitName, pd.DataFrame]) -> dict[str, Any]:
    """Metrics of written manifests: sizes, groups, leaks (values that stand in more than one split; all must be 0).

    unseen_hashtags: share of the test posts' hashtags, distinct and as they occur, that no training post has.
    targets_in_caption: share of all hashtags that stand literally as a word in their own post's caption.
    """
    groups = Counter(group for frame in manifests.values() for group in frame["group"])
    posts = sum(len(frame) for frame in manifests.values())
    return {
        "sizes": {name: len(manifests[name]) for name in SPLITS},
        "shares": {name: len(manifests[name]) / posts for name in SPLITS},
        "groups": len(groups),
        "largest_group": max(groups.values()),
        "leaks": {
            "posts": shared(manifests, "id"),
            "images": shared(manifests, "image_sha256"),
            "authors": shared(manifests, "author"),
            "groups": shared(manifests, "group"),
        },
        "unseen_hashtags": _unseen(manifests["train"]["hashtags"], manifests["test"]["hashtags"]),
        "targets_in_caption": _in_caption(pd.concat([manifests[name] for name in SPLITS])),
    }


def shared(manifests: Mapping[SplitName, pd.DataFrame], column: str) -> int:
    """How many distinct values of a column stand in more than one split; nulls apart."""
    splits = Counter(value for frame in manifests.values() for value in frame[column].dropna().unique())
    return sum(count > 1 for count in splits.values())


def _unseen(train: "pd.Series[Any]", test: "pd.Series[Any]") -> dict[str, float]:
    known = {hashtag for hashtags in train for hashtag in hashtags}
    counts = Counter(hashtag for hashtags in test for hashtag in hashtags)
    unseen = {hashtag: count for hashtag, count in counts.items() if hashtag not in known}
    return {"distinct": len(unseen) / len(counts), "occurrences": sum(unseen.values()) / counts.total()}


def _in_caption(posts: pd.DataFrame) -> float:
    hits = total = 0
    for caption, hashtags in zip(posts["caption"], posts["hashtags"], strict=True):
        words = set(_WORD.findall(caption.lower()))
        hits += sum(hashtag in words for hashtag in hashtags)
        total += len(hashtags)
    return hits / total
