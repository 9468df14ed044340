"""The device that torch runs on, and the way there."""

from typing import TYPE_CHECKING

from hashgen.base.errors import HashgenError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> "torch.device":
    """The torch device for `auto` (cuda if there is one), `cpu` or `cuda`.

    Raises HashgenError for any other name, and if cuda is requested but not available: there is no silent fallback.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise HashgenError(f"--device {name}: no such device; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise HashgenError("--device cuda: no CUDA device found; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def on_device(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """A tensor of the CPU on the device. The CPU does not wait until a GPU has it, nor for what the GPU still does."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
