"""Threads for what would hold up the event loop, with a bound on what waits for them."""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Busy(Exception):
    """As much waits as may wait."""


class Pool:
    """threads: how many calls run at once. waiting: how many more may wait. seconds: how long a caller waits.

    To be used from one event loop.
    """

    def __init__(self, threads: int, waiting: int, seconds: float) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="hashgen")
        self._places, self._seconds = threads + waiting, seconds
        self.held = 0

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call it in a thread. Raises Busy at once if all places are taken, TimeoutError after `seconds`.

        A thread cannot be stopped: a call whose caller has given up keeps its place until it ends.
        """
        if self.held >= self._places:
            raise Busy
        self.held += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)
        work.add_done_callback(self._free)
        return await asyncio.wait_for(asyncio.shield(work), self._seconds)

    def _free(self, work: "asyncio.Future[Any]") -> None:
        self.held -= 1
        # Read, so that asyncio does not report what a caller who has gone never saw.
        if not work.cancelled():
            work.exception()

    def close(self) -> None:
        """Start nothing more; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
