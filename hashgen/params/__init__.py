"""The types of params.yaml, one file per section; what a key means is explained there, beside its value."""

import contextlib
import dataclasses
import difflib
import functools
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
from pydantic_core import ErrorDetails

from hashgen.base.errors import HashgenError
from hashgen.params.fields import Section

# One section per stage, in the order of the pipeline. The class of `scrape` is `Scrape` in hashgen/params/scrape.py.
SECTIONS = ("scrape", "filter", "split", "vocab", "featurize", "baselines", "train", "evaluate", "report")

SectionT = TypeVar("SectionT", bound=Section)


def read_section(path: Path, kind: type[SectionT]) -> SectionT:
    """Read and check a whole parameter file; return the section of this kind, as in `read_section(path, Train)`.

    The other sections are checked too, so that a typo anywhere stops the first stage. Raises HashgenError as
    `read_params`.
    """
    name = kind.__name__.lower()
    section: SectionT = getattr(read_params(path), name)
    _note(path, name, lambda now: _flat(now.chosen(), f"{name}."), section)
    return section


def read_values(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read and check a whole parameter file; return the values of some keys by their dotted names.

    Raises HashgenError as `read_params`, AttributeError for a key that no section has.
    """
    params = read_params(path)
    for key in keys:
        name, _, inner = key.partition(".")
        _note(path, name, functools.partial(_value, inner, key), getattr(params, name))
    return {key: functools.reduce(getattr, key.split("."), params) for key in keys}


@dataclasses.dataclass(frozen=True)
class _Read:
    """What was read of a section of a file: `pick` gives the values that matter, by their dotted names."""

    path: Path
    name: str
    pick: Callable[[Any], dict[str, Any]]
    values: dict[str, Any]


# What has been read inside of `watching`; None outside.
_reads: ContextVar[list[_Read] | None] = ContextVar("_reads", default=None)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Let no parameter that is read inside the block change before its end.

    At the end without an error, raises HashgenError as `require_unchanged`.
    """
    token = _reads.set([])
    try:
        yield
        require_unchanged()
    finally:
        _reads.reset(token)


def require_unchanged() -> None:
    """Raise HashgenError if a parameter read so far has another value in its file now. Only inside `watching`.

    DVC records the values at the end of a stage; those used are the ones at its start. Only values that were used
    count: neither other sections, nor blocks of models and sources that are not chosen.
    """
    reads = _reads.get() or []
    for read in reads:
        changes = _changes(read)
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            stage = reads[0].name  # a stage reads its own section first
            raise HashgenError(
                f"{read.path}: {', '.join(changes[:3])}{more} while the stage ran; run it again", stage=stage
            )


def _note(path: Path, name: str, pick: Callable[[Any], dict[str, Any]], section: Section) -> None:
    reads = _reads.get()
    if reads is not None:
        reads.append(_Read(path, name, pick, pick(section)))


def _changes(read: _Read) -> list[str]:
    """What has changed since a section was read. Raises HashgenError if it is no longer valid."""
    try:
        now = read.pick(getattr(_read(read.path, (read.name,)), read.name))
    except HashgenError as error:
        raise HashgenError(f"{' '.join(str(error).splitlines())} (it was edited while the stage ran)") from error
    return [
        f"{key} changed from {_yaml(value)} to {_yaml(now[key])}"
        for key, value in read.values.items()
        if key in now and now[key] != value
    ]


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Values of nested blocks by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _value(inner: str, key: str, section: Section) -> dict[str, Any]:
    return {key: functools.reduce(getattr, inner.split("."), section)}


def _yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_params(path: Path) -> Any:
    """Read and check a whole parameter file; returns an object with a section under each name of `SECTIONS`.

    The file is YAML 1.2, where `1e-3` is a number and `no` a string. Raises HashgenError that lists every invalid key
    by its dotted path, all at once.
    """
    return _read(path, SECTIONS)


def _read(path: Path, names: tuple[str, ...]) -> Any:
    """`read_params` for some sections: what the others hold does not matter."""
    raw = _read_yaml(path)
    if not isinstance(raw, dict):
        raise HashgenError(f"{path}: must be a mapping of sections (scrape, filter, …), found {type(raw).__name__}")
    if names != SECTIONS:
        raw = {name: raw[name] for name in names if name in raw}
    try:
        # The JSON mode of pydantic takes a list for a tuple and stays strict about everything else.
        return _kind(names).model_validate_json(json.dumps(raw, default=str))
    except pydantic.ValidationError as error:
        raise HashgenError("\n".join(_fault(path, fault) for fault in error.errors())) from error
    except (TypeError, ValueError, RecursionError) as error:
        # YAML also allows lists as keys, and values that contain themselves.
        raise HashgenError(f"{path}: not valid as parameters ({error}); use plain keys and values") from error


@functools.cache
def _kind(names: tuple[str, ...]) -> type[Section]:
    """The class of a file with these sections. They are imported here by name, so that none depends on another."""
    kinds: dict[str, Any] = {}
    for name in names:
        module = importlib.import_module(f"hashgen.params.{name}")
        kinds[name] = (getattr(module, name.title()), ...)
    return pydantic.create_model("Params", __base__=Section, **kinds)


def _read_yaml(path: Path) -> object:
    # Only here: a model folder's section is JSON, and who suggests needs no YAML.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with path.open(encoding="utf-8") as stream:
            return YAML(typ="safe", pure=True).load(stream)
    except FileNotFoundError as error:
        raise HashgenError(
            f"{path}: no such file; run in the root of the repository, or name it with --params"
        ) from error
    except OSError as error:
        raise HashgenError(f"{path}: cannot be read ({error.strerror}); name another file with --params") from error
    except (YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise HashgenError(f"{path}{line}: not valid YAML ({problem}); fix that line") from error


def _fault(path: Path, fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        return f"{path}: {key}: unknown parameter; {_near(fault['loc'])}"
    if fault["type"] == "missing" and isinstance(fault["loc"][-1], int):
        parent = key.rpartition(".")[0]
        return f"{path}: {parent}: value {fault['loc'][-1] + 1} of the list is missing"
    if fault["type"] == "missing":
        return f"{path}: {key}: missing; every parameter must be in the file"
    return f"{path}: {key}: {fault['msg']}, found {fault['input']!r}"


def _near(loc: tuple[int | str, ...]) -> str:
    """Which of the keys beside an unknown key may have been meant."""
    *parents, name = loc
    section: Any = _kind(SECTIONS)
    for parent in parents:
        kind = section.model_fields[str(parent)].annotation
        section = next((one for one in (kind, *get_args(kind)) if hasattr(one, "model_fields")), Section)
    near = difflib.get_close_matches(str(name), list(section.model_fields), n=1)
    return f"did you mean {near[0]}?" if near else "remove it or correct its name"
