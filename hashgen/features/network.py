"""A frozen network before it is used: cut before its classifier, and how it wants its pictures."""

import dataclasses
import hashlib

import torch
from torch import nn

from hashgen.pictures.crops import TORCHVISION, Preparation

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Channels = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network whose last layer is its features.

    model: normalised pictures (batch, 3, size, size) to (batch, dim). classifier: beginnings of the names of weights
    that a file may have beside those of the model. size: pixels of the square that it sees. mean, deviation: of the
    channels, 0..1, that it was trained with.
    """

    model: nn.Module
    classifier: tuple[str, ...]
    size: int
    mean: Channels = IMAGENET_MEAN
    deviation: Channels = IMAGENET_DEVIATION
    preparation: Preparation = TORCHVISION

    def extra(self) -> str:
        """What decides its features besides weights and size, as text: nothing for torchvision's networks."""
        plain = (IMAGENET_MEAN, IMAGENET_DEVIATION, TORCHVISION)
        own = (self.mean, self.deviation, self.preparation)
        return "" if own == plain else repr(own)


def digest_of_tensors(model: nn.Module) -> "hashlib._Hash":
    """SHA-256, still open, over names, types, shapes and values of all weights and statistics of a model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest
