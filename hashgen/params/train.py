"""Parameters of the stage train: what all models share, and a block for each."""

import json
from typing import Annotated, Any, Literal, Self, get_args

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
    power: PositiveFloat
    copy_bonus: NonNegativeFloat


class Classifier(Section):
    hidden: Annotated[int, Field(ge=1, le=16384)]
    input_dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    epochs: Positive
    batch_size: Positive
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat


class Ranker(Section):
    candidates: Positive
    ridge: PositiveFloat
    picture_posts: Positive
    caption_posts: Positive
    power: PositiveFloat
    trees: Positive
    leaves: Annotated[int, Field(ge=2, le=64)]  # `MOST_LEAVES` in hashgen/training/trees.py
    least: Positive
    learning_rate: PositiveFloat
    l2: NonNegativeFloat
    folds: Annotated[int, Field(ge=2)]
    classifier: Classifier


MemberName = Literal["lstm", "attention", "transformer", "classifier", "neighbours", "ranker"]
ModelName = Literal[MemberName, "ensemble"]


class Ensemble(Section):
    members: Annotated[tuple[MemberName, ...], Field(min_length=2)]

    @pydantic.model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.members)) < len(self.members):
            raise ValueError("members must name each model once")
        return self


class Attention(Section):
    hidden: Annotated[int, Field(ge=1, le=16384)]
    layers: Annotated[int, Field(ge=1, le=8)]
    regions: Annotated[int, Field(ge=1, le=256)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    batch_norm_momentum: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class Transformer(Section):
    width: Annotated[int, Field(ge=2, le=16384)]
    layers: Annotated[int, Field(ge=1, le=24)]
    heads: Annotated[int, Field(ge=1, le=64)]
    regions: Annotated[int, Field(ge=1, le=256)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    warm_up: Share

    @pydantic.model_validator(mode="after")
    def _heads_of_equal_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class Train(Section):
    model: ModelName
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
    caption_length: Annotated[int, Field(ge=1, le=10_000)]
    hashtag_length: Annotated[int, Field(ge=1, le=1000)]
    sentiment: bool
    seed: Seed
    # A block for each model. Only the chosen one, of an ensemble its members' too, is saved with a model, hence None
    # for the others there.
    lstm: Lstm | None
    classifier: Classifier | None
    attention: Attention | None
    transformer: Transformer | None
    neighbours: Neighbours | None
    ranker: Ranker | None
    ensemble: Ensemble | None

    @pydantic.model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate must not be above learning_rate")
        return self

    @pydantic.model_validator(mode="after")
    def _block_of_the_model(self) -> Self:
        empty = [name for name in (self.model, *self.members()) if getattr(self, name) is None]
        if empty:
            raise ValueError(f"the block {empty[0]} must not be empty while train.model is {self.model}")
        return self

    def members(self) -> tuple[MemberName, ...]:
        """The models that are trained for the chosen one: those of an ensemble, for any other none."""
        return self.ensemble.members if self.model == "ensemble" and self.ensemble is not None else ()

    def of(self, model: ModelName) -> "Train":
        """The section with another model. Raises pydantic.ValidationError if that has no block."""
        return Train(**dict(self) | {"model": model})

    def chosen(self) -> dict[str, Any]:
        """What decides a training, as JSON knows it: all but the blocks of models that are not trained."""
        return self.model_dump(mode="json", exclude=self._blocks() - {self.model, *self.members()})

    @classmethod
    def of_chosen(cls, values: dict[str, Any]) -> "Train":
        """The section that `chosen` gave, with None for the other blocks. Raises TypeError or ValueError for others."""
        # The JSON mode of pydantic takes a list for a tuple and stays strict about everything else.
        return cls.model_validate_json(json.dumps(dict.fromkeys(cls._blocks()) | values))

    @classmethod
    def _blocks(cls) -> set[str]:
        return set(get_args(cls.model_fields["model"].annotation))
