"""Saved sets: named lists of hashtags to add, or to keep off, in one JSON file of the user."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import platformdirs
import pydantic

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import write_json
from hashgen.suggesting.options import hashtags


@dataclasses.dataclass(frozen=True)
class HashtagSet:
    """add: hashtags that come first in an answer. keep_off: hashtags that are never suggested."""

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")

    add: Sequence[str] = ()
    keep_off: Sequence[str] = ()


def default_sets() -> Path:
    """The file of the user's sets: `sets.json` in the user's configuration folder."""
    return platformdirs.user_config_path("hashgen") / "sets.json"


_FILE = pydantic.TypeAdapter(dict[str, HashtagSet])


def read_sets(file: Path) -> dict[str, HashtagSet]:
    """All sets by name; none where there is no file. Raises HashgenError for a file that holds something else."""
    try:
        return _FILE.validate_json(file.read_bytes(), strict=False) if file.exists() else {}
    except (OSError, ValueError) as error:
        example = json.dumps({"food": {"add": ["homemade"], "keep_off": ["foodporn"]}})
        raise system_fault(error, file) or HashgenError(
            f"{file}: does not hold saved sets; write {example}, or remove it"
        ) from error


def save_set(file: Path, name: str, one: HashtagSet) -> None:
    """Add a set, or replace the one of this name. Raises HashgenError for what is no hashtag."""
    known = read_sets(file)
    known[name] = HashtagSet(hashtags(one.add, "add"), hashtags(one.keep_off, "keep-off"))
    write_json(file, _FILE.dump_python(known, mode="json"))


def delete_set(file: Path, name: str) -> None:
    """Remove a set. Raises HashgenError when there is none of this name."""
    known = read_sets(file)
    find_set(known, name, file)
    del known[name]
    write_json(file, _FILE.dump_python(known, mode="json"))


def find_set(known: dict[str, HashtagSet], name: str, file: Path) -> HashtagSet:
    """The set of this name. Raises HashgenError that lists the others."""
    if name not in known:
        there = ", ".join(sorted(known)) or "none yet"
        raise HashgenError(f"{file}: no set {name!r} (there are: {there}); save one: hashgen sets save {name} --add …")
    return known[name]
