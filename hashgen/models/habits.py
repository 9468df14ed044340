"""How people write hashtags, counted in training posts: what models without a notion of order or length write by."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pydantic


class Habits:
    """Counts of the hashtags of training posts.

    counts: in how many posts each hashtag is. popular: all hashtags, the most frequent first, ties alphabetically,
    with their places in that order. length: mean number of hashtags of a post, rounded, at least 1: the mean and not
    the median, since BLEU's brevity penalty compares the total written with the total true. places: for each hashtag
    its mean relative place in the posts that have it, 0 for the first, 1 for the last.
    """

    def __init__(self, hashtags: Sequence[Sequence[str]]) -> None:
        counts = Counter(itertools.chain.from_iterable(hashtags))
        length = max(1, int(sum(map(len, hashtags)) / len(hashtags) + 0.5))
        self._take(counts, length, _mean_places(hashtags))

    def _take(self, counts: Counter[str], length: int, places: dict[str, float]) -> None:
        self.counts = counts
        by_count = sorted(counts, key=lambda hashtag: (-counts[hashtag], hashtag))
        self.popular: Mapping[str, int] = {hashtag: place for place, hashtag in enumerate(by_count)}
        self.length = length
        self.places = places

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        hashtags = {hashtag: [self.counts[hashtag], self.places[hashtag]] for hashtag in self.popular}
        return {"length": self.length, "hashtags": hashtags}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The habits that `to_json` wrote down. Raises KeyError, TypeError or ValueError for anything else."""
        habits = cls.__new__(cls)
        found = {str(hashtag): (int(count), float(place)) for hashtag, (count, place) in document["hashtags"].items()}
        if not found:
            raise ValueError("no hashtags")
        counts = Counter({hashtag: count for hashtag, (count, _) in found.items()})
        habits._take(counts, int(document["length"]), {hashtag: place for hashtag, (_, place) in found.items()})
        return habits

    def repeated(self) -> list[str]:
        """The hashtags of two or more training posts, most frequent first; all, where there are none such."""
        return [hashtag for hashtag in self.popular if self.counts[hashtag] > 1] or list(self.popular)

    def fill(self, ranking: Sequence[str], depth: int) -> list[str]:
        """A ranking without repeats, filled up with popular hashtags, `depth` in all where there are as many."""
        head = list(dict.fromkeys(ranking))[:depth]
        known = set(head)
        rest = (hashtag for hashtag in self.popular if hashtag not in known)
        return head + list(itertools.islice(rest, depth - len(head)))

    def write(self, ranking: Sequence[str]) -> list[str]:
        """The head of a ranking, as long as a post's hashtags are on average, in the order of training posts.

        A ranking knows no order, and BLEU would punish that alone. Hashtags with equal places stay as ranked.
        """
        return sorted(ranking[: self.length], key=lambda hashtag: self.places[hashtag])


def texts_by_post(value: Any) -> list[list[str]]:
    """`value` if it is the hashtags of at least one post, as JSON has them. Raises ValueError for anything else."""
    found = pydantic.TypeAdapter(list[list[str]]).validate_python(value, strict=True)
    if not any(found):
        raise ValueError("no post has a hashtag")
    return found


def _mean_places(hashtags: Sequence[Sequence[str]]) -> dict[str, float]:
    places: dict[str, list[float]] = {}
    for one in hashtags:
        for place, hashtag in enumerate(one):
            places.setdefault(hashtag, []).append(place / max(1, len(one) - 1))
    return {hashtag: sum(found) / len(found) for hashtag, found in places.items()}
