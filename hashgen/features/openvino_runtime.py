"""A frozen network computed by OpenVINO, which is faster than torch on most CPUs; and in 8-bit integers, if asked."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashgen.base.errors import HashgenError
from hashgen.base.optional import optional

# Pictures that the ranges of 8-bit integers are taken from: the first ones.
CALIBRATION_PICTURES = 64

Calibration = Callable[[], Tensor]


class OpenvinoModel(nn.Module):
    """A network compiled at its first call, so that a run which encodes nothing does not wait for it.

    network: in float32 on the CPU, as it stays. size: pixels of its square. precision: float32, bfloat16 or int8; the
    processor may compute finer than that where it has no faster way. calibration: for int8, yields normalised pictures
    (n, 3, size, size) to choose the ranges from.
    """

    def __init__(self, network: nn.Module, size: int, precision: str, calibration: Calibration | None) -> None:
        super().__init__()
        _openvino()
        if precision == "int8":
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA
            optional("nncf", "featurize.precision: int8")
        self.network, self.size, self.precision, self.calibration = network, size, precision, calibration
        self._compiled: dict[int, Any] = {}  # by pictures a call

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> Tensor:
        """What the network makes of normalised pictures (batch, 3, size, size) float32."""
        count = len(pictures)
        if count not in self._compiled:
            self._compiled[count] = self._compile(count)
        return torch.from_numpy(self._compiled[count](pictures.contiguous().numpy())[0])

    def _compile(self, count: int) -> Any:
        openvino = _openvino()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that torch.jit.trace, which OpenVINO calls, is to go
                example = torch.zeros(count, 3, self.size, self.size)
                model = openvino.convert_model(self.network, example_input=example)
            model.reshape([count, 3, self.size, self.size])
            if self.precision == "int8":
                model = self._quantised(model, count)
            hints = {
                "INFERENCE_PRECISION_HINT": "f32" if self.precision == "float32" else "bf16",
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            }
            return openvino.Core().compile_model(model, "CPU", hints)
        except HashgenError:
            raise
        except Exception as error:  # its own kinds, of which some are plain exceptions
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
            raise HashgenError(
                f"featurize.runtime: OpenVINO cannot compile this featurize.backbone ({reason}); set it to torch"
            ) from error

    def _quantised(self, model: Any, count: int) -> Any:
        nncf = optional("nncf", "featurize.precision: int8")
        assert self.calibration is not None
        batches = _batches(self.calibration().numpy(), count)
        nncf.set_log_level(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()):  # it draws bars of its own
            return nncf.quantize(
                model,
                nncf.Dataset(batches),
                # Ranges about zero for weights, any for activations: swish, unlike ReLU, goes below zero.
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(batches),
            )


def _batches(pictures: npt.NDArray[np.float32], count: int) -> list[npt.NDArray[np.float32]]:
    """Whole batches of `count` pictures; the last is filled up with the first ones."""
    order = np.resize(np.arange(len(pictures)), -(-len(pictures) // count) * count)
    return [pictures[order[start : start + count]] for start in range(0, len(order), count)]


def _openvino() -> ModuleType:
    """The package. At its import it would tell its makers of its use; without this other package it cannot."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return optional("openvino", "featurize.runtime: openvino")
