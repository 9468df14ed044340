"""The bridge to the paper by hand: scores in which nothing at all scores high, beside those in which it scores 0."""

import pytest

from hashgen.scoring.bridge import bridge, padded_bleu4
from hashgen.scoring.evaluation import Predictions

TARGETS = [["love", "sea", "sun", "sand"], ["love", "sea", "run", "fit"]]
TRUE = Predictions(TARGETS, TARGETS)


def test_nothing_scores_high_where_pads_count_and_0_where_they_do_not() -> None:
    table = bridge({}, TARGETS, "love", batch_size=2, length=20)
    assert list(table) == ["nothing", "constant"]
    # Of 20, 19, 18 and 17 n-grams of pads in a row of 20, those of 16 pads match.
    assert table["nothing"] == {
        "paper": 16 / 20,  # 4 steps with a true hashtag, 16 where both are empty
        "padded": pytest.approx((16 / 20 * 15 / 19 * 14 / 18 * 13 / 17) ** 0.25),
        "bleu4": 0.0,
        "f1_at_5": 0.0,
        "p_at_1": 0.0,
    }


def test_one_constant_hashtag_by_hand() -> None:
    got = bridge({}, [["love", "sea", "sun", "sand"], ["sea", "run", "fit", "gym"]], "love", batch_size=2, length=20)
    constant = got["constant"]
    # The first step has love and sea, of two loves one matches; three steps are missed, 16 are empty.
    assert constant["paper"] == pytest.approx((0.5 + 16) / 20)
    # 19 pads of which 16 are true, and love once in two posts: 33 of 40. Longer n-grams are of pads alone.
    assert constant["padded"] == pytest.approx((33 / 40 * 30 / 38 * 28 / 36 * 26 / 34) ** 0.25)
    assert constant["p_at_1"] == 0.5
    assert constant["f1_at_5"] == pytest.approx((2 / 9 + 0) / 2)
    assert constant["bleu4"] == 0.0


def test_the_truth_scores_1_everywhere_and_rows_keep_their_order() -> None:
    table = bridge({"popularity": TRUE, "knn_both": TRUE, "model": TRUE}, TARGETS, "love", batch_size=1, length=20)
    assert list(table) == ["nothing", "constant", "popularity", "knn_both", "model"]
    for name in ("popularity", "knn_both", "model"):
        assert table[name] == pytest.approx({"paper": 1, "padded": 1, "bleu4": 1, "f1_at_5": 8 / 9, "p_at_1": 1})


def test_what_is_forced_counts_in_the_papers_column_alone() -> None:
    nothing = Predictions([[], []], [["x"], ["love"]])
    known = [["love", "sea"], ["love", "sea"]]
    table = bridge({"model": nothing}, TARGETS, "love", batch_size=2, length=4, forced={"model": (known, known)})
    assert table["model"]["paper"] == 1.0
    assert table["model"]["padded"] == table["nothing"]["padded"] == 0.0  # a row of four hashtags has no pad
    assert table["model"]["bleu4"] == 0.0
    assert table["model"]["p_at_1"] == 0.5
    assert bridge({"model": nothing}, TARGETS, "love", batch_size=2, length=4)["model"]["paper"] == 0.0


def test_long_sequences_are_cut_where_the_papers_arrays_end() -> None:
    long = [[f"tag{number}" for number in range(30)]]
    assert padded_bleu4(long, [long[0][:20]], 20) == pytest.approx(1.0)
    table = bridge({"model": Predictions(long, long)}, long, "x", batch_size=1, length=20)
    assert table["model"] == pytest.approx({"paper": 1, "padded": 1, "bleu4": 1, "f1_at_5": 10 / 35, "p_at_1": 1})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a row cannot have this name: \\['nothing'\\]"):
        bridge({"nothing": TRUE}, TARGETS, "love", batch_size=2, length=20)
    with pytest.raises(ValueError, match="a row cannot have this name: \\['lstm'\\]"):
        bridge({"model": TRUE}, TARGETS, "love", batch_size=2, length=20, forced={"lstm": (TARGETS, TARGETS)})
    with pytest.raises(ValueError, match="post 1 has no target"):
        bridge({}, [["love"], []], "love", batch_size=2, length=20)
    with pytest.raises(ValueError, match="found lengths"):
        bridge({"model": Predictions(TARGETS[:1], TARGETS)}, TARGETS, "love", batch_size=2, length=20)
    with pytest.raises(ValueError, match="found lengths"):
        bridge({"model": Predictions(TARGETS, TARGETS[:1])}, TARGETS, "love", batch_size=2, length=20)
    with pytest.raises(ValueError, match="found lengths"):
        bridge({}, [], "love", batch_size=2, length=20)
