"""Groups of posts that belong together, and the split of each group."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from hashgen.base.errors import HashgenError
from hashgen.corpus.manifest import SPLITS, SplitName
from hashgen.params.split import Split
from hashgen.pictures.near_duplicates import first_alike, read_hashes

# Posts with the same value in one of these columns of posts.parquet belong to one group; nulls never match. The
# pictures of a carousel share one `post`.
GROUP_KEYS = ("post", "image_sha256", "author")
# The column of posts.parquet without which a post cannot be placed by `split.by`.
NEEDED_TO_SPLIT_BY = {"group": "id", "author": "author", "time": "date"}
_NO_WORD = re.compile(r"[\W_]+")


def group_posts(posts: pa.Table, near_duplicate_bits: int | None, same_caption_words: int | None) -> list[str]:
    """The group of each post, in the order of `posts`: the id of the group's first member in that order.

    Two posts belong together when one of GROUP_KEYS is the same, when their perceptual hashes differ in at most
    `near_duplicate_bits` bits, or when they have the same caption of at least `same_caption_words` words, ignoring case
    and punctuation; None turns either check off. Posts linked through other posts belong together too.

    posts: columns GROUP_KEYS, image_phash and caption. Since new posts come last, a group keeps its name when it
    grows, and groups that merge take the name of the one that was there first.
    """
    parents = list(range(posts.num_rows))
    for likes in _likes(posts, near_duplicate_bits, same_caption_words):
        first: dict[object, int] = {}
        for row, value in likes:
            if value is not None:
                _unite(parents, first.setdefault(value, row), row)
    ids = posts.column("id").to_pylist()
    return [ids[_root(parents, row)] for row in range(len(ids))]


def _likes(posts: pa.Table, bits: int | None, words: int | None) -> Iterator[Iterable[tuple[int, object]]]:
    """For each way to belong together: (row, value) of the posts. Equal values belong together; None with nothing."""
    for key in GROUP_KEYS:
        yield enumerate(posts.column(key).to_pylist())
    if bits is not None:
        yield _looks(posts.column("image_phash").to_pylist(), bits)
    if words is not None:
        yield enumerate(caption_key(caption, words) for caption in posts.column("caption").to_pylist())


def _looks(hashes: Sequence[str | None], bits: int) -> Iterator[tuple[int, object]]:
    known = [row for row, value in enumerate(hashes) if value is not None]
    found = read_hashes(hashes[row] or "" for row in known)  # (known, insets, words)
    looks = first_alike(found.reshape(-1, found.shape[-1]), bits)
    for place, look in enumerate(looks.tolist()):
        yield known[place // found.shape[1]], look


def caption_key(caption: str, words: int) -> str | None:
    """The caption in lower case without punctuation; None if it has fewer than `words` words."""
    found = [word for part in caption.lower().split() if (word := _NO_WORD.sub("", part))]
    return " ".join(found) if len(found) >= words else None


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
    """The manifests: the columns of `posts` and `group`, in order of arrival (shard and row).

    Groups and the bounds of time come from all posts, so that `split.limit` moves no group. `by: author` leaves out
    posts whose author is unknown, and `by: time` posts without a date: nobody can tell which split they belong to.
    Raises HashgenError if none is left or a split is empty.
    """
    posts = posts.sort_by([("shard", "ascending"), ("row", "ascending")])
    groups = group_posts(posts, section.near_duplicate_bits, section.same_caption_words)
    placed = _by_time(posts, groups, section) if section.by == "time" else _by_hash(groups, section)
    needed = NEEDED_TO_SPLIT_BY[section.by]
    known = np.flatnonzero(posts.column(needed).is_valid().to_numpy())
    if not known.size:
        raise HashgenError(
            f"split: no post has a known {needed}, which split.by: {section.by} needs; set split.by: group"
        )
    rows: dict[SplitName, list[int]] = {name: [] for name in SPLITS}
    for place in choose_posts([groups[row] for row in known], section.limit, section.seed):
        rows[placed[groups[known[place]]]].append(int(known[place]))
    if not all(rows.values()):
        sizes = ", ".join(f"{name} {len(rows[name]):,}" for name in SPLITS)
        limit = "" if section.limit is None else "raise split.limit, "
        count = f"{len(known):,} posts in {len({groups[row] for row in known}):,} groups"
        raise HashgenError(
            f"split: a split would be empty ({sizes} of {count}); {limit}change split.shares or split.seed, or add "
            "more posts (posts by the same author stay together)"
        )
    named = posts.append_column(pa.field("group", pa.string()), pa.array(groups, pa.string()))
    return {name: named.take(pa.array(rows[name], pa.int64())) for name in SPLITS}


def _by_hash(groups: Sequence[str], section: Split) -> dict[str, SplitName]:
    return {group: split_of_group(group, section.shares, section.seed) for group in set(groups)}


def _by_time(posts: pa.Table, groups: Sequence[str], section: Split) -> dict[str, SplitName]:
    """The split of each group that has a date: groups in order of their newest post, filled up to the shares.

    So the newest posts are in test, and the shares are met to within one group. Test posts that are older than some
    training post, because a newer one shares their group, are counted with the leaks (`straddling`).
    """
    newest: dict[str, tuple[datetime, int]] = {}
    sizes: Counter[str] = Counter()
    for row, (group, date) in enumerate(zip(groups, posts.column("date").to_pylist(), strict=True)):
        if date is not None:
            newest[group] = max(newest.get(group, (date, row)), (date, row))
            sizes[group] += 1
    train, val, _ = (share / sum(section.shares) * sizes.total() for share in section.shares)
    placed: dict[str, SplitName] = {}
    filled = 0
    for group in sorted(newest, key=lambda group: newest[group]):
        # A group goes where most of it falls.
        middle = filled + sizes[group] / 2
        placed[group] = "train" if middle <= train else "val" if middle <= train + val else "test"
        filled += sizes[group]
    return placed
