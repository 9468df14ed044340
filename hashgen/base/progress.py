"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")

PLAIN_SECONDS = 10.0
# An environment variable, so that one setting reaches every stage of a run.
QUIET = "HASHGEN_QUIET"


def is_quiet() -> bool:
    """Whether to print only warnings and errors: HASHGEN_QUIET is set, and not to 0."""
    return os.environ.get(QUIET, "0") not in ("", "0")


def progress(items: Iterable[T], *, total: int | None, unit: str, label: str) -> Iterator[T]:
    """Yield `items` and show progress, rate and remaining time on stderr.

    Off a terminal a plain line is printed every `PLAIN_SECONDS` seconds, so short work prints nothing.
    """
    if is_quiet():
        yield from items
        return
    items = iter(items)
    # The time until the first item arrives does not count towards the rate.
    first = list(islice(items, 1))
    if sys.stderr.isatty():
        yield from tqdm(chain(first, items), total=total, unit=f" {unit}", desc=label, leave=False, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for done, item in enumerate(chain(first, items), start=1):
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


class Collecting:
    """Progress of collecting hashtags over the network: a bar for hashtags and one for the posts of the current one.

    Off a terminal a plain line every `PLAIN_SECONDS` seconds. left: returns how many requests are left this hour.
    """

    def __init__(self, label: str, hashtags: int, per_hashtag: int) -> None:
        self._label = label
        self._hashtags = hashtags
        self._per_hashtag = per_hashtag
        self._number = self._kept = self._new = 0
        self._name = ""
        self._start = self._last = time.monotonic()
        self._bars: list[tqdm] = []
        self.left: Callable[[], int] = lambda: 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not is_quiet():
            shape = {"leave": False, "dynamic_ncols": True}
            self._bars = [
                tqdm(total=self._hashtags, unit=" hashtags", desc=self._label, **shape),
                tqdm(total=self._per_hashtag, unit=" posts", **shape),
            ]
        return self

    def __exit__(self, *error: object) -> None:
        for bar in reversed(self._bars):
            bar.close()

    def hashtag(self, name: str, kept: int) -> None:
        """Start the next hashtag, which already has `kept` posts."""
        self._number += 1
        self._name, self._kept = name, kept
        if self._bars:
            self._bars[0].update(self._number - 1 - self._bars[0].n)
            self._bars[1].reset(self._per_hashtag)
            self._bars[1].set_description(f"#{name}")
            self._bars[1].update(kept)

    def post(self, kept: bool) -> None:
        """A post was kept or rejected."""
        self._kept += kept
        self._new += kept
        if self._bars:
            self._bars[1].update(int(kept))
            self._bars[1].set_postfix_str(f"{self.left()} requests left this hour, {self._time_left()}")
        elif time.monotonic() - self._last >= PLAIN_SECONDS and not is_quiet():
            self._last = time.monotonic()
            self._print(
                f"#{self._name} ({self._number:,} of {self._hashtags:,} hashtags),"
                f" {self._kept:,} of {self._per_hashtag:,} posts, {self._rate():.2f} posts/s,"
                f" {self.left()} requests left this hour, {self._time_left()}"
            )

    def waiting(self, wake: str | None) -> None:
        """A long wait starts and lasts until `wake`; None means that it is over."""
        if wake is None:
            return
        if self._bars:
            self._bars[1].set_postfix_str(f"waiting until {wake}")
        else:
            self._print(f"waiting until {wake}")

    def _rate(self) -> float:
        return self._new / max(time.monotonic() - self._start, 1e-9)

    def _time_left(self) -> str:
        posts = (self._hashtags - self._number + 1) * self._per_hashtag - self._kept
        rate = self._rate()
        return f"{max(posts, 0) / rate / 60:,.0f} min left" if rate else "time left unknown"

    def _print(self, text: str) -> None:
        print(f"{self._label}: {text}", file=sys.stderr, flush=True)
