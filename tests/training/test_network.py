"""The paper's network: two ways that must agree, blindness, and learning a batch by heart."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hashgen.models.lstm import LstmNetwork
from hashgen.params.train import Lstm
from hashgen.training.dataset import Batch, batches
from hashgen.training.decoding import mixed_forcing
from hashgen.training.fit import batch_loss
from hashgen.training.network import SequenceNetwork, Sizes, encode, initialise
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, small_network


def model_and_batch(tmp_path: Path, **changes: object) -> tuple[SequenceNetwork, Batch]:
    section = train_section(**changes)
    data = small_examples(tmp_path, section)
    torch.manual_seed(1)
    model = small_network(section, data)
    return model.eval(), next(batches(data.train, data.features, 6, torch.device("cpu")))


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_agree_with_forward(tmp_path: Path, layers: int) -> None:
    lstm = Lstm(hidden=16, layers=layers, dropout=0.0, batch_norm_momentum=0.1)
    model, batch = model_and_batch(tmp_path, lstm=lstm)
    state = encode(model, batch.picture, batch.words, batch.lengths)
    whole = model(state, batch.inputs)
    many = 10  # copies of each post: then there are more posts than hashtags, which takes another way
    copied = tuple(part.repeat(many, *[1] * (part.dim() - 1)) for part in state)
    assert len(batch) < model.hashtag_count < many * len(batch)
    for step in range(batch.inputs.shape[1]):
        logits, state = model.step(state, batch.inputs[:, step])
        torch.testing.assert_close(logits, whole[:, step])
        logits, copied = model.step(copied, batch.inputs[:, step].repeat(many))
        torch.testing.assert_close(logits, whole[:, step].repeat(many, 1))


def test_forcing_by_chance_one_agrees_with_forward_and_zero_ignores_the_truth(tmp_path: Path) -> None:
    model, batch = model_and_batch(tmp_path)
    state = encode(model, batch.picture, batch.words, batch.lengths)
    coins = torch.Generator().manual_seed(1)
    torch.testing.assert_close(mixed_forcing(model, state, batch.inputs, 1.0, coins), model(state, batch.inputs))
    free = mixed_forcing(model, state, batch.inputs, 0.0, coins)
    other = batch.inputs.clone()
    other[:, 1:] = 5
    torch.testing.assert_close(mixed_forcing(model, state, other, 0.0, coins), free)
    written = fed_its_own(model, state, batch.inputs)
    torch.testing.assert_close(free, model(state, written))
    nearly = mixed_forcing(model, state, batch.inputs, 1.0 - 1e-9, coins)
    torch.testing.assert_close(nearly, model(state, batch.inputs))


def fed_its_own(model: SequenceNetwork, state: tuple[Tensor, ...], inputs: Tensor) -> Tensor:
    """What the model reads when it is fed its own likeliest tokens, found one by one."""
    tokens = [inputs[:, 0]]
    for _ in range(inputs.shape[1] - 1):
        logits, state = model.step(state, tokens[-1])
        tokens.append(logits.argmax(1))
    return torch.stack(tokens, 1)


def test_padding_of_captions_changes_nothing(tmp_path: Path) -> None:
    model, batch = model_and_batch(tmp_path)
    longer = torch.nn.functional.pad(batch.words, (0, 7))
    torch.testing.assert_close(
        model.caption_vector(longer, batch.lengths), model.caption_vector(batch.words, batch.lengths)
    )


@pytest.mark.parametrize(("inputs", "deaf_to"), [("image", "words"), ("caption", "image")])
def test_an_unused_input_changes_nothing(tmp_path: Path, inputs: str, deaf_to: str) -> None:
    model, batch = model_and_batch(tmp_path, inputs=inputs)
    image = batch.picture + 1 if deaf_to == "image" else batch.picture
    words = batch.words.flip(0) if deaf_to == "words" else batch.words
    plain = encode(model, batch.picture, batch.words, batch.lengths)
    for one, other in zip(plain, encode(model, image, words, batch.lengths), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("blind", ["image", "caption"])
def test_blind_ignores_that_input_only(tmp_path: Path, blind: str) -> None:
    model, batch = model_and_batch(tmp_path)
    image = batch.picture + (1 if blind == "image" else 0)
    words = batch.words.flip(0) if blind == "caption" else batch.words
    lengths = batch.lengths.flip(0) if blind == "caption" else batch.lengths
    seen = encode(model, batch.picture, batch.words, batch.lengths, blind)  # type: ignore[arg-type]
    changed = encode(model, image, words, lengths, blind)  # type: ignore[arg-type]
    sighted = encode(model, batch.picture, batch.words, batch.lengths)
    assert torch.equal(seen[0], changed[0])
    assert not torch.equal(seen[0], sighted[0])


def test_xavier_weights_and_zero_biases() -> None:
    section = train_section()
    assert section.lstm is not None
    model = LstmNetwork(Sizes(8, 12, 20, 10), section.inputs, section.lstm)
    initialise(model)
    bound = (6 / (8 + 16)) ** 0.5
    weight = model.picture_projection.weight
    assert weight.abs().max() <= bound and weight.abs().max() > 0.9 * bound
    assert not model.output.bias.any() and not model.caption_lstm.get_parameter("bias_ih_l0").any()


def test_learns_one_batch_by_heart(tmp_path: Path) -> None:
    model, batch = model_and_batch(tmp_path)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    coins = torch.Generator().manual_seed(1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = batch_loss(model, batch, 0.5, coins)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss < 0.05
