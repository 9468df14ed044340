"""The ranker: no training post helps itself, no label leaks, and many posts are learnt from a part of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hashgen.features.posts import Blind, Features, Inputs, Labelled, Posts
from hashgen.metrics.calibration import Calibration
from hashgen.models import Data, Place
from hashgen.models import ranker as ranking
from hashgen.models.ranker import RankerModel, Ridge, choose_support
from hashgen.training.about import About
from hashgen.training.similarity import Near
from hashgen.training.trees import Trees
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.properties import examples

CPU = torch.device("cpu")
SECTION = train_section(model="ranker")
# A group for each of 40 posts, whose number is the post's.
NUMBERED = [f"g{post:02}" for post in range(40)]


def learn(data: Data, tmp_path: Path) -> RankerModel:
    return RankerModel.fit(data, SECTION, Place(CPU, tmp_path / "none"))


@examples(20)
@given(seed=st.integers(0, 10**6))
def test_ridge_without_a_group_is_ridge_fitted_without_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, targets = rng.normal(size=(9, 4)), rng.normal(size=(9, 3)).astype(np.float32)
    kernel = (vectors @ vectors.T).astype(np.float32)
    groups = [[0], [1, 5], [2, 3, 8], [4], [6, 7]]
    ridge, left_out = Ridge.fit(kernel, targets, 2.0, groups)
    assert ridge.weights == pytest.approx(np.linalg.solve(kernel + 2 * np.eye(9), targets), abs=1e-4)
    for group in groups:
        rest = [row for row in range(9) if row not in group]
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 2 * np.eye(len(rest)), targets[rest])
        assert left_out[group] == pytest.approx(kernel[np.ix_(group, rest)] @ weights, abs=1e-4)


def grouped(data: Data, groups: list[str]) -> Labelled:
    return Labelled(data.train.posts, data.train.hashtags, groups)


def test_a_planted_label_that_only_its_own_post_has_reaches_no_score_of_that_post(tmp_path: Path) -> None:
    """Two posts of one group get a hashtag that no other has: from the rest, nothing can point to it."""
    data = small_data(tmp_path, train=40, val=8)
    groups = [f"g{post // 2}" for post in range(40)]
    hashtags = [list(tags) for tags in data.train.hashtags]
    for post in (10, 11):
        hashtags[post].append("planted")
    train = Labelled(data.train.posts, hashtags, groups)
    model = learn(Data(train, data.val, data.vocabularies), tmp_path)
    place = model.hashtags.index("planted")
    left_out = model._fit_ridges(train)
    kernels = model._kernels(train.posts, model._support)
    mean = float(model._means[place])
    rest = [post for post in range(40) if post not in (10, 11)]

    def without_it(name: str, post: int) -> float:
        kernel = kernels[name.removeprefix("ridge ")].astype(np.float64)
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 2 * np.eye(len(rest)), np.full(len(rest), -mean))
        return float(kernel[post, rest] @ weights) + mean

    for _, rows, scores in model._left_out(train, left_out):
        for number, post in enumerate(rows.tolist()):
            if post not in (10, 11):
                continue
            for name, found in scores.items():
                # All other posts lack it: votes find none, ridge knows no more than its share of all posts.
                expected = without_it(name, post) if name.startswith("ridge") else 0
                assert found[number, place] == pytest.approx(expected, abs=1e-4), name


def test_a_planted_label_reaches_no_score_that_a_classifier_gives_its_own_post(tmp_path: Path) -> None:
    """Where it and another get a hashtag that no other has, and where two others of its fold do: it scores the same."""
    data = small_data(tmp_path, train=40, val=8)
    own, *others = (post for post in range(40) if ranking._fold(post, 2) == 0)
    scores = []
    for planted in (own, others[0]), (others[1], others[2]):
        hashtags = [[*tags, *(["planted"] if post in planted else [])] for post, tags in enumerate(data.train.hashtags)]
        train = Labelled(data.train.posts, hashtags, NUMBERED)
        model = learn(Data(train, data.val, data.vocabularies), tmp_path)
        scores.append(model._cross_fit(train, SECTION, CPU)[own, model.hashtags.index("planted")])
    assert scores[0] == scores[1]


def test_a_hashtag_that_a_fold_has_to_itself_has_scores_there_too(tmp_path: Path) -> None:
    """Else the trees would learn from whether there is a score, which tells whose hashtag it is."""
    data = small_data(tmp_path, train=40, val=8)
    folds = [ranking._fold(post, 2) for post in range(40)]
    hashtags = [list(tags) for tags in data.train.hashtags]
    for post in [post for post in range(40) if folds[post] == 0][:2]:
        hashtags[post].append("planted")
    train = Labelled(data.train.posts, hashtags, NUMBERED)
    model = learn(Data(train, data.val, data.vocabularies), tmp_path)
    found = model._cross_fit(train, SECTION, CPU)[:, model.hashtags.index("planted")]
    assert (found > ranking._LEAST_LOG_ODDS).all()


def test_scores_of_training_posts_equal_those_of_a_model_that_never_saw_their_group(tmp_path: Path) -> None:
    data = small_data(tmp_path, train=24, val=8)
    groups = [f"g{post // 2}" for post in range(24)]
    model = learn(Data(grouped(data, groups), data.val, data.vocabularies), tmp_path)
    left_out = model._fit_ridges(grouped(data, groups))
    found = next(scores for _, _, scores in model._left_out(grouped(data, groups), left_out))
    similarities = model.views.similarities(data.train.posts)
    for post in (0, 7, 20):
        rest = [other for other in range(24) if groups[other] != groups[post]]
        own = similarities["picture"][post, rest]
        count = min(model.settings.picture_posts, len(rest))
        nearest = np.argsort(-own, kind="stable")[:count]
        weights = np.maximum(own[nearest], 0) ** model.settings.power
        voted = weights @ model._known.toarray()[np.array(rest)[nearest]] / weights.sum()
        assert found["votes picture"][post] == pytest.approx(voted, abs=1e-5)


def test_validation_and_test_hashtags_do_not_reach_a_ranking(tmp_path: Path) -> None:
    data = small_data(tmp_path, train=40, val=8)
    other = Labelled(data.val.posts, [["love", "planted"] for _ in range(8)])
    one, two = learn(data, tmp_path), learn(Data(data.train, other, data.vocabularies), tmp_path)
    rankings = [[[hashtag for hashtag, _ in row] for row in model.rank(data.val.posts, 4)] for model in (one, two)]
    assert rankings[0] == rankings[1]  # they only calibrate


def test_probabilities_are_within_bounds_and_more_posts_than_the_support_are_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "MOST_SUPPORT", 30)
    monkeypatch.setattr(ranking, "_BLOCK", 7)
    data = small_data(tmp_path, train=64, val=16)
    model = learn(data, tmp_path)
    assert len(model._support) == 30 and model.ridges["sum"].weights.shape[0] == 30
    assert all(length >= 1 for _, length in model.judge(data.val.posts))
    for ranking_, hashtags in zip(model.rank(data.val.posts, 4), data.val.hashtags, strict=True):
        assert {hashtag for hashtag, _ in ranking_} == set(hashtags)
        assert all(0 <= chance <= 1 for _, chance in ranking_)


@pytest.mark.parametrize("calibration", [Calibration(1.0, 1.0, 50.0), Calibration(0.0, 0.0, 0.5)])
def test_hashtags_of_the_same_probability_stay_in_the_order_of_the_trees(
    tmp_path: Path, calibration: Calibration
) -> None:
    data = small_data(tmp_path, train=40, val=8)
    model = learn(data, tmp_path)
    model.calibrations = {}
    rankings = model.rank(data.val.posts, 5)
    model.calibrations = {None: calibration}
    tied = model.rank(data.val.posts, 5)
    assert any(len({chance for _, chance in one if chance}) == 1 for one in tied)
    assert [[tag for tag, _ in one] for one in tied] == [[tag for tag, _ in one] for one in rankings]


def test_the_support_is_all_posts_or_a_part_drawn_by_the_seed() -> None:
    assert choose_support(5, 1).tolist() == [0, 1, 2, 3, 4]
    one, same, other = choose_support(20_000, 1), choose_support(20_000, 1), choose_support(20_000, 2)
    assert len(one) == 10_000 == len(set(one.tolist())) and one.tolist() == sorted(one.tolist())
    assert one.tolist() == same.tolist() != other.tolist()


def test_hashtags_of_a_single_post_are_no_candidates_but_follow(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    plain = rng.normal(size=(20, 6)).astype(np.float16)
    posts = Posts(Features(plain, np.empty((20, 0, 6), np.float16)), np.arange(20), ["slow run"] * 20)
    hashtags = [["run", f"only{post}"] for post in range(20)]
    data = small_data(tmp_path)
    labelled = Labelled(posts, hashtags)
    model = learn(Data(labelled, labelled, data.vocabularies), tmp_path)
    assert model.hashtags == ["run"]
    top, *rest = model.rank(posts, 21)[0]
    assert top[0] == "run" and top[1] > 0.9 and {score for _, score in rest} == {0.0} and len(rest) == 20


def test_neighbours_and_trees_count_a_hashtag_by_what_it_adds_to_f1_at_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third post has six more hashtags, so what it has counts (5 + 4) / (5 + 10) of what others have."""
    data = small_data(tmp_path, train=40, val=8)
    hashtags = [
        [*tags, *(f"more{number}" for number in range(6))] if post % 3 == 0 else tags
        for post, tags in enumerate(data.train.hashtags)
    ]
    counted: list[float] = []
    fit = Trees.fit

    def spy(rows: Any, answers: Any, weights: Any, **settings: Any) -> Any:
        counted.extend(weights.tolist())
        return fit(rows, answers, weights, **settings)

    monkeypatch.setattr(Trees, "fit", spy)
    model = learn(Data(Labelled(data.train.posts, hashtags, NUMBERED), data.val, data.vocabularies), tmp_path)
    low, high = sorted(set(counted))
    assert low / high == pytest.approx(9 / 15)
    near = Near(np.array([[0, 1]]), np.array([[0.5, 0.5]], np.float32))
    found = model._votes({"words": near})["votes words"][0]
    votes = {hashtag: float(vote) for hashtag, vote in zip(model.hashtags, found, strict=True) if vote}
    only = set(hashtags[1]) - set(hashtags[0])
    assert only and [votes[hashtag] for hashtag in only] == pytest.approx([high / 2] * len(only))
    assert votes["more0"] == pytest.approx(low / 2)


