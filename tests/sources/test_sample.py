import io
import re
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from hashgen.corpus.posts import Post
from hashgen.corpus.tables import TRUTH_SCHEMA
from hashgen.params import scrape
from hashgen.pictures.decode import BadPicture, check_picture
from hashgen.sources.sample.drawing.canvas import LIGHTS
from hashgen.sources.sample.drawing.postcards import draw_postcard
from hashgen.sources.sample.source import DIRT, SampleSource
from hashgen.sources.sample.wording import FOREIGN, draw_caption
from hashgen.sources.sample.world import WORLD
from hashgen.text.captions import clean_caption, has_emoji, hashtags_of

Posts = list[Post]
Truth = dict[str, dict[str, Any]]
Clean = list[tuple[Post, dict[str, Any]]]

POSTS, SHARE = 780, 0.25
# Words that would give away in a caption what only the picture may show.
TELLTALE = frozenset(
    re.findall(
        "[a-z]+",
        "beach sea ocean sand wave surf palm shore mountain peak hike hiking trail summit snow city urban "
        "street skyline skyscraper food eat meal dinner lunch breakfast burger pizza pancake noodle forest wood "
        "woods tree desert cactus dune flower flowers garden tulip bloom cat cats kitten pet paw golden "
        "sunset sunrise dusk noon midday sun sunny sky night moon star stars dark light blue ",
    )
)


def section(posts: int = POSTS, seed: int = 5, dirt: float = SHARE) -> scrape.Sample:
    return scrape.Sample(posts=posts, seed=seed, image_size=64, dirt=dirt)


@pytest.fixture(scope="module")
def posts() -> Posts:
    return list(SampleSource(section()).posts())


@pytest.fixture(scope="module")
def truth() -> Truth:
    return {row["id"]: row for row in SampleSource(section()).truth().to_pylist()}


@pytest.fixture(scope="module")
def clean(posts: Posts, truth: Truth) -> Clean:
    """Clean posts with their truth; those met twice once."""
    first = {post.id: post for post in reversed(posts)}
    return [(first[name], row) for name, row in truth.items() if row["dirt"] is None]


def all_hashtags(post: Post) -> list[str]:
    return hashtags_of(post.caption or "") + list(post.hashtags or ())


def text_of(post: Post) -> str:
    assert post.caption is not None
    return post.caption


def data_of(post: Post) -> bytes:
    assert post.image is not None
    return post.image


def dirty(posts: Posts, truth: Truth, reason: str) -> list[Post]:
    found = [post for post in posts if truth[post.id]["dirt"] == reason]
    assert found
    return found


def test_same_section_same_posts(posts: Posts, truth: Truth) -> None:
    again = SampleSource(section())
    assert list(again.posts()) == posts
    assert again.truth().to_pylist() == list(truth.values())
    assert again.truth().schema == TRUTH_SCHEMA


def test_more_posts_only_append(posts: Posts, truth: Truth) -> None:
    fewer = SampleSource(section(posts=150))
    assert list(fewer.posts()) == posts[:150]
    rows = fewer.truth().to_pylist()
    assert rows == list(truth.values())[: len(rows)]
    assert {row["id"] for row in rows} == {post.id for post in posts[:150]}


def test_another_seed_is_another_world_of_posts(posts: Posts) -> None:
    others = list(SampleSource(section(posts=50, seed=6)).posts())
    assert not {post.id for post in others} & {post.id for post in posts}
    assert not {post.image for post in others if post.image} & {
        post.image for post in posts if post.kind == "image" and post.image
    } - {b""}


def test_posts_look_like_posts(posts: Posts) -> None:
    assert all(re.fullmatch("[0-9A-Za-z]{11}", post.id) for post in posts)
    assert all(post.author is None or re.fullmatch("[0-9a-f]{64}", post.author) for post in posts)
    dates = [post.date for post in posts if post.date is not None]
    assert len(dates) == len(posts) and {date.year for date in dates} == {2024}
    assert len({date.month for date in dates}) == 12
    assert all(date.utcoffset() == timedelta(0) for date in dates)
    assert {post.source for post in posts} == {"sample"}
    groups = Counter(post.author for post in posts if post.author)
    assert 1.2 < sum(groups.values()) / len(groups) < 1.8
    assert 2 <= max(groups.values()) <= 8
    assert any(post.author is None for post in posts)


def test_clean_hashtags_are_candidates_in_canonical_order(clean: Clean) -> None:
    for post, row in clean:
        candidates = [hashtag for hashtag, _ in WORLD.candidates(row["scene"], row["light"], row["mood"])]
        hashtags = all_hashtags(post)
        assert hashtags == [hashtag for hashtag in candidates if hashtag in hashtags]
        assert WORLD.pairs[row["scene"], row["mood"]] in hashtags
        assert set(post.seed_hashtags) <= set(hashtags)


