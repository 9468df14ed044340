"""Which posts are kept: one reason for each that is not, decided from the post alone, then copies of a picture.

The reasons are tried in this order, and a post counts under the first that holds:

1. `video`: the post is no picture.
2. `no_caption`: no text at all.
3. `emoji`: an emoji in the raw text or in a hashtag given apart (with `filter.emoji: drop`).
4. `no_hashtags`: none in the text and none given apart.
5. `no_caption`: nothing with a letter is left of the text without its hashtags, mentions and links.
6. `not_english`: caption or hashtags are in none of `filter.languages`.
7. `bad_image`: the picture is missing, unreadable, too small or too large; the detail says which.
8. `duplicate`: the same bytes as the picture of a post kept before (with `filter.duplicates: keep_one`).
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from hashgen.captions import clean_caption, has_emoji, hashtags_of, normalise_hashtags, strip_emoji
from hashgen.errors import HashgenError
from hashgen.images import BadImage, check_image
from hashgen.language import is_wanted
from hashgen.params import Filter
from hashgen.posts import RowGroup, read_row_group
from hashgen.workers import map_in_order

REASONS = ("video", "no_caption", "no_hashtags", "emoji", "not_english", "bad_image", "duplicate")

POSTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("post", pa.string()),
        ("caption", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("seed_hashtags", pa.list_(pa.string())),
        ("author", pa.string()),
        ("date", pa.timestamp("us", tz="UTC")),
        ("source", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image_sha256", pa.string()),
        ("image_phash", pa.string()),
        ("licence", pa.string()),
    ]
)
REJECTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("seed_hashtags", pa.list_(pa.string())),
        ("caption", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("detail", pa.string()),
    ]
)
# Seed hashtags that metrics tell apart; the others are summed under a name that is no hashtag.
SEEDS_TOLD = 50
OTHER_SEEDS = "(others)"
_ROWS_PACKED = 1000
_COLUMNS = (
    *("id", "source", "caption", "hashtags", "seed_hashtags", "author", "date", "kind", "media_index"),
    *("image.bytes", "licence"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """What is left of a post's text: the caption that goes into a model, and its hashtags in order."""

    caption: str
    hashtags: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A post and the reason to drop it, None for a good one.

    post: a row of POSTS_SCHEMA, for a dropped one of REJECTS_SCHEMA.
    """

    post: dict[str, Any]
    raw_caption: str | None
    reason: str | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True)
class Filtered:
    """The outcome of a filter run: kept (POSTS_SCHEMA) and rejects (REJECTS_SCHEMA), each in the order of the shards.

    raw and merged count posts by source: all met, and those that were the same id met again.
    """

    kept: pa.Table
    rejects: pa.Table
    raw: Counter[str]
    merged: Counter[str]


def read_text(raw: str | None, apart: Sequence[str] | None, section: Filter) -> Text | str:
    """The caption and hashtags of a raw text, or the reason to drop its post (2 to 6 in the order above).

    apart: hashtags that the source gives apart from the text; they follow those in it.
    """
    raw, apart = raw or "", apart or ()
    if not raw.strip():
        return "no_caption"
    if section.emoji == "drop" and (has_emoji(raw) or any(has_emoji(tag) for tag in apart)):
        return "emoji"
    # An emoji is never part of a hashtag, so those given apart lose it also where captions keep theirs.
    apart = [strip_emoji(tag) for tag in apart]
    text = strip_emoji(raw) if section.emoji == "strip" else raw
    hashtags = list(dict.fromkeys(hashtags_of(text) + normalise_hashtags(apart)))
    if not hashtags:
        return "no_hashtags"
    caption = clean_caption(text)
    if not caption:
        return "no_caption"
    if not is_wanted(caption, hashtags, section):
        return "not_english"
    return Text(caption, hashtags)


def judge(record: dict[str, Any], shard: str, row: int, section: Filter) -> Judged:
    """Judge one raw record (columns of RAW_SCHEMA) by itself: every reason but `duplicate`."""
    post = {name: record[name] for name in ("source", "author", "date", "licence")}
    # The pictures of a carousel are rows of their own from here on; `post` holds them together.
    post |= {"id": picture_id(record["id"], record["media_index"]), "post": record["id"]}
    post |= {"shard": shard, "row": row, "seed_hashtags": normalise_hashtags(record["seed_hashtags"] or ())}
    drop = partial(Judged, post, record["caption"])
    if record["kind"] == "video":
        return drop("video")
    text = read_text(record["caption"], record["hashtags"], section)
    if isinstance(text, str):
        return drop(text)
    data = (record["image"] or {}).get("bytes")
    if data is None:
        return drop("bad_image", "missing")
    try:
        image = check_image(data, section.min_side, section.max_pixels)
    except BadImage as error:
        return drop("bad_image", str(error.args[0]))
    post |= {"caption": text.caption, "hashtags": text.hashtags, "width": image.width, "height": image.height}
    post |= {"image_sha256": hashlib.sha256(data).hexdigest(), "image_phash": image.phash}
    return Judged(post, record["caption"])


def picture_id(post: str, media_index: int) -> str:
    """The id of one picture of a post: the post's own for the first, `post/2` for the third of a carousel."""
    return post if not media_index else f"{post}/{media_index}"


def judge_row_group(group: RowGroup, section: Filter) -> Iterator[Judged]:
    """Judge the posts of one row group one by one."""
    for row, record in read_row_group(group, _COLUMNS):
        yield judge(record, group.shard.name, row, section)


def judge_all(groups: Sequence[RowGroup], section: Filter, workers: int) -> Iterator[Judged]:
    """Judge the posts of row groups in `workers` processes, 1: in this one; in order, the same for any number of them.

    Raises HashgenError when a worker dies.
    """
    workers = min(workers, len(groups))
    work = partial(_judge_whole, section=section)
    for _, judged in map_in_order(work, groups, workers=0 if workers <= 1 else workers, ahead=2, stage="filter"):
        yield from judged


def _judge_whole(group: RowGroup, section: Filter) -> list[Judged]:
    return list(judge_row_group(group, section))


def filter_posts(judged: Iterable[Judged], section: Filter) -> Filtered:
    """Merge posts met twice, drop copies of a picture, and gather the rest.

    The same picture of the same post met again is merged: the first good one stands (else the first), the seed
    hashtags of all are united.
    A copy of a picture is dropped only beside a post that is kept itself.
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
        """The whole; a post that was dropped when met first and kept later is no reject."""
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
    "video": "bring posts with pictures",
    "no_caption": "bring posts with a text beside their hashtags",
    "no_hashtags": "bring posts with #hashtags in their text, or give hashtags apart",
    "emoji": "set filter.emoji: strip",
    "not_english": "mend filter.languages or lower filter.language_thresholds",
    "bad_image": "see that the files of the pictures are there and whole, or lower filter.min_side",
    "duplicate": "set filter.duplicates: group",
}


def require_kept(filtered: Filtered) -> None:
    """Raise a HashgenError that says why and what to change if no post is kept."""
    if filtered.kept.num_rows:
        return
    top = Counter(filtered.rejects.column("reason").to_pylist()).most_common(3)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in top)
    remedies = "; ".join(_REMEDIES[reason] for reason, _ in top)
    raise HashgenError(f"filter: none of {filtered.raw.total():,} posts is kept ({reasons}); {remedies}")