@pytest.mark.parametrize(("blind", "first"), [("caption", {"sea", "wood"}), ("image", {"run", "rest"})])
def test_trees_of_their_own_judge_a_post_without_an_input(tmp_path: Path, blind: Blind, first: set[str]) -> None:
    """What everybody writes, and what the other input shows; not what only both together tell."""
    data = small_data(tmp_path, train=40, val=12)
    model = learn(data, tmp_path)
    model.save(tmp_path)
    kept = RankerModel.load(tmp_path, About(SECTION, small_recipe()), CPU)
    for one in (model, kept):
        for ranking_, hashtags in zip(one.rank(data.val.posts, 9, blind), data.val.hashtags, strict=True):
            (right,) = first & set(hashtags)
            assert {hashtag for hashtag, _ in ranking_[:2]} == {"love", right}


@pytest.mark.parametrize(("inputs", "blind"), [("image", "caption"), ("caption", "image")])
def test_a_model_that_never_saw_an_input_does_not_miss_it(tmp_path: Path, inputs: Inputs, blind: Blind) -> None:
    data = small_data(tmp_path, train=40, val=12)
    section = train_section(model="ranker", inputs=inputs)
    model = RankerModel.fit(data, section, Place(CPU, tmp_path / "none"))
    assert list(model.trees) == [None]
    assert model.rank(data.val.posts, 9, blind) == model.rank(data.val.posts, 9)


