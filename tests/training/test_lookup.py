"""The nearest of very many posts: candidates that are looked up, against a comparison with all posts."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.features.posts import Features, Inputs, Posts
from hashgen.models import Data, Place, model_class
from hashgen.models.folder import Trained
from hashgen.training import lookup, similarity
from hashgen.training.about import About
from hashgen.training.lookup import NONE, Lists, Postings
from hashgen.training.similarity import Near, Views, WordView, flags, take
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.properties import examples

CPU = torch.device("cpu")
WORDS = [f"w{number}" for number in range(40)]


def some_posts(seed: int, count: int) -> Posts:
    rng = np.random.default_rng(seed)
    plain = (rng.integers(0, 5, (count, 1)) + rng.normal(0, 0.5, (count, 8))).astype(np.float16)
    captions = [" ".join(rng.choice(WORDS, 6)) for _ in range(count)]
    sentences = rng.normal(size=(count, 4)).astype(np.float32)
    return Posts(Features(plain, np.empty((count, 0, 8), np.float16)), np.arange(count), captions, sentences)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 50 posts are very many; all lists are read and all posts proposed, so that nothing is missed."""
    monkeypatch.setattr(lookup, "MOST_COMPARED", 50)
    monkeypatch.setattr(lookup, "_READ", 1.0)
    monkeypatch.setattr(lookup, "_FREQUENT", 1.0)
    monkeypatch.setattr(similarity, "_PROPOSED", 20)
    monkeypatch.setattr(similarity, "_LOOKED_UP", 3)


def exact(views: Views, posts: Posts, count: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Near]:
    with monkeypatch.context() as patch:
        patch.setattr(lookup, "MOST_COMPARED", 10**9)
        return views.nearest(posts, dict.fromkeys(views.kernels, count))


@examples(30)
@given(
    st.lists(st.sets(st.integers(0, 7), max_size=4), min_size=1, max_size=12),
    st.lists(st.sets(st.integers(0, 7), max_size=4), min_size=1, max_size=4),
)
def test_captions_that_share_a_word_are_candidates(known: list[set[int]], asked: list[set[int]]) -> None:
    matrix = flags([sorted(one) for one in known], 8)
    found = Postings(matrix.T.tocsr()).candidates(flags([sorted(one) for one in asked], 8), len(known))
    counts = [sum(word in one for one in known) for word in range(8)]
    rare = {word for word in range(8) if counts[word] <= 0.01 * len(known)}
    for row, words in zip(found.tolist(), asked, strict=True):
        looked_for = words & rare or words
        assert {place for place in row if place != NONE} == {
            place for place, one in enumerate(known) if one & looked_for
        }


def test_frequent_words_are_looked_up_only_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_FREQUENT", 0.5)
    view = WordView.fit(["the sea", "the wood", "the rain", "sea"])
    found = [sorted(set(row) - {NONE}) for row in view.candidates(["the sea", "the", "unheard"], 4).tolist()]
    assert found == [[0, 3], [0, 1, 2], []]


def test_the_candidates_are_those_that_share_most() -> None:
    known = flags([[0, 1, 2], [0], [1, 2], [3]], 4)
    found = Postings(known.T.tocsr()).candidates(flags([[0, 1, 2]], 4), 2)
    assert sorted(found[0].tolist()) == [0, 2]


@pytest.mark.usefixtures("many")
def test_by_captions_alone_no_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    views = Views.fit(Posts(*_without_sentences(some_posts(1, 60))), "caption")
    asked = Posts(*_without_sentences(some_posts(2, 7)))
    found, expected = views.nearest(asked, {"words": 5})["words"], exact(views, asked, 5, monkeypatch)["words"]
    assert (found.rows == expected.rows).all()
    assert found.similarities == pytest.approx(expected.similarities, abs=1e-5)


def _without_sentences(posts: Posts) -> tuple[Features, np.ndarray, list[str]]:
    return posts.features, posts.rows, posts.captions


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(HashgenError) as error:
        Lists.fit(np.eye(3))
    assert str(error.value) == (
        'more than 200,000 training posts: needs a package that is not here: pip install "faiss-cpu>=1.11"'
    )


