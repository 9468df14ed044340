"""Work spread over several processes or threads, with results in the order of the jobs."""

import collections
import ctypes
import itertools
import math
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hashgen.base.errors import HashgenError

Pixels = npt.NDArray[np.uint8]
_MOST_SHARED = 2**30
Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, ahead: int, stage: str
) -> Iterator[tuple[Job, Result]]:
    """Yield (job, work(job)) in the order of `jobs`, done by `workers` processes; 0 means in this process.

    At most `ahead` jobs per worker are waiting at a time, which bounds memory. `work` must be picklable. Its errors are
    raised here; if a worker dies, HashgenError with the name of the `stage`.
    """
    if not workers:
        for job in jobs:
            yield job, work(job)
        return
    yield from _mapped(work, jobs, workers, ahead, stage, _start, ())


def _mapped(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    ahead: int,
    stage: str,
    start: Callable[..., None],
    given: tuple[object, ...],
) -> Iterator[tuple[Job, Result]]:
    # "spawn", because a fork of a process with threads (torch has some) can hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start, given)
    waiting: collections.deque[tuple[Job, Future[Result]]] = collections.deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(work, job)))
            if len(waiting) > ahead * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    except BrokenProcessPool as error:
        raise HashgenError(
            f"{stage}: a worker process died, probably out of memory; use fewer: --workers 1, or 0 for none"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def map_pixels(
    work: Callable[[Job], Pixels], jobs: Iterable[Job], *, workers: int, ahead: int, most: int, stage: str
) -> Iterator[tuple[Job, Pixels]]:
    """As `map_in_order`, for results that are arrays of at most `most` bytes; a result is good until the next is asked.

    They come through memory that all processes share, of `most` bytes for each job that is waiting: through pipes,
    which `map_in_order` uses, pixels travel more slowly than a dozen cores decode them. Where that memory would be too
    large, it is pipes.
    """
    slots = ahead * workers + 1
    if not workers or slots * most > _room():
        yield from map_in_order(work, jobs, workers=workers, ahead=ahead, stage=stage)
        return
    memory = multiprocessing.get_context("spawn").RawArray(ctypes.c_uint8, slots * most)
    shared = np.ctypeslib.as_array(memory).reshape(slots, most)
    numbered = zip(itertools.cycle(range(slots)), jobs, strict=False)
    placed = partial(_place, work)
    for (slot, job), shape in _mapped(placed, numbered, workers, ahead, stage, _start_sharing, (memory, most)):
        yield job, shared[slot, : math.prod(shape)].reshape(shape)


def _room() -> int:
    """Most bytes of memory to share: of a file system in memory, or one on a disk, which must not become full."""
    free = (shutil.disk_usage(place).free for place in ("/dev/shm", tempfile.gettempdir()) if Path(place).is_dir())
    return min(_MOST_SHARED, max(free, default=0) // 2)


def map_between(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, threads: int, chunk: int
) -> Iterator[tuple[Job, Result]]:
    """Yield (job, work(job)) in the order of `jobs`, done by `threads` threads, `chunk` jobs for each at a time.

    Nothing is worked ahead while the caller has a result in hand: this is for a caller who uses every core then, and
    whom processes beside would only slow down. `work` should spend its time outside Python. 0 threads are one.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        rest = iter(jobs)
        while taken := list(itertools.islice(rest, chunk * max(1, threads))):
            yield from zip(taken, list(pool.map(work, taken)), strict=True)


def _next(waiting: "collections.deque[tuple[Job, Future[Result]]]") -> tuple[Job, Result]:
    job, future = waiting.popleft()
    return job, future.result()


def _start() -> None:
    """In a worker: leave Ctrl-C to the stage, and exit when the stage does, so that no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_shared: Pixels  # in a worker of `map_pixels`: (slots, bytes)


def _start_sharing(memory: "ctypes.Array[ctypes.c_uint8]", most: int) -> None:
    global _shared
    _start()
    _shared = np.ctypeslib.as_array(memory).reshape(-1, most)


def _place(work: Callable[[Job], Pixels], numbered: tuple[int, Job]) -> tuple[int, ...]:
    """Do a job, put its result into its slot, and say its shape."""
    slot, job = numbered
    result = work(job)
    _shared[slot, : result.size] = result.reshape(-1)
    return result.shape
