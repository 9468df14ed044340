"""Work spread over several processes or threads, with results in the order of the jobs."""

import collections
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from hashgen.base.errors import HashgenError

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
    # "spawn", because a fork of a process with threads (torch has some) can hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start)
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