def needs_faiss() -> None:
    pytest.importorskip("faiss", reason="the extra hashgen[index] is not installed")


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("inputs", ["both", "image"])
def test_where_nothing_is_missed_the_nearest_are_those_of_a_comparison_with_all(
    monkeypatch: pytest.MonkeyPatch, inputs: Inputs
) -> None:
    needs_faiss()
    views, asked = Views.fit(some_posts(1, 60), inputs), some_posts(2, 7)
    found, expected = views.nearest(asked, dict.fromkeys(views.kernels, 5)), exact(views, asked, 5, monkeypatch)
    assert list(found) == list(expected) == views.kernels
    for name, near in expected.items():
        assert found[name].similarities == pytest.approx(near.similarities, abs=1e-5)
        assert (found[name].rows == near.rows).mean() > 0.9  # of nearly equals the order may differ


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("most", [50, 10**9])
def test_posts_of_the_own_group_are_not_near(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    needs_faiss()
    monkeypatch.setattr(lookup, "MOST_COMPARED", most)
    known = some_posts(1, 60)
    groups = np.arange(60) // 2
    rows = np.array([0, 13, 59])
    views = Views.fit(known, "both")
    near = views.nearest(take(known, rows), {"sum": 4}, groups=(groups[rows], groups))["sum"]
    assert not (groups[near.rows] == groups[rows][:, None]).any()
    assert (views.nearest(take(known, rows), {"sum": 1})["sum"].rows[:, 0] == rows).all()


@pytest.mark.usefixtures("many")
def test_what_a_model_is_blind_to_proposes_nothing() -> None:
    needs_faiss()
    views, asked = Views.fit(some_posts(1, 60), "both"), some_posts(2, 5)
    found = views.nearest(asked, dict.fromkeys(views.kernels, 4), "caption")
    assert (found["words"].similarities == 0).all() and (found["sentences"].similarities == 0).all()
    assert (found["sum"].rows == found["picture"].rows).all()
    assert not views.nearest(asked, {"picture": 4}, "image")["picture"].similarities.any()


@pytest.mark.usefixtures("many")
def test_lists_are_the_same_each_time_and_after_reading() -> None:
    needs_faiss()
    posts, asked = some_posts(1, 200), some_posts(2, 9)
    views, again = Views.fit(posts, "both"), Views.fit(posts, "both")
    assert views.words is not None
    arrays = views.arrays()
    for name, array in again.arrays().items():
        assert (array == arrays[name]).all(), name
    read = Views.from_arrays(views.words.pieces, arrays, 8)
    one, other = views.nearest(asked, {"sum": 5})["sum"], read.nearest(asked, {"sum": 5})["sum"]
    assert (one.rows == other.rows).all() and (one.similarities == other.similarities).all()


@pytest.mark.usefixtures("many")
def test_damaged_lists_are_noticed() -> None:
    needs_faiss()
    views = Views.fit(some_posts(1, 60), "image")
    arrays = views.arrays()
    with pytest.raises(ValueError, match="cannot be read"):
        Views.from_arrays(None, arrays | {"picture.lists": np.zeros(9, np.uint8)}, 8)
    other = Views.fit(some_posts(1, 61), "image").arrays()
    with pytest.raises(ValueError, match="of other vectors"):
        Views.from_arrays(None, arrays | {"picture.lists": other["picture.lists"]}, 8)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("name", ["neighbours", "ranker"])
def test_models_learn_from_very_many_posts_and_are_read_again(tmp_path: Path, name: str) -> None:
    needs_faiss()
    data: Data = small_data(tmp_path, train=64, val=16)
    section = train_section(model=name)
    model = model_class(name).fit(data, section, Place(CPU, tmp_path / "checkpoint"))
    assert model.views is not None and len(model.views) > lookup.MOST_COMPARED
    rankings = model.rank(data.val.posts, 4)
    assert [{hashtag for hashtag, _ in one} for one in rankings] == [set(tags) for tags in data.val.hashtags]
    (tmp_path / "model").mkdir()
    Trained(model, About(section, small_recipe(views=1), None)).save(tmp_path / "model")
    assert Trained.load(tmp_path / "model", CPU).model.rank(data.val.posts, 4) == rankings
