"""Steps that are recorded learn what plain ones learn; a stand-in for the GPU repeats what was recorded on the CPU."""

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hashgen.features.posts import Inputs
from hashgen.models.lstm import LstmNetwork
from hashgen.training import fit
from hashgen.training.clipping import step_clipped
from hashgen.training.dataset import Batch, training_batches
from hashgen.training.recording import RecordedSteps, Work
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, small_network
from tests.training.test_plain_training import uneven

CPU = torch.device("cpu")


@pytest.mark.parametrize("inputs", ["both", "image", "caption"])
@pytest.mark.parametrize("clip", [0.5, None])
def test_recorded_steps_learn_what_plain_ones_do(tmp_path: Path, inputs: Inputs, clip: float | None) -> None:
    section = train_section(inputs=inputs)
    data = uneven(small_examples(tmp_path, section, train=41))
    torch.manual_seed(3)
    network = small_network(section, data).train()
    plain = copy.deepcopy(network)
    assert isinstance(plain, LstmNetwork)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, fused=True)
    plain_optimiser = torch.optim.Adam(plain.parameters(), 1e-2, fused=True)
    coins, same_coins = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    replays: Counter[int] = Counter()

    def record(work: Work) -> Work:
        # Recording a graph runs nothing, so the stand-in must not either.
        number = len(replays)
        replays[number] = 0

        def repeat() -> None:
            replays[number] += 1
            work()

        return repeat

    steps = RecordedSteps(lambda batch: fit.batch_loss(network, batch, 0.5, coins), optimiser, clip, record)
    shapes: Counter[tuple[int, ...]] = Counter()
    for number, batch in enumerate(
        batch for epoch in range(3) for batch in training_batches(data.padded, 8, CPU, np.random.default_rng(epoch))
    ):
        shapes[(len(batch), batch.words.shape[1], batch.inputs.shape[1])] += 1
        for group in (*optimiser.param_groups, *plain_optimiser.param_groups):
            group["lr"] = 1e-2 / (1 + number)
        expected = fit.batch_loss(plain, batch, 0.5, same_coins)
        plain_optimiser.zero_grad()
        torch.autograd.backward(expected)
        step_clipped(plain_optimiser, clip)
        loss = steps(batch)
        assert not loss.requires_grad and optimiser.param_groups[0]["lr"] == 1e-2 / (1 + number)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
        for one, other in zip(network.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    # Each shape that occurs a second time is recorded, and repeated from then on.
    assert sorted(replays.values()) == sorted(count - 1 for count in shapes.values() if count > 1)
    assert sum(replays.values()) > 5


def test_losses_of_earlier_steps_stay(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], 0.1, fused=True)

    def loss(batch: Batch) -> Tensor:
        return (weight * batch.picture).sum()

    steps = RecordedSteps(loss, optimiser, None, lambda work: work)

    def batch(value: float) -> Batch:
        return Batch(torch.full((2, 3), value), *(torch.ones(2, 4, dtype=torch.int64) for _ in range(4)))

    losses = [steps(batch(value)) for value in (1.0, 2.0, 3.0, 4.0)]
    assert len({float(one) for one in losses}) == 4
    assert float(losses[0]) == 6.0 and float(losses[1]) == pytest.approx(12 * 0.9)


def test_widths_are_rounded_up_as_far_as_any_post_is_wide(tmp_path: Path) -> None:
    section = train_section()
    data = uneven(small_examples(tmp_path, section, train=41)).padded
    narrow, wide = (list(training_batches(data, 2, CPU, np.random.default_rng(1), multiple)) for multiple in (1, 3))
    most = {"words": data.words.shape[1], "inputs": data.inputs.shape[1]}
    for one, other in zip(narrow, wide, strict=True):
        for name, widest in most.items():
            width = getattr(one, name).shape[1]
            assert getattr(other, name).shape[1] == min(-(-width // 3) * 3, widest)
            assert torch.equal(getattr(other, name)[:, :width], getattr(one, name))
            assert not getattr(other, name)[:, width:].any()
        assert torch.equal(one.lengths, other.lengths)
    assert any(one.words.shape != other.words.shape for one, other in zip(narrow, wide, strict=True))
