"""Parameters of the stage filter."""

from typing import Annotated, Literal

from pydantic import Field

from hashgen.params.fields import Positive, Section, Share


class LanguageThresholds(Section):
    up_to_2: Annotated[float, Field(allow_inf_nan=False)]
    up_to_5: Annotated[float, Field(allow_inf_nan=False)]
    up_to_10: Annotated[float, Field(allow_inf_nan=False)]
    longer: Annotated[float, Field(allow_inf_nan=False)]


class Filter(Section):
    languages: Annotated[tuple[Annotated[str, Field(pattern="^[a-z]{2}$")], ...], Field(min_length=1)]
    emoji: Literal["drop", "strip", "keep"]
    max_non_latin: Share
    language_thresholds: LanguageThresholds
    min_side: Positive
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)]  # above it Pillow's own limit applies
    duplicates: Literal["keep_one", "group"]
