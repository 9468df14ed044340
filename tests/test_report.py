"""The report: what it shows, what it escapes, and which posts it picks."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from hashgen.errors import HashgenError
from hashgen.report import Sources, choose_cards, choose_examples, make_card, read_history, render, score_rows


def block(value: float) -> dict[str, Any]:
    names = ("p_at_1", "r_at_5", "f1_at_5", "f1", "bleu4")
    return {"posts": 12} | dict.fromkeys(names, value) | {f"{name}_ci95": [value / 2, value] for name in names}


def sources(**changes: Any) -> Sources:
    half = {"both": block(0.5), "no_image": block(0.25), "no_caption": block(0.125)}
    ceiling = {"both": {"p_at_1": 0.9, "bleu4": 0.875}}
    scored = half | {"ceiling": ceiling, "paper_protocol": {"model": 0.7, "constant": 0.1, "nothing": 0.6}}
    parts: dict[str, Any] = {
        "scrape": {"source": "sample"},
        "filter": {"raw": 1234, "kept": 1000, "dropped": {"emoji": 234}},
        "split": {
            "sizes": {"train": 900, "val": 50, "test": 50},
            "leaks": {"images": 0},
            "targets_in_caption": 0.25,
            "unseen_hashtags": {"occurrences": 0.125},
        },
        "vocab": {},
        "baselines": {"test": {"popularity": block(0.0625)}},
        "evaluate": {"test": scored, "best_epoch": 3, "audit": {"dirty": 7, "dirty_kept": 0, "clean_lost": 0}},
        "history": pd.DataFrame(
            {name: [0.1, 0.2, 0.3] for name in ("train_loss", "val_loss", "train_bleu4", "val_bleu4")}
            | {"epoch": [1, 2, 3]}
        ),
        "cards": [make_card("best", post(), Image.new("RGB", (600, 300), "teal"))],
        "examples": {"emoji": ["so <b>happy</b>"]},
    }
    return Sources(**(parts | changes))


def post() -> dict[str, Any]:
    caption = '<script>alert("x")</script> & more'
    return {"id": "p", "caption": caption, "both": ["love", "cat"], "hashtags": ["cat", "dog"]}


def test_figures_intervals_and_ceiling_stand_in_the_page() -> None:
    page = render(sources())
    assert "0.500" in page and "0.250–0.500" in page
    assert "0.875" in page and "ceiling" in page
    assert "1,000 of 1,234 raw posts" in page and "0 of 7 dirty posts" in page
    assert page.count("<svg") == 2


def test_captions_are_escaped_and_nothing_is_fetched() -> None:
    page = render(sources())
    assert "<script" not in page and "&lt;script&gt;" in page and "so &lt;b&gt;happy" in page
    links = re.findall(r'''(?:src|href)="([^"]*)"''', page) + re.findall(r"url\(([^)]*)\)", page)
    assert links and all(link.startswith(("data:", "#")) for link in links)


def test_the_same_inputs_give_the_same_page() -> None:
    assert render(sources()) == render(sources())


def test_real_posts_have_no_ceiling_and_no_audit() -> None:
    scored = sources().evaluate["test"] | {"ceiling": None}
    page = render(sources(scrape={"source": "folder"}, evaluate={"test": scored, "best_epoch": 1, "audit": None}))
    assert "drawn and invented" not in page and "No ceiling is known" in page and "hidden truth" not in page


def test_rows_keep_their_order() -> None:
    names = [row.name for row in score_rows(sources().evaluate, sources().baselines, "test")]
    assert names[0] == "model" and names[3] == "most frequent hashtags" and names[-1].startswith("ceiling")


def test_a_card_tells_hits_extras_and_misses_apart_and_keeps_the_thumbnail_small() -> None:
    card = make_card("worst", post(), Image.effect_noise((2000, 1000), 90).convert("RGB"))
    assert (card.hits, card.extras, card.misses) == (["cat"], ["love"], ["dog"])
    assert len(card.thumbnail) < 30_000 and card.picture.startswith("data:image/jpeg;base64,")


def predictions(count: int) -> pd.DataFrame:
    """Post k hits k of the hashtags."""
    tags = [f"t{n}" for n in range(count)]
    rows = [
        {"id": f"p{k}", "split": "test", "both": [*tags[:k], *(f"x{n}" for n in range(count - k))], "hashtags": tags}
        for k in range(count)
    ]
    return pd.DataFrame([*rows, rows[-1] | {"id": "other", "split": "val"}])


def test_best_typical_and_worst_test_posts_are_chosen() -> None:
    chosen = choose_cards(predictions(9), 2)
    assert [post for kind, post in chosen if kind == "best"] == ["p8", "p7"]
    assert [post for kind, post in chosen if kind == "worst"] == ["p1", "p0"]
    assert {post for kind, post in chosen if kind == "typical"} <= {"p3", "p4", "p5"}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_no_post_is_chosen_twice(count: int) -> None:
    chosen = [post for _, post in choose_cards(predictions(count), 6)]
    assert chosen and len(set(chosen)) == len(chosen) and "other" not in chosen


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


@pytest.mark.parametrize("text", ["", "epoch,train_loss\n1,2\n", "\x00"])
def test_a_broken_history_names_the_stage(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(HashgenError, match="run the stage train again"):
        read_history(path)
