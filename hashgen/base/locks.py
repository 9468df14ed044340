"""One process at a time for files kept between runs: the stage of a killed run may live on into the next run."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hashgen.base.errors import HashgenError
from hashgen.base.faults import is_disk_full, system_fault


@contextlib.contextmanager
def locked(path: Path, stage: str) -> Iterator[None]:
    """Hold the lock file beside `path`; if another process holds it, say so and wait. Creates the folder if needed.

    Raises HashgenError when the folder is not writable or its disk full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{stage}: another process is using {path}; waiting for it to finish", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        if is_disk_full(error):
            raise system_fault(error, path.parent) or error from error
        raise HashgenError(
            f"{path.parent}: not writable ({error}); choose another folder with --home or --state"
        ) from error
    try:
        yield
    finally:
        lock.release()
