"""Parameters of the stage featurize."""

from typing import Literal, Self

import pydantic

from hashgen.params.fields import Captions, ImageSize, Name, Precision, Section, Seed, Views


class Featurize(Section):
    backbone: Name
    weights: Name
    allow_random: bool
    image_size: ImageSize | None
    views: Views
    precision: Precision
    runtime: Literal["torch", "openvino"]
    seed: Seed
    captions: Captions
    caption_weights: Name | None
    grid: bool

    @pydantic.model_validator(mode="after")
    def _captions_have_weights(self) -> Self:
        if self.captions != "tfidf" and self.caption_weights is None:
            raise ValueError(f"caption_weights must name a model while featurize.captions is {self.captions}")
        return self
