"""Which posts are kept, and one reason for each that is not, judged from the post alone; copies of a picture come last.

The reasons are checked in this order, and a post counts under the first that applies:

1. `video`: the post is not a picture.
2. `no_caption`: no text at all.
3. `emoji`: an emoji in the raw text or in a separate hashtag (with `filter.emoji: drop`).
4. `no_hashtags`: none in the text and none given separately.
5. `no_caption`: no letters are left once hashtags, mentions and links are removed.
6. `not_english`: the caption or the hashtags are not in any of `filter.languages`.
7. `bad_image`: the picture is missing, unreadable, too small or too large; the detail says which.
8. `duplicate`: the same bytes as the picture of an earlier kept post (with `filter.duplicates: keep_one`).
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from hashgen.base.workers import map_in_order
from hashgen.corpus.posts import RowGroup, read_row_group
from hashgen.params.filter import Filter
from hashgen.pictures.decode import BadPicture, check_picture
from hashgen.text.captions import clean_caption, has_emoji, hashtags_of, normalise_hashtags, strip_emoji
from hashgen.text.language import is_wanted

REASONS = ("video", "no_caption", "no_hashtags", "emoji", "not_english", "bad_image", "duplicate")

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


def read_text(raw: str | None, apart: Sequence[str] | None, section: Filter) -> Text | str:
    """The caption and hashtags of a raw text, or the reason to drop its post (2 to 6 in the order above).

    apart: hashtags that the source gives separately; they follow those in the text.
    """
    raw, apart = raw or "", apart or ()
    if not raw.strip():
        return "no_caption"
    if section.emoji == "drop" and (has_emoji(raw) or any(has_emoji(tag) for tag in apart)):
        return "emoji"
    # An emoji is never part of a hashtag, so separate hashtags lose it even where captions keep theirs.
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
        image = check_picture(data, section.min_side, section.max_pixels)
    except BadPicture as error:
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
    """Judge the posts of row groups in `workers` processes (1: in this one); the order does not depend on their number.

    Raises HashgenError when a worker dies.
    """
    workers = min(workers, len(groups))
    work = partial(_judge_whole, section=section)
    for _, judged in map_in_order(work, groups, workers=0 if workers <= 1 else workers, ahead=2, stage="filter"):
        yield from judged


def _judge_whole(group: RowGroup, section: Filter) -> list[Judged]:
    return list(judge_row_group(group, section))
