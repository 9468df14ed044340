"""The built-in sample: synthetic posts of postcard world, some with planted dirt, and the truth about each."""

import dataclasses
import functools
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa
from PIL import Image

from hashgen.corpus.posts import Post
from hashgen.corpus.tables import TRUTH_SCHEMA
from hashgen.params import scrape
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source
from hashgen.sources.sample.drawing.postcards import draw_postcard
from hashgen.sources.sample.wording import draw_caption, draw_foreign_caption
from hashgen.sources.sample.world import WORLD

# Each kind of planted dirt and the filter's reason for it. A post met a second time is merged, not dropped.
DIRT: dict[str, str | None] = {
    "emoji_caption": "emoji",
    "emoji_hashtags": "emoji",
    "foreign": "not_english",
    "foreign_again": "not_english",
    "no_caption": "no_caption",
    "no_hashtags": "no_hashtags",
    "met_twice": None,
    "same_picture": "duplicate",
    "truncated": "bad_image",
    "html": "bad_image",
    "empty": "bad_image",
    "tiny": "bad_image",
    "video": "video",
}

_EMOJI = ("❤️", "😂", "🔥", "✨", "🙌🏽", "🥰", "💪", "👨‍👩‍👧", "☀️", "🇮🇹")
_BETWEEN_TAGS = (" ", " ", " ", "  ", ", ", "\n", "")
_BEFORE_TAGS = (" ", " ", "\n", "\n\n", "\n.\n.\n.\n", " . . . ")
# This many authors share this many neighbouring posts: about 1.5 posts per author, and few groups that grow.
_AUTHORS, _AUTHORS_POSTS = 35, 30
_FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_YEAR_SECONDS = 366 * 86400
# How far back a copy may look for its original.
_COPY_REACH = 200
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True)
class _Draft:
    """A post before its text is put together and its picture drawn. caption: without hashtags; None for no caption."""

    dirt: str | None
    scene: str
    light: str
    mood: str
    caption: str | None
    hashtags: tuple[str, ...]


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.sample` describes."""
    return SampleSource(section.sample)


class SampleSource(Source):
    """Drawn posts of postcard world (see `hashgen.sources.sample.world`), the same for the same section on any machine.

    Each post depends on `seed`, `dirt`, `image_size` and its index alone, so that raising `posts` appends. Dirt is
    planted in blocks of about len(DIRT) / dirt posts: every kind once in each, at random places.
    """

    def __init__(self, section: scrape.Sample) -> None:
        self.total = section.posts
        self._section = section

    def metrics(self) -> dict[str, int]:
        """Nothing: for planted dirt, see `truth`."""
        return {}

    def warnings(self) -> list[str]:
        """None."""
        return []

    def posts(self) -> Iterator[Post]:
        """Yield `section.posts` posts, dirt included; one picture in memory at a time."""
        for index in range(self._section.posts):
            yield self._post(index)

    def truth(self) -> pa.Table:
        """What the sample knows of its posts: TRUTH_SCHEMA, one row an id, in order of arrival. Draws no picture."""
        rows = [self._truth(index) for index in range(self._section.posts) if self._dirt(index) != "met_twice"]
        return pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)

    def _truth(self, index: int) -> dict[str, str | None]:
        draft = self._draft(index)
        shows = DIRT.get(draft.dirt or "") != "bad_image" and not (draft.dirt == "video" and not self._has_still(index))
        tells = draft.caption is not None and DIRT.get(draft.dirt or "") != "not_english"
        return {
            "id": self._id(index),
            "dirt": DIRT.get(draft.dirt or ""),
            "scene": draft.scene if shows else None,
            "light": draft.light if shows else None,
            "mood": draft.mood if tells else None,
        }

    def _post(self, index: int) -> Post:
        if self._dirt(index) == "met_twice":
            original = self._original(index)
            post = self._post(original)
            others = [hashtag for hashtag in self._draft(original).hashtags if hashtag not in post.seed_hashtags]
            return dataclasses.replace(post, seed_hashtags=tuple(others[-1:]) or ("photography",))
        draft, chance = self._draft(index), self._chance("post", index)
        name = self._id(index)
        is_apart = chance.random() < 0.1 and draft.dirt is None
        image = self._image(index, draft)
        return Post(
            id=name,
            source="sample",
            caption=_text(draft, is_apart, chance),
            hashtags=draft.hashtags if is_apart else None,
            seed_hashtags=(chance.choice(draft.hashtags),),
            author=self._author(index, chance),
            date=_FIRST_DAY + timedelta(seconds=chance.randrange(_YEAR_SECONDS)),
            kind="video" if draft.dirt == "video" else "image",
            image=image,
            image_path=None if image is None else f"{name}.jpg",
            licence="CC0-1.0",
        )

    def _draft(self, index: int) -> _Draft:
        chance, dirt = self._chance("draft", index), self._dirt(index)
        scene, light, mood = (chance.choice(list(part)) for part in (WORLD.scenes, WORLD.lights, WORLD.moods))
        if dirt == "same_picture":
            original = self._draft(self._original(index))
            scene, light = original.scene, original.light
        candidates = WORLD.candidates(scene, light, mood)
        hashtags = tuple(hashtag for hashtag, likely in candidates if chance.random() < likely)
        caption: str | None = draw_caption(mood, chance)
        if DIRT.get(dirt or "") == "not_english":
            caption = draw_foreign_caption(chance)
        elif dirt == "no_caption":
            caption = None
        return _Draft(dirt, scene, light, mood, caption, hashtags)

    def _image(self, index: int, draft: _Draft) -> bytes | None:
        chance = self._chance("dirt", index)
        if draft.dirt == "empty":
            return b""
        if draft.dirt == "html":
            return f"<!DOCTYPE html><title>429</title><p>Too many requests. Reference {self._id(index)}</p>\n".encode()
        if draft.dirt == "tiny":
            stream = io.BytesIO()
            Image.new("RGB", (1, 1), tuple(chance.randrange(256) for _ in range(3))).save(stream, "JPEG")
            return stream.getvalue()
        if draft.dirt == "video" and not self._has_still(index):
            return None
        drawn = self._original(index) if draft.dirt == "same_picture" else index
        image = draw_postcard(draft.scene, draft.light, self._chance("picture", drawn), self._section.image_size)
        return image[: round(len(image) * chance.uniform(0.3, 0.7))] if draft.dirt == "truncated" else image

    def _has_still(self, index: int) -> bool:
        return self._chance("still", index).random() < 0.5

    def _author(self, index: int, chance: Random) -> str | None:
        number = index // _AUTHORS_POSTS * _AUTHORS + chance.randrange(_AUTHORS)
        return None if chance.random() < 0.1 else hashlib.sha256(f"author-{number}".encode()).hexdigest()

    def _id(self, index: int) -> str:
        number = int.from_bytes(hashlib.sha256(f"{self._section.seed}:{index}".encode()).digest()[:8])
        return "".join(_BASE62[number // 62**place % 62] for place in range(11))

    def _chance(self, what: str, index: int) -> Random:
        return Random(f"{self._section.seed}:{index}:{what}")

    def _dirt(self, index: int) -> str | None:
        """The kind of dirt planted at an index. The first post of a block is clean, so that a copy has an original."""
        if self._section.dirt < 1e-9:
            return None
        length = round(len(DIRT) / self._section.dirt)
        block, place = divmod(index, length)
        return _planted(self._section.seed, length, block).get(place)

    def _original(self, index: int) -> int:
        """The earlier clean post that the post at `index` copies."""
        earlier = max(0, index - self._chance("original", index).randint(1, _COPY_REACH))
        while self._dirt(earlier) is not None:
            earlier -= 1
        return earlier


@functools.lru_cache(maxsize=16)
def _planted(seed: int, length: int, block: int) -> dict[int, str]:
    """Kinds of dirt by place within a block of `length` posts."""
    places = Random(f"{seed}:{block}:planted").sample(range(1, length), len(DIRT))
    return dict(zip(places, DIRT, strict=True))


def _text(draft: _Draft, is_apart: bool, chance: Random) -> str | None:
    """The raw text as its author typed it: caption, then hashtags; the one inside the caption is the first of all."""
    hashtags = [f"#{hashtag}" for hashtag in draft.hashtags]
    if draft.dirt == "emoji_hashtags":
        place = chance.randrange(len(hashtags))
        hashtags[place] += chance.choice(_EMOJI)
    elif chance.random() < 0.1:
        hashtags = [hashtag[:2].upper() + hashtag[2:] for hashtag in hashtags]
    between, before = chance.choice(_BETWEEN_TAGS), chance.choice(_BEFORE_TAGS)
    if draft.caption is None:
        return between.join(hashtags)
    is_inside = "love" in draft.hashtags and draft.dirt != "no_hashtags" and not is_apart
    caption = draft.caption.replace("%love%", "#love" if is_inside else "love")
    caption = caption.replace("%LOVE%", "#LOVE" if is_inside else "LOVE")
    if draft.dirt == "emoji_caption":
        caption += " " + chance.choice(_EMOJI)
    if is_apart or draft.dirt == "no_hashtags":
        return caption
    return caption + before + between.join(hashtags)