def test_hashtags_are_included_as_often_as_the_rules_say(clean: Clean) -> None:
    counts: Counter[int] = Counter()
    for post, row in clean:
        hashtags = all_hashtags(post)
        for place, (hashtag, _) in enumerate(WORLD.candidates(row["scene"], row["light"], row["mood"])):
            counts[place] += hashtag in hashtags
    for place, rule in enumerate(WORLD.rules):
        error = 4.5 * (rule.chance * (1 - rule.chance) / len(clean)) ** 0.5
        assert counts[place] / len(clean) == pytest.approx(rule.chance, abs=error)


def test_scenes_lights_and_moods_are_uniform(clean: Clean) -> None:
    for name, values in (("scene", WORLD.scenes), ("light", WORLD.lights), ("mood", WORLD.moods)):
        counts = Counter(row[name] for _, row in clean)
        share = 1 / len(values)
        error = 4.5 * (share * (1 - share) / len(clean)) ** 0.5
        assert set(counts) == set(values)
        assert all(counts[value] / len(clean) == pytest.approx(share, abs=error) for value in values)


def test_captions_tell_mood_alone(clean: Clean) -> None:
    given_away = {*TELLTALE, *WORLD.scenes, *WORLD.pairs.values()}
    given_away |= {
        hashtag for part in (WORLD.scenes, WORLD.lights, WORLD.moods) for tags in part.values() for hashtag in tags
    }
    chance = Random(3)
    captions = [clean_caption(post.caption or "") for post, _ in clean]
    captions += [draw_caption(mood, chance) for mood in WORLD.moods for _ in range(400)]
    for caption in captions:
        words = re.findall(r"[a-z]+", re.sub(r"\S*(@|example)\S*", "", caption.lower()))
        assert not given_away & set(words), caption
        assert 2 <= len(words) <= 27, caption  # a clitic counts as a word here


def test_cleaned_captions_are_clean_and_of_every_length(clean: Clean) -> None:
    captions = [clean_caption(post.caption or "") for post, _ in clean]
    assert all(not set(caption) & set("#@%{}") and "example" not in caption for caption in captions)
    lengths = {len(caption.split()) for caption in captions}
    assert min(lengths) == 2
    assert 18 <= max(lengths) <= 25
    raw = [post.caption or "" for post, _ in clean]
    assert all(any(sign in text for text in raw) for sign in ("@", "https://", "#love ", "\n"))
    assert any(text.isupper() for text in captions)
    assert any(post.hashtags for post, _ in clean)


def test_a_caption_does_not_tell_whether_love_is_a_hashtag(clean: Clean) -> None:
    """The word stands in a caption as often whether or not it is a hashtag."""
    says = [
        ("love" in all_hashtags(post))
        for post, row in clean
        if re.search(r"(?i)\b(much love|love (this|it))\b", clean_caption(text_of(post)))
    ]
    rule = WORLD.rules[0]
    assert len(says) > 30
    assert sum(says) / len(says) == pytest.approx(
        rule.chance, abs=4.5 * (rule.chance * (1 - rule.chance) / len(says)) ** 0.5
    )


