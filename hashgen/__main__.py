"""`python -m hashgen`, and what the command `hashgen` starts."""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Run the command. Ctrl-C ends it at once with one line, whatever is being imported: it leaves nothing half done.

    An exception instead would abort with a dump where it meets the C++ of torch.
    """
    signal.signal(signal.SIGINT, _end)
    try:
        from hashgen.cli import main as command

        command()
    except ModuleNotFoundError as error:
        if (package := (error.name or "").partition(".")[0]) == "hashgen":
            raise
        where = f"the package {package} is not installed for {sys.executable}"
        print(f"error: {where}; in a clone of hashgen: make setup, then .venv/bin/hashgen", file=sys.stderr)
        raise SystemExit(1) from None


def _end(*_: object) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
