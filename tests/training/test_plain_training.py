"""Training is fast in several ways at once; an implementation without any of them gives the same losses and weights."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hashgen.models.lstm import LstmNetwork
from hashgen.params.train import Lstm
from hashgen.text.vocabulary import BEGIN_ID, END_ID, PAD_ID
from hashgen.training.clipping import step_clipped
from hashgen.training.dataset import Batch, training_batches
from hashgen.training.fit import Data, batch_loss
from hashgen.training.network import Kept, keep_factors
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, small_network

CPU = torch.device("cpu")


def cells(lstm: nn.LSTM, given: Tensor, hidden: list[Tensor], cell: list[Tensor]) -> Tensor:
    """Feed one vector through all layers, by the equations; `hidden` and `cell` become those that follow."""
    for layer in range(lstm.num_layers):
        w_in, w_back, b_in, b_back = lstm.all_weights[layer]
        gates = w_in @ given + b_in + w_back @ hidden[layer] + b_back
        enter, forget, new, leave = gates.chunk(4)
        cell[layer] = forget.sigmoid() * cell[layer] + enter.sigmoid() * new.tanh()
        given = hidden[layer] = leave.sigmoid() * cell[layer].tanh()
    return given


def plain_loss(network: LstmNetwork, batch: Batch, ratio: float, coins: torch.Generator) -> Tensor:
    """The loss post by post, word by word and hashtag by hashtag, with the gradient through all of it."""
    kept = network.draw(len(batch), batch.words.shape[1], batch.inputs.shape[1])
    words, joins, hashtags, outputs = (
        torch.ones(1) if part is None else part for part in (kept.words, kept.joined, kept.hashtags, kept.output)
    )
    true = torch.rand(batch.inputs.shape, generator=coins) < ratio
    norm = network.picture_norm
    spread = (batch.picture.var(0, unbiased=False) + norm.eps).sqrt()
    normed = (batch.picture - batch.picture.mean(0)) / spread * norm.weight + norm.bias
    losses = []
    for post in range(len(batch)):
        seen = torch.tanh(network.picture_projection(normed[post] / normed[post].norm()))
        zero = torch.zeros_like(seen)
        hidden, cell = [zero] * network.layers, [zero] * network.layers
        for place in range(int(batch.lengths[post])):
            word = network.word_embedding.weight[batch.words[post, place]]
            read = cells(
                network.caption_lstm, word * words.expand(batch.words.shape + word.shape)[post, place], hidden, cell
            )
        joined = torch.tanh(network.join(torch.cat([seen, read])))
        joined = joined * joins.expand(len(batch), len(joined))[post]
        hidden_and_cell = network.first_state(joined).view(2, network.layers, -1)
        hidden, cell = list(torch.tanh(hidden_and_cell[0])), list(hidden_and_cell[1])
        token = batch.inputs[post, 0]
        for step, target in enumerate(batch.targets[post]):
            tag = network.hashtag_embedding.weight[token]
            if token == PAD_ID:  # the model may say so, and no vector is learnt for it
                tag = tag.detach()
            tag = tag * hashtags.expand(batch.inputs.shape + tag.shape)[post, step]
            output = cells(network.decoder_lstm, torch.cat([tag, joined]), hidden, cell)
            logits = network.output(output * outputs.expand(batch.inputs.shape + output.shape)[post, step])
            if target != PAD_ID:
                losses.append(-logits.log_softmax(0)[target])
            if step + 1 < batch.inputs.shape[1]:
                token = batch.inputs[post, step + 1] if true[post, step + 1] else logits.argmax()
    return torch.stack(losses).mean()


def uneven(data: Data) -> Data:
    """The posts with captions and hashtags cut to different lengths."""
    examples = copy.deepcopy(data.train)
    for number in range(len(examples)):
        del examples.words[number][1 + number % 3 :]
        del examples.hashtags[number][1 + number % 4 :]
    return Data(examples, data.val, data.features, data.vocabularies)


@pytest.mark.parametrize(
    ("layers", "dropout", "forcing", "clip"), [(1, 0.5, 0.5, 0.5), (2, 0.3, 0.0, 5.0), (1, 0.0, 1.0, None)]
)
def test_losses_gradients_and_weights_are_those_of_the_plain_way(
    tmp_path: Path, layers: int, dropout: float, forcing: float, clip: float | None
) -> None:
    block = Lstm(hidden=16, layers=layers, dropout=dropout, batch_norm_momentum=0.1)
    section = train_section(lstm=block)
    data = uneven(small_examples(tmp_path, section, train=20))
    torch.manual_seed(3)
    fast = small_network(section, data).double().train()
    plain = copy.deepcopy(fast)
    assert isinstance(plain, LstmNetwork)
    by_fast = torch.optim.Adam(fast.parameters(), 1e-2, weight_decay=1e-2, fused=True)
    by_plain = torch.optim.Adam(plain.parameters(), 1e-2, weight_decay=1e-2, fused=False, foreach=False)
    coins, same_coins = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    for number, batch in enumerate(training_batches(data.padded, 5, CPU, np.random.default_rng(5))):
        batch = Batch(batch.picture.double(), batch.words, batch.lengths, batch.inputs, batch.targets)
        torch.manual_seed(number)
        loss = batch_loss(fast, batch, forcing, coins)
        torch.manual_seed(number)
        expected = plain_loss(plain, batch, forcing, same_coins)
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
        by_fast.zero_grad()
        by_plain.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        expected.backward()  # type: ignore[no-untyped-call]
        for (name, one), other in zip(fast.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-9, msg=name)
        step_clipped(by_fast, clip)
        if clip is not None:
            nn.utils.clip_grad_norm_(plain.parameters(), clip)
        by_plain.step()
        for (name, one), other in zip(fast.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=name)
    assert number == 3


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(dropout: float) -> None:
    torch.manual_seed(1)
    first, second = keep_factors([(1000, 101), (3, 7)], dropout, CPU)
    assert first.shape == (1000, 101) and second.shape == (3, 7)
    values = torch.unique(first)
    assert len(values) == 2 and values[0] == 0
    assert float(values[1]) == pytest.approx(1 / (1 - dropout), rel=1e-3)
    assert float((first == 0).double().mean()) == pytest.approx(dropout, abs=0.01)
    assert float(first.double().mean()) == pytest.approx(1, abs=0.02)
    assert (first[1:] != first[:-1]).any(1).all()


def test_nothing_is_dropped_in_evaluation_nor_without_dropout(tmp_path: Path) -> None:
    section = train_section()
    network = small_network(section, small_examples(tmp_path, section))
    assert network.train().draw(2, 3, 4) == Kept()
    lossy = train_section(lstm=Lstm(hidden=16, layers=1, dropout=0.5, batch_norm_momentum=0.1))
    network = small_network(lossy, small_examples(tmp_path, lossy))
    assert network.eval().draw(2, 3, 4) == Kept()
    kept = network.train().draw(2, 3, 4)
    shapes = [
        None if part is None else tuple(part.shape) for part in (kept.words, kept.joined, kept.hashtags, kept.output)
    ]
    assert shapes == [(2, 3, 12), (2, 16), (2, 4, 12), (2, 4, 16)]
    step = kept.at(3)
    assert kept.hashtags is not None and step.hashtags is not None and torch.equal(step.hashtags, kept.hashtags[:, 3])


def test_batches_hold_the_posts_and_no_more_padding_than_needed(tmp_path: Path) -> None:
    data = uneven(small_examples(tmp_path, train_section()))
    batch = data.padded.batch(np.array([3, 0, 6]), CPU, np.array([-1, 0, -1]))
    assert batch.words.tolist() == [data.train.words[post] for post in (3, 0, 6)] and batch.lengths.tolist() == [
        1,
        1,
        1,
    ]
    tags = [data.train.hashtags[post] for post in (3, 0, 6)]
    assert [len(one) for one in tags] == [4, 1, 3] and batch.inputs.shape == (3, 5)
    assert batch.inputs.tolist() == [[BEGIN_ID, *one] + [0] * (4 - len(one)) for one in tags]
    assert batch.targets.tolist() == [[*one, END_ID] + [0] * (4 - len(one)) for one in tags]
    rows = data.train.rows[[3, 0, 6]]
    pictures = [data.features.plain[rows[0]], data.features.views[rows[1], 0], data.features.plain[rows[2]]]
    assert torch.equal(batch.picture, torch.tensor(np.array(pictures, np.float32)))
