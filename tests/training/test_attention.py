"""The network with attention: steps against the whole, padding, what is looked at, and learning a batch by heart."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hashgen.features.posts import Blind
from hashgen.models.attention import AttentionModel, AttentionNetwork
from hashgen.models.sequence import sizes_of
from hashgen.params.train import Attention
from hashgen.training import fit
from hashgen.training.dataset import Batch, Padded, batches, make_examples, training_batches
from hashgen.training.decoding import beam_search, greedy, rank
from hashgen.training.fit import batch_loss, remember_means
from hashgen.training.network import encode
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_data, small_examples

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


def grid_network(tmp_path: Path) -> tuple[AttentionNetwork, Batch]:
    """A network that looks at the places of a grid, and a batch of six posts."""
    data = small_data(tmp_path, grid=True)
    torch.manual_seed(1)
    section = train_section(model="attention")
    network = AttentionModel.make(section, sizes_of(data.vocabularies, data.train.posts.features.dim, grid=True))
    assert isinstance(network, AttentionNetwork)
    features = AttentionModel.seen(data.train.posts.features)
    examples = make_examples(data.train.posts, data.vocabularies, 16, 6, data.train.hashtags)
    return network.eval(), next(batches(examples, features, 6, CPU))


def test_the_places_of_a_grid_are_its_regions_in_the_same_order(tmp_path: Path) -> None:
    network, batch = grid_network(tmp_path)
    assert batch.picture.shape == (6, 49, 8)
    regions = network.picture_vector(batch.picture)
    assert regions.shape == (6, 49, 16)
    changed = batch.picture.clone()
    changed[2, 30] += 1.0
    differs = (network.picture_vector(changed) != regions).any(2)
    assert differs.nonzero().tolist() == [[2, 30]]


def test_each_step_spreads_one_over_the_places_of_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = grid_network(tmp_path)
    seen: list[torch.Tensor] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if value.shape[1] == 49:
            seen.append(plain(query, key, torch.eye(49).expand(len(key), -1, -1)))  # (batch, steps, places)
        return plain(query, key, value, mask)

    monkeypatch.setattr("hashgen.models.attention.scaled_dot_product_attention", watched)
    state = encode(network, batch.picture, batch.words, batch.lengths)
    network(state, batch.inputs)
    (weights,) = seen
    assert weights.shape == (6, batch.inputs.shape[1], 49) and (weights >= 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(weights.shape[:2]))
    assert weights.std(2).min() > 0


def test_a_grid_is_learnt_from_without_augmented_views(tmp_path: Path) -> None:
    data = small_data(tmp_path, grid=True)
    features = AttentionModel.seen(data.train.posts.features)
    assert features.plain is data.train.posts.features.grid and features.views.shape == (53, 0, 49, 8)
    examples = make_examples(data.train.posts, data.vocabularies, 16, 6, data.train.hashtags)
    rng = np.random.default_rng(1)
    shapes = [tuple(batch.picture.shape) for batch in training_batches(Padded(examples, features), 8, CPU, rng)]
    assert shapes == [(8, 49, 8)] * 4 + [(9, 49, 8)]
