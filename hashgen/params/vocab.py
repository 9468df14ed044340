"""Parameters of the stage vocab."""

from typing import Annotated

from pydantic import Field

from hashgen.params.fields import Name, Positive, Section, Seed


class Vocab(Section):
    min_word_count: Positive
    min_hashtag_count: Positive
    dimension: Annotated[int, Field(ge=1, le=4096)]
    glove: Name | None
    seed: Seed
