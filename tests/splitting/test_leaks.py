"""The audit of manifests that leak in every way, by hand and against all pairs."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.params.split import Split
from hashgen.splitting.leaks import broken_promises, leaks, shared, summarise
from tests.properties import examples

NO_LEAK = dict.fromkeys(("posts", "images", "near_duplicate_images", "authors", "captions", "groups"), 0)


def section(**changes: Any) -> Split:
    values = {"by": "group", "near_duplicate_bits": 2, "same_caption_words": 3, "limit": None, "seed": 1}
    return Split(**(values | {"shares": (2.0, 1.0, 1.0)} | changes))  # type: ignore[arg-type]


def frames(**splits: list[dict[str, Any]]) -> dict[Any, pd.DataFrame]:
    base: dict[str, Any] = {"image_sha256": None, "image_phash": None, "author": None, "group": "g", "date": None}
    base |= {"caption": "walk home", "hashtags": ["walk"], "seed_hashtags": []}
    return {name: pd.DataFrame([base | {"post": row["id"]} | row for row in rows]) for name, rows in splits.items()}


def test_the_audit_sees_what_leaks() -> None:
    leaky = frames(
        train=[
            {"id": "1", "image_sha256": "x", "author": "ann", "caption": "One, two - THREE!", "image_phash": "0" * 192},
            {"id": "2", "author": None, "image_phash": "f" * 192},
        ],
        val=[{"id": "1", "image_sha256": "y", "author": "ann", "image_phash": ("0" * 63 + "3") * 3}],
        test=[
            {"id": "3", "image_sha256": "x", "author": "ann", "caption": "one two three"},
            {"id": "3", "image_sha256": "z", "image_phash": ("0" * 63 + "7") * 3},
        ],
    )
    assert [shared(leaky, column) for column in ("id", "image_sha256", "author")] == [1, 1, 1]
    summary = summarise(leaky, section())
    # Three hashes: the first is near the second, the second near the third.
    expected = {"posts": 1, "images": 1, "near_duplicate_images": 3, "authors": 1, "captions": 1, "groups": 1}
    assert summary["leaks"] == expected and summary["short_captions"] == 1
    assert summary["caption_words"] == 3 and summary["seen_captions"] == 1.0  # one long, one short
    assert broken_promises(expected, section()) == expected
    off = section(near_duplicate_bits=None, same_caption_words=None)
    assert leaks(leaky, off) == expected | {"near_duplicate_images": 0, "captions": 2}
    assert broken_promises(expected, off) == {"posts": 1, "images": 1, "authors": 1, "groups": 1}


def test_the_summary_by_hand() -> None:
    summary = summarise(
        frames(
            train=[{"id": "1", "group": "a", "hashtags": ["walk", "home"]}, {"id": "2", "group": "a"}],
            val=[{"id": "3", "group": "b", "caption": "Walking"}],
            test=[
                {"id": "4", "group": "c", "hashtags": ["walk", "new", "new2"], "seed_hashtags": ["walk", "old"]},
                {"id": "5", "group": "d", "hashtags": ["new"]},
            ],
        ),
        section(),
    )
    assert summary["sizes"] == {"train": 2, "val": 1, "test": 2}
    assert summary["shares_off"] == pytest.approx({"train": -0.1, "val": -0.05, "test": 0.15})
    assert (summary["groups"], summary["largest_group"]) == (4, 2)
    assert summary["unseen_hashtags"] == {"distinct": 2 / 3, "occurrences": 3 / 4}
    assert summary["targets_in_caption"] == 4 / 8
    assert summary["seeds"] == {"posts": 1, "precision": 1 / 2, "recall": 1 / 3}
    assert summary["leaks"] == NO_LEAK and "straddling" not in summary


def test_without_seeds_there_is_no_score_of_theirs() -> None:
    found = [{"id": "1", "group": "a", "seed_hashtags": ["walk"]}]
    lone = frames(train=found, val=[{"id": "2", "group": "b"}], test=[{"id": "3", "group": "c"}])
    assert "seeds" not in summarise(lone, section())


def test_posts_of_a_straddling_group_are_counted() -> None:
    dates = [{"id": str(day), "group": str(day), "date": datetime(2020, 1, day, tzinfo=UTC)} for day in range(1, 9)]
    by_time = frames(train=[*dates[:3], dates[6]], val=[dates[3], dates[5]], test=[dates[4], dates[7]])
    assert summarise(by_time, section(by="time"))["straddling"] == 1


Insets = tuple[int, int, int]
insets = st.integers(0, 63) | st.integers(0, 2**256 - 1)
values = st.lists(st.none() | st.tuples(insets, insets, insets), min_size=1, max_size=12)


@examples(100)
@given(train=values, val=values, test=values, bits=st.integers(0, 3), at_once=st.sampled_from([1, 2048]))
def test_near_duplicates_are_those_of_all_pairs(
    train: list[Insets | None], val: list[Insets | None], test: list[Insets | None], bits: int, at_once: int
) -> None:
    splits = {"train": train, "val": val, "test": test}
    near = {
        one
        for name, ones in splits.items()
        for other_name, others in splits.items()
        for one in ones
        for other in others
        if name != other_name and one is not None and other is not None
        if any((inset ^ other_inset).bit_count() <= bits for inset in one for other_inset in other)
    }
    rows = {
        name: [
            {"id": f"{name}{n}", "image_phash": None if v is None else "".join(f"{inset:064x}" for inset in v)}
            for n, v in enumerate(found)
        ]
        for name, found in splits.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashgen.splitting.leaks._AT_ONCE", at_once)
        assert leaks(frames(**rows), section(near_duplicate_bits=bits))["near_duplicate_images"] == len(near)


def test_of_many_pictures_an_even_choice_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [{"id": str(n), "image_phash": f"{n << 8:064x}" * 3} for n in range(9)]
    splits = frames(train=same, val=[{"id": "v"}], test=same)
    found = []
    for compared in (9, 8, 3):
        monkeypatch.setattr("hashgen.splitting.leaks.PICTURES_COMPARED", compared)
        found.append(leaks(splits, section(near_duplicate_bits=0))["near_duplicate_images"])
    assert found == [9, 5, 3]
