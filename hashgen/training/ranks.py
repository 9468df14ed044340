"""Processes that train one network together, as torchrun starts them: one a GPU, or several on a CPU."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from hashgen.base.errors import HashgenError
from hashgen.base.progress import QUIET

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    rank: its number, from 0; process 0 leads: it alone reads and writes files and prints. count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process leads."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """The part of a batch of so many posts that is this process's: all are about as long, some may be empty."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def told(self, value: T) -> T:
        """What the leader gives here; the values of the others do not matter."""
        if self.count == 1:
            return value
        from torch import distributed

        values: list[Any] = [value]
        distributed.broadcast_object_list(values)
        return values[0]  # type: ignore[no-any-return]

    def mean(self, numbers: "Tensor") -> "Tensor":
        """The mean over the processes."""
        if self.count > 1:
            from torch import distributed

            distributed.all_reduce(numbers)
        return numbers / self.count

    def parallel(self, module: "nn.Module", *, uses_all: bool) -> "nn.Module":
        """A module whose gradients are means over the processes; itself where there is one.

        uses_all: whether each of its weights gets a gradient.
        """
        if self.count == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, find_unused_parameters=not uses_all)


ALONE = Ranks()


def here() -> Ranks:
    """This process among those of `together`; alone outside of it."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return ALONE
    return Ranks(distributed.get_rank(), distributed.get_world_size())


@contextlib.contextmanager
def together(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun has started, if it has: gloo connects them on a CPU, NCCL on GPUs.

    device: cpu or cuda; each process takes the GPU of its own number on its machine. All but the leader are quiet.
    Raises HashgenError when there are fewer GPUs than processes, and when another process has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    if device == "cuda":
        place = int(os.environ["LOCAL_RANK"])
        if place >= torch.cuda.device_count():
            raise HashgenError(f"torchrun: {torch.cuda.device_count()} GPUs; start no more processes, or --device cpu")
        torch.cuda.set_device(place)
    try:
        # The others wait while the leader alone scores an epoch, which takes hours with very many posts.
        week = datetime.timedelta(days=7)
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=week)
        ranks = here()
        if not ranks.leads:
            os.environ[QUIET] = "1"
        yield ranks
    except RuntimeError as error:
        # gloo says no more by type than that it is a RuntimeError.
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise HashgenError("torchrun: another process of this training has ended; see what it said") from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
