"""Collects judged posts: merges posts found twice, drops copies, and computes the metrics."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from hashgen.base.errors import HashgenError
from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA
from hashgen.filtering.judging import REASONS, Judged
from hashgen.params.filter import Filter

# Seed hashtags that the metrics list one by one; the others are summed under a name that cannot be a hashtag.
SEEDS_TOLD = 50
OTHER_SEEDS = "(others)"
_ROWS_PACKED = 1000


@dataclasses.dataclass(frozen=True)
class Filtered:
    """The outcome of a filter run: kept (POSTS_SCHEMA) and rejects (REJECTS_SCHEMA), each in the order of the shards.

    raw and merged count posts by source: all rows, and those whose id was found before.
    """

    kept: pa.Table
    rejects: pa.Table
    raw: Counter[str]
    merged: Counter[str]


def filter_posts(judged: Iterable[Judged], section: Filter) -> Filtered:
    """Merge posts found twice, drop copies of a picture, and collect the rest.

    When the same picture of the same post is found again, the two are merged: the first good one is kept (or the first
    one), with the seed hashtags of all. A copy of a picture is dropped only if the post it copies is kept.
    """
    gathering = _Gathering(keep_one=section.duplicates == "keep_one")
    for post in judged:
        gathering.add(post)
    return gathering.finish()


class _Gathering:
    """Posts as they come in, packed as Arrow tables, so that their texts take little memory."""

    def __init__(self, keep_one: bool) -> None:
        self._keep_one = keep_one
        self._rows: dict[str, list[dict[str, Any]]] = {"kept": [], "rejects": []}
        self._tables = {"kept": [POSTS_SCHEMA.empty_table()], "rejects": [REJECTS_SCHEMA.empty_table()]}
        self._ids: dict[str, set[str]] = {"kept": set(), "rejects": set()}
        self._seeds: dict[str, list[str]] = {}
        self._owner_of_picture: dict[str, str] = {}
        self._raw: Counter[str] = Counter()
        self._merged: Counter[str] = Counter()

    def add(self, judged: Judged) -> None:
        """Take the next post in order."""
        post, reason, detail = judged.post, judged.reason, judged.detail
        self._raw[post["source"]] += 1
        self._merged[post["source"]] += post["id"] in self._seeds
        self._unite_seeds(post["id"], post["seed_hashtags"])
        if post["id"] in self._ids["kept"]:
            return
        if reason is None and self._keep_one and (owner := self._owner_of_picture.get(post["image_sha256"])):
            reason, detail = "duplicate", f"same picture as {owner}"
        if reason is None:
            self._owner_of_picture.setdefault(post["image_sha256"], post["id"])
            self._append("kept", post)
        elif post["id"] not in self._ids["rejects"]:
            self._append("rejects", post | {"caption": judged.raw_caption, "reason": reason, "detail": detail})

    def _unite_seeds(self, post: str, seeds: list[str]) -> None:
        self._seeds[post] = list(dict.fromkeys(self._seeds.get(post, []) + seeds))

    def _append(self, name: str, post: dict[str, Any]) -> None:
        self._ids[name].add(post["id"])
        self._rows[name].append({column: post[column] for column in self._tables[name][0].schema.names})
        if len(self._rows[name]) == _ROWS_PACKED:
            self._pack(name)

    def _pack(self, name: str) -> None:
        self._tables[name].append(pa.Table.from_pylist(self._rows[name], schema=self._tables[name][0].schema))
        self._rows[name].clear()

    def finish(self) -> Filtered:
        """The final tables; a post that was dropped when first found but kept later is not a reject."""
        self._pack("kept")
        self._pack("rejects")
        kept, rejects = (pa.concat_tables(self._tables[name]) for name in ("kept", "rejects"))
        is_reject = [post not in self._ids["kept"] for post in rejects.column("id").to_pylist()]
        rejects = rejects.filter(pa.array(is_reject, pa.bool_()))
        return Filtered(self._with_seeds(kept), self._with_seeds(rejects), self._raw, self._merged)

    def _with_seeds(self, table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("seed_hashtags")
        field = table.schema.field(place)
        seeds = [self._seeds[post] for post in table.column("id").to_pylist()]
        return table.set_column(place, field, pa.array(seeds, field.type)).combine_chunks()


def summarise(filtered: Filtered) -> dict[str, Any]:
    """Metrics: raw = merged + kept + all dropped; kept_share is of distinct posts; bad_images counts their details.

    sources and seeds: the same by source, and by the seed hashtags that led to a post (a post counts under each).
    """
    reasons = _counts_by(filtered.rejects, "source", "reason")
    kept = Counter(filtered.kept.column("source").to_pylist())
    details = _counts_by(filtered.rejects, "reason", "detail")
    sources = {source: _funnel(filtered, source, kept, reasons) for source in sorted(filtered.raw)}
    total = {key: sum(funnel[key] for funnel in sources.values()) for key in ("raw", "merged", "kept")}
    return {
        **total,
        "kept_share": total["kept"] / max(1, total["raw"] - total["merged"]),
        "dropped": {reason: sum(funnel["dropped"][reason] for funnel in sources.values()) for reason in REASONS},
        "bad_images": {detail: details["bad_image", detail] for key, detail in sorted(details) if key == "bad_image"},
        "sources": sources,
        "seeds": _by_seed(filtered),
    }


def _funnel(filtered: Filtered, source: str, kept: Counter[str], reasons: Counter[tuple[str, str]]) -> dict[str, Any]:
    return {
        "raw": filtered.raw[source],
        "merged": filtered.merged[source],
        "kept": kept[source],
        "dropped": {reason: reasons[source, reason] for reason in REASONS},
    }


def _by_seed(filtered: Filtered) -> dict[str, Any]:
    """Per seed hashtag: distinct posts, those kept, and the reasons that occur. Most posts first."""
    kept = Counter(seed for seeds in filtered.kept.column("seed_hashtags").to_pylist() for seed in seeds)
    columns = (filtered.rejects.column(name).to_pylist() for name in ("seed_hashtags", "reason"))
    dropped = Counter((seed, reason) for seeds, reason in zip(*columns, strict=True) for seed in seeds)
    posts = kept.copy()
    for (seed, _), count in dropped.items():
        posts[seed] += count
    order = sorted(posts, key=lambda seed: (-posts[seed], seed))
    named = {seed: [seed] for seed in order[:SEEDS_TOLD]} | {OTHER_SEEDS: order[SEEDS_TOLD:]}
    result = {}
    for name, seeds in named.items():
        reasons = {reason: sum(dropped[seed, reason] for seed in seeds) for reason in REASONS}
        result[name] = {
            "posts": sum(posts[seed] for seed in seeds),
            "kept": sum(kept[seed] for seed in seeds),
            "dropped": {reason: count for reason, count in reasons.items() if count},
        }
    return {name: funnel for name, funnel in result.items() if funnel["posts"]}


def _counts_by(table: pa.Table, first: str, second: str) -> Counter[tuple[str, str]]:
    return Counter(zip(table.column(first).to_pylist(), table.column(second).to_pylist(), strict=True))


_REMEDIES = {
    "video": "add posts with pictures",
    "no_caption": "add posts with text besides the hashtags",
    "no_hashtags": "add posts with #hashtags in their text or in a field of their own",
    "emoji": "set filter.emoji: strip",
    "not_english": "change filter.languages or lower filter.language_thresholds",
    "bad_image": "check that the picture files exist and are intact, or lower filter.min_side",
    "duplicate": "set filter.duplicates: group",
}


def require_kept(filtered: Filtered) -> None:
    """Raise a HashgenError that says why and what to change if no post is kept."""
    if filtered.kept.num_rows:
        return
    top = Counter(filtered.rejects.column("reason").to_pylist()).most_common(3)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in top)
    remedies = "; ".join(_REMEDIES[reason] for reason, _ in top)
    raise HashgenError(f"filter: none of the {filtered.raw.total():,} posts was kept ({reasons}); {remedies}")
