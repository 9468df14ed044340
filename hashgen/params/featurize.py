"""Parameters of the stage featurize."""

from typing import Annotated, Literal

from pydantic import Field

from hashgen.params.fields import Name, Section, Seed


class Featurize(Section):
    backbone: Name
    weights: Name
    allow_random: bool
    image_size: Annotated[int, Field(ge=32, le=1024)]
    views: Annotated[int, Field(ge=0, le=100)]
    precision: Literal["float32", "bfloat16", "float16"]
    seed: Seed
