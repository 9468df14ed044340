"""Probabilities: reliability by hand, calibrations that keep the order, and the number of hashtags to write."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.metrics.calibration import Bin, Calibration, best_length, reliability
from tests.properties import examples

# Steps that rounding cannot blur.
CHANCES = st.integers(0, 1000).map(lambda value: value / 1000)
PAIRS = st.lists(st.tuples(CHANCES, st.booleans()), min_size=1, max_size=60)


def test_reliability_by_hand() -> None:
    found = reliability([0.2, 0.2, 0.8, 0.8], [False, True, True, True])
    assert found.bins == [Bin(2, 0.2, 0.5), Bin(2, 0.8, 1.0)]
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.04 + 0.04) / 4)


def test_bins_are_of_equal_count() -> None:
    chances = np.linspace(0, 1, 100)
    assert [one.count for one in reliability(chances, chances > 0.5).bins] == [10] * 10
    assert sorted(one.count for one in reliability(chances[:25], chances[:25] > 0.1).bins) == [2] * 5 + [3] * 5


@examples(50)
@given(PAIRS, st.randoms())
def test_bins_hold_all_pairs_whatever_their_order(pairs: list[tuple[float, bool]], random: Any) -> None:
    found = reliability(*zip(*pairs, strict=True))
    assert len(found.bins) <= 10 and sum(one.count for one in found.bins) == len(pairs)
    confidences = [one.confidence for one in found.bins]
    assert confidences == sorted(confidences) and 0 <= found.ece <= 1 and 0 <= found.brier <= 1
    mean = sum(one.count * one.right for one in found.bins) / len(pairs)
    assert mean == pytest.approx(sum(right for _, right in pairs) / len(pairs))
    random.shuffle(pairs)
    again = reliability(*zip(*pairs, strict=True))
    assert [one.count for one in again.bins] == [one.count for one in found.bins]
    assert again.ece == pytest.approx(found.ece) and again.brier == pytest.approx(found.brier)


@examples(50)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_brier_is_reliability_less_resolution_plus_uncertainty(pairs: list[tuple[float, bool]]) -> None:
    """Murphy 1973; exact where a bin holds one probability alone, so each value is made a bin here."""
    chances, right = (np.array(values, float) for values in zip(*pairs, strict=True))
    base = right.mean()
    parts = base * (1 - base)
    for value in set(chances):
        one = right[chances == value]
        parts += len(one) / len(right) * ((value - one.mean()) ** 2 - (one.mean() - base) ** 2)
    assert reliability(chances, right).brier == pytest.approx(parts)


def test_brier_decomposes_over_the_bins() -> None:
    chances, right = [0.25] * 40 + [0.75] * 40, ([True] + [False] * 3) * 10 + [True] * 40
    found = reliability(chances, right)
    assert found.bins == [Bin(40, 0.25, 0.25), Bin(40, 0.75, 1.0)]
    base = 50 / 80
    off = sum(one.count * (one.confidence - one.right) ** 2 for one in found.bins) / 80
    apart = sum(one.count * (one.right - base) ** 2 for one in found.bins) / 80
    assert found.brier == pytest.approx(off - apart + base * (1 - base))


def test_without_pairs_nothing_changes() -> None:
    none = Calibration.fit([], [])
    assert none == Calibration(1.0, 1.0, 0.0)
    assert none.apply([0.0, 0.25, 0.5, 1.0]) == pytest.approx([1e-4, 0.25, 0.5, 1 - 1e-4])


@examples(30)
@given(st.lists(st.tuples(CHANCES, st.booleans()), max_size=3))
def test_few_pairs_change_little(pairs: list[tuple[float, bool]]) -> None:
    scores, right = [score for score, _ in pairs], [right for _, right in pairs]
    found = Calibration.fit(scores, right).apply([0.5])
    assert 0.1 < found[0] < 0.9


@examples(30)
@given(PAIRS, st.lists(CHANCES, min_size=2, max_size=30, unique=True))
def test_a_calibration_never_changes_the_order(pairs: list[tuple[float, bool]], scores: list[float]) -> None:
    fitted = Calibration.fit(*zip(*pairs, strict=True))
    found = fitted.apply(sorted(scores))
    assert (np.diff(found) >= 0).all() and ((found >= 0) & (found <= 1)).all()
    again = Calibration.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted and again.apply(sorted(scores)).tolist() == found.tolist()


def test_scores_that_are_wrong_way_round_say_nothing() -> None:
    scores = np.linspace(0.05, 0.95, 400)
    found = Calibration.fit(scores, scores < 0.5).apply([0.1, 0.9])
    assert found == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize("pairs", [450, 25_000])
def test_overconfident_scores_are_brought_down(pairs: int) -> None:
    rng = np.random.default_rng(0)
    chances = rng.beta(1, 3, size=pairs)
    right = rng.random(pairs) < chances
    scores = chances**0.4  # much too sure
    half = pairs // 2
    fitted = Calibration.fit(scores[:half], right[:half])
    before, after = reliability(scores[half:], right[half:]), reliability(fitted.apply(scores[half:]), right[half:])
    assert before.ece > 0.2 and after.ece < 0.08 and after.brier < 0.8 * before.brier
    kept = Calibration.fit(chances[:half], right[:half]).apply(chances[half:])  # what holds already, holds on
    assert reliability(kept, right[half:]).brier < 1.03 * reliability(chances[half:], right[half:]).brier


@pytest.mark.parametrize("right", [True, False])
def test_pairs_that_are_all_alike(right: bool) -> None:
    found = Calibration.fit([0.5] * 1000, [right] * 1000).apply([0.5])
    assert bool(found[0] > 0.95) is right and 0 < found[0] < 1


@pytest.mark.parametrize("broken", [{}, {"rise": 1, "fall": 1}, {"rise": -1, "fall": 1, "shift": 0},
                                    {"rise": 1, "fall": 1, "shift": "x"}, {"rise": 1, "fall": None, "shift": 0},
                                    {"rise": float("nan"), "fall": 1, "shift": 0}])  # fmt: skip
def test_what_is_no_calibration(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Calibration.from_json(broken)


@pytest.mark.parametrize("scores", [[1.5, 0.5], [-0.1, 0.5], [float("nan"), 0.5]])
def test_what_is_no_probability(scores: list[float]) -> None:
    for call in (lambda: Calibration.fit(scores, [True, False]), lambda: Calibration().apply(scores)):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            call()
    with pytest.raises(ValueError, match=r"0\.\.1"):
        reliability(scores, [True, False])


def test_rankings_calibrate_by_what_they_give_a_score() -> None:
    rankings = [[("a", 2.0), ("b", 0.5), ("c", 0.0)], [("c", 0.4), ("a", -1.0)]]
    assert Calibration.fit_to(rankings, [["a", "c"], ["c"]]) == Calibration.fit([1.0, 0.5, 0.4], [True, False, True])
    assert Calibration.fit_to([[("a", 0.0)], []], [["a"], ["a"]]) is None
    with pytest.raises(ValueError, match="shorter"):
        Calibration.fit_to(rankings, [["a"]])


def test_one_answer_for_each_score() -> None:
    with pytest.raises(ValueError, match="one answer a score"):
        Calibration.fit([0.5], [True, False])
    with pytest.raises(ValueError, match="at least one pair"):
        reliability([], [])


@pytest.mark.parametrize(
    ("chances", "expected", "most", "length"),
    [
        ([0.9, 0.8, 0.1], 2, 5, 2),  # 1.8 / 3, 3.4 / 4, 3.6 / 5
        ([0.9, 0.8, 0.7], 2, 5, 3),
        ([0.9, 0.8, 0.7], 2, 2, 2),
        ([0.1, 0.0], 9, 5, 1),
        ([0.5, 0.25], 1, 5, 1),  # a draw: 1 / 2 and 1.5 / 3
        ([0.0, 0.0], 0, 5, 1),
        ([], 3, 5, 1),
    ],
)
def test_how_many_hashtags_to_write(chances: list[float], expected: float, most: int, length: int) -> None:
    assert best_length(chances, expected, most) == length


@examples(50)
@given(st.lists(CHANCES, min_size=1, max_size=12), st.integers(0, 20), st.integers(1, 12))
def test_no_other_number_is_better(chances: list[float], expected: int, most: int) -> None:
    found = best_length(chances, expected, most)
    values = [2 * sum(chances[:n]) / (n + expected) for n in range(1, min(most, len(chances)) + 1)]
    assert 1 <= found <= most and values[found - 1] == pytest.approx(max(values))


@pytest.mark.parametrize(("expected", "most"), [(1, 0), (-1, 5)])
def test_numbers_that_make_no_sense(expected: float, most: int) -> None:
    with pytest.raises(ValueError, match="needs 1 or more"):
        best_length([0.5], expected, most)


@examples(50)
@given(st.floats(0.1, 2), st.floats(0.1, 2), st.floats(-3, 3))
def test_log_odds_get_the_same_probabilities_and_keep_their_order(rise: float, fall: float, shift: float) -> None:
    calibration = Calibration(rise, fall, shift)
    odds = np.linspace(-9, 9, 50)
    assert calibration.apply_to_odds(odds) == pytest.approx(calibration.apply(1 / (1 + np.exp(-odds))))
    beyond = calibration.apply_to_odds([-40, -20, 10, 12])
    assert (np.diff(beyond) > 0).all() and beyond[0] > 0 and beyond[-1] < 1
