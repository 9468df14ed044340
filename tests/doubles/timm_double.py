"""As much of timm as hashgen calls: one network, `tiny`, of a convolution and a classifier."""

import types
from typing import Any

import torch
from torch import nn

SIZE = 40
CONFIG = {
    "classifier": "head.fc",
    "input_size": (3, SIZE, SIZE),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.5, 1),
    "crop_pct": 0.8,
    "interpolation": "bicubic",
}


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.pretrained_cfg = CONFIG

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = self.norm(self.stem(pictures)).mean((2, 3))
        return mean


def make_timm(hub: str | None = None) -> types.ModuleType:
    """The module. hub: where the published weights of its network are."""

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert not pretrained and num_classes == 0
        if name not in ("tiny", "tiny.tag"):
            raise RuntimeError(f"Unknown model ({name})")
        return Tiny()

    def get_pretrained_cfg(name: str) -> Any:
        return types.SimpleNamespace(hf_hub_id=hub, hf_hub_filename=None)

    module = types.ModuleType("timm")
    calls = {
        "create_model": create_model,
        "get_pretrained_cfg": get_pretrained_cfg,
        "list_models": lambda: ["tiny"],
        "list_pretrained": lambda: ["tiny.tag"],
    }
    for name, call in calls.items():
        setattr(module, name, call)
    return module
