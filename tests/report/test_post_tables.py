"""The posts in figures: the funnel, what caps cut, the long tail, hashtag by hashtag."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.report.post_tables import (
    Cut,
    breakdown,
    extremes,
    filter_csv,
    funnel,
    hashtag_table,
    never_suggested,
    source_hashtags,
    source_notes,
    tail,
    tail_csv,
)
from tests.properties import examples

FILTERED = {"raw": 100, "merged": 10, "kept": 60, "dropped": {"emoji": 25, "strange": 5}}


def test_the_funnel_adds_up() -> None:
    steps = funnel(FILTERED)
    assert [(step.name, step.taken, step.left) for step in steps] == [
        ("raw rows", 0, 100),
        ("merged", 10, 90),
        ("emoji", 25, 65),
        ("strange", 5, 60),
    ]
    assert steps[2].detail and steps[3].detail == ""
    with pytest.raises(HashgenError, match="do not add up: 60 posts left, but 61 kept"):
        funnel(FILTERED | {"kept": 61})


def test_the_tables_for_dvc() -> None:
    assert filter_csv(FILTERED) == "reason,posts\nkept,60\nmerged,10\nemoji,25\nstrange,5\n"
    assert tail_csv({"a": 2, "b": 5, "c": 2}) == "rank,posts\n1,5\n2,2\n3,2\n"


def test_by_source_and_by_seed() -> None:
    rows = breakdown(
        {"s": FILTERED, "t": {"posts": 4, "kept": 4, "dropped": {}}, "u": {"posts": 0, "kept": 0, "dropped": {}}},
        ["emoji"],
    )
    assert [row["posts"] for row in rows] == [90, 4, 0]
    assert [row["share"] for row in rows] == [60 / 90, 1.0, 0.0]
    assert [row["dropped"] for row in rows] == [[25], [0], [0]]


def test_notes_of_the_source_are_its_whole_numbers() -> None:
    scraped = {"source": "x", "posts": 9, "shards": 1, "broken_rows": 2, "odd_things": 3, "flag": True, "share": 0.5}
    assert source_notes(scraped) == [("broken rows skipped", 2), ("odd things", 3)]
    assert source_hashtags(scraped) == ([], []) and source_hashtags({"hashtags": 7}) == ([], [])
    assert source_hashtags({"hashtags": [{"hashtag": "a", "got": 0}, {"hashtag": "b", "status": None}]}) == (
        ["hashtag", "got", "status"],
        [["a", 0, ""], ["b", "", ""]],
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 70))
def test_what_a_cap_cuts(values: list[int], cap: int) -> None:
    cut = Cut(values, cap)
    kept = sum(min(value, cap) for value in values)
    assert cut.items == pytest.approx(1 - kept / sum(values))
    assert cut.posts == sum(value > cap for value in values) / len(values)
    assert (cut.posts == 0) == (cap >= cut.longest) and min(values) <= cut.median <= cut.longest


@examples(30)
@given(st.integers(1, 5000), st.integers(2, 300))
def test_the_tail_keeps_both_ends_and_few_points(distinct: int, points: int) -> None:
    counts = {f"h{number}": 1 + number for number in range(distinct)}
    found = tail(counts, points)
    assert len(found) <= max(points, 1) or distinct <= points
    assert found[0] == (1, distinct) and found[-1] == (distinct, 1)
    assert [rank for rank, _ in found] == sorted({rank for rank, _ in found})
    assert all(posts == distinct + 1 - rank for rank, posts in found)


def test_hashtag_by_hashtag() -> None:
    train = pd.DataFrame({"hashtags": [["a", "b"], ["a"], ["c"], ["d"]]})
    test = pd.DataFrame(
        {
            "hashtags": [["a"], ["b", "a"], ["n", "d"]],
            "both": [["a", "b"], ["b"], ["b"]],
            "ranked": [["a", "x", "b"], ["b"], ["v", "w", "x", "y", "b", "d"]],
        }
    )
    table = {row.name: row for row in hashtag_table(train, test)}
    assert list(table) == ["a", "b", "d", "n", "v", "w", "x", "y"]
    a, b, d, n, *_, x, _ = table.values()
    assert (a.train, a.test, a.written, a.suggested, a.hits) == (2, 2, 1, 1, 1)
    assert (a.precision, a.recall, a.ratio) == (1.0, 0.5, 0.5)
    assert (b.suggested, b.precision, b.recall, b.ratio) == (3, 1 / 3, 1.0, 3.0)
    assert (d.train, d.suggested, d.precision, d.recall, d.ratio) == (1, 0, None, 0.0, 0.0)  # the sixth of a ranking
    assert (n.precision, n.recall, n.ratio) == (None, 0.0, 0.0)
    assert (x.written, x.suggested, x.precision, x.recall, x.ratio) == (0, 2, 0.0, None, None)
    assert [row.name for row in never_suggested(list(table.values()))] == ["d"]  # n is not in training
    assert extremes(list(table.values())).over == extremes(list(table.values())).under == []  # may be chance
    found = extremes(hashtag_table(train, pd.concat([test] * 5)))
    assert [row.name for row in found.over] == ["b"] and [row.name for row in found.under] == ["n", "d", "a"]
