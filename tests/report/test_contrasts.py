"""Two settings on the posts that both score, by hand."""

from typing import Any

import pandas as pd
import pytest

from hashgen.report.contrasts import Contrast, Hashtag, contrast
from hashgen.report.settings import Run, Setting

COLUMNS = ["id", "hashtags", "ranked", "both"]


def a_setting(name: str, *predictions: list[tuple[Any, ...]] | None, group: str = "") -> Setting:
    """A setting with a run for each table: id, true hashtags, ranking, what is written; each letter is a hashtag."""
    runs = []
    for number, rows in enumerate(predictions):
        frame = None
        if rows is not None:
            frame = pd.DataFrame([[row[0], *map(list, row[1:])] for row in rows], columns=COLUMNS)
            frame = frame.assign(split="test", group=group or frame["id"])
        runs.append(Run(f"{name}{number}", {}, {}, "", pd.DataFrame(), predictions=frame))
    return Setting(tuple(runs))


def contrasted(setting: Setting, reference: Setting) -> Contrast:
    found = contrast(setting, reference, "test")
    assert found is not None
    return found


def test_figures_and_hashtags_by_hand() -> None:
    before = a_setting("before", [("1", "ab", "axyzw", "a"), ("2", "cd", "xyzwv", "x"), ("3", "a", "a", "a")])
    after = a_setting("after", [("1", "ab", "abxyz", "ab"), ("2", "cd", "cxyzw", "c"), ("3", "a", "xa", "")])
    found = contrasted(after, before)
    assert (found.name, found.posts, found.groups) == ("after0", 3, 3)
    assert found.means["p_at_1"] == pytest.approx((2 / 3, 2 / 3)) and found.paired["p_at_1"].difference == 0
    assert found.means["p_at_5"] == pytest.approx((4 / 15, 2 / 15))
    assert found.paired["p_at_5"].ratio == pytest.approx(2)
    assert found.means["f1"] == pytest.approx(((1 + 2 / 3 + 0) / 3, (2 / 3 + 0 + 1) / 3))
    assert found.means["f1_at_5"] == pytest.approx(((4 / 7 + 2 / 7 + 2 / 6) / 3, (2 / 7 + 0 + 2 / 6) / 3))
    assert found.gained == [Hashtag("b", 1, (1, 0), (0, 0)), Hashtag("c", 1, (1, 0), (0, 0))] and found.lost == []
    back = contrasted(before, after)
    assert back.lost == [Hashtag("b", 1, (0, 1), (0, 0)), Hashtag("c", 1, (0, 1), (0, 0))] and back.gained == []


def test_only_posts_that_both_score_are_compared() -> None:
    one = a_setting("one", [("1", "a", "a", "a"), ("2", "b", "b", "b"), ("3", "c", "x", "x")])
    two = a_setting("two", [("2", "b", "x", "x"), ("3", "d", "d", "d"), ("4", "e", "e", "e")])
    found = contrasted(one, two)  # post 3 has other true hashtags
    assert found.posts == 1 and found.means["p_at_1"] == (1.0, 0.0)
    assert found.gained == [Hashtag("b", 1, (1, 0), (0, 0))] and found.lost == []
    assert found.paired["p_at_1"].p is None  # one post tells nothing of others
    assert contrast(a_setting("none", [("9", "a", "a", "a")]), two, "test") is None
    assert contrast(one, two, "val") is None


def test_runs_without_predictions_are_left_out() -> None:
    known = a_setting("known", [("1", "a", "a", "a"), ("2", "b", "b", "b")])
    assert contrast(a_setting("unknown", None), known, "test") is None
    assert contrast(known, a_setting("unknown", None), "test") is None
    found = contrasted(a_setting("half", None, [("1", "a", "x", "x"), ("2", "b", "b", "b")]), known)
    assert found.means["p_at_1"] == (0.5, 1.0)


def test_a_setting_is_the_mean_of_its_runs_that_score_a_post() -> None:
    many = a_setting(
        "many",
        [("1", "a", "a", "a"), ("2", "b", "x", "x")],
        [("1", "a", "x", "x")],
        [("1", "a", "a", "a"), ("2", "b", "b", "b")],
    )
    found = contrasted(many, a_setting("one", [("1", "a", "a", "a"), ("2", "b", "x", "x")]))
    assert found.means["p_at_1"] == pytest.approx(((2 / 3 + 1 / 2) / 2, 1 / 2))
    assert [(one.name, one.gain) for one in found.gained] == [("b", 0.5)]
    assert [(one.name, one.gain) for one in found.lost] == [("a", round(-1 / 3, 6))]
    same = contrasted(many, many)
    assert same.gained == same.lost == [] and same.paired["f1"].p == 1


def test_posts_of_one_group_are_drawn_together() -> None:
    rows = [(str(number), "a", "a", "a") for number in range(20)]
    other = [(post, "a", "x", "x") if int(post) % 2 else (post, "a", "a", "a") for post, *_ in rows]
    apart = contrasted(a_setting("a", rows), a_setting("b", other))
    assert apart.groups == 20 and apart.paired["f1"].p is not None and apart.paired["f1"].p < 0.01
    together = contrasted(a_setting("a", rows), a_setting("b", other, group="g"))
    assert together.groups == 1 and together.paired["f1"].difference == 0.5 and together.paired["f1"].p is None


def test_hashtags_are_shown_the_largest_change_first() -> None:
    true = "abcdefgh"
    rows = [(str(number), true[: number + 1], "x", "x") for number in range(8)]
    better = [(str(number), true[: number + 1], true[: number + 1], "x") for number in range(8)]
    found = contrasted(a_setting("after", better), a_setting("before", rows))
    assert [(one.name, one.gain) for one in found.gained] == [("a", 8), ("b", 7), ("c", 6), ("d", 5), ("e", 4)]
    assert [one.name for one in found.lost] == [] and found.gained[0].posts == 8
