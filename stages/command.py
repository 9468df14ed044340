"""What all stages share on the command line: options, errors that users can fix, paths named in params."""

import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import platformdirs
import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import write_json
from hashgen.base.progress import QUIET, is_quiet

ParamsOption = Annotated[Path, typer.Option("--params", help="The parameter file.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where torch runs: auto, cpu or cuda.")]
PARAMS = Path("params.yaml")
# Beside DVC's own records: how long each stage took when it last ran. Not an output, because it differs in every run.
SECONDS = Path(".dvc/tmp/stage-seconds.json")
_QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", envvar=QUIET, help="Print only warnings and errors.", show_default=False)
]
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
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        callback=lambda value: None if value is None else input_path(str(value)),
        show_default="scrape in the folder --home",
        help="Folder of what was collected from Instagram.",
    ),
]


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command: a HashgenError ends it with its message and exit code."""
    # Before torch is imported. Its threads spin while they wait; as long as they do by default, two trainings on one
    # machine take ten times as long as one. This is short enough for that and costs a single one nothing measurable.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        typer.run(_command(main))
    except HashgenError as error:
        remedy = f": dvc repro {error.stage}" if error.stage else ""
        for line in f"{error}{remedy}".splitlines():
            print(f"error: {line}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _command(main: Callable[..., None]) -> Callable[..., None]:
    """A stage's `main` with the option --quiet, timed."""

    @functools.wraps(main)
    def command(*arguments: Any, quiet: bool, **options: Any) -> None:
        if quiet:
            os.environ[QUIET] = "1"
        start = time.monotonic()
        main(*arguments, **options)
        if stage := os.environ.get("DVC_STAGE"):  # set by DVC; a stage run by hand is not part of a run
            _record_seconds(stage, time.monotonic() - start)

    signature = inspect.signature(main)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_QuietOption)
    # What Typer reads to make the command line.
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    command.__annotations__ = {**main.__annotations__, "quiet": _QuietOption}
    return command


def _record_seconds(stage: str, seconds: float) -> None:
    """Record the wall time of a stage in `SECONDS` if DVC has its folder; a failure to do so is ignored."""
    if SECONDS.parent.is_dir():
        try:
            write_json(SECONDS, read_seconds(SECONDS) | {stage: round(seconds, 1)})
        except (OSError, HashgenError):
            return


def read_seconds(path: Path) -> dict[str, float]:
    """Wall time in seconds of each stage that was timed; empty where the file is missing or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {stage: value for stage, value in found.items() if isinstance(value, int | float)}


def done(stage: str, message: str) -> None:
    """Print the one line in which a stage says what it did, unless --quiet is set."""
    if not is_quiet():
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
