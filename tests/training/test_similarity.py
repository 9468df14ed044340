"""Similarities of posts against their definition, computed one pair after the other."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from hashgen.features.posts import Features, Posts
from hashgen.text.words import tokenise
from hashgen.training import similarity
from hashgen.training.hashtag_words import HashtagWords
from hashgen.training.similarity import DenseView, Views, WordView, flags, nearest, products, votes
from tests.properties import examples

WORDS = ("sea", "a", "run", "runs", "slow", "pizza", "night")


def random_posts(seed: int, count: int = 12, sentences: bool = False) -> Posts:
    rng = np.random.default_rng(seed)
    plain = rng.normal(1, 1, (count, 5)).astype(np.float16)
    captions = [" ".join(rng.choice(WORDS, rng.integers(0, 5))) for _ in range(count)]
    vectors = rng.normal(size=(count, 3)).astype(np.float32) if sentences else None
    return Posts(Features(plain, np.empty((count, 0, 5), np.float16)), np.arange(count), captions, vectors)


def length_one(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def centred_cosines(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    units = np.array([length_one(row) for row in known.astype(np.float64)])
    mean = units.mean(axis=0)
    both = [
        np.array([length_one(length_one(row) - mean) for row in part.astype(np.float64)]) for part in (asked, known)
    ]
    return both[0] @ both[1].T  # type: ignore[no-any-return]


@examples(20)
@given(seed=st.integers(0, 10**6))
def test_vectors_are_compared_without_what_all_share(seed: int) -> None:
    known, asked = random_posts(seed).features.plain, random_posts(seed + 1).features.plain
    view = DenseView.fit(known, np.arange(len(known)))
    assert view.similarities(asked) == pytest.approx(centred_cosines(asked, known), abs=2e-3)  # kept as float16
    kept = DenseView.from_arrays(view.arrays())
    assert (kept.similarities(asked) == view.similarities(asked)).all()


@examples(20)
@given(seed=st.integers(0, 10**6))
def test_pieces_of_words_are_weighed_and_centred(seed: int) -> None:
    known, asked = random_posts(seed).captions, random_posts(seed + 1).captions
    if not any(known):
        return
    tfidf = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True, preprocessor=lambda text: " ".join(tokenise(text))
    ).fit(known)
    rows = [tfidf.transform(part).toarray() for part in (asked, known)]
    mean = rows[1].mean(axis=0)
    centred = [np.array([length_one(row - mean) for row in part]) for part in rows]
    expected = centred[0] @ centred[1].T
    expected[rows[0].sum(axis=1) == 0] = 0
    view = WordView.fit(known)
    # A row that is nearly the mean has hardly a direction: its length is bounded below.
    clear = np.outer(*[np.linalg.norm(part - mean, axis=1) > 1e-2 for part in rows])
    assert view.similarities(asked)[clear] == pytest.approx(expected[clear], abs=1e-3)
    kept = WordView.from_arrays(view.pieces, view.arrays())
    assert (kept.similarities(asked) == view.similarities(asked)).all()


@examples(20)
@given(seed=st.integers(0, 10**6))
def test_products_row_by_row_are_those_of_whole_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked, known = (rng.poisson(0.5, shape).astype(np.float32) for shape in ((4, 6), (6, 5)))
    asked[1] = 0
    assert (products(csr_array(asked), csr_array(known)) == asked @ known).all()


def test_forms_of_a_word_are_alike_and_other_words_are_not() -> None:
    view = WordView.fit(["ripe tomato", "long night", "old bridge"])
    ripe, long, old = view.similarities(["Tomatoes!"])[0].tolist()
    assert ripe > 0.5 > 0 > max(long, old)


def test_what_a_model_is_blind_to_is_like_nothing() -> None:
    posts = random_posts(3, sentences=True)
    views = Views.fit(posts, "both")
    assert views.names == ["picture", "words", "sentences"]
    for blind, unseen in (("image", {"picture"}), ("caption", {"words", "sentences"})):
        found = views.similarities(posts, blind)  # type: ignore[arg-type]
        assert {name for name, part in found.items() if not part.any()} == unseen
    assert Views.fit(posts, "image").names == ["picture"]
    without = Posts(posts.features, posts.rows, posts.captions)
    with pytest.raises(ValueError, match="without the sentence vectors"):
        views.similarities(without)


@examples(50)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12), power=st.sampled_from([1.0, 3.0]))
def test_votes_are_shares_of_the_nearest(seed: int, count: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    similarities = rng.permuted(np.linspace(-1, 1, 9, dtype=np.float32))[None, :]
    hashtags = [list(rng.choice(4, rng.integers(0, 4), replace=False)) for _ in range(9)]
    found = votes(nearest(similarities, count), power, flags(hashtags, 4))[0]
    first = sorted(range(9), key=lambda post: -similarities[0, post])[:count]
    weights = {post: max(0.0, float(similarities[0, post])) ** power for post in first}
    told: Counter[int] = Counter()
    for post, weight in weights.items():
        for hashtag in hashtags[post]:
            told[int(hashtag)] += weight
    total = sum(weights.values())
    expected = [told[hashtag] / total if total else 0.0 for hashtag in range(4)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6) and not math.isnan(found.sum())


def test_hashtags_are_copied_from_captions_by_their_words() -> None:
    words = HashtagWords.of(["goldenhour", "sunset", "my_dog"])
    assert words.words[:2] == [["golden", "hour"], ["sunset"]]
    shares = words.shares(["Golden light for an hour", "no sunset, my cat", ""])
    assert shares.tolist() == [[1, 0, 0], [0, 1, 0.5], [0, 0, 0]]


@examples(30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 14))
def test_the_nearest_come_first(seed: int, count: int) -> None:
    similarities = np.random.default_rng(seed).integers(-3, 4, (3, 12)).astype(np.float32)
    near = nearest(similarities, count)
    assert near.rows.shape == (3, min(count, 12))
    for row, values, all_of_them in zip(near.rows, near.similarities, similarities, strict=True):
        assert values.tolist() == sorted(all_of_them, reverse=True)[:count]
        assert all_of_them[row].tolist() == values.tolist() and len(set(row)) == len(row)
        assert row.tolist() == np.argsort(-all_of_them, kind="stable")[:count].tolist()


def test_posts_are_compared_block_by_block_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    known, asked = random_posts(1, 30, sentences=True), random_posts(2, 9, sentences=True)
    views = Views.fit(known, "both")
    whole = views.nearest(asked, {"picture": 4, "sum": 30})
    monkeypatch.setattr(similarity, "_CELLS", 60)
    parts = views.nearest(asked, {"picture": 4, "sum": 30})
    for name, near in whole.items():
        assert parts[name].similarities == pytest.approx(near.similarities, abs=1e-6)
    assert whole["sum"].rows.shape == (9, 30)


def test_a_part_of_the_known_posts_is_compared_alike() -> None:
    views, asked = Views.fit(random_posts(1, 30, sentences=True), "both"), random_posts(2, 5, sentences=True)
    rows = np.array([3, 7, 21])
    whole, part = views.similarities(asked), views.part(rows).similarities(asked)
    for name, found in part.items():
        assert found == pytest.approx(whole[name][:, rows], abs=1e-6)
