"""What decides a feature besides the picture and the caption."""

import dataclasses
import json
from typing import Annotated, Any, ClassVar

import pydantic
from pydantic import Field

from hashgen.params.fields import Captions, ImageSize, Name, Positive, Precision, Seed, Views

_Dim = Annotated[int, Field(ge=1, le=2**20)]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a feature besides the picture and the caption; written to features.json.

    weights: as params name them. weights_sha256: digest of the weights used. file_sha256: of the file they came from.
    captions: kind of the caption encoder, tfidf for none; its weights as params name them, its digest, and the length
    of its vectors. grid: whether the places of a picture are kept too. calibration_sha256: of the pictures that the
    ranges of the precision int8 are taken from.
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid", strict=True)

    backbone: Name
    weights: Name
    weights_sha256: Name
    file_sha256: Name | None
    dim: _Dim
    views: Views
    image_size: ImageSize
    precision: Precision
    seed: Seed
    encoder_version: Positive
    # With defaults, as features and models from before there were caption encoders have none.
    captions: Captions = "tfidf"
    caption_weights: Name | None = None
    caption_sha256: Name | None = None
    caption_dim: _Dim | None = None
    grid: bool = False
    calibration_sha256: Name | None = None

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs. Grid and calibration are named only where there are some: else no byte is another."""
        document = dataclasses.asdict(self)
        if not self.grid:
            del document["grid"]
        if self.calibration_sha256 is None:
            del document["calibration_sha256"]
        return document

    @classmethod
    def from_json(cls, document: Any) -> "Recipe":
        """The recipe that `to_json` wrote down. Raises ValueError for anything else."""
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(document))
