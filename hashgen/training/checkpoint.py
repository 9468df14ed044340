"""Checkpoints: what a training needs to resume after a kill."""

import dataclasses
import pickle
import sys
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from hashgen.base.files import atomic_file
from hashgen.training.history import Epoch

Network = TypeVar("Network", bound=nn.Module)
Schedule = TypeVar("Schedule", bound=torch.optim.lr_scheduler.LRScheduler)


@dataclasses.dataclass
class State(Generic[Network, Schedule]):
    """All that a training needs to resume: network, optimiser, schedule, history and the best weights so far."""

    network: Network
    optimiser: torch.optim.Adam
    schedule: Schedule
    history: list[Epoch]
    best: dict[str, Tensor]

    @property
    def best_epoch(self) -> Epoch:
        """The epoch with the highest free-running validation F1, the earliest of equals."""
        return max(self.history, key=lambda epoch: epoch.val_f1)


def keep(state: State[Network, Schedule], checkpoint: Path) -> None:
    """Write a checkpoint, atomically."""
    document = {
        "model": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "history": [dataclasses.asdict(epoch) for epoch in state.history],
        "best": state.best,
    }
    with atomic_file(checkpoint) as partial:
        torch.save(document, partial)


def resume(state: State[Network, Schedule], checkpoint: Path) -> State[Network, Schedule] | None:
    """The state as the checkpoint has it; None for a damaged one, which is removed."""
    device = next(state.network.parameters()).device
    try:
        document = torch.load(checkpoint, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        print(f"train: {checkpoint} is damaged ({type(error).__name__}); training from the start", file=sys.stderr)
        checkpoint.unlink()
        return None
    state.network.load_state_dict(document["model"])
    state.optimiser.load_state_dict(document["optimiser"])
    state.schedule.load_state_dict(document["schedule"])
    state.history = [Epoch(**epoch) for epoch in document["history"]]
    state.best = document["best"]
    return state
