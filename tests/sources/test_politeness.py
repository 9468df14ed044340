"""Manners towards a site on a clock of their own: pauses, sliding limits, and refusals that wait ever longer."""

import random
from typing import Any

import pytest

from hashgen.sources.instagram.politeness import DAY, FIRST_WAIT, HOUR, LONGEST_WAIT, Limits, Politeness, Signals
from hashgen.sources.stops import ExitCode, Refusal, Stop


class Log:
    """The memory, in lists."""

    def __init__(self) -> None:
        self.requests: list[float] = []
        self.refused: list[tuple[float, float, str, int]] = []

    def add_request(self, at: float) -> None:
        self.requests.append(at)

    def request_times(self, since: float) -> list[float]:
        return [at for at in self.requests if at > since]

    def last_request(self) -> float | None:
        return max(self.requests, default=None)

    def add_refusal(self, at: float, until: float, what: str, exit_code: int) -> None:
        self.refused.append((at, until, what, exit_code))

    def refusals(self) -> list[tuple[float, float, str, int]]:
        return self.refused

    def end_refusals(self) -> None:
        self.refused = []


class Bench:
    def __init__(self, pause: tuple[float, float] = (2.0, 6.0), per_hour: int = 10, per_day: int = 25) -> None:
        self.now, self.log, self.told = 1000.0, Log(), []  # type: ignore[var-annotated]
        limits = Limits(pause, per_hour, per_day)
        clock: Any = lambda: self.now  # noqa: E731
        self.politeness = Politeness(limits, self.log, Signals(), self.told.append, clock, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pauses_lie_between_the_limits() -> None:
    random.seed(1)
    bench = Bench(per_hour=10**6, per_day=10**6)
    for _ in range(200):
        bench.politeness.before_request()
    gaps = [later - earlier for earlier, later in zip(bench.log.requests, bench.log.requests[1:], strict=False)]
    assert min(gaps) >= 2 and max(gaps) <= 6.001 and max(gaps) - min(gaps) > 3


def test_no_window_holds_more_requests_than_allowed() -> None:
    bench = Bench(pause=(0.0, 0.0))
    with pytest.raises(Stop, match="the limit of 25 requests per day") as caught:
        while True:
            bench.politeness.before_request()
    times = bench.log.requests
    assert len(times) == 25 and all(times[place + 10] - times[place] >= HOUR for place in range(15))
    assert caught.value.exit_code == ExitCode.WAIT and caught.value.until == pytest.approx(1000 + DAY)
    assert bench.politeness.requests_left() == 5
    assert len(bench.told) == 4 and bench.told[1] is None
    bench.now = 1000 + DAY + 1
    bench.politeness.before_request()


def test_refusals_wait_ever_longer_up_to_a_week() -> None:
    bench = Bench()
    waits = []
    for _ in range(12):
        until = bench.politeness.refuse(Refusal("no", ExitCode.WAIT))
        waits.append(until - bench.now)
        with pytest.raises(Stop, match="no in an earlier run"):
            bench.politeness.before_request()
        bench.now = until
        bench.politeness.check_refusals()
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT] and waits[-1] == LONGEST_WAIT
    bench.politeness.accept()
    assert bench.politeness.refuse(Refusal("no", ExitCode.WAIT)) == pytest.approx(bench.now + FIRST_WAIT)
    longer = bench.politeness.refuse(Refusal("no", ExitCode.WAIT, retry_after=10 * LONGEST_WAIT))
    assert longer == pytest.approx(bench.now + 10 * LONGEST_WAIT)
