from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.text.words import segment, tokenise, word_costs
from tests.properties import examples

LINES = (Path(__file__).parent / "data/hashtags.tsv").read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("Don't do that", "do n't do that"),
        ("I can't, I won't", "i ca n't , i wo n't"),
        ("She's here; they're late, I'm not", "she 's here ; they 're late , i 'm not"),
        ("we'd've said we'll", "we 'd 've said we 'll"),
        ("dogs' life and dog's life", "dogs ' life and dog 's life"),
        ("o'clock, O'Brien and ma'am", "o'clock , o'brien and ma'am"),
        ("'em in the '70s", "'em in the '70s"),
        ("y'all l'amour", "y' all l' amour"),
        ("Mr. Smith vs. the U.S. at 5 p.m.", "mr. smith vs. the u.s. at 5 p.m."),
        ("1,000 of 2.5 at 5:30", "1,000 of 2.5 at 5:30"),
        ("the 5th of 1980s", "the 5th of 1980s"),
        ("10% off $5 #1", "10 % off $ 5 # 1"),
        ("well-known x-ray t-shirt", "well - known x-ray t-shirt"),
        ("wait..... what....", "wait ... what ..."),
        ("a -- b --- c", "a -- b -- c"),
        ("yes!!!! what?! really??", "yes !!! ! what ?! really ??"),
        ('"quoted" (aside)', '" quoted " ( aside )'),
        ("r&b, b & w", "r&b , b & w"),
        ("good_vibes", "good _ vibes"),
        ("crème brûlée", "crème brûlée"),
        ("n't 's", "n't 's"),
        ("", ""),
    ],
)
def test_tokens_are_those_of_glove(caption: str, tokens: str) -> None:
    assert tokenise(caption) == tokens.split()


@given(st.text(st.characters(exclude_categories=["C"])))
def test_tokens_lose_nothing_but_blanks_dots_and_dashes(caption: str) -> None:
    tokens = tokenise(caption)
    assert all(token and not any(character.isspace() for character in token) for token in tokens)
    assert tokenise(" ".join(tokens)) == tokens or "'" in caption or "." in caption or "&" in caption or "-" in caption
    kept = [character for character in "".join(tokens) if character not in ".-"]
    assert kept == [character for character in caption.lower() if not character.isspace() and character not in ".-"]


def test_segmentation_of_a_labelled_set() -> None:
    pairs = [line.split("\t") for line in LINES]
    right = sum(" ".join(segment(hashtag, word_costs("small"))) == words for hashtag, words in pairs)
    print(f"{right} of {len(pairs)} hashtags split as labelled")
    assert right >= 0.9 * len(pairs)


def test_words_without_a_vector_are_not_used() -> None:
    assert segment("mydogiscute", word_costs("small")) == ["my", "dog", "is", "cute"]
    assert segment("mydogiscute", {"my", "dog", "cute"}) == ["my", "dog", "is", "cute"]  # "is" as an unknown piece
    assert segment("bibimbapbowl", {"bowl"}) == ["bibimbap", "bowl"]
    assert segment("mydogiscute", frozenset()) == ["mydogiscute"]


@pytest.mark.parametrize(
    ("hashtag", "words"),
    [
        ("summer_2023", "summer 2023"),
        ("route66trip", "route 66 trip"),
        ("zxqvwk", "zxqvwk"),
        ("東京", "東京"),
        ("love東京", "love 東京"),
        ("a", "a"),
        ("_", ""),
        ("", ""),
    ],
)
def test_pieces_that_are_no_words(hashtag: str, words: str) -> None:
    assert segment(hashtag, word_costs("small")) == words.split()


def brute_force(letters: str, known: Collection[str]) -> float:
    """The cost of the cheapest split, over all splits."""
    if not letters:
        return 0.0
    costs = word_costs("large")
    best = float("inf")
    for end in range(1, len(letters) + 1):
        piece = letters[:end]
        cost = 6.0 + 1.5 * len(piece)
        if piece in costs and piece in known:
            cost = min(cost, costs[piece])
        best = min(best, cost + brute_force(letters[end:], known))
    return best


@examples(50)
@given(st.text("aehlotd", min_size=1, max_size=9))
def test_the_split_is_the_cheapest(letters: str) -> None:
    known = word_costs("small")
    words = segment(letters, known)
    assert "".join(words) == letters
    costs = word_costs("large")
    cost = sum(min(6.0 + 1.5 * len(word), costs[word] if word in known and word in costs else 99.0) for word in words)
    assert cost == pytest.approx(brute_force(letters, known))


@given(st.text())
def test_a_split_keeps_all_but_underscores(hashtag: str) -> None:
    assert "".join(segment(hashtag.lower(), word_costs("small"))) == hashtag.lower().replace("_", "")
