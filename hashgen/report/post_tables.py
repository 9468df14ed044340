"""Statistics of the posts: the funnel of the filter, leaks of the split, frequencies, lengths, and what caps cut."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.params.train import Train
from hashgen.text.words import tokenise

REASONS = {
    "video": "no still picture",
    "no_caption": "no caption, or no letters left in it",
    "no_hashtags": "no hashtags",
    "emoji": "emoji in caption or hashtags",
    "not_english": "caption or hashtags in another language",
    "bad_image": "picture missing, broken, too small or too large",
    "duplicate": "the same picture as a kept post",
}
LEAKS = {
    "posts": "posts",
    "images": "identical pictures (same bytes)",
    "near_duplicate_images": "similar pictures (perceptual hash)",
    "authors": "authors",
    "captions": "captions (ignoring case and punctuation)",
    "groups": "groups of posts that belong together",
}
WARNINGS = {
    "with_image": "posts with a picture",
    "with_author": "posts with an author (a salted hash)",
    "with_date": "posts with a date",
    "with_seed_hashtags": "posts with the hashtag they were found under",
    "broken_rows": "broken rows skipped",
    "rows_without_file": "rows without a readable file",
    "files_without_rows": "files not named in any row",
    "unread_dates": "unreadable dates",
    "unread_hashtags": "values among the hashtags that are not hashtags",
    "decoded_captions": "captions with HTML or written-out escapes, decoded",
    "mended_rows": "rows with half an emoji or a NUL character, replaced",
    "doubtful_rows": "rows that may hold other rows",
    "shared_ids": "rows with the id of another post",
    "linked_folders": "links to folders, not followed",
    "unread_files": "files that may be meant as metadata, not read",
    "missing_pictures": "pictures that carousels lack",
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One row of the funnel: what is taken away (`taken`, posts) and what is left after it."""

    name: str
    detail: str
    taken: int
    left: int


def funnel(filtered: Mapping[str, Any]) -> list[Step]:
    """From raw rows to kept posts, each loss by its reason; the last row's `left` is the number kept.

    Raises HashgenError when the metrics of the filter do not add up.
    """
    left = filtered["raw"]
    steps = [Step("raw rows", "as provided by the source", 0, left)]
    losses = [("merged", "the same post found again", filtered.get("merged", 0))]
    losses += [(reason, REASONS.get(reason, ""), count) for reason, count in filtered["dropped"].items()]
    for name, detail, count in losses:
        left -= count
        steps.append(Step(name, detail, count, left))
    if left != filtered["kept"]:
        raise HashgenError(
            f"the metrics of the filter do not add up: {left} posts left, but {filtered['kept']} kept; run it again:"
            " dvc repro -f -s filter"
        )
    return steps


def breakdown(blocks: Mapping[str, Mapping[str, Any]], reasons: Sequence[str], most: int = 200) -> list[dict[str, Any]]:
    """Rows of a table by source or seed hashtag: `name`, distinct `posts`, `kept`, `share`, `dropped`.

    `dropped` has one count for each of `reasons`, in that order. Only the `most` rows with the most posts are returned,
    so that the page stays small even for posts found under very many hashtags.
    """
    rows = []
    for name, block in blocks.items():
        posts = block["posts"] if "posts" in block else block["raw"] - block.get("merged", 0)
        share = block["kept"] / posts if posts else 0.0
        dropped = [block["dropped"].get(reason, 0) for reason in reasons]
        rows.append({"name": name, "posts": posts, "kept": block["kept"], "share": share, "dropped": dropped})
    return rows if len(rows) <= most else sorted(rows, key=lambda row: (-row["posts"], row["name"]))[:most]


