"""The device that torch runs on."""

from typing import TYPE_CHECKING

from hashgen.base.errors import HashgenError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> "torch.device":
    """The torch device for `auto` (cuda where there is one), `cpu` or `cuda`.

    Raises HashgenError for another name and for a cuda that is not there: no quiet fallback.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise HashgenError(f"--device {name}: no such device; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise HashgenError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
