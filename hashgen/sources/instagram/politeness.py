"""Politeness towards a site: pauses, hourly and daily limits and refusals, all remembered between runs."""

import contextlib
import dataclasses
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

from hashgen.sources.stops import ExitCode, Refusal, Stop, clock_text

HOUR = 3600.0
DAY = 86400.0
# After the first refusal no run sends a request for half an hour; each further one doubles the wait.
FIRST_WAIT = 1800.0
LONGEST_WAIT = 7 * DAY
# How long a wait may continue after a signal.
_SLICE = 0.5
_SHORTEST_BACK_OFF = 0.5
# Process groups get a signal twice; only a later one shows impatience.
_IMPATIENCE = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """pause: shortest and longest seconds between two requests. per_hour, per_day: requests in any such time."""

    pause: tuple[float, float]
    per_hour: int
    per_day: int


class RequestLog(Protocol):
    """Where requests and refusals are remembered; see `InstagramState`. Times are epoch seconds."""

    def add_request(self, at: float) -> None: ...  # noqa: D102

    def request_times(self, since: float) -> list[float]: ...  # noqa: D102

    def last_request(self) -> float | None: ...  # noqa: D102

    def add_refusal(self, at: float, until: float, what: str, exit_code: int) -> None: ...  # noqa: D102

    def refusals(self) -> list[tuple[float, float, str, int]]: ...  # noqa: D102

    def end_refusals(self) -> None: ...  # noqa: D102


class Signals:
    """SIGINT and SIGTERM while collecting: noted, so that the current post is finished. number: of the first one."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note the signals in this block. A second SIGINT, seconds later, is a KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._at > _IMPATIENCE:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise Stop if a signal came."""
        if self.number is not None:
            raise Stop(f"stopped by {signal.Signals(self.number).name}", 128 + self.number)


class Politeness:
    """Decides when the next request may be sent.

    log: remembers requests and refusals. notify: called before a long wait with the clock time at which it ends, and
    with None after it. clock, sleep: of epoch seconds; replaced in tests.
    """

    def __init__(
        self,
        limits: Limits,
        log: RequestLog,
        signals: Signals,
        notify: Callable[[str | None], None] = lambda wake: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits
        self._log = log
        self._signals = signals
        self._notify = notify
        self._clock = clock
        self._sleep = sleep

    def check_refusals(self) -> None:
        """Raise Stop while an earlier refusal forbids any request."""
        refusals = self._log.refusals()
        if not refusals:
            return
        at, until, what, exit_code = refusals[-1]
        now = self._clock()
        # A clock that was set back must not make the wait longer than it was.
        until = min(until, now + (until - at))
        if now < until:
            raise Stop(f"{what} in an earlier run", exit_code, until=until)

    def before_request(self) -> None:
        """Wait until a request may be sent, and count it. Raises Stop if that takes over an hour, or on a signal."""
        self.check_refusals()
        now = self._clock()
        last = self._log.last_request()
        pause = random.uniform(*self._limits.pause)
        self.wait(0.0 if last is None else min(pause, last + pause - now))
        self._wait_for_limits()
        self._signals.check()
        self._log.add_request(self._clock())

    def _wait_for_limits(self) -> None:
        now = self._clock()
        wake = max(self._free_at(now, HOUR, self._limits.per_hour), self._free_at(now, DAY, self._limits.per_day))
        if wake > now + HOUR:
            used = f"the limit of {self._limits.per_day:,} requests per day is reached"
            raise Stop(used, ExitCode.WAIT, until=wake)
        if wake > now:
            self.wait(wake - now)

    def _free_at(self, now: float, window: float, limit: int) -> float:
        """When a request fits into the sliding window of `window` seconds."""
        times = self._log.request_times(now - window)
        return min(times[-limit], now) + window if len(times) >= limit else now

    def requests_left(self) -> int:
        """How many requests the hour still allows."""
        return max(0, self._limits.per_hour - len(self._log.request_times(self._clock() - HOUR)))

    def refuse(self, refusal: Refusal) -> float:
        """Remember a refusal; returns the epoch second before which no run makes a request."""
        now = self._clock()
        wait = min(FIRST_WAIT * 2.0 ** len(self._log.refusals()), LONGEST_WAIT)
        until = now + max(wait, refusal.retry_after or 0.0)
        self._log.add_refusal(now, until, refusal.what, refusal.exit_code)
        return until

    def accept(self) -> None:
        """Remember that a post was collected: the next refusal counts as the first."""
        self._log.end_refusals()

    def back_off(self, attempt: int, at_least: float) -> None:
        """Wait before the next attempt, twice as long each time. attempt: from 1. at_least: seconds."""
        self.wait(max(max(self._limits.pause[1], _SHORTEST_BACK_OFF) * 2**attempt, at_least))

    def wait(self, seconds: float) -> None:
        """Wait this long. Raises Stop soon after a signal."""
        self._signals.check()
        end = self._clock() + seconds
        is_long = seconds > 60
        if is_long:
            self._notify(clock_text(end))
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, _SLICE))
            self._signals.check()
        if is_long:
            self._notify(None)
