"""Why posts are dropped, which of two copies stays, and that workers change nothing."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen.base.errors import HashgenError
from hashgen.corpus import posts as posts_module
from hashgen.corpus.posts import Post, row_groups, write_shards
from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA
from hashgen.filtering.gathering import OTHER_SEEDS, Filtered, filter_posts, require_kept, summarise
from hashgen.filtering.judging import REASONS, Judged, Text, judge_all, judge_row_group, read_text
from hashgen.params.filter import Filter, LanguageThresholds
from hashgen.pictures.decode import Checked, check_picture
from tests.properties import examples

THRESHOLDS = LanguageThresholds(up_to_2=-5.5, up_to_5=-1.5, up_to_10=-0.5, longer=1.0)
ENGLISH = "a quiet morning walk along the river with my old camera"
GERMAN = "Heute morgen war ich mit meiner alten Kamera am Fluss und habe viele Bilder gemacht"


def section(**changes: Any) -> Filter:
    values: dict[str, Any] = {
        "languages": ("en",),
        "emoji": "drop",
        "max_non_latin": 0.1,
        "language_thresholds": THRESHOLDS,
        "min_side": 32,
        "max_pixels": 10**8,
        "duplicates": "keep_one",
    }
    return Filter(**(values | changes))


def picture(colour: int = 0, side: int = 40, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (colour % 256, colour // 256, 90)).save(stream, kind)
    return stream.getvalue()


def post(number: int, **changes: Any) -> Post:
    values = {"id": f"p{number}", "source": "folder", "caption": f"{ENGLISH} #walk", "image": picture(number)}
    return Post(**(values | changes))


def run(folder: Path, posts: list[Post], workers: int = 1, **changes: Any) -> Filtered:
    folder.mkdir(exist_ok=True)
    write_shards(posts, folder)
    return filter_posts(judge_all(row_groups(folder), section(**changes), workers), section(**changes))


def outcome(filtered: Filtered) -> dict[str, str | None]:
    kept = dict.fromkeys(filtered.kept.column("id").to_pylist())
    rejects = filtered.rejects.to_pylist()
    return kept | {row["id"]: row["reason"] + (f" {row['detail']}" if row["detail"] else "") for row in rejects}


@pytest.mark.parametrize(
    ("raw", "apart", "changes", "expected"),
    [
        (None, ["walk"], {}, "no_caption"),
        (" \n", ["walk"], {}, "no_caption"),
        ("#walk #river", None, {}, "no_caption"),
        ("!!! #walk", None, {}, "no_caption"),
        (ENGLISH, None, {}, "no_hashtags"),
        (ENGLISH, ["", "!"], {}, "no_hashtags"),
        (f"{ENGLISH} ❤ #walk", None, {}, "emoji"),
        (f"{ENGLISH} #walk", ["love😍"], {}, "emoji"),
        # An emoji counts before anything that cleaning would find.
        ("😂", None, {}, "emoji"),
        (f"{GERMAN} #fluss 😂", None, {}, "emoji"),
        (f"{GERMAN} #fluss", None, {}, "not_english"),
        (f"{GERMAN} #fluss", None, {"languages": ("en", "de")}, Text(GERMAN, ["fluss"])),
        (f"{ENGLISH} #прогулка", None, {}, "not_english"),
        (f"{ENGLISH} #Walk #walk", ["#River", "walk"], {}, Text(ENGLISH, ["walk", "river"])),
        (f"{ENGLISH} 😂 #walk😍", ["love😍"], {"emoji": "strip"}, Text(ENGLISH, ["walk", "love"])),
        (f"{ENGLISH} #walk", ["love😍"], {"emoji": "keep"}, Text(ENGLISH, ["walk", "love"])),
        ("😂 #walk", None, {"emoji": "strip"}, "no_caption"),
        ("soja #love #food", None, {}, Text("soja", ["love", "food"])),
    ],
)
def test_text(raw: str | None, apart: list[str] | None, changes: dict[str, Any], expected: Text | str) -> None:
    assert read_text(raw, apart, section(**changes)) == expected


def test_kept_emoji_stand_in_the_caption() -> None:
    text = read_text(f"😂 {ENGLISH} #walk", None, section(emoji="keep"))
    assert isinstance(text, Text) and "😂" in text.caption


@examples(200)
@given(raw=st.none() | st.text(max_size=80), apart=st.none() | st.lists(st.text(max_size=10), max_size=3))
def test_any_text_gets_an_answer(raw: str | None, apart: list[str] | None) -> None:
    text = read_text(raw, apart, section())
    if isinstance(text, str):
        assert text in REASONS
    else:
        assert text.caption and text.hashtags and len(set(text.hashtags)) == len(text.hashtags)


def test_each_reason_and_its_detail(tmp_path: Path) -> None:
    huge = picture(side=40, kind="PNG")
    posts = [
        post(0),
        post(1, kind="video", caption=None),
        post(2, caption=None, image=None),
        post(3, image=None),
        post(4, image=b""),
        post(5, image=b"<html>"),
        post(6, image=picture()[:-300]),
        post(7, image=picture(side=31)),
        post(8, image=huge[:16] + (60_000).to_bytes(4) + (60_000).to_bytes(4) + huge[24:]),
        post(9, image=picture(0)),
    ]
    filtered = run(tmp_path, posts)
    reasons = outcome(filtered)
    # Pillow checks the header's checksum first, so that a forged size may read as damage.
    assert reasons.pop("p8") in ("bad_image too_large", "bad_image truncated", "bad_image not_an_image")
    assert reasons == {
        "p0": None,
        "p1": "video",
        "p2": "no_caption",
        "p3": "bad_image missing",
        "p4": "bad_image empty",
        "p5": "bad_image not_an_image",
        "p6": "bad_image truncated",
        "p7": "bad_image too_small",
        "p9": "duplicate same picture as p0",
    }


def test_a_picture_over_max_pixels(tmp_path: Path) -> None:
    filtered = run(tmp_path, [post(0), post(1, image=picture(1, side=41))], max_pixels=1600)
    assert outcome(filtered) == {"p0": None, "p1": "bad_image too_large"}


def test_rows_are_as_the_schemas_say(tmp_path: Path) -> None:
    good = post(0, seed_hashtags=["#Walk"], author="abc", licence="CC0", caption=f"{ENGLISH} #walk #River")
    bad = post(1, caption=" ", seed_hashtags=["food"])
    filtered = run(tmp_path, [bad, good])
    assert filtered.kept.schema == POSTS_SCHEMA and filtered.rejects.schema == REJECTS_SCHEMA
    (kept,), (reject,) = filtered.kept.to_pylist(), filtered.rejects.to_pylist()
    assert len(kept.pop("image_sha256")) == 64 and kept.pop("image_phash") is None
    assert kept == {
        "id": "p0",
        "post": "p0",
        "caption": ENGLISH,
        "hashtags": ["walk", "river"],
        "seed_hashtags": ["walk"],
        "author": "abc",
        "date": None,
        "source": "folder",
        "shard": "posts-00000.parquet",
        "row": 1,
        "width": 40,
        "height": 40,
        "licence": "CC0",
    }
    assert reject == {
        "id": "p1",
        "reason": "no_caption",
        "source": "folder",
        "seed_hashtags": ["food"],
        "caption": " ",
        "shard": "posts-00000.parquet",
        "row": 0,
        "detail": None,
    }


def test_the_same_id_is_merged_and_its_seeds_united(tmp_path: Path) -> None:
    posts = [
        post(0, seed_hashtags=["a"]),
        post(1),
        post(0, seed_hashtags=["b", "a"], caption="other words #x", image=picture(9)),
    ]
    filtered = run(tmp_path, posts)
    assert filtered.kept.column("id").to_pylist() == ["p0", "p1"]
    assert filtered.kept.column("seed_hashtags").to_pylist() == [["a", "b"], []]
    assert filtered.kept.column("caption").to_pylist()[0] == ENGLISH
    summary = summarise(filtered)
    assert (summary["raw"], summary["merged"], summary["kept"], summary["kept_share"]) == (3, 1, 2, 1.0)


def test_of_one_id_the_first_good_one_stands(tmp_path: Path) -> None:
    posts = [
        post(0, image=None, seed_hashtags=["a"]),
        post(0, caption=None),
        post(0, seed_hashtags=["b"]),
        post(1, image=None),
        post(1, caption=None),
    ]
    filtered = run(tmp_path, posts)
    assert outcome(filtered) == {"p0": None, "p1": "bad_image missing"}
    assert filtered.kept.to_pylist()[0]["seed_hashtags"] == ["a", "b"] and filtered.kept.to_pylist()[0]["row"] == 2
    summary = summarise(filtered)
    assert summary["raw"] == summary["merged"] + summary["kept"] + sum(summary["dropped"].values()) == 5


def test_a_dropped_post_shadows_no_copy_of_its_picture(tmp_path: Path) -> None:
    posts = [post(0, caption=GERMAN + " #a"), post(1, image=picture(0)), post(2, image=picture(0))]
    filtered = run(tmp_path, posts)
    assert outcome(filtered) == {"p0": "not_english", "p1": None, "p2": "duplicate same picture as p1"}


def test_copies_stay_where_they_are_grouped(tmp_path: Path) -> None:
    filtered = run(tmp_path, [post(0), post(1, image=picture(0))], duplicates="group")
    assert outcome(filtered) == {"p0": None, "p1": None}


def test_summary_counts_by_source(tmp_path: Path) -> None:
    posts = [post(0), post(1, source="other", image=None), post(2, source="other", image=b""), post(0, source="other")]
    summary = summarise(run(tmp_path, posts))
    assert summary["bad_images"] == {"empty": 1, "missing": 1}
    assert list(summary["dropped"]) == list(REASONS)
    assert {
        name: (of["raw"], of["merged"], of["kept"], of["dropped"]["bad_image"])
        for name, of in summary["sources"].items()
    } == {
        "folder": (1, 0, 1, 0),
        "other": (3, 1, 0, 2),
    }


def test_the_perceptual_hash_is_kept(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.linear_gradient("L").rotate(30).save(stream, "PNG")
    (kept,) = run(tmp_path, [post(0, image=stream.getvalue())]).kept.to_pylist()
    assert kept["image_phash"] == check_picture(stream.getvalue(), 32, 10**8).phash and len(kept["image_phash"]) == 192


def test_summary_counts_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = [
        post(0, seed_hashtags=["b"]),
        post(0, seed_hashtags=["#A"]),
        post(1, seed_hashtags=["a", "c"], image=None),
        post(2, seed_hashtags=["a", "d"], caption=None),
        post(3, seed_hashtags=["b", "d"]),
        post(4),
    ]
    filtered = run(tmp_path, posts)
    whole = {
        "a": {"posts": 3, "kept": 1, "dropped": {"no_caption": 1, "bad_image": 1}},
        "b": {"posts": 2, "kept": 2, "dropped": {}},
        "d": {"posts": 2, "kept": 1, "dropped": {"no_caption": 1}},
        "c": {"posts": 1, "kept": 0, "dropped": {"bad_image": 1}},
    }
    assert list(summarise(filtered)["seeds"].items()) == list(whole.items())
    monkeypatch.setattr("hashgen.filtering.gathering.SEEDS_TOLD", 2)
    others = {"posts": 3, "kept": 1, "dropped": {"no_caption": 1, "bad_image": 1}}
    assert summarise(filtered)["seeds"] == {"a": whole["a"], "b": whole["b"], OTHER_SEEDS: others}
    assert summarise(run(tmp_path / "none", [post(0)]))["seeds"] == {}


def test_nothing_kept_says_why_and_what_to_change(tmp_path: Path) -> None:
    filtered = run(tmp_path, [post(n, image=None) for n in range(3)] + [post(3, caption="hm 😂 #a")])
    with pytest.raises(
        HashgenError, match=r"none of the 4 posts was kept \(bad_image 3, emoji 1\); .*filter\.emoji: strip"
    ):
        require_kept(filtered)


def test_every_reason_has_its_remedy(tmp_path: Path) -> None:
    for reason in REASONS:
        judged = Judged({"id": "1", "source": "s", "seed_hashtags": [], "shard": "x", "row": 0}, "text", reason)
        with pytest.raises(HashgenError, match=reason) as caught:
            require_kept(filter_posts([judged], section()))
        assert str(caught.value).partition("; ")[2]


def many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_module, "ROW_GROUP_BYTES", 1500)
    posts = [post(n % 17, image=picture(n % 11) if n % 5 else None, seed_hashtags=[f"s{n}"]) for n in range(40)]
    folder.mkdir(exist_ok=True)
    write_shards(posts, folder, posts_per_shard=6)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, monkeypatch)
    groups = row_groups(tmp_path)
    assert len(groups) > 8
    one, two = (filter_posts(judge_all(groups, section(), workers), section()) for workers in (1, 2))
    assert one == two and one.kept.num_rows and one.rejects.num_rows


def test_rows_packed_early_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, monkeypatch)
    whole = filter_posts(judge_all(row_groups(tmp_path), section(), 1), section())
    monkeypatch.setattr("hashgen.filtering.gathering._ROWS_PACKED", 2)
    assert filter_posts(judge_all(row_groups(tmp_path), section(), 1), section()) == whole


@pytest.mark.slow
def test_an_error_in_a_worker_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, monkeypatch)
    groups = row_groups(tmp_path)
    (tmp_path / "posts-00001.parquet").write_bytes(b"gone bad")
    with pytest.raises(HashgenError, match=r"posts-00001\.parquet: not a readable"):
        list(judge_all(groups, section(), 2))


def test_pictures_are_opened_once_and_only_after_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def check(data: bytes, *_: int) -> Checked:
        opened.append(data)
        return Checked(40, 40, None)

    monkeypatch.setattr("hashgen.filtering.judging.check_picture", check)
    write_shards([post(0), post(1, caption=None)], tmp_path)
    (group,) = row_groups(tmp_path)
    list(judge_row_group(group, section()))
    assert opened == [picture(0)]


def test_empty_tables_keep_their_schema() -> None:
    filtered = filter_posts([], section())
    assert filtered.kept.schema == POSTS_SCHEMA and filtered.rejects.schema == REJECTS_SCHEMA
    assert pa.types.is_timestamp(filtered.kept.schema.field("date").type)


def test_the_pictures_of_a_carousel_are_rows_that_one_post_holds_together(tmp_path: Path) -> None:
    posts = [post(0, image=picture(number), media_index=number, n_media=3) for number in (0, 2, 2)]
    filtered = run(tmp_path, posts)
    assert filtered.kept.column("id").to_pylist() == ["p0", "p0/2"] and filtered.merged["folder"] == 1
    assert filtered.kept.column("post").to_pylist() == ["p0", "p0"]
