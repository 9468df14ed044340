"""The network with attention: steps against the whole, padding, what is looked at, and learning a batch by heart."""

from pathlib import Path

import pytest
import torch

from hashgen.features.posts import Blind
from hashgen.models.attention import AttentionModel, AttentionNetwork
from hashgen.models.sequence import sizes_of
from hashgen.params.train import Attention
from hashgen.training import fit
from hashgen.training.dataset import Batch, batches
from hashgen.training.decoding import beam_search, greedy, rank
from hashgen.training.fit import batch_loss, remember_means
from hashgen.training.network import encode
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples

CPU = torch.device("cpu")


def network_and_data(folder: Path, **changes: object) -> tuple[AttentionNetwork, fit.Data]:
    section = train_section(**changes)
    data = small_examples(folder, section)
    torch.manual_seed(1)
    network = AttentionModel.make(section, sizes_of(data.vocabularies, data.features.dim))
    assert isinstance(network, AttentionNetwork)
    return network.eval(), data


def first_batch(data: fit.Data) -> Batch:
    return next(batches(data.train, data.features, 6, CPU))


@pytest.mark.parametrize(("layers", "regions"), [(1, 1), (2, 3)])
def test_steps_agree_with_forward(tmp_path: Path, layers: int, regions: int) -> None:
    block = Attention(hidden=16, layers=layers, regions=regions, dropout=0.0, batch_norm_momentum=0.1)
    network, data = network_and_data(tmp_path, attention=block)
    batch = first_batch(data)
    state = encode(network, batch.picture, batch.words, batch.lengths)
    assert state[1].shape == (6, regions, 16)
    whole = network(state, batch.inputs)
    for step in range(batch.inputs.shape[1]):
        logits, state = network.step(state, batch.inputs[:, step])
        torch.testing.assert_close(logits, whole[:, step])


def test_padding_of_captions_gets_no_weight(tmp_path: Path) -> None:
    network, data = network_and_data(tmp_path)
    batch = first_batch(data)
    short = encode(network, batch.picture, batch.words, batch.lengths)
    longer = (*short[:2], torch.nn.functional.pad(short[2], (0, 0, 0, 5)), *short[3:])
    torch.testing.assert_close(network(longer, batch.inputs), network(short, batch.inputs))


def test_every_word_and_every_region_is_looked_at(tmp_path: Path) -> None:
    network, data = network_and_data(tmp_path)
    batch = first_batch(data)
    state = list(encode(network, batch.picture, batch.words, batch.lengths))
    for part, place in ((1, 0), (1, 1), (2, 0), (2, 1)):
        changed = [one.clone() for one in state]
        changed[part][:, place] += 1.0
        assert not torch.allclose(network(tuple(changed), batch.inputs), network(tuple(state), batch.inputs))


def test_a_beam_reorders_what_is_attended_to(tmp_path: Path) -> None:
    network, data = network_and_data(tmp_path)
    torch.nn.init.normal_(network.output.weight)
    batch = first_batch(data)
    state = encode(network, batch.picture, batch.words, batch.lengths)
    together = beam_search(network, state, 6, 3)
    apart = [beam_search(network, tuple(part[i : i + 1] for part in state), 6, 3)[0] for i in range(6)]
    assert together == apart
    assert beam_search(network, state, 6, 1) == greedy(network, state, 6)


@pytest.mark.parametrize("blind", ["image", "caption"])
def test_blind_it_attends_to_means_of_the_training_posts(tmp_path: Path, blind: Blind) -> None:
    network, data = network_and_data(tmp_path)
    remember_means(network, data, CPU)
    batch = next(batches(data.train, data.features, 64, CPU))
    joined, regions, caption, *_ = encode(network, batch.picture, batch.words, batch.lengths, blind)
    seen = encode(network, batch.picture, batch.words, batch.lengths)
    if blind == "image":
        torch.testing.assert_close(regions[5], seen[1].mean(0))
        assert torch.equal(caption, seen[2])
    else:
        torch.testing.assert_close(caption[5], seen[2][:, :1].mean(0))
        assert torch.equal(regions, seen[1])
    assert not torch.equal(joined, seen[0])


@pytest.mark.parametrize("inputs", ["image", "caption"])
def test_an_unused_input_leaves_all_numbers_finite(tmp_path: Path, inputs: str) -> None:
    network, data = network_and_data(tmp_path, inputs=inputs)
    batch = first_batch(data)
    loss = batch_loss(network.train(), batch, 0.5, torch.Generator().manual_seed(1))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weights.grad for weights in network.parameters() if weights.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_rankings_do_not_depend_on_how_many_states_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = network_and_data(tmp_path)
    whole = rank(network, data.train, data.features, 5, 4)
    monkeypatch.setattr("hashgen.training.decoding._CELLS", 50 * 16 * 6 * 3)
    parts = rank(network, data.train, data.features, 5, 4)
    assert [[number for number, _ in one] for one in parts] == [[number for number, _ in one] for one in whole]


def test_learns_one_batch_by_heart(tmp_path: Path) -> None:
    network, data = network_and_data(tmp_path)
    batch = first_batch(data)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    coins = torch.Generator().manual_seed(1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = batch_loss(network, batch, 0.5, coins)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss < 0.05
