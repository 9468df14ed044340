"""What the sections of params.yaml share: strict sections, and types of values."""

from typing import Annotated

import pydantic
from pydantic import Field

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Section(pydantic.BaseModel):
    """A section or block of params.yaml: strict types, every key required, unknown keys rejected."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)
