"""Parameters of the stage split."""

from typing import Annotated, Literal

from pydantic import Field

from hashgen.params.fields import Positive, PositiveFloat, Section, Seed


class Split(Section):
    by: Literal["group", "author", "time"]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)] | None
    same_caption_words: Positive | None
    shares: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    limit: Annotated[int, Field(ge=3)] | None
    seed: Seed
