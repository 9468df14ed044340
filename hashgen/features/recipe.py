"""What decides a feature besides the picture and the caption."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a feature besides the picture and the caption; written to features.json.

    weights: as params name them. weights_sha256: digest of the weights used. file_sha256: of the file they came from.
    captions: kind of the caption encoder, tfidf for none; its weights as params name them, its digest, and the length
    of its vectors.
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
    # With defaults, as features and models from before there were caption encoders have none.
    captions: str = "tfidf"
    caption_weights: str | None = None
    caption_sha256: str | None = None
    caption_dim: int = 0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Recipe":
        """The recipe that `dataclasses.asdict` turned into JSON. Raises TypeError for anything else."""
        return cls(**document)
