"""One process at a time for what outlives a run: a killed dvc leaves its stage running beside the next run's."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hashgen.base.errors import HashgenError


@contextlib.contextmanager
def locked(path: Path, stage: str) -> Iterator[None]:
    """Hold the lock beside `path`, its folder made if need be; waits, and says so, while another process has it.

    Raises HashgenError when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{stage}: another process works on {path}; waiting for it", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise HashgenError(
            f"{path.parent}: cannot be written ({error}); name another folder with --home or --state"
        ) from error
    try:
        yield
    finally:
        lock.release()
