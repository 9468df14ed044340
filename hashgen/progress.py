"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

PLAIN_SECONDS = 10.0


def progress(items: Iterable[T], *, total: int | None, unit: str, label: str) -> Iterator[T]:
    """Yield `items` and show on stderr how far it is, how fast, and how long it will take.

    Off a terminal a plain line is printed every `PLAIN_SECONDS` seconds, so short work prints nothing.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=f" {unit}", desc=label, leave=False, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS:
            last = now
            print(_line(done, total, now - start, unit, label), file=sys.stderr, flush=True)


def _line(done: int, total: int | None, seconds: float, unit: str, label: str) -> str:
    rate = done / seconds
    if not total:
        return f"{label}: {done:,} {unit}, {rate:.1f} {unit}/s"
    left = max(0.0, (total - done) / rate)
    return f"{label}: {done:,} of {total:,} {unit}, {rate:.1f} {unit}/s, {left:,.0f} s left"
