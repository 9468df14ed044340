"""Which posts the report shows, and how their hashtags are told apart; pictures of them."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from hashgen.report.examples import choose_cards, choose_examples, data_url, make_cards, make_grid, shortened, thumbnail
from hashgen.report.pictures import draw_cards, draw_grid
from tests.doubles.findings import SCRIPT, findings


def predictions(count: int) -> pd.DataFrame:
    """Post k hits k of the hashtags."""
    tags = [f"t{n}" for n in range(count)]
    rows = [
        {"id": f"p{k}", "caption": f"c{k}", "both": [*tags[:k], *(f"x{n}" for n in range(count - k))], "hashtags": tags}
        for k in range(count)
    ]
    return pd.DataFrame(rows)


def test_best_typical_and_worst_posts_are_chosen() -> None:
    chosen = choose_cards(predictions(9), 2)
    assert chosen["best"] == ["p8", "p7"] and chosen["worst"] == ["p1", "p0"]
    assert set(chosen["typical"]) <= {"p3", "p4", "p5"}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_no_post_is_chosen_twice(count: int) -> None:
    chosen = [post for posts in choose_cards(predictions(count), 6).values() for post in posts]
    assert chosen and len(set(chosen)) == len(chosen)


def test_a_card_tells_hits_extras_and_misses_apart() -> None:
    test = pd.DataFrame(
        {"id": ["p"], "caption": [f"{SCRIPT}\n{'x' * 500}"], "both": [["love", "cat"]], "hashtags": [["cat", "dog"]]}
    )
    ((card,),) = make_cards(test, {"worst": ["p"]}, {}).values()
    assert (card.hits, card.extras, card.misses, card.f1) == (["cat"], ["love"], ["dog"], 0.5)
    assert card.picture is None and len(card.caption) == 200 and "\n" not in card.caption


def test_a_thumbnail_is_small_and_keeps_its_shape() -> None:
    small = thumbnail(Image.effect_noise((2000, 1000), 90).convert("RGB"))
    url = data_url(small)
    assert len(small) < 20_000 and url is not None and url.startswith("data:image/jpeg;base64,")
    assert data_url(None) is None


def test_people_in_captions_of_dropped_posts_are_covered() -> None:
    captions = ["mit @jane.doe, mail jane+x@example.org!", "5 @ 3"]
    rejects = pd.DataFrame({"id": ["a", "b"], "reason": "not_english", "caption": captions, "detail": None})
    assert sorted(choose_examples(rejects, 2)["not_english"]) == ["5 @ 3", "mit @…, mail @…!"]
    long = rejects.head(1).assign(caption="x" * 3_000_000)  # in linear time
    assert choose_examples(long, 1)["not_english"] == ["x" * 199 + "…"]


def grid() -> pd.DataFrame:
    written = {"aa": ["s", "k", "z"], "ab": ["s", "n", "m"], "ba": ["k", "q"], "bb": ["s", "m"]}
    return pd.DataFrame(
        {
            "picture": [pair[0] for pair in written],
            "caption_of": [pair[1] for pair in written],
            "caption": [f"caption of {pair[1]}" for pair in written],
            "written": list(written.values()),
        }
    )


TRUE = pd.DataFrame({"id": ["b", "a"], "hashtags": [["m"], ["s", "k"]]})


def test_the_grid_says_where_each_hashtag_comes_from() -> None:
    found = make_grid(grid(), TRUE, {"a": b"x"})
    (own, mixed), (other, own_too) = found.rows
    assert own.own and own.marks == ["hit", "hit", "extra"]
    assert not mixed.own and mixed.marks == ["both", "new", "caption"]
    assert other.marks == ["caption", "new"] and own_too.marks == ["extra", "hit"]
    assert found.captions == ["caption of a", "caption of b"] and found.pictures[0] and found.pictures[1] is None
    # Picture a keeps s of s, k, z; picture b none of s, m. Caption b keeps s, m; caption a k of s, k, z.
    assert found.kept() == pytest.approx({"picture": (1 / 3 + 0) / 2, "caption": (1 + 1 / 3) / 2})


def test_a_grid_of_one_post() -> None:
    found = make_grid(grid().head(1), TRUE, {})
    assert len(found.rows) == 1 and found.kept() == {"picture": 1.0, "caption": 1.0}


def test_examples_of_dropped_posts() -> None:
    rejects = pd.DataFrame(
        {
            "id": [f"p{n}" for n in range(6)],
            "reason": ["emoji", "emoji", "emoji", "emoji", "bad_image", "bad_image"],
            "caption": ["a\nb", "x" * 500, "c", "d", None, None],
            "detail": [None, None, None, None, "empty", None],
        }
    )
    examples = choose_examples(rejects, 4)
    assert list(examples) == ["emoji", "bad_image"]
    assert sorted(examples["emoji"]) == ["a b", "c", "d", "x" * 199 + "…"]
    assert sorted(examples["bad_image"]) == ["(empty)", "(no text)"]
    assert choose_examples(rejects.sample(frac=1, random_state=1), 4) == examples
    assert choose_examples(rejects, 0) == {"emoji": [], "bad_image": []}


def test_a_text_is_cut_on_one_line() -> None:
    assert shortened(" a \n b ") == "a b" and shortened("abcdef", 4) == "abc…"


@pytest.mark.parametrize("caption", [r"costs $5 and $6 \frac", "日本 🎉 नमस्ते", "x" * 300, ""])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_cards_are_drawn_whatever_the_caption_says(tmp_path: Path, caption: str, count: int) -> None:
    test = predictions(count).assign(caption=caption)
    picture = thumbnail(Image.new("RGB", (30, 20), "teal"))
    cards = make_cards(test, {"best": list(test["id"])}, {"p0": picture})["best"]
    for path in (tmp_path / "one.png", tmp_path / "two.png"):
        draw_cards(cards, "best", path)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.width > 900 and len(set(image.convert("RGB").get_flattened_data())) > 10


@pytest.mark.parametrize("posts", [1, 2])
def test_the_grid_is_drawn(tmp_path: Path, posts: int) -> None:
    table = findings().grid
    table = table if posts == 2 else table.head(1)
    picture = thumbnail(Image.new("RGB", (30, 20), "teal"))
    path = tmp_path / "grid.png"
    draw_grid(make_grid(table, findings().test, {"p1": picture}), path)
    with Image.open(path) as image:
        assert image.width > 300 * posts
