"""Parameters of the stage baselines."""

from typing import Annotated

from pydantic import Field

from hashgen.params.fields import Positive, Section, Seed


class Baselines(Section):
    neighbours: Positive
    bootstrap: Annotated[int, Field(ge=10)]
    seed: Seed
