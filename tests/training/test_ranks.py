"""Processes that train together end where one does, also where they go on from a checkpoint."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed
from torch._C._distributed_c10d import FileStore
from torch.multiprocessing.spawn import spawn

from hashgen.base.errors import HashgenError
from hashgen.models.attention import AttentionModel
from hashgen.models.sequence import sizes_of
from hashgen.params.train import Attention, Lstm, Train
from hashgen.training import fit
from hashgen.training.dataset import training_batches
from hashgen.training.network import SequenceNetwork
from hashgen.training.ranks import ALONE, Ranks, here, together
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, small_network

CPU = torch.device("cpu")
LSTM = Lstm(hidden=16, layers=2, dropout=0.3, batch_norm_momentum=0.1)
ATTENTION = Attention(hidden=16, layers=1, regions=2, dropout=0.3, batch_norm_momentum=0.1)
COUNT = 3
# Of 42 posts in batches of 8, two remain for the last: one of the processes has none of them.
SETTINGS = {
    "lstm": train_section(epochs=2, lstm=LSTM),
    "captions": train_section(epochs=2, lstm=LSTM, inputs="caption"),
    "attention": train_section(epochs=2, model="attention", attention=ATTENTION),
}


def build(section: Train, data: fit.Data) -> SequenceNetwork:
    if section.model == "attention":
        return AttentionModel.make(section, sizes_of(data.vocabularies, data.features.dim))
    return small_network(section, data)


def first_gradients(section: Train, data: fit.Data, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Gradients of the first batch, in float64, as all processes have them."""
    torch.manual_seed(1)
    network = build(section, data).double().train()
    loss = ranks.parallel(fit._Loss(network, 0.5, ranks), uses_all=section.inputs == "both")
    batch = next(training_batches(data.padded, 7, CPU, np.random.default_rng(2)))
    batch = dataclasses.replace(batch, picture=batch.picture.double())
    loss(batch, torch.Generator().manual_seed(3)).backward()
    return {name: one.grad for name, one in network.named_parameters() if one.grad is not None}


def work(rank: int, folder: Path, epochs: int) -> None:
    """One of the processes: what it has computed goes into the folder."""
    torch.set_num_threads(1)
    store = FileStore(str(folder / f"store-{epochs}"), COUNT)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=COUNT)
    ranks = here()
    assert ranks == Ranks(rank, COUNT)
    for name, section in SETTINGS.items():
        data, told = small_examples(folder / f"{name}-{rank}", section, train=42), list[int]()
        section = section.model_copy(update={"epochs": epochs})
        network, history = fit.fit(
            data,
            section,
            partial(build, section, data),
            CPU,
            folder / f"{name}-{rank}.checkpoint",
            lambda epoch, told=told: told.append(epoch.epoch),  # type: ignore[misc]
        )
        found = Found(
            first_gradients(section, data, ranks),
            network.state_dict(),
            [dataclasses.astuple(epoch) for epoch in history],
            told,
        )
        torch.save(vars(found), folder / f"{name}-{rank}-{epochs}.pt")
    distributed.destroy_process_group()


@dataclasses.dataclass
class Found:
    """What a process has computed: gradients of a first batch; weights, epochs, and those that it was told of."""

    gradients: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    history: list[tuple[float, ...]]
    told: list[int]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three processes have computed in one epoch, and when they went on from there for a second."""
    folder = tmp_path_factory.mktemp("ranks")
    for epochs in (1, 2):
        spawn(work, (folder, epochs), nprocs=COUNT)  # type: ignore[no-untyped-call]
    return folder


def found(folder: Path, name: str, rank: int, epochs: int) -> Found:
    return Found(**torch.load(folder / f"{name}-{rank}-{epochs}.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_several_processes_compute_what_one_does(trained: Path, tmp_path: Path, name: str) -> None:
    section = SETTINGS[name]
    data = small_examples(tmp_path, section, train=42)
    expected = first_gradients(section, data, ALONE)
    network, history = fit.fit(data, section, partial(build, section, data), CPU, tmp_path / "checkpoint")
    assert len(history) == 2 and any(part.any() for part in expected.values())
    for rank in range(COUNT):
        one = found(trained, name, rank, 2)
        assert one.gradients.keys() == expected.keys()
        for key, gradient in expected.items():
            torch.testing.assert_close(one.gradients[key], gradient, rtol=1e-10, atol=1e-12, msg=key)
        for epoch, alone in zip(one.history, history, strict=True):
            assert epoch == pytest.approx(dataclasses.astuple(alone), abs=1e-5)
        # A single weight may differ more: Adam makes a step of a gradient that is nothing but rounding.
        for key, tensor in network.state_dict().items():
            assert float((one.weights[key] - tensor).double().abs().mean()) < 1e-5, key


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_they_go_on_after_the_epoch_that_the_leader_has_kept(trained: Path, name: str) -> None:
    told = [[found(trained, name, rank, epochs).told for rank in range(COUNT)] for epochs in (1, 2)]
    assert told == [[[1], [], []], [[2], [], []]]
    histories = [found(trained, name, rank, 2).history for rank in range(COUNT)]
    assert histories == [histories[0]] * COUNT
    assert sorted(file.name for file in trained.glob(f"{name}*.checkpoint")) == [f"{name}-0.checkpoint"]


def test_each_post_is_of_one_process() -> None:
    for count, batch in ((2, 7), (3, 2), (4, 16), (1, 5)):
        parts = [Ranks(rank, count).rows(batch) for rank in range(count)]
        assert [post for part in parts for post in range(batch)[part]] == list(range(batch))
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with together("cpu") as ranks:
        assert ranks == ALONE == here() and ranks.leads and ranks.told("so") == "so"
    module = torch.nn.Linear(1, 1)
    assert ALONE.parallel(module, uses_all=True) is module


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(HashgenError, match=r"^torchrun: 1 GPUs; start no more processes, or --device cpu$"),
        together("cuda"),
    ):
        raise AssertionError
