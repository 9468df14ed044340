"""Boosted trees as arrays: they say what scikit-learn's own say, before and after they were kept."""

import annotated_types
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from hashgen.params.train import Ranker
from hashgen.training.trees import MOST_LEAVES, Trees
from tests.properties import examples

SETTINGS = {"trees": 12, "leaves": 5, "least": 4, "rate": 0.2, "penalty": 1.0}


def questions(seed: int, rows: int = 200, features: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, answers and weights."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(rows, features)), 1).astype(np.float32)  # with ties
    answers = values[:, 0] * values[:, 1] + rng.normal(0, 0.3, rows) > 0
    return values, answers, rng.uniform(0.5, 2, rows).astype(np.float32)


@examples(15)
@given(seed=st.integers(0, 10**6))
def test_they_equal_scikit_learns_own(seed: int) -> None:
    rows, answers, weights = questions(seed)
    own = HistGradientBoostingClassifier(
        max_iter=12, max_leaf_nodes=5, min_samples_leaf=4, learning_rate=0.2, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    ).fit(rows, answers, sample_weight=weights)  # fmt: skip
    trees = Trees.fit(rows, answers, weights, **SETTINGS)  # type: ignore[arg-type]
    asked = np.concatenate([rows, questions(seed + 1)[0]])
    assert trees.log_odds(asked) == pytest.approx(own.decision_function(asked), abs=1e-9)
    kept = Trees.from_arrays(trees.arrays(), 4)
    assert (kept.log_odds(asked) == trees.log_odds(asked)).all()


def test_as_many_leaves_as_a_number_has_bits_and_no_more() -> None:
    settings = SETTINGS | {"least": 1, "leaves": 64}
    rows, answers, weights = questions(3, rows=600)
    trees = Trees.fit(rows, answers, weights, **settings)  # type: ignore[arg-type]
    own = HistGradientBoostingClassifier(
        max_iter=12, max_leaf_nodes=64, min_samples_leaf=1, learning_rate=0.2, l2_regularization=1.0,
        early_stopping=False, random_state=0,
    ).fit(rows, answers, sample_weight=weights)  # fmt: skip
    assert trees.log_odds(rows) == pytest.approx(own.decision_function(rows), abs=1e-9)
    with pytest.raises(ValueError, match="more than 64 leaves"):
        Trees.fit(rows, answers, weights, **settings | {"leaves": 65})  # type: ignore[arg-type]
    assert annotated_types.Le(MOST_LEAVES) in Ranker.model_fields["leaves"].metadata


def test_a_value_at_the_threshold_goes_left_and_the_next_one_right() -> None:
    for threshold in (0.1, 0.3, -0.7, 1e-30, float(np.float32(0.1))):  # most of them no float32 has
        split = np.array([0, 0, 0], np.int32)
        ends = np.array([1, 1, 2], np.int32), np.array([2, 1, 2], np.int32)
        trees = Trees(split, np.array([threshold, 0, 0]), *ends, np.array([0, 1.0, 2.0]), np.zeros(1, np.int32), 0.0)
        near = np.float32(threshold)
        asked = np.array([np.nextafter(near, np.float32(-9)), near, np.nextafter(near, np.float32(9))])[:, None]
        assert trees.log_odds(asked).tolist() == [1.0 if float(value) <= threshold else 2.0 for value in asked[:, 0]]


@pytest.mark.parametrize("answer", [True, False])
def test_one_answer_for_all_is_a_constant(answer: bool) -> None:
    rows, _, weights = questions(1)
    trees = Trees.fit(rows, np.full(len(rows), answer), weights, **SETTINGS)  # type: ignore[arg-type]
    assert len(set(trees.log_odds(rows).tolist())) == 1 and (trees.log_odds(rows)[0] > 0) == answer


@pytest.mark.parametrize("change", [{"roots": np.zeros(0, np.int32)}, {"threshold": np.full(3, 1e40)}])
def test_arrays_without_trees_are_refused(change: dict[str, np.ndarray]) -> None:
    arrays = Trees.fit(*questions(2), **SETTINGS | {"trees": 1, "leaves": 2}).arrays()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no trees"):
        Trees.from_arrays(arrays | change, 4)


@pytest.mark.parametrize("change", [("left", 10**6), ("right", -1), ("right", 0), ("roots", 10**6), ("feature", 4)])
def test_arrays_that_are_no_trees_are_refused(change: tuple[str, int]) -> None:
    arrays = Trees.fit(*questions(2), **SETTINGS).arrays()  # type: ignore[arg-type]
    name, value = change
    arrays[name] = arrays[name].copy()
    arrays[name][0] = value
    with pytest.raises(ValueError, match="trees"):
        Trees.from_arrays(arrays, 4)
    with pytest.raises(ValueError, match="different lengths"):
        Trees.from_arrays(arrays | {"threshold": arrays["threshold"][1:]}, 4)
