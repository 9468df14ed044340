"""Parameters of the stage report."""

from typing import Annotated

from pydantic import Field

from hashgen.params.fields import Section


class Report(Section):
    cards: Annotated[int, Field(ge=1, le=100)]
    examples: Annotated[int, Field(ge=0, le=100)]
    pictures: bool
