"""Two methods on the same posts: by hand, against a naive loop, and what clusters and swapping do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.metrics.paired import Paired, paired
from tests.properties import examples

FIGURES = st.lists(
    st.tuples(st.floats(0, 1, width=16), st.floats(0, 1, width=16), st.sampled_from("ABCDE")), min_size=1, max_size=12
)


def test_two_groups_by_hand() -> None:
    # A resample has group x alone (1/4), y alone (1/4) or both (1/2): differences 0.5, -0.25 and 0.0 (of three posts).
    found = paired([1.0, 0.25, 0.25], [0.5, 0.5, 0.25], ["x", "y", "y"], 4000)
    assert found.difference == pytest.approx(1 / 12) and found.ratio == pytest.approx(1.5 / 1.25)
    assert found.difference_ci95 == pytest.approx((-0.125, 0.5))
    assert found.ratio_ci95 == pytest.approx((0.5 / 0.75, 2.0))
    assert found.p is not None and found.p == pytest.approx(0.5, abs=0.05)


def test_one_method_better_on_every_post() -> None:
    found = paired([0.5] * 20, [0.25] * 20, range(20), 99)
    assert found == Paired(0.25, (0.25, 0.25), 2.0, (2.0, 2.0), 2 / 100)


def test_the_same_method_twice() -> None:
    figures = [0.5, 0.25, 1.0]
    assert paired(figures, figures, "abc", 50) == Paired(0.0, (0.0, 0.0), 1.0, (1.0, 1.0), 1.0)


def test_one_group_tells_nothing_of_others() -> None:
    assert paired([1.0, 0.5], [0.5, 0.5], ["x", "x"], 50) == Paired(0.25, None, 1.5, None, None)


def test_a_ratio_to_nothing_is_undefined() -> None:
    found = paired([1.0, 0.5], [0.0, 0.0], "xy", 50)
    assert found.ratio is None and found.ratio_ci95 is None and found.difference == 0.75
    found = paired([1.0, 0.5], [0.0, 0.5], "xy", 50)  # some resamples hold the first post alone
    assert found.ratio == 3.0 and found.ratio_ci95 is None


def naive(a: Any, b: Any, groups: Any, resamples: int, seed: int) -> list[tuple[float, float]]:
    """Differences and ratios of resamples, one post after the other."""
    names, rng, found = list(dict.fromkeys(groups)), np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = [names[number] for number in rng.integers(len(names), size=len(names))]
        rows = [row for name in drawn for row in range(len(a)) if groups[row] == name]
        one, other = np.mean([a[row] for row in rows]), np.mean([b[row] for row in rows])
        found.append((one - other, one / other if other else float("nan")))
    return found


@examples(30)
@given(FIGURES)
def test_as_a_naive_loop(posts: list[tuple[float, float, str]]) -> None:
    a, b, groups = zip(*posts, strict=True)
    found = paired(a, b, groups, 20, seed=3)
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    if len(set(groups)) < 2:
        assert found.difference_ci95 is None
        return
    differences, ratios = zip(*naive(a, b, groups, 20, 3), strict=True)
    assert found.difference_ci95 == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])))
    if not any(np.isnan(ratios)):
        assert found.ratio_ci95 == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))


def test_every_post_its_own_group_is_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(300), rng.random(300)
    found = paired(a, b, range(300), 4000, seed=2)
    rows = rng.integers(300, size=(4000, 300))
    assert found.difference_ci95 == pytest.approx(np.percentile((a - b)[rows].mean(axis=1), [2.5, 97.5]), abs=0.005)
    error = (a - b).std() / np.sqrt(300)
    assert found.difference_ci95 == pytest.approx(
        (found.difference - 1.96 * error, found.difference + 1.96 * error), abs=0.005
    )


@examples(30)
@given(FIGURES)
def test_swapped_methods_mirror(posts: list[tuple[float, float, str]]) -> None:
    a, b, groups = zip(*posts, strict=True)
    one, other = paired(a, b, groups, 30), paired(b, a, groups, 30)
    assert one.difference == pytest.approx(-other.difference) and one.p == other.p
    if one.difference_ci95 and other.difference_ci95:
        assert one.difference_ci95 == pytest.approx(tuple(-edge for edge in reversed(other.difference_ci95)))
    if one.ratio and other.ratio:
        assert one.ratio == pytest.approx(1 / other.ratio)


def test_groups_that_agree_widen_the_interval() -> None:
    # Ten copies of each of 20 posts: 200 posts, no more evidence than 20.
    rng = np.random.default_rng(4)
    few = rng.random(20)
    many, zero = np.repeat(few, 10), np.zeros(200)
    clustered = paired(many, zero, np.repeat(np.arange(20), 10).tolist(), 2000)
    alone, few_alone = paired(many, zero, range(200), 2000), paired(few, np.zeros(20), range(20), 2000)
    assert width(clustered) == pytest.approx(width(few_alone))
    assert width(clustered) == pytest.approx(np.sqrt(10) * width(alone), rel=0.15)


def width(found: Paired) -> float:
    assert found.difference_ci95 is not None
    return found.difference_ci95[1] - found.difference_ci95[0]


def test_names_and_order_of_groups_do_not_matter_for_clusters_of_many() -> None:
    a, b = [0.5, 0.25, 0.75, 1.0], [0.25, 0.25, 0.5, 0.0]
    assert paired(a, b, [1, 1, 2, 2], 100) == paired(a, b, ["x", "x", "a", "a"], 100)


def test_many_resamples_are_drawn_as_few() -> None:
    a, b = [0.5, 0.25, 0.75, 1.0], [0.25, 0.25, 0.5, 0.0]
    found = paired(a, b, range(4), 1201, seed=7)
    differences = [one for one, _ in naive(a, b, range(4), 1201, 7)]
    assert found.difference_ci95 == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])))


@pytest.mark.parametrize(
    ("a", "b", "groups", "resamples", "message"),
    [
        ([], [], [], 10, "one figure and one group a post"),
        ([0.5], [0.5, 0.5], ["x", "y"], 10, "one figure and one group a post"),
        ([0.5, 0.5], [0.5, 0.5], ["x"], 10, "one figure and one group a post"),
        ([0.5, 0.5], [0.5, 0.5], ["x", "y"], 0, "at least one resample"),
        ([0.5, float("nan")], [0.5, 0.5], ["x", "y"], 10, "not finite"),
    ],
)
def test_what_cannot_be_compared(a: Any, b: Any, groups: Any, resamples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired(a, b, groups, resamples)
