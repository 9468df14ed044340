"""Training steps recorded as CUDA graphs: the GPU repeats one without being asked for each of its kernels."""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from hashgen.training.clipping import step_clipped
from hashgen.training.dataset import Batch

Work = Callable[[], None]

# Words and steps of a batch are filled up to a multiple of this, so that few shapes occur.
WIDTH = 8
# Each recording keeps some memory of the GPU. Steps of further shapes are computed kernel by kernel.
_MOST = 64


class RecordedSteps:
    """Steps of a training, each on a batch. A shape of batches is recorded when it occurs for the second time.

    Most kernels of a step on few posts take a GPU less time than Python takes to ask for them.
    """

    def __init__(
        self,
        loss: Callable[[Batch], Tensor],
        optimiser: torch.optim.Adam,
        clip_norm: float | None,
        record: Callable[[Work], Work],
    ) -> None:
        """loss: of a batch. record: runs or only records a work, and returns what repeats it (see `cuda_recorder`)."""
        self._loss, self._optimiser, self._clip_norm, self._record = loss, optimiser, clip_norm, record
        self._recordings: dict[tuple[int, ...], tuple[Batch, Tensor, Work] | None] = {}
        self._pictures: dict[int, Tensor] = {}  # by posts in a batch: all recordings of so many share them
        device = optimiser.param_groups[0]["params"][0].device
        # A number would be recorded as it is; what a tensor holds may change.
        self._rate = torch.zeros((), device=device)

    def __call__(self, batch: Batch) -> Tensor:
        """Learn from a batch; its loss, without a gradient."""
        shape = (len(batch), batch.words.shape[1], batch.inputs.shape[1])
        if shape not in self._recordings:
            if len(self._recordings) < _MOST:
                self._recordings[shape] = None
            return self._step(batch)
        recording = self._recordings[shape]
        if recording is None:
            loss = torch.zeros_like(self._rate)
            kept = dataclasses.replace(batch, picture=self._pictures.setdefault(len(batch), batch.picture))
            recording = kept, loss, self._record(partial(self._write_step, kept, loss))
            self._recordings[shape] = recording
        given, loss, repeat = recording
        for old, new in zip(given.tensors(), batch.tensors(), strict=True):
            if old is not new:
                old.copy_(new)
        self._rate.fill_(self._optimiser.param_groups[0]["lr"])
        repeat()
        return loss.clone()

    def _write_step(self, batch: Batch, loss: Tensor) -> None:
        group = self._optimiser.param_groups[0]
        rate, group["lr"] = group["lr"], self._rate
        try:
            loss.copy_(self._step(batch))
        finally:
            group["lr"] = rate

    def _step(self, batch: Batch) -> Tensor:
        # The gradients stay the same tensors, as a recording writes to where it wrote first.
        self._optimiser.zero_grad(set_to_none=False)
        loss = self._loss(batch)
        torch.autograd.backward(loss)
        step_clipped(self._optimiser, self._clip_norm)
        return loss.detach()


def cuda_recorder(coins: torch.Generator) -> Callable[[Work], Work]:
    """Records work as CUDA graphs that share their memory. coins: a generator on the GPU that the work draws from."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(coins)
        try:
            with torch.cuda.graph(graph, pool=pool):
                work()
        except RuntimeError as error:
            # What ends a recording early is followed by an error of the recording itself, which says less.
            raise (error.__context__ or error) from None
        return graph.replay

    return record
