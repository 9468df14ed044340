"""What all stages share on the command line: options, the exit on a user's error, paths that params name."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from hashgen.errors import HashgenError

ParamsOption = Annotated[Path, typer.Option("--params", help="The parameter file.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where torch runs: auto, cpu or cuda.")]
PARAMS = Path("params.yaml")
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="HASHGEN_HOME",
        callback=lambda value: input_path(str(value)),
        default_factory=lambda: platformdirs.user_cache_path("hashgen"),
        show_default="the user's cache folder",
        help="Folder of what outlives a run: feature memo, checkpoints, state.",
    ),
]


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command: a HashgenError ends it with its message and exit code."""
    # Before torch is imported. Its threads spin while they wait; as long as they do by default, two trainings on one
    # machine take ten times as long as one. This is short enough for that and costs a single one nothing measurable.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        typer.run(main)
    except HashgenError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def done(stage: str, message: str) -> None:
    """Print the one line in which a stage says what it did."""
    print(f"{stage}: {message}", flush=True)


def input_path(value: str) -> Path:
    """The path that a parameter names; relative ones start at the root of the user's repository.

    `dvc exp run --temp` and `--queue` run in a copy below `.dvc/tmp/exps/` of the repository, where a path
    such as ../photos would point elsewhere: there the repository itself is the root.
    """
    path = Path(value).expanduser()
    here = Path.cwd()
    parts = here.parts
    for index in range(len(parts) - 3):
        if parts[index : index + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:index]) / path
    return here / path