def source_notes(scraped: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Notes of the source: (label, count) for each whole number above 0 except `posts` and `shards`."""
    found = []
    for key, value in scraped.items():
        if isinstance(value, int) and not isinstance(value, bool) and value and key not in ("posts", "shards"):
            found.append((WARNINGS.get(key, key.replace("_", " ")), value))
    return found


def source_hashtags(scraped: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The table of hashtags requested from the source: column names and rows; empty if it has none."""
    table = scraped.get("hashtags")
    if isinstance(table, Mapping):
        table = [{"hashtag": name, **block} for name, block in table.items() if isinstance(block, Mapping)]
    if not isinstance(table, list) or not table or not all(isinstance(row, Mapping) for row in table):
        return [], []
    columns = list(dict.fromkeys(key for row in table for key in row))
    return columns, [["" if row.get(column) is None else row[column] for column in columns] for row in table]


def leak_rows(split: Mapping[str, Any], posts: pd.DataFrame) -> list[tuple[str, int | None]]:
    """(label, how many occur in more than one split); None for authors if no author is known.

    Captions take two rows, because the split only keeps long ones together.
    """
    known = "author" in posts and posts["author"].notna().any()
    rows = []
    for key, count in split["leaks"].items():
        rows.append((LEAKS.get(key, key.replace("_", " ")), None if key == "authors" and not known else count))
        if key == "captions" and (words := split.get("caption_words") or 1) > 1:
            rows[-1] = (f"captions of {words} words or more (ignoring case and punctuation)", count)
            rows.append(("shorter captions, which may be the same by chance", split["short_captions"]))
    return rows


def hashtag_counts(posts: pd.DataFrame) -> Counter[str]:
    """Posts by hashtag."""
    return Counter(hashtag for hashtags in posts["hashtags"] for hashtag in dict.fromkeys(hashtags))


@dataclasses.dataclass(frozen=True)
class Cut:
    """What a cap cuts: values (one a post), the cap, the share of posts over it and of all items beyond it."""

    values: Sequence[int]
    cap: int

    @property
    def posts(self) -> float:
        """Share of the posts that are cut."""
        return sum(value > self.cap for value in self.values) / max(1, len(self.values))

    @property
    def items(self) -> float:
        """Share of all words or hashtags that are cut off."""
        return sum(max(0, value - self.cap) for value in self.values) / max(1, sum(self.values))

    @property
    def median(self) -> int:
        """The lower median."""
        return sorted(self.values)[(len(self.values) - 1) // 2]

    @property
    def longest(self) -> int:
        """The largest value."""
        return max(self.values)


def cuts(posts: pd.DataFrame, train: Train) -> dict[str, Cut]:
    """What `train.hashtag_length` and `train.caption_length` cut of the posts: `hashtags` and `words` a post."""
    return {
        "hashtags": Cut([len(hashtags) for hashtags in posts["hashtags"]], train.hashtag_length),
        "words": Cut([len(tokenise(caption)) for caption in posts["caption"]], train.caption_length),
    }


def tail(counts: Mapping[str, int], points: int = 200) -> list[tuple[int, int]]:
    """(rank from 1, posts) of the hashtags by falling frequency, at most `points` ranks, even on a log scale."""
    ordered = sorted(counts.values(), reverse=True)
    ranks = range(1, len(ordered) + 1)
    if len(ordered) > points:
        step = math.log(len(ordered)) / (points - 1)
        ranks = sorted({round(math.exp(step * point)) for point in range(points)})  # type: ignore[assignment]
    return [(rank, ordered[rank - 1]) for rank in ranks]


def filter_csv(filtered: Mapping[str, Any]) -> str:
    """CSV of `reason,posts`: the posts kept, merged, and dropped for each reason."""
    counts = {"kept": filtered["kept"], "merged": filtered.get("merged", 0), **filtered["dropped"]}
    return "reason,posts\n" + "".join(f"{reason},{count}\n" for reason, count in counts.items())


def tail_csv(counts: Mapping[str, int]) -> str:
    """CSV of `rank,posts`, see `tail`; without the hashtags, so that a repository can hold it."""
    return "rank,posts\n" + "".join(f"{rank},{posts}\n" for rank, posts in tail(counts))


# The hashtags of a ranking that are suggested: as many as Instagram allows.
SUGGESTED = 5


@dataclasses.dataclass(frozen=True)
class Hashtag:
    """One hashtag, in posts: train and test have it; it is written for so many test posts, and suggested for so many.

    suggested: among the `SUGGESTED` that the model is surest of. hits: suggested and true.
    """

    name: str
    train: int
    test: int
    written: int
    suggested: int
    hits: int

    @property
    def precision(self) -> float | None:
        """Share of the times it is suggested that it is true; None if it is never suggested."""
        return self.hits / self.suggested if self.suggested else None

    @property
    def recall(self) -> float | None:
        """Share of the posts that have it for which it is suggested; None if no test post has it."""
        return self.hits / self.test if self.test else None

    @property
    def ratio(self) -> float | None:
        """Times written over times true; above 1 it is over-predicted. None if no test post has it."""
        return self.written / self.test if self.test else None


def hashtag_table(train: pd.DataFrame, test: pd.DataFrame) -> list[Hashtag]:
    """All hashtags of the test posts, true, written or suggested, most frequent in training first.

    test: the predictions.
    """
    known, true = hashtag_counts(train), hashtag_counts(test)
    written = Counter(hashtag for hashtags in test["both"] for hashtag in hashtags)
    surest = [list(ranked[:SUGGESTED]) for ranked in test["ranked"]]
    suggested = Counter(hashtag for hashtags in surest for hashtag in hashtags)
    hits = Counter(tag for tags, own in zip(surest, test["hashtags"], strict=True) for tag in set(tags) & set(own))
    names = sorted(true | written | suggested, key=lambda name: (-known[name], -true[name], name))
    return [Hashtag(name, known[name], true[name], written[name], suggested[name], hits[name]) for name in names]


def never_suggested(table: Sequence[Hashtag]) -> list[Hashtag]:
    """The hashtags of test posts that a model could know and suggests for none, the most frequent in training first."""
    return [row for row in table if row.train and row.test and not row.suggested]


@dataclasses.dataclass(frozen=True)
class Extremes:
    """The hashtags that are most frequent in training, most over- and most under-predicted (by number of posts).

    listed: a longer list of the most frequent.
    """

    frequent: Sequence[Hashtag]
    listed: Sequence[Hashtag]
    over: Sequence[Hashtag]
    under: Sequence[Hashtag]


def extremes(table: Sequence[Hashtag], frequent: int = 15, listed: int = 300, most: int = 8) -> Extremes:
    """The rows of the table to show, at most `most` for each of `over` and `under`.

    A difference up to the square root of `written + test` counts as chance: neither over nor under.
    """
    beyond = [row for row in table if (row.written - row.test) ** 2 > row.written + row.test]
    off = sorted(beyond, key=lambda row: (row.test - row.written, row.name))
    over = [row for row in off[:most] if row.written > row.test]
    under = [row for row in reversed(off[-most:]) if row.written < row.test]
    return Extremes(table[:frequent], table[:listed], over, under)
