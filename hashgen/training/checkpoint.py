"""Checkpoints: what a training needs to resume after a kill."""

import dataclasses
import hashlib
import io
import sys
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from hashgen.base.files import atomic_file
from hashgen.training.history import Epoch, best_epoch

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
        """The best epoch so far."""
        return best_epoch(self.history)


def keep(state: State[Network, Schedule], checkpoint: Path) -> None:
    """Write a checkpoint, atomically: the SHA-256 of what follows (32 bytes), then torch's format.

    Raises HashgenError when the disk is full; the checkpoint of the epoch before stays.
    """
    document = {
        "model": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "history": [dataclasses.asdict(epoch) for epoch in state.history],
        "best": state.best,
    }
    # By way of memory: where torch writes a file itself, its errors do not say that the disk is full.
    payload = io.BytesIO()
    torch.save(document, payload)
    data = payload.getbuffer()
    with atomic_file(checkpoint) as partial, partial.open("wb") as stream:
        stream.write(hashlib.sha256(data).digest())
        stream.write(data)


def resume(state: State[Network, Schedule], kept: bytes, checkpoint: Path) -> State[Network, Schedule] | None:
    """The state as the checkpoint has it; None for a damaged one, which the next epoch's replaces.

    kept: what the file holds.
    After None, `state` is of no use any more.
    """
    device = next(state.network.parameters()).device
    data = memoryview(kept)
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("its content is not what was written")
        document = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        state.network.load_state_dict(document["model"])
        capturable = state.optimiser.defaults["capturable"]  # of this device, not of that which kept it
        state.optimiser.load_state_dict(document["optimiser"])
        for group in state.optimiser.param_groups:
            group["capturable"] = capturable
        state.schedule.load_state_dict(document["schedule"])
        state.history = [Epoch(**epoch) for epoch in document["history"]]
        state.best = document["best"]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # what does not come from `keep` may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"warning: {checkpoint} is damaged ({reason}); training from the start", file=sys.stderr)
        return None
    return state


_DIGEST_BYTES = 32
