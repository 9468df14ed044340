"""Parameters of the stage train: what all models share, and a block for each."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from hashgen.params.fields import NonNegativeFloat, Positive, PositiveFloat, Section, Seed, Share


class Lstm(Section):
    hidden: Annotated[int, Field(ge=1, le=16384)]
    layers: Annotated[int, Field(ge=1, le=8)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    batch_norm_momentum: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class Neighbours(Section):
    posts: Positive


class Train(Section):
    model: Literal["lstm", "neighbours"]
    inputs: Literal["both", "image", "caption"]
    epochs: Positive
    patience: Positive | None
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    min_learning_rate: NonNegativeFloat
    restart_epochs: Positive
    restart_factor: Positive
    weight_decay: NonNegativeFloat
    teacher_forcing: Share
    clip_norm: PositiveFloat | None
    caption_length: Positive
    hashtag_length: Positive
    seed: Seed
    lstm: Lstm
    neighbours: Neighbours

    @pydantic.model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate must not be above learning_rate")
        return self
