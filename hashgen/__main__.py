"""`python -m hashgen`, and what the command `hashgen` starts."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable


def main() -> None:
    """Run the command. Ctrl-C ends it at once with one line, whatever is being imported: it leaves nothing half done.

    An exception instead would abort with a dump where it meets the C++ of torch.
    """
    signal.signal(signal.SIGINT, _end)
    try:
        from hashgen.cli import main as command

        _leave(command)
    except ModuleNotFoundError as error:
        if (package := (error.name or "").partition(".")[0]) == "hashgen":
            raise
        where = f"the package {package} is not installed for {sys.executable}"
        print(f"error: {where}; in a clone of hashgen: make setup, then .venv/bin/hashgen", file=sys.stderr)
        raise SystemExit(1) from None


def _leave(command: Callable[[], None]) -> None:
    """Run a command and leave without tearing torch down module by module, which takes most of a second."""
    code: object = 0
    try:
        command()
    except SystemExit as exit:
        code = exit.code
    if code is not None and not isinstance(code, int):
        raise SystemExit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more, or the disk is full: Python's own end says so
        raise SystemExit(code) from None
    os._exit(code or 0)


def _end(*_: object) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
