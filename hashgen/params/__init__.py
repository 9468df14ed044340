"""The types of params.yaml, one file per section; what a key means is explained there, beside its value."""

import contextlib
import difflib
import functools
import importlib
import json
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
from pydantic_core import ErrorDetails

from hashgen.base.errors import HashgenError
from hashgen.params.fields import Section

# One section per stage, in the order of the pipeline. The class of `scrape` is `Scrape` in hashgen/params/scrape.py.
SECTIONS = ("scrape", "filter", "split", "vocab", "featurize", "baselines", "train", "suggester", "evaluate", "report")

SectionT = TypeVar("SectionT", bound=Section)


def read_section(path: Path, kind: type[SectionT]) -> SectionT:
    """Read and check a whole parameter file; return the section of this kind, as in `read_section(path, Train)`.

    The other sections are checked too, so that a typo anywhere stops the first stage. Raises HashgenError as
    `read_params`.
    """
    name = kind.__name__.lower()
    section: SectionT = getattr(read_params(path), name)
    _note(path, flatten(section.chosen(), f"{name}."))
    return section


def read_values(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read and check a whole parameter file; return the values of some keys by their dotted names.

    Raises HashgenError as `read_params`, AttributeError for a key that no section has.
    """
    params = read_params(path)
    values = {key: functools.reduce(getattr, key.split("."), params) for key in keys}
    _note(path, values)
    return values


# The parameters that were used inside of `watching`: pairs of a file and values by their dotted names. None outside.
_used: ContextVar[list[tuple[Path, dict[str, Any]]] | None] = ContextVar("_used", default=None)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Fail at the end of the block, as `require_unchanged` does, if a parameter that it used has been edited."""
    token = _used.set([])
    try:
        yield
        require_unchanged()
    finally:
        _used.reset(token)


def require_unchanged() -> None:
    """Raise HashgenError if a parameter used so far has another value in its file now. Only inside `watching`.

    Whoever records the parameters of a finished stage reads the file at its end. Other values do not matter, nor do
    the blocks of models and sources that are not chosen.
    """
    used = _used.get() or []
    for path, values in used:
        stage = next(iter(used[0][1])).partition(".")[0]  # a stage reads its own section first
        try:
            raw = _read_yaml(path)
        except HashgenError as error:
            raise HashgenError(f"{error}: edited while the stage ran; then run it again", stage=stage) from error
        now = {key: _lookup(raw, key) for key in values}
        changes = [
            f"{key} changed from {json.dumps(_plain(value))} to {json.dumps(now[key])}"
            for key, value in values.items()
            if now[key] != _plain(value)
        ]
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            what = ", ".join(changes[:3]) + more
            raise HashgenError(f"{path}: {what} while the stage ran; run it again", stage=stage)


def _lookup(raw: object, key: str) -> Any:
    """What a file has under a dotted name; None if it has nothing there, as where a key may be left out."""
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return _plain(raw)


def _plain(value: object) -> Any:
    """A value as JSON knows it, so that a tuple equals the list that it was read from."""
    try:
        return json.loads(json.dumps(value, default=str))
    except (TypeError, ValueError, RecursionError):
        return "not a plain value"


def _note(path: Path, values: dict[str, Any]) -> None:
    used = _used.get()
    if used is not None:
        used.append((path, values))


def flatten(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Values of nested blocks by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def read_params(path: Path) -> Any:
    """Read and check a whole parameter file; returns an object with a section under each name of `SECTIONS`.

    The file is YAML 1.2, where `1e-3` is a number and `no` a string. Raises HashgenError that lists every invalid key
    by its dotted path, all at once.
    """
    raw = _read_yaml(path)
    if not isinstance(raw, dict):
        raise HashgenError(f"{path}: must be a mapping of sections (scrape, filter, …), found {type(raw).__name__}")
    try:
        # The JSON mode of pydantic takes a list for a tuple and stays strict about everything else.
        return _whole().model_validate_json(json.dumps(raw, default=str))
    except pydantic.ValidationError as error:
        raise HashgenError("\n".join(_fault(path, fault) for fault in error.errors())) from error
    except (TypeError, ValueError, RecursionError) as error:
        # YAML also allows lists as keys, and values that contain themselves.
        raise HashgenError(f"{path}: not valid as parameters ({error}); use plain keys and values") from error


@functools.cache
def _whole() -> type[Section]:
    """The class of a whole file. Sections are imported here by name, so that none depends on another."""
    kinds: dict[str, Any] = {}
    for name in SECTIONS:
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
    section: Any = _whole()
    for parent in parents:
        kind = section.model_fields[str(parent)].annotation
        section = next((one for one in (kind, *get_args(kind)) if hasattr(one, "model_fields")), Section)
    near = difflib.get_close_matches(str(name), list(section.model_fields), n=1)
    return f"did you mean {near[0]}?" if near else "remove it or correct its name"
