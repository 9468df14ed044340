"""What decides a feature besides the picture."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a feature besides the picture; written to features.json.

    weights: as params name them. weights_sha256: digest of the weights used. file_sha256: of the file they came from.
    """

    backbone: str
    weights: str
    weights_sha256: str
    file_sha256: str | None
    dim: int
    views: int
    image_size: int
    precision: str
    seed: int
    encoder_version: int

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Recipe":
        """The recipe that `dataclasses.asdict` turned into JSON. Raises TypeError for anything else."""
        return cls(**document)
