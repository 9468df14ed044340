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
    from hashgen.cli import main as command

    command()


def _end(*_: object) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
