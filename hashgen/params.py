"""The typed mirror of params.yaml: strict types, every key required, unknown keys refused."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hashgen.errors import HashgenError

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)


class SampleSource(_Section):
    posts: Annotated[int, Field(ge=10)]
    seed: Seed
    image_size: Annotated[int, Field(ge=64, le=1024)]
    dirt: Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)]


class FolderSource(_Section):
    path: Name


class TableColumns(_Section):
    id: Name | None
    caption: Name
    hashtags: Name | None
    image: Name
    author: Name | None
    date: Name | None
    # Alone of all keys these two may be left out: few tables have such columns.
    licence: Name | None = None
    seed_hashtags: Name | None = None


class TableSource(_Section):
    path: Name
    columns: TableColumns


class InstaloaderSource(_Section):
    path: Name
    carousel: Literal["first", "all"]
    video: Literal["skip", "thumbnail"]


class InstagramSource(_Section):
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


class Scrape(_Section):
    source: Literal["sample", "folder", "table", "instaloader", "instagram"]
    keep_author: Literal["hash", "none"]
    sample: SampleSource
    folder: FolderSource
    table: TableSource
    instaloader: InstaloaderSource
    instagram: InstagramSource


class LanguageThresholds(_Section):
    up_to_2: Annotated[float, Field(allow_inf_nan=False)]
    up_to_5: Annotated[float, Field(allow_inf_nan=False)]
    up_to_10: Annotated[float, Field(allow_inf_nan=False)]
    longer: Annotated[float, Field(allow_inf_nan=False)]


class Filter(_Section):
    languages: Annotated[tuple[Annotated[str, Field(pattern="^[a-z]{2}$")], ...], Field(min_length=1)]
    emoji: Literal["drop", "strip", "keep"]
    max_non_latin: Share
    language_thresholds: LanguageThresholds
    min_side: Positive
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)]  # Pillow's own limit holds above
    duplicates: Literal["keep_one", "group"]


class Split(_Section):
    by: Literal["group", "author", "time"]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)] | None
    same_caption_words: Positive | None
    shares: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    limit: Annotated[int, Field(ge=3)] | None
    seed: Seed


class Vocab(_Section):
    min_word_count: Positive
    min_hashtag_count: Positive
    dimension: Annotated[int, Field(ge=1, le=4096)]
    glove: Name | None
    seed: Seed


class Featurize(_Section):
    backbone: Name
    weights: Name
    allow_random: bool
    image_size: Annotated[int, Field(ge=32, le=1024)]
    views: Annotated[int, Field(ge=0, le=100)]
    precision: Literal["float32", "bfloat16", "float16"]
    seed: Seed


class Baselines(_Section):
    neighbours: Positive
    bootstrap: Annotated[int, Field(ge=10)]
    seed: Seed


class Lstm(_Section):
    hidden: Annotated[int, Field(ge=1, le=16384)]
    layers: Annotated[int, Field(ge=1, le=8)]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
    batch_norm_momentum: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class Train(_Section):
    model: Literal["lstm"]
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

    @pydantic.model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate must not be above learning_rate")
        return self


class Evaluate(_Section):
    decoding: Literal["greedy", "beam"]
    beam: Annotated[int, Field(ge=1, le=100)]
    length_penalty: NonNegativeFloat
    bootstrap: Annotated[int, Field(ge=10)]
    seed: Seed


class Report(_Section):
    cards: Annotated[int, Field(ge=1, le=100)]
    examples: Annotated[int, Field(ge=0, le=100)]
    pictures: bool


class Params(_Section):
    """All of params.yaml; a section a stage. What each key means stands there, beside its value."""

    scrape: Scrape
    filter: Filter
    split: Split
    vocab: Vocab
    featurize: Featurize
    baselines: Baselines
    train: Train
    evaluate: Evaluate
    report: Report


def read_params(path: Path) -> Params:
    """Read and check a whole parameter file.

    YAML 1.2 is read with ruamel.yaml as DVC does: `1e-3` is a number and `no` a string. Raises HashgenError
    that names every faulty key by its dotted path, all at once.
    """
    raw = _read_yaml(path)
    if not isinstance(raw, dict):
        raise HashgenError(f"{path}: must be a mapping of sections (scrape, filter, …), found {type(raw).__name__}")
    try:
        # The JSON mode of pydantic takes a list for a tuple and stays strict about everything else.
        return Params.model_validate_json(json.dumps(raw, default=str))
    except pydantic.ValidationError as error:
        raise HashgenError("\n".join(_fault(path, fault) for fault in error.errors())) from error
    except (TypeError, ValueError, RecursionError) as error:
        # YAML also knows keys that are lists and values that hold themselves.
        raise HashgenError(f"{path}: not valid as parameters ({error}); use plain keys and values") from error


def _read_yaml(path: Path) -> object:
    try:
        with path.open(encoding="utf-8") as stream:
            return YAML(typ="safe", pure=True).load(stream)
    except FileNotFoundError as error:
        raise HashgenError(f"{path}: no such file; run from the root of the repository or name it: --params") from error
    except OSError as error:
        raise HashgenError(f"{path}: cannot be read ({error.strerror}); name another file: --params") from error
    except (YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise HashgenError(f"{path}{line}: not valid YAML ({problem}); mend that line") from error


def _fault(path: Path, fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        return f"{path}: {key}: no such parameter; remove it or mend its name"
    if fault["type"] == "missing" and isinstance(fault["loc"][-1], int):
        parent = key.rpartition(".")[0]
        return f"{path}: {parent}: value {fault['loc'][-1] + 1} of the list is missing"
    if fault["type"] == "missing":
        return f"{path}: {key}: missing; every parameter must stand in the file"
    return f"{path}: {key}: {fault['msg']}, found {fault['input']!r}"
