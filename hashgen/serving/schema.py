"""The requests and answers of the API, as its OpenAPI schema shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from hashgen.suggesting.platforms import PLATFORMS

MAX_CAPTION = 5000
MAX_TAGS = 100
MAX_TAG = 150
MAX_LISTED = 1000

Tag = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TAG)]

_EITHER: list[Any] = [
    {"required": ["picture"], "properties": {"picture": {"type": "string"}}},
    {"required": ["caption"], "properties": {"caption": {"pattern": r"\S"}}},
]

_ONE_OF: dict[str, Any] = {"enum": [*PLATFORMS, None]}


class Ask(BaseModel):
    """A post that is being written: a picture, a caption, or both, and what is wanted for it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": _EITHER,
            "examples": [{"caption": "no excuses today", "tags": ["fitness"], "platform": "instagram"}],
        },
    )

    picture: Annotated[str | None, Field(max_length=100, description="The name that POST /api/pictures gave.")] = None
    caption: Annotated[str, Field(max_length=MAX_CAPTION, description="The text of the post.")] = ""
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS, description="Hashtags that the post has already.")] = []
    add: Annotated[list[Tag], Field(max_length=MAX_TAGS, description="Hashtags that come first.")] = []
    max: Annotated[
        int | None,
        Field(strict=True, ge=1, le=100, description="How many at most; null: what the platform still takes."),
    ] = None
    platform: Annotated[
        str | None,
        Field(
            description="Where it is posted. null: Instagram, or no limit where there is max.",
            json_schema_extra=_ONE_OF,
        ),
    ] = None
    min_confidence: Annotated[
        float,
        Field(strict=True, ge=0, le=1, allow_inf_nan=False, description="Only hashtags of at least this probability."),
    ] = 0.0
    mix: Annotated[
        Literal["balanced", "broad", "niche"], Field(description="Hashtags of many posts, of few, or as it comes.")
    ] = "balanced"
    ban: Annotated[list[Tag], Field(max_length=MAX_LISTED, description="Hashtags never to suggest.")] = []
    allow: Annotated[
        list[Tag], Field(max_length=MAX_LISTED, description="Hashtags that the built-in list hides, shown after all.")
    ] = []
    prefix: Annotated[str, Field(max_length=MAX_TAG, description="Only hashtags that start so.")] = ""
    explain: Annotated[bool, Field(strict=True, description="Say why, for each hashtag.")] = False

    @model_validator(mode="after")
    def _has_something(self) -> "Ask":
        if self.picture is None and not self.caption.strip():
            raise ValueError("nothing to go by; give a picture, a caption, or both")
        return self


class Why(BaseModel):
    """What speaks for a hashtag."""

    words: Annotated[list[str], Field(description="Words of the caption without which it is less likely.")]
    picture: Annotated[
        float | None, Field(description="What the picture adds to its confidence, -1 to 1; null without a caption.")
    ]
    caption: Annotated[
        float | None, Field(description="What the caption adds to its confidence, -1 to 1; null without a picture.")
    ]
    copied: Annotated[bool, Field(description="All its words stand in the caption.")]
    tags: Annotated[list[str], Field(description="Hashtags of the post that often stand beside it.")]
    posts: Annotated[list[str], Field(description="Ids of the training posts with it that are most like this one.")]
    mine: Annotated[bool, Field(description="Your own posts speak for it.")]


class Hashtag(BaseModel):
    """One suggestion."""

    hashtag: Annotated[str, Field(description="Without #.")]
    confidence: Annotated[float, Field(description="Calibrated probability, 0 to 1.")]
    posts: Annotated[int, Field(description="How many training posts have it.")]
    why: Annotated[Why | None, Field(description="Only with explain.")] = None


class Reply(BaseModel):
    """Hashtags, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hashtags": [{"hashtag": "fitness", "confidence": 0.71, "posts": 182}], "warnings": ["no picture"]}
            ]
        }
    )

    hashtags: list[Hashtag]
    warnings: Annotated[list[str], Field(description="What was missing, and what to know of the model.")]


class Uploaded(BaseModel):
    """Where the features of a picture are kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"picture": "wJ4fDkT0o3v9QyqZb1cRSA"}]})

    picture: Annotated[str, Field(description="Its name, for POST /api/suggest; good for an hour after its last use.")]


class Status(BaseModel):
    """That the server is ready."""

    status: Literal["ready"]


class Problem(BaseModel):
    """Why a request was refused, in one line."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "caption: at most 5000 characters"}]})

    error: str


class Platform(BaseModel):
    """A place to post, and how many hashtags it takes."""

    name: str
    label: str
    limit: Annotated[int | None, Field(description="null: no limit is known.")]
    since: Annotated[str | None, Field(description="When the limit came, year or year-month.")]
    source: str


class Limits(BaseModel):
    """What a request may hold."""

    picture_bytes: int
    picture_pixels: int
    caption: int
    tags: int


class About(BaseModel):
    """What answers, and for whom."""

    model: Annotated[dict[str, Any], Field(description="What the model learnt from.")]
    platforms: list[Platform]
    limits: Limits


class Example(BaseModel):
    """A post of the test split, which the model has not learnt from."""

    caption: str
    picture: Annotated[str, Field(description="Path of its picture.")]
