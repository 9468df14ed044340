"""Vocabularies, GloVe files and the vectors of unseen hashtags."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hashgen.base.errors import HashgenError
from hashgen.text.vocabulary import (
    PAD_ID,
    SPECIALS,
    UNKNOWN_ID,
    Glove,
    Vocabularies,
    Vocabulary,
    build_vocabulary,
    coverage,
    embed,
)
from hashgen.text.words import make_tokenizer, tokenise

TAGS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=6), max_size=12)


def glove_file(folder: Path, lines: list[str]) -> Path:
    path = folder / "glove.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_counts_posts_not_occurrences_and_orders_by_count_then_name() -> None:
    vocabulary = build_vocabulary([["b", "b", "b"], ["a", "c"], ["c", "a"], ["c"]], min_count=2)
    assert vocabulary.tokens == (*SPECIALS, "c", "a")
    assert vocabulary.counts == (0, 0, 0, 0, 3, 2)


@given(TAGS, st.integers(1, 4))
def test_decode_inverts_encode_known(posts: list[list[str]], minimum: int) -> None:
    vocabulary = build_vocabulary(posts, minimum)
    for tokens in posts:
        known = [token for token in tokens if token in vocabulary.ids]
        assert vocabulary.decode(vocabulary.encode_known(tokens)) == known
        assert len(vocabulary.encode(tokens)) == len(tokens)
        assert coverage([tokens], vocabulary) == pytest.approx(len(known) / len(tokens) if tokens else 0.0)


def test_unknown_tokens_and_the_end() -> None:
    vocabulary = build_vocabulary([["a"], ["b"]], 1)
    assert vocabulary.encode(["a", "z"]) == [4, UNKNOWN_ID]
    assert vocabulary.decode([1, 4, 2, 5]) == ["a"]


def test_glove_vectors_and_the_mean_of_words(tmp_path: Path) -> None:
    path = glove_file(tmp_path, ["food 1 0", "porn 0 1", "café 3 4", ". . 9 9", "love 2 2"])
    vocabulary = build_vocabulary([["foodporn", "love", "café", "zzzzqqq"]], 1)
    embedded = embed(vocabulary, 2, Glove.open(path, 2), seed=1, split_words=True)
    rows = {token: embedded.vectors[number] for token, number in vocabulary.ids.items()}
    assert rows["foodporn"].tolist() == [0.5, 0.5]
    assert rows["love"].tolist() == [2, 2]
    assert rows["café"].tolist() == [3, 4]
    assert (embedded.found, embedded.from_words) == (2, 1)
    assert not embedded.vectors[PAD_ID].any()
    without = embed(vocabulary, 2, Glove.open(path, 2), seed=1, split_words=False)
    assert without.from_words == 0
    assert rows["zzzzqqq"].tolist() == without.vectors[vocabulary.ids["zzzzqqq"]].tolist()


def test_random_vectors_depend_on_the_seed_only() -> None:
    vocabulary = build_vocabulary([["a", "b"]], 1)
    first, again, other = (embed(vocabulary, 8, None, seed, split_words=True).vectors for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[4:], other[4:])


def test_word2vec_header_and_carriage_returns_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(b"2 3\r\nfood 1 2 3\r\nlove 4 5 6\r\n")
    glove = Glove.open(path, 3)
    assert glove.vectors(["love", "food", "none"])["love"].tolist() == [4, 5, 6]
    assert set(glove.offsets) == {"food", "love"}


@pytest.mark.parametrize(
    ("lines", "dimension", "message"),
    [
        (["food 1 2 3"], 2, "line 1: 3 numbers, but vocab.dimension is 2"),
        (["food 1 2 3"], 4, "line 1: 3 numbers, but vocab.dimension is 4"),
        (["food 1 2 3", "love 1 2"], 3, "line 2: 2 numbers"),
        ([], 3, "no vectors of 3 numbers"),
    ],
)
def test_wrong_glove_files_name_the_line(tmp_path: Path, lines: list[str], dimension: int, message: str) -> None:
    with pytest.raises(HashgenError, match=message):
        Glove.open(glove_file(tmp_path, lines), dimension)


def test_missing_and_corrupt_glove(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match=r"vocab\.glove.*no such file"):
        Glove.open(tmp_path / "none.txt", 3)
    path = glove_file(tmp_path, ["food 1 x 3"])
    with pytest.raises(HashgenError, match="'food' is not numeric"):
        Glove.open(path, 3).vectors(["food"])


def make_vocabularies() -> Vocabularies:
    words, hashtags = build_vocabulary([["a", "b"]], 1), build_vocabulary([["x"], ["y"]], 1)
    embedded = [embed(vocabulary, 4, None, 1, split_words=False).vectors for vocabulary in (words, hashtags)]
    return Vocabularies(words, hashtags, *embedded)


def test_save_and_load(tmp_path: Path) -> None:
    vocabularies = make_vocabularies()
    vocabularies.save(tmp_path)
    loaded = Vocabularies.load(tmp_path)
    assert loaded.words == vocabularies.words and loaded.hashtags == vocabularies.hashtags
    assert np.array_equal(loaded.hashtag_vectors, vocabularies.hashtag_vectors)


@given(st.text("ab dog's don't wow ...--!?İ", max_size=30))
def test_the_tokenizer_file_gives_the_same_numbers(caption: str) -> None:
    words = build_vocabulary([["a", "b", "dog", "'s", "do", "n't", "...", "--", "!"]], 1)
    tokenizer = Tokenizer.from_str(make_tokenizer(words.tokens, "<unknown>").to_str())
    assert tokenizer.encode(caption).ids == words.encode(tokenise(caption))


def test_the_tokenizer_file_lies_beside_the_vocabularies(tmp_path: Path) -> None:
    make_vocabularies().save(tmp_path)
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("B, a").ids == [5, UNKNOWN_ID, 4]


@pytest.mark.parametrize("text", ["{", "[]", '{"tokens": ["a"], "counts": [1]}', '{"tokens": 3}'])
def test_broken_vocabulary_names_the_stage(tmp_path: Path, text: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(text)
    with pytest.raises(HashgenError, match="run the stage vocab again"):
        Vocabulary.load(path)


def test_vectors_that_do_not_fit(tmp_path: Path) -> None:
    make_vocabularies().save(tmp_path)
    build_vocabulary([["a", "b", "c"]], 1).save(tmp_path / "words.json")
    with pytest.raises(HashgenError, match=r"does not match words\.json and hashtags\.json"):
        Vocabularies.load(tmp_path)
