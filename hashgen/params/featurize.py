"""Parameters of the stage featurize."""

from typing import Literal

from hashgen.params.fields import ImageSize, Name, Section, Seed, Views


class Featurize(Section):
    backbone: Name
    weights: Name
    allow_random: bool
    image_size: ImageSize
    views: Views
    precision: Literal["float32", "bfloat16", "float16"]
    seed: Seed
