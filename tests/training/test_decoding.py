"""Decoding against brute force, greedy against a beam of one, and the rules that always hold."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hashgen.models import Decoding
from hashgen.models.lstm import LstmModel
from hashgen.text.vocabulary import END_ID, SPECIALS
from hashgen.training.decoding import beam_search, decode, greedy, presence, rank
from hashgen.training.network import ALL_KEPT, Kept, SequenceNetwork, Sizes, encode
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples
from tests.properties import examples


class Table(SequenceNetwork):
    """A model whose logits are a fixed table by the last token: small enough for brute force."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table  # (tokens, tokens)
        self.hashtag_count = len(table)

    def step(
        self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.table[tokens], state


def brute_force(table: Tensor, length: int, penalty: float) -> list[int]:
    """The permitted sequence of the highest log-probability over tokens ** penalty."""
    log_p = table.log_softmax(1)
    best, best_score = [], -float("inf")
    hashtags = range(len(SPECIALS), len(table))
    for size in range(1, min(length, len(hashtags)) + 1):
        for sequence in itertools.permutations(hashtags, size):
            path = [1, *sequence] + ([END_ID] if size < min(length, len(hashtags)) else [])
            total = sum(float(log_p[a, b]) for a, b in itertools.pairwise(path))
            if total / (len(path) - 1) ** penalty > best_score:
                best, best_score = list(sequence), total / (len(path) - 1) ** penalty
    return best


@examples(40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_wide_beam_finds_the_best_sequence(seed: int, length: int, penalty: float) -> None:
    table = torch.randn(len(SPECIALS) + 4, len(SPECIALS) + 4, generator=torch.Generator().manual_seed(seed)) * 2
    found = beam_search(Table(table), (torch.zeros(1, 1),), length, beam=64, penalty=penalty)
    assert found == [brute_force(table, length, penalty)]


def real_model(seed: int) -> SequenceNetwork:
    torch.manual_seed(seed)
    model = LstmModel.make(train_section(), Sizes(8, 12, 20, 12))
    torch.nn.init.normal_(model.get_parameter("output.weight"), std=1.0)
    return model.eval()


@examples(25)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 6))
def test_rules_hold_for_every_width(seed: int, length: int, beam: int) -> None:
    model = real_model(seed)
    state = model.start(torch.randn(5, 16), torch.randn(5, 16))
    written = beam_search(model, state, length, beam)
    for sequence in written:
        assert 1 <= len(sequence) <= min(length, 8)
        assert len(set(sequence)) == len(sequence)
        assert min(sequence) >= len(SPECIALS)
    if beam == 1:
        assert written == greedy(model, state, length)


def test_beam_of_one_by_the_general_code_is_greedy() -> None:
    """Width 2 with a second hypothesis that can never win gives what greedy gives on peaked tables."""
    table = torch.full((8, 8), -20.0)
    for before, after in [(1, 4), (4, 6), (6, 5), (5, END_ID)]:
        table[before, after] = 20.0
    state = (torch.zeros(1, 1),)
    assert greedy(Table(table), state, 6) == beam_search(Table(table), state, 6, 2) == [[4, 6, 5]]


def test_batches_do_not_mix_posts() -> None:
    model = real_model(3)
    picture, caption = torch.randn(4, 16), torch.randn(4, 16)
    together = beam_search(model, model.start(picture, caption), 6, 3)
    apart = [
        beam_search(model, model.start(picture[i : i + 1], caption[i : i + 1]), 6, 3)[0] for i in range(len(picture))
    ]
    assert together == apart


@pytest.mark.parametrize("beam", [1, 3])
def test_decode_covers_every_example_in_order(tmp_path: Path, beam: int, monkeypatch: pytest.MonkeyPatch) -> None:
    section = train_section()
    data = small_examples(tmp_path, section)
    torch.manual_seed(5)
    model = LstmModel.make(section, Sizes(data.features.dim, 12, len(data.vocabularies.words), 12))
    whole = decode(model, data.train, data.features, 5, beam=beam)
    monkeypatch.setattr("hashgen.training.decoding._BATCH", 7)
    assert decode(model, data.train, data.features, 5, beam=beam) == whole
    assert len(whole) == len(data.train)


