"""Scores held against figures worked out by hand, against naive loops and against sacrebleu on whole corpora."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from hashgen.metrics.facets import diversity, facets
from hashgen.metrics.paper import paper_bleu
from hashgen.metrics.ranked import ranked_figures, worth
from hashgen.metrics.scores import scores
from hashgen.metrics.written import bleu_signature
from tests.properties import examples

TAGS = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=13)
TARGETS = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, min_size=1, max_size=13)
CORPORA = st.lists(st.tuples(TAGS, TARGETS), min_size=1, max_size=12)


def unzip(corpus: list[tuple[list[str], list[str]]]) -> tuple[list[list[str]], list[list[str]]]:
    return [written for written, _ in corpus], [target for _, target in corpus]


def test_figures_by_hand() -> None:
    # Post 1: hits at places 1 and 3 of 4 targets. Post 2: one hit of one, at place 1. Post 3: nothing written.
    got = scores([["a", "x", "b"], ["c"], []], [["a", "b", "y", "z"], ["c"], ["d", "e"]])
    expected = {
        "posts": 3,
        "length": 4 / 3,
        "precision": (2 / 3 + 1 + 0) / 3,
        "recall": (2 / 4 + 1 + 0) / 3,
        "f1": (2 * 2 / 7 + 1 + 0) / 3,
        "p_at_1": 2 / 3,
        "p_at_5": (2 / 5 + 1 / 5) / 3,  # divided by 5, though fewer are written
        "p_at_10": (2 / 10 + 1 / 10) / 3,
        "r_at_1": (1 / 4 + 1) / 3,
        "r_at_5": (2 / 4 + 1) / 3,
        "r_at_10": (2 / 4 + 1) / 3,
        "f1_at_1": (2 / 5 + 2 / 2) / 3,
        "f1_at_5": (4 / 9 + 2 / 6) / 3,
        "f1_at_10": (4 / 14 + 2 / 11) / 3,
        "hit_at_5": 2 / 3,
        "map_at_10": ((1 / 1 + 2 / 3) / 4 + 1) / 3,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert got.keys() - expected.keys() == {"bleu1", "bleu2", "bleu3", "bleu4"}


@examples(50)
@given(st.lists(st.tuples(TARGETS, st.integers(0, 5)), min_size=2, max_size=12))
def test_f1_at_5_is_the_number_of_hits_times_what_each_is_worth(posts: list[tuple[list[str], int]]) -> None:
    targets = [target for target, _ in posts]
    rankings = [[*target[:hits], "x", "y", "z", "v", "w"][:5] for target, hits in posts]
    hits = [min(hits, len(target)) for target, hits in posts]
    found = ranked_figures(rankings, targets)["f1_at_5"]
    worths = worth(targets)
    assert worths.mean() == pytest.approx(1, abs=1e-5)
    scale = np.mean([2 / (5 + len(target)) for target in targets])
    assert found == pytest.approx(np.array(hits) * worths * scale, abs=1e-6)


def test_average_precision_counts_ten_places_of_many_targets() -> None:
    targets = [f"t{number}" for number in range(12)]
    assert scores([targets], [targets])["map_at_10"] == pytest.approx(1)
    late = [*(f"x{number}" for number in range(10)), *targets]
    got = scores([late], [targets])
    assert got["map_at_10"] == got["r_at_10"] == 0 and got["recall"] == 1


def test_bleu_by_hand() -> None:
    # 5 written, 4 true. Matches: 4 of 5 unigrams, 3 of 4 bigrams, 2 of 3 trigrams, 1 of 2 4-grams. No brevity penalty.
    got = scores([["a", "b", "c", "d", "x"]], [["a", "b", "c", "d"]])
    products = [4 / 5, 4 / 5 * 3 / 4, 4 / 5 * 3 / 4 * 2 / 3, 4 / 5 * 3 / 4 * 2 / 3 * 1 / 2]
    for order, product in enumerate(products, start=1):
        assert got[f"bleu{order}"] == pytest.approx(product ** (1 / order)), order
    # 3 written of 4 true, all right: only the brevity penalty is left, and there is no 4-gram at all.
    got = scores([["a", "b", "c"]], [["a", "b", "c", "d"]])
    assert got["bleu1"] == got["bleu3"] == pytest.approx(math.exp(1 - 4 / 3))
    assert got["bleu4"] == 0


def test_bleu_is_not_smoothed_and_says_so() -> None:
    # The order is wrong, so no bigram matches: smoothing would give more than 0.
    got = scores([["d", "c", "b", "a"]], [["a", "b", "c", "d"]])
    assert got["bleu1"] == pytest.approx(1) and got["bleu2"] == got["bleu4"] == 0
    assert bleu_signature().startswith("nrefs:1|case:mixed|eff:no|tok:none|smooth:none|version:")


def test_signs_within_a_hashtag_do_not_part_it() -> None:
    got = scores([["don't", "a-b", "c.d", "e_f"]], [["don't", "a-b", "c.d", "x"]])
    assert got["bleu1"] == pytest.approx(3 / 4)


@examples(100)
@given(CORPORA)
def test_bleu_equals_sacrebleu_on_the_whole_corpus(corpus: list[tuple[list[str], list[str]]]) -> None:
    predictions, targets = unzip(corpus)
    got = scores(predictions, targets)
    lines, references = [" ".join(p) for p in predictions], [" ".join(t) for t in targets]
    for order in (1, 2, 3, 4):
        bleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order)
        assert got[f"bleu{order}"] == pytest.approx(bleu.corpus_score(lines, [references]).score / 100, abs=1e-12)


def naive_figures(predictions: list[list[str]], targets: list[list[str]]) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for written, target in zip(predictions, targets, strict=True):
        for k in (1, 5, 10):
            hits = len([tag for tag in written[:k] if tag in target])
            precision, recall = hits / k, hits / len(target)
            sums[f"p_at_{k}"] += precision  # type: ignore[assignment]
            sums[f"r_at_{k}"] += recall  # type: ignore[assignment]
            sums[f"f1_at_{k}"] += 2 * precision * recall / (precision + recall) if hits else 0  # type: ignore[assignment]
        sums["hit_at_5"] += any(tag in target for tag in written[:5])
        average = 0.0
        for place in range(min(10, len(written))):
            if written[place] in target:
                average += len([tag for tag in written[: place + 1] if tag in target]) / (place + 1)
        sums["map_at_10"] += average / min(10, len(target))  # type: ignore[assignment]
        hits = len(set(written) & set(target))
        precision, recall = hits / len(written) if written else 0, hits / len(target)
        sums["precision"] += precision  # type: ignore[assignment]
        sums["recall"] += recall  # type: ignore[assignment]
        sums["f1"] += 2 * precision * recall / (precision + recall) if hits else 0  # type: ignore[assignment]
    return {name: total / len(targets) for name, total in sums.items()}


@examples(100)
@given(CORPORA)
def test_figures_equal_naive_loops(corpus: list[tuple[list[str], list[str]]]) -> None:
    predictions, targets = unzip(corpus)
    got, expected = scores(predictions, targets), naive_figures(predictions, targets)
    assert {name: got[name] for name in expected} == pytest.approx(expected)


def test_nothing_written_scores_nothing() -> None:
    got = scores([[], []], [["a"], ["b", "c"]], bootstrap=20, seed=1)
    assert got.pop("posts") == 2
    assert all(value in (0, [0, 0]) for value in got.values())


def test_rankings_give_the_figures_at_k_only() -> None:
    got = scores([["a"]], [["a", "b"]], rankings=[["b", "a", "c"]])
    assert got["length"] == 1 and got["recall"] == 1 / 2 and got["bleu1"] == pytest.approx(math.exp(-1))
    assert got["r_at_5"] == 1 and got["map_at_10"] == 1


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([["a", "a"]], [["a"]], "repeated"),
        ([["a"]], [["b", "b"]], "repeated"),
        ([["a b"]], [["a"]], "white space"),
        ([["a\u2028"]], [["a"]], "white space"),
        ([[""]], [["a"]], "empty"),
        ([["a"]], [["a b"]], "white space"),
        ([["a"], ["b"]], [["a"]], "lengths"),
        ([], [], "lengths"),
        ([["a"], ["b"]], [["a"], []], "post 1 has no target"),
    ],
)
def test_what_cannot_be_scored_is_refused(predictions: list[list[str]], targets: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(predictions, targets)


def test_a_ranking_is_checked_too() -> None:
    with pytest.raises(ValueError, match="repeated"):
        scores([["a"]], [["a"]], rankings=[["a", "a"]])


INTERVALS = ("bleu4", "bleu1", "p_at_1", "p_at_5", "r_at_5", "f1_at_5", "f1", "hit_at_5", "map_at_10")


def varied(posts: int) -> tuple[list[list[str]], list[list[str]]]:
    rng = np.random.default_rng(5)
    predictions, targets = [], []
    for _ in range(posts):
        start, length = rng.integers(3), rng.integers(4, 9)
        targets.append([f"t{number}" for number in range(8)])
        predictions.append([f"t{number}" for number in range(start, start + length)])
    return predictions, targets


def test_intervals_equal_scores_of_resampled_posts() -> None:
    """The vectorised resamples against scoring each resample as a corpus of its own."""
    predictions, targets = varied(15)
    got = scores(predictions, targets, bootstrap=60, seed=7)
    rng = np.random.default_rng(7)
    # Repeats of a post are different posts of a resample.
    drawn = [rng.integers(15, size=15) for _ in range(60)]
    resampled = [scores([predictions[row] for row in rows], [targets[row] for row in rows]) for rows in drawn]
    for name in INTERVALS:
        expected = np.percentile([one[name] for one in resampled], [2.5, 97.5])
        assert got[f"{name}_ci95"] == pytest.approx(expected.tolist(), abs=1e-12), name
        assert got[f"{name}_ci95"][0] <= got[name] <= got[f"{name}_ci95"][1]
    assert {name for name in got if name.endswith("_ci95")} == {f"{name}_ci95" for name in INTERVALS}


def test_posts_of_a_group_are_drawn_together() -> None:
    """Nine posts in three groups of different sizes, against scoring each resample as a corpus of its own."""
    predictions, targets = varied(9)
    groups = ["x", "y", "x", "z", "x", "y", "x", "x", "x"]
    got = scores(predictions, targets, groups=groups, bootstrap=40, seed=5)
    rng, resampled = np.random.default_rng(5), []
    for _ in range(40):
        drawn = ["xyz"[number] for number in rng.integers(3, size=3)]
        rows = [row for name in drawn for row in range(9) if groups[row] == name]
        resampled.append(scores([predictions[row] for row in rows], [targets[row] for row in rows]))
    for name in INTERVALS:
        expected = np.percentile([one[name] for one in resampled], [2.5, 97.5])
        assert got[f"{name}_ci95"] == pytest.approx(expected.tolist(), abs=1e-12), name


@pytest.mark.parametrize("groups", [None, ["x"]])
def test_one_group_tells_nothing_of_others(groups: list[str] | None) -> None:
    count = 1 if groups is None else 3
    got = scores([["a"]] * count, [["a", "b"]] * count, groups=groups and groups * 3, bootstrap=20)
    assert {got[name] for name in got if name.endswith("_ci95")} == {None} and got["p_at_1"] == 1


def test_each_post_has_a_group() -> None:
    with pytest.raises(ValueError, match="one group a post is needed, found 2 for 3 posts"):
        scores([["a"]] * 3, [["a"]] * 3, groups=["x", "y"], bootstrap=20)


def test_intervals_depend_on_the_seed_alone_and_stand_beside() -> None:
    predictions, targets = varied(30)
    one, same = (scores(predictions, targets, bootstrap=50, seed=3) for _ in range(2))
    assert one == same != scores(predictions, targets, bootstrap=50, seed=4)
    names = list(one)
    assert names[names.index("f1") + 1] == "f1_ci95"
    assert {k: v for k, v in one.items() if not k.endswith("_ci95")} == scores(predictions, targets)


def test_resamples_without_a_matching_ngram_count_as_zero() -> None:
    # One post in eight has a 4-gram: some resamples miss it.
    good, bad = ["a", "b", "c", "d"], ["d", "c", "b", "a"]
    got = scores([good] + [bad] * 7, [good] * 8, bootstrap=200, seed=1)
    assert got["bleu4"] > 0 and got["bleu4_ci95"][0] == 0 < got["bleu4_ci95"][1]


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Posts are right with chance 0.3: about 95 % of the intervals of P@1 hold it (binomial: 175 of 200 is far out)."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        right = rng.random(120) < 0.3
        low, high = scores([["a" if r else "b"] for r in right], [["a"]] * 120, bootstrap=200, seed=1)["p_at_1_ci95"]
        held += low <= 0.3 <= high
    assert 175 <= held <= 200


def test_facets_by_hand() -> None:
    got = facets(
        predictions=[["food", "pizza", "homecooking", "x"], ["food", "x"]],
        targets=[["food", "pizza", "homecooking", "cheese"], ["food"]],
        seeds=[["food"], ["food"]],
        captions=["Home-cooking: my PIZZA", "a fine day"],
        counts={"food": 50, "pizza": 10, "homecooking": 9, "x": 1},
    )
    # Without seeds post 2 has no target left; post 1 has pizza, homecooking, cheese against pizza, homecooking, x.
    two_of_three = {"p_at_1": 1.0, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    assert got["not_seed"] == pytest.approx({"share": 3 / 5, "posts": 1, **two_of_three})
    # Not in the caption: food, cheese against food, x; food against food, x.
    figures = {"p_at_1": 1.0, "precision": 1 / 2, "recall": (1 / 2 + 1) / 2, "f1": (1 / 2 + 2 / 3) / 2}
    assert got["not_in_caption"] == pytest.approx({"share": 3 / 5, "posts": 2, **figures})
    # Rare: homecooking and the unseen cheese against homecooking, x.
    half = {"p_at_1": 1.0, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2}
    assert got["rare"] == pytest.approx({"share": 2 / 5, "posts": 1, **half})


def test_first_hashtag_left_is_what_p_at_1_looks_at() -> None:
    got = facets([["s", "wrong", "right"], ["s"]], [["s", "right"], ["right"]], [["s"], ["s"]], ["", ""], {})
    assert got["not_seed"]["p_at_1"] == 0
    got = facets([["s", "right"], ["s"]], [["s", "right"], ["right"]], [["s"], ["s"]], ["", ""], {})
    assert got["not_seed"]["p_at_1"] == 1 / 2  # nothing is left of the second prediction
    assert got["not_seed"]["precision"] == 1 / 2


def test_a_facet_that_takes_nothing_out_has_the_p_at_1_of_the_whole() -> None:
    written, ranked, true = [["wrong", "right"]], [["right", "wrong"]], [["right"]]
    got = facets(written, true, [[]], [""], {}, rankings=ranked)["not_seed"]
    assert got["p_at_1"] == scores(written, true, rankings=ranked)["p_at_1"] == 1
    assert got["precision"] == 1 / 2


@pytest.mark.parametrize(
    ("caption", "hashtag", "stands"),
    [
        ("Home cooking today", "homecooking", True),
        ("Home cooking today", "cooking", True),
        ("Home cooking today", "home_cooking", True),
        ("Home cooking today", "cook", False),  # no whole word
        ("Home cooking today", "hometoday", False),  # not consecutive
        ("Home cooking today", "cookinghome", False),
        ("Don't panic", "dontpanic", True),
        ("my_dog", "mydog", True),
        ("", "food", False),
        ("CAFÉ", "café", True),
    ],
)
def test_what_counts_as_in_the_caption(caption: str, hashtag: str, stands: bool) -> None:
    got = facets([[hashtag]], [[hashtag]], [[]], [caption], {})["not_in_caption"]
    assert got["share"] == (0 if stands else 1)
    # A facet that no target falls into has no means.
    assert got.keys() == ({"share", "posts"} if stands else {"share", "posts", "p_at_1", "precision", "recall", "f1"})


def test_rare_bound_can_be_set() -> None:
    for bound, share in ((2, 0), (3, 1 / 2), (4, 1)):
        got = facets([[]], [["a", "b"]], [[]], [""], {"a": 2, "b": 3}, rare_below=bound)
        assert got["rare"]["share"] == share


def test_diversity_by_hand() -> None:
    got = diversity([["a", "b"], ["a", "c"], ["a", "b"], ["z"]], {"a": 5, "b": 1, "c": 1, "d": 1, "e": 1})
    # a 3, b 2, c 1, z 1 of 7; z is no training hashtag.
    entropy = -(3 / 7 * math.log2(3 / 7) + 2 / 7 * math.log2(2 / 7) + 2 * (1 / 7) * math.log2(1 / 7))
    expected = {
        "distinct": 4,
        "vocabulary_share": 3 / 5,
        "most_common_share": 3 / 4,
        "distinct_sequences": 3 / 4,
        "entropy": entropy,
    }
    assert got == pytest.approx(expected)


def test_diversity_of_a_collapsed_model_and_of_nothing() -> None:
    constant = diversity([["love"]] * 8, {"love": 1, "food": 1})
    assert (constant["most_common_share"], constant["distinct_sequences"], constant["entropy"]) == (1, 1 / 8, 0)
    nothing = diversity([[], []], {"love": 1})
    assert nothing["distinct"] == nothing["most_common_share"] == nothing["entropy"] == 0


def test_paper_bleu_by_hand() -> None:
    # Batch 1, step 1: written a, x against a, b: 1/2. Step 2: c against c, d: brevity exp(1 - 2/1). Step 3: both
    # empty: 1. Step 4: both empty: 1. Batch 2 (one post), step 1: right; step 2: y against nothing: 0; then 1, 1.
    predictions = [["a", "c"], ["x"], ["e", "y"]]
    targets = [["a", "c"], ["b", "d"], ["e"]]
    first = (1 / 2 + math.exp(-1) + 1 + 1) / 4
    second = (1 + 0 + 1 + 1) / 4
    assert paper_bleu(predictions, targets, batch_size=2, length=4) == pytest.approx((first + second) / 2)


def test_paper_bleu_rewards_nothing_at_all_and_takes_repeats() -> None:
    targets = [["a"], ["b", "c"]]
    assert paper_bleu([[], []], targets, batch_size=2, length=20) == pytest.approx(18 / 20)
    # The constant is clipped to the one "a" of two at step 1, and is wrong wherever nothing should stand.
    assert paper_bleu([["a"] * 20] * 2, targets, batch_size=2, length=20) == pytest.approx(1 / 2 / 20)


def test_paper_bleu_cuts_at_the_length() -> None:
    assert paper_bleu([["a", "x", "x"]], [["a", "b"]], batch_size=1, length=1) == 1
    with pytest.raises(ValueError, match="lengths"):
        paper_bleu([["a"]], [], batch_size=1, length=1)
