"""Parameters of the stage scrape: which source, and a block for each."""

from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import Field

from hashgen.params.fields import Name, NonNegativeFloat, Positive, Section, Seed


class Sample(Section):
    posts: Annotated[int, Field(ge=10)]
    seed: Seed
    image_size: Annotated[int, Field(ge=64, le=1024)]
    dirt: Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)]


class Folder(Section):
    path: Name


class TableColumns(Section):
    id: Name | None
    caption: Name
    hashtags: Name | None
    image: Name
    author: Name | None
    date: Name | None
    # Only these two keys may be left out: few tables have such columns.
    licence: Name | None = None
    seed_hashtags: Name | None = None


class Table(Section):
    path: Name
    columns: TableColumns


class Instaloader(Section):
    path: Name
    carousel: Literal["first", "all"]
    video: Literal["skip", "thumbnail"]


class Instagram(Section):
    hashtags: Annotated[tuple[Name, ...], Field(min_length=1)] | Name
    per_hashtag: Positive
    carousel: Literal["first", "all"]
    video: Literal["skip", "thumbnail"]
    max_side: Annotated[int, Field(ge=64)] | None
    pause_seconds: tuple[NonNegativeFloat, NonNegativeFloat]
    requests_per_hour: Positive
    requests_per_day: Positive
    images_per_minute: Positive
    on_shortfall: Literal["accept", "fail"]
    on_refusal: Literal["fail", "use"]
    i_have_permission: bool

    @pydantic.model_validator(mode="after")
    def _pause_in_order(self) -> Self:
        if self.pause_seconds[0] > self.pause_seconds[1]:
            raise ValueError("pause_seconds must be [shortest, longest]")
        return self


class Scrape(Section):
    source: Literal["sample", "folder", "table", "instaloader", "instagram"]
    keep_author: Literal["hash", "none"]
    sample: Sample
    folder: Folder
    table: Table
    instaloader: Instaloader
    instagram: Instagram

    def chosen(self) -> dict[str, Any]:
        """All but the blocks of sources that are not chosen."""
        blocks = set(get_args(type(self).model_fields["source"].annotation))
        return self.model_dump(mode="json", exclude=blocks - {self.source})