def test_blind_decoding_differs_from_sighted(tmp_path: Path) -> None:
    model = real_model(4)
    section = train_section()
    data = small_examples(tmp_path, section)
    with torch.no_grad():
        model.picture_mean += 0.7
    batch_state = encode(model, torch.randn(3, 8), torch.ones(3, 2, dtype=torch.long), torch.tensor([2, 2, 2]), "image")
    assert batch_state[0].shape == (3, 16)
    one, other = decode(model, data.val, data.features, 5), decode(model, data.val, data.features, 5, blind="image")
    assert one != other


def exact_presence(table: Tensor, length: int) -> list[float]:
    """The probability of each token to be in a sequence, over all permitted sequences."""
    found = [0.0] * len(table)
    hashtags = range(len(SPECIALS), len(table))
    length = min(length, len(hashtags))

    def extend(sequence: list[int], chance: float) -> None:
        if len(sequence) == length:
            options = {END_ID: 1.0}
        else:
            allowed = [token for token in hashtags if token not in sequence] + ([END_ID] if sequence else [])
            share = table[sequence[-1] if sequence else 1, allowed].softmax(0)
            options = dict(zip(allowed, share.tolist(), strict=True))
        for token, share_of_it in options.items():
            if token == END_ID:
                for written in sequence:
                    found[written] += chance * share_of_it
            else:
                extend([*sequence, token], chance * share_of_it)

    extend([], 1.0)
    return found


@examples(15)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_presence_is_the_probability_of_being_written(seed: int, length: int) -> None:
    table = torch.randn(len(SPECIALS) + 4, len(SPECIALS) + 4, generator=torch.Generator().manual_seed(seed)) * 2
    found = presence(Table(table), (torch.zeros(1, 1),), length, samples=4000)[0]
    assert found.tolist() == pytest.approx(exact_presence(table, length), abs=0.03)
    assert not found[: len(SPECIALS)].any()


def test_presence_is_exact_where_sequences_can_share_the_chances() -> None:
    # Rows: the last token. Columns: the chances of what follows it, for eight sequences that begin with BEGIN.
    chances = torch.zeros(len(SPECIALS) + 3, len(SPECIALS) + 3)
    a, b, c = range(len(SPECIALS), len(SPECIALS) + 3)
    chances[1, [a, b, c]] = torch.tensor([0.5, 0.25, 0.25])
    chances[a, [b, c, END_ID]] = torch.tensor([0.25, 0.5, 0.25])
    chances[b, [a, c]] = chances[c, [a, b]] = torch.tensor([0.5, 0.5])
    table = chances.log()
    found = presence(Table(table), (torch.zeros(1, 1),), 3, samples=8)[0]
    assert found.tolist() == pytest.approx(exact_presence(table, 3), abs=1e-6)


def test_presence_of_a_post_depends_on_no_other_post() -> None:
    model = real_model(5)
    picture, caption = torch.randn(4, 16), torch.randn(4, 16)
    together = presence(model, model.start(picture, caption), 6)
    for post in range(4):
        alone = presence(model, model.start(picture[post : post + 1], caption[post : post + 1]), 6)
        torch.testing.assert_close(alone[0], together[post])


def test_rank_goes_by_presence_in_batches_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_examples(tmp_path, train_section())
    torch.manual_seed(5)
    model = LstmModel.make(train_section(), Sizes(data.features.dim, 12, len(data.vocabularies.words), 12)).eval()
    whole = rank(model, data.train, data.features, 5, 4)
    monkeypatch.setattr("hashgen.training.decoding._BATCH", 7)
    parts = rank(model, data.train, data.features, 5, 4)
    assert [[number for number, _ in one] for one in parts] == [[number for number, _ in one] for one in whole]
    for ranking in whole:
        assert len(ranking) == 4 and len({number for number, _ in ranking}) == 4
        assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)
        assert all(0 <= score <= 1 + 1e-5 for _, score in ranking)
    assert all(len(one) == 8 for one in rank(model, data.train, data.features, 5, 99))


def test_by_default_a_short_sequence_does_not_win_for_being_short() -> None:
    """Each hashtag costs probability; the list that is as likely token by token is preferred."""
    table = torch.full((8, 8), -20.0)
    table[1, 4], table[4, 5], table[5, 6] = 0.0, 0.0, 0.0
    table[4, END_ID], table[5, END_ID], table[6, END_ID] = 0.0, -0.4, 0.0
    state = (torch.zeros(1, 1),)
    assert beam_search(Table(table), state, 6, 4, penalty=0.0) == [[4]]
    assert beam_search(Table(table), state, 6, 4) == [[4, 5, 6]]
    assert Decoding().length_penalty == 1.0
