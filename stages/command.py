"""What all stages share on the command line: options, errors that users can fix, paths named in params."""

import contextlib
import functools
import inspect
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import local_path, write_json
from hashgen.base.optional import optional
from hashgen.base.places import Remote, place_of
from hashgen.base.progress import QUIET, is_quiet
from hashgen.commands import QuietOption, home_option, local, state_option, user_errors
from hashgen.params import watching

ParamsOption = Annotated[Path, typer.Option("--params", help="The parameter file.")]
PARAMS = Path("params.yaml")
# Beside DVC's own records: how long each stage took when it last ran. Not an output, because it differs in every run.
SECONDS = Path(".dvc/tmp/stage-seconds.json")
# The same for each experiment, which may run in a copy: in the repository itself, by its first commit and its name.
SECONDS_OF_EXPERIMENTS = Path(".dvc/tmp/experiment-seconds")


def input_path(value: str) -> Path:
    """The path that a parameter names; relative ones start at the root of the user's repository.

    `dvc exp run --temp` and `--queue` run in a copy below `.dvc/tmp/exps/` of the repository, where a path
    such as ../photos would point elsewhere: there the repository itself is the root. Raises HashgenError for a URI.
    """
    path = local_path(value)
    here = Path.cwd()
    parts = here.parts
    for index in range(len(parts) - 3):
        if parts[index : index + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:index]) / path
    return here / path


if TYPE_CHECKING:
    Place = Path | Remote
else:
    Place = Remote  # Typer knows no unions: to it this is one type, and `place_of` decides


def place_option(help: str) -> Any:
    """An option that takes a path of this machine or, with --engine ray, a URI such as s3://bucket/key."""
    return typer.Option(parser=place_of, metavar="PATH", help=help)


EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        envvar="HASHGEN_ENGINE",
        help="What does the work: local (this machine), or ray (the cluster that RAY_ADDRESS names).",
    ),
]


def is_ray(engine: str, **places: Path | Remote) -> bool:
    """Whether the engine is Ray. Raises HashgenError for one that is unknown or not installed.

    places: the paths that the stage was given, by option. Raises HashgenError for a URI without Ray.
    """
    if engine not in ("local", "ray"):
        raise HashgenError(f"--engine {engine}: no such engine; choose local or ray")
    if engine == "ray":
        optional("ray", "--engine ray")
        return True
    for option, place in places.items():
        if isinstance(place, Remote):
            raise HashgenError(
                f"--{option} {place}: must be a path on this machine with --engine local; set HASHGEN_ENGINE=ray, or "
                "copy it here first"
            )
    return False


HomeOption = Annotated[Path, home_option(input_path)]
StateOption = Annotated[Path | None, state_option(input_path)]


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command: a HashgenError ends it with its message and exit code."""
    with user_errors(lambda error: f": dvc repro {error.stage}" if error.stage else ""):
        application(main)()


def application(main: Callable[..., None]) -> typer.Typer:
    """The command line of a stage's `main`."""
    app = typer.Typer(add_completion=False)
    app.command()(_command(local(main)))
    return app


def _command(main: Callable[..., None]) -> Callable[..., None]:
    """A stage's `main` with the option --quiet, timed. It fails if its parameters are edited while it runs."""

    @functools.wraps(main)
    def command(*arguments: Any, quiet: bool, **options: Any) -> None:
        if quiet:
            os.environ[QUIET] = "1"
        start = time.monotonic()
        with watching():
            main(*arguments, **options)
        if stage := os.environ.get("DVC_STAGE"):
            record_seconds(stage, round(time.monotonic() - start, 1))

    signature = inspect.signature(main)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption)
    # What Typer reads to make the command line.
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    command.__annotations__ = {**main.__annotations__, "quiet": QuietOption}
    return command


def suggestion_of(model: str) -> str:
    """The name under which the wall time of one suggestion by a model is recorded."""
    return f"one suggestion: {model}"


def record_seconds(what: str, seconds: float) -> None:
    """Record the wall time of a stage or a part of it, if DVC runs it and has its folder; failures are ignored."""
    if os.environ.get("DVC_STAGE") and SECONDS.parent.is_dir():  # a stage run by hand is not part of a run
        for path in (SECONDS, *_of_experiment()):
            with contextlib.suppress(OSError, HashgenError):
                write_json(path, read_seconds(path) | {what: seconds}, exact=True)


def _of_experiment() -> list[Path]:
    """Where the times of the experiment that runs are recorded, if one runs; DVC sets these variables."""
    root, commit, name = (os.environ.get(key) for key in ("DVC_ROOT", "DVC_EXP_BASELINE_REV", "DVC_EXP_NAME"))
    return [Path(root, SECONDS_OF_EXPERIMENTS, commit, f"{name}.json")] if root and commit and name else []


def read_seconds(path: Path) -> dict[str, float]:
    """Wall time in seconds of all that was timed, by name; empty where the file is missing or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {what: value for what, value in found.items() if isinstance(value, int | float)}


def done(stage: str, message: str) -> None:
    """Print the one line in which a stage says what it did, unless --quiet is set."""
    if not is_quiet():
        print(f"{stage}: {message}", flush=True)