def test_what_stands_in_the_caption_is_a_candidate_whatever_the_scores_say(tmp_path: Path) -> None:
    data = small_data(tmp_path, train=40, val=8)
    hashtags = [[*tags, *(["slowday"] if post in (3, 6) else [])] for post, tags in enumerate(data.train.hashtags)]
    train = Labelled(data.train.posts, hashtags)
    assert SECTION.ranker is not None
    section = train_section(model="ranker", ranker=SECTION.ranker.model_copy(update={"candidates": 1}))
    model = RankerModel.fit(Data(train, data.val, data.vocabularies), section, Place(CPU, tmp_path / "none"))
    place = model.hashtags.index("slowday")
    for caption, (log_odds, _) in zip(data.val.posts.captions, model.judge(data.val.posts), strict=True):
        assert np.isfinite(log_odds[place]) == (caption == "slow day at home")
    assert not any(np.isfinite(log_odds[place]) for log_odds, _ in model.judge(data.val.posts, "caption"))


def test_more_hashtags_are_expected_where_training_posts_have_more(tmp_path: Path) -> None:
    data = small_data(tmp_path, train=40, val=8)
    many = [f"more{number}" for number in range(6)]
    hashtags = [tags + many if "slow" in caption else tags for tags, caption in known(data.train)]
    model = learn(Data(Labelled(data.train.posts, hashtags), data.val, data.vocabularies), tmp_path)
    for caption, (_, length) in zip(data.val.posts.captions, model.judge(data.val.posts), strict=True):
        assert length == pytest.approx(10 if "slow" in caption else 4, abs=1)


def known(labelled: Labelled) -> list[tuple[list[str], str]]:
    return list(zip(labelled.hashtags, labelled.posts.captions, strict=True))


@pytest.mark.parametrize("most", [1000, 12])
def test_the_validation_posts_calibrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Where no validation post has what training posts of its kind have, probabilities are low."""
    monkeypatch.setattr("hashgen.models.ranker.MOST_CALIBRATED", most)
    data = small_data(tmp_path, train=40, val=40)
    others = Labelled(data.val.posts, [["other"]] * 40)
    sure, unsure = learn(data, tmp_path), learn(Data(data.train, others, data.vocabularies), tmp_path)
    for model, low, high in ((sure, 0.9, 1.0), (unsure, 0.0, 0.1)):
        chances = [ranked[0][1] for ranked in model.rank(data.val.posts, 1)]
        assert all(low <= chance <= high for chance in chances)
