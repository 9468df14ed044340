"""What the stages and the command `hashgen` share on the command line: options, and how an error ends a command."""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import platformdirs
import typer
import typer.models

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import atomic_file, refuse_uri
from hashgen.base.progress import QUIET

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", envvar=QUIET, help="Print only warnings and errors.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where torch runs: auto, cpu or cuda.")]


def local(main: Callable[..., None]) -> Callable[..., None]:
    """`main` of a command whose paths must be of this machine: it ends in one line where a URI is given for one."""
    options = {name: _option(name, parameter) for name, parameter in inspect.signature(main).parameters.items()}

    @functools.wraps(main)
    def command(*arguments: Any, **values: Any) -> None:
        for name, value in values.items():
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, Path):
                    refuse_uri(one, options[name])
        main(*arguments, **values)

    return command


def _option(name: str, parameter: inspect.Parameter) -> str:
    """How a user writes a parameter: nothing before its value if it is an argument."""
    for about in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(about, typer.models.ArgumentInfo):
            return ""
        if isinstance(about, typer.models.OptionInfo):
            # The first name that is declared stands where a default would.
            declared = [str(one) for one in (about.default, *(about.param_decls or ())) if str(one).startswith("--")]
            return declared[-1] if declared else _written(name)
    return _written(name)


def _written(name: str) -> str:
    return "--" + name.replace("_", "-")


def home_option(resolve: Callable[[str], Path]) -> Any:
    """The option --home, a folder that is kept from git. resolve: turns what a user typed into a path."""
    return typer.Option(
        "--home",
        envvar="HASHGEN_HOME",
        callback=lambda value: _kept_from_git(resolve(str(value)), "--home"),
        default_factory=lambda: platformdirs.user_cache_path("hashgen"),
        show_default="the user's cache folder",
        help="Folder for what is kept between runs: encoded pictures, checkpoints, collected posts.",
    )


def state_option(resolve: Callable[[str], Path]) -> Any:
    """The option --state, a folder that is kept from git. resolve: turns what a user typed into a path."""
    return typer.Option(
        "--state",
        callback=lambda value: None if value is None else _kept_from_git(resolve(str(value)), "--state"),
        show_default="the folder scrape in --home",
        help="Folder of the posts collected from Instagram.",
    )


def _kept_from_git(path: Path, option: str) -> Path:
    """`path`; where it lies within a git repository, git ignores all in it from now on: posts, and the salt.

    Raises HashgenError if it is the repository itself, or a folder that git already ignores only parts of.
    """
    here = path.resolve()
    if not any((folder / ".git").exists() for folder in (here, *here.parents)):
        return path
    rules = here / ".gitignore"
    try:
        if not rules.exists() and not (here / ".git").exists():
            with atomic_file(rules) as partial:
                partial.write_text("*\n", encoding="utf-8")
        is_ignored = rules.exists() and "*" in rules.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise HashgenError(f"{path}: {error}; choose a writable folder with {option}") from error
    if not is_ignored:
        raise HashgenError(f"{path}: git keeps files of this folder; choose a folder of its own with {option}")
    return path


@contextlib.contextmanager
def user_errors(remedy: Callable[[HashgenError], str] = lambda _: "") -> Iterator[None]:
    """Print a HashgenError without a traceback and exit with its code; so too a fault of the system (a full disk).

    remedy: what to add to the message.
    """
    # Before torch is imported. Its threads spin while they wait; as long as they do by default, two trainings on one
    # machine take ten times as long as one. This is short enough for that and costs a single one nothing measurable.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except Exception as error:
        fault = error if isinstance(error, HashgenError) else system_fault(error)
        if fault is None:
            raise
        # Errors may go to the disk that is full: the exit code says what is left to say.
        with contextlib.suppress(OSError):
            for line in f"{fault}{remedy(fault)}".splitlines():
                print(f"error: {line}", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            _give_up(stream)
        raise SystemExit(fault.exit_code) from None


def _give_up(stream: TextIO) -> None:
    """Drop what cannot be written; Python would report it again at its end, with an exit code of its own."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