def test_dirt_has_its_share_and_every_kind_in_every_block(posts: Posts, truth: Truth) -> None:
    block = round(len(DIRT) / SHARE)
    assert len(posts) % block == 0
    counts = Counter(reason for row in truth.values() if (reason := row["dirt"]))
    expected = Counter(reason for reason in DIRT.values() if reason)
    assert counts == {reason: count * len(posts) // block for reason, count in expected.items()}
    assert len(posts) - len(truth) == len(posts) // block  # met twice
    assert all(row["dirt"] is None for row in SampleSource(section(dirt=0.0)).truth().to_pylist())


def test_every_kind_is_there_from_150_posts_on() -> None:
    rows = SampleSource(section(posts=150, dirt=0.15)).truth().to_pylist()
    assert {row["dirt"] for row in rows} == {*DIRT.values()}
    assert len(rows) < 150


def test_posts_met_twice_differ_in_their_seeds_alone(posts: Posts) -> None:
    times = Counter(post.id for post in posts)
    twice = [[post for post in posts if post.id == name] for name, count in times.items() if count > 1]
    assert twice
    for first, *others in twice:
        for other in others:
            assert first.seed_hashtags != other.seed_hashtags
            assert set(other.seed_hashtags) <= set(all_hashtags(other))
            assert (other.caption, other.image, other.author) == (first.caption, first.image, first.author)


def test_planted_texts_are_what_truth_says(posts: Posts, truth: Truth) -> None:
    assert all(has_emoji(text_of(post)) for post in dirty(posts, truth, "emoji"))
    assert all(clean_caption(text_of(post)) == "" and all_hashtags(post) for post in dirty(posts, truth, "no_caption"))
    assert all(clean_caption(text_of(post)) and not all_hashtags(post) for post in dirty(posts, truth, "no_hashtags"))
    sentences = [sentence for language in FOREIGN.values() for sentence in language]
    foreign = dirty(posts, truth, "not_english")
    assert all(any(sentence in text_of(post) for sentence in sentences) and all_hashtags(post) for post in foreign)
    others = [post for post in posts if truth[post.id]["dirt"] != "emoji"]
    assert not any(has_emoji(text_of(post)) for post in others)


def test_emoji_stand_in_captions_and_in_hashtags(posts: Posts, truth: Truth) -> None:
    found = dirty(posts, truth, "emoji")
    in_hashtags = [bool(re.search(r"#\w+[^\w\s#,]", text_of(post).replace(",", " "))) for post in found]
    assert any(in_hashtags) and not all(in_hashtags)


def test_planted_pictures_are_what_truth_says(posts: Posts, truth: Truth) -> None:
    details = set()
    for post in dirty(posts, truth, "bad_image"):
        with pytest.raises(BadPicture) as error:
            check_picture(data_of(post), 32, 10**8)
        details.add(str(error.value))
    assert details == {"truncated", "not_an_image", "empty", "too_small"}
    videos = dirty(posts, truth, "video")
    assert all(post.kind == "video" for post in videos)
    assert {post.image is None for post in videos} == {True, False}
    assert all(post.kind == "image" for post in posts if truth[post.id]["dirt"] != "video")


def test_a_duplicate_has_the_picture_of_an_earlier_clean_post(posts: Posts, truth: Truth) -> None:
    first: dict[bytes, Post] = {}
    for post in posts:
        if post.image and truth[post.id]["dirt"] == "duplicate":
            original = first[post.image]
            assert truth[original.id]["dirt"] is None
            assert original.id != post.id
            assert truth[original.id]["scene"] == truth[post.id]["scene"]
        elif post.image and truth[post.id]["dirt"] != "bad_image":
            assert first.setdefault(post.image, post).id == post.id


def test_truth_is_null_where_a_post_shows_or_tells_nothing(posts: Posts, truth: Truth) -> None:
    image = {post.id: post.image for post in posts}
    for row in truth.values():
        shows_nothing = row["dirt"] == "bad_image" or image[row["id"]] is None
        assert (row["scene"] is None) == (row["light"] is None) == shows_nothing
        assert (row["mood"] is None) == (row["dirt"] in ("no_caption", "not_english"))


def test_foreign_sentences_are_many_and_long() -> None:
    assert len(FOREIGN) == 12
    assert all(len(sentences) >= 4 for sentences in FOREIGN.values())
    assert all(len(text.split()) >= 5 for name, texts in FOREIGN.items() if name != "ja" for text in texts)
    scripts = {
        "ar": "\u0600-\u06ff",
        "el": "\u0370-\u03ff",
        "hi": "\u0900-\u097f",
        "ja": "\u3040-\u30ff",
        "ko": "\uac00-\ud7af",
        "ru": "\u0400-\u04ff",
    }
    assert all(re.search(f"[{letters}]", text) for name, letters in scripts.items() for text in FOREIGN[name])


@pytest.mark.parametrize("light", WORLD.lights)
@pytest.mark.parametrize("scene", WORLD.scenes)
def test_postcards(scene: str, light: str) -> None:
    drawn = [draw_postcard(scene, light, Random(number), 96) for number in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    with Image.open(io.BytesIO(drawn[0])) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (96, 96), "RGB")
        assert np.asarray(image).std() > 20


def test_nights_are_darker_than_noons() -> None:
    brightness = {
        light: np.mean([picture_mean(draw_postcard(scene, light, Random(4), 64)) for scene in WORLD.scenes])
        for light in LIGHTS
    }
    assert brightness["night"] < 0.6 * brightness["noon"]
    assert brightness["golden"] < brightness["noon"]


def picture_mean(data: bytes) -> float:
    with Image.open(io.BytesIO(data)) as image:
        return float(np.asarray(image).mean())


def test_no_picture_of_an_unknown_scene() -> None:
    with pytest.raises(KeyError):
        draw_postcard("moonbase", "noon", Random(1), 64)


def test_an_html_page_is_no_picture(posts: Posts, truth: Truth) -> None:
    pages = [post for post in dirty(posts, truth, "bad_image") if data_of(post).startswith(b"<!DOCTYPE")]
    assert pages
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data_of(pages[0])))
