"""Parameters of the stage evaluate."""

from typing import Annotated, Literal

from pydantic import Field

from hashgen.params.fields import NonNegativeFloat, Section, Seed


class Evaluate(Section):
    decoding: Literal["greedy", "beam"]
    beam: Annotated[int, Field(ge=1, le=100)]
    length_penalty: NonNegativeFloat
    bootstrap: Annotated[int, Field(ge=10)]
    seed: Seed
