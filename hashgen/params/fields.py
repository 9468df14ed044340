"""What the sections of params.yaml share: strict sections, and types of values."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
ImageSize = Annotated[int, Field(ge=32, le=1024)]  # pixels a side, for the backbone
Views = Annotated[int, Field(ge=0, le=100)]
Captions = Literal["tfidf", "model2vec", "sentence-transformers"]  # what reads them besides the models
Precision = Literal["float32", "bfloat16", "float16", "int8"]  # of a backbone
Name = Annotated[str, Field(min_length=1)]


class Section(pydantic.BaseModel):
    """A section or block of params.yaml: strict types, every key required, unknown keys rejected."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    def chosen(self) -> dict[str, Any]:
        """What a stage uses of the section, as JSON knows it: all of it, unless a section says otherwise."""
        return self.model_dump(mode="json")
