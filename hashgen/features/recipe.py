"""What decides a feature besides the picture."""

import dataclasses
import json
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from hashgen.params.fields import ImageSize, Name, Positive, Seed, Views


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a feature besides the picture; written to features.json.

    weights: as params name them. weights_sha256: digest of the weights used. file_sha256: of the file they came from.
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid", strict=True)

    backbone: Name
    weights: Name
    weights_sha256: Name
    file_sha256: Name | None
    dim: Annotated[int, Field(ge=1, le=2**20)]
    views: Views
    image_size: ImageSize
    precision: Literal["float32", "bfloat16", "float16"]
    seed: Seed
    encoder_version: Positive

    @classmethod
    def from_json(cls, document: Any) -> "Recipe":
        """The recipe that `dataclasses.asdict` turned into JSON. Raises ValueError for anything else."""
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(document))
