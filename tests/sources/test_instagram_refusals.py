"""The source instagram when it is refused, limited or told to end: what is asked, kept and said."""

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.instagram_bench import Bench, message, running
from tests.doubles.instagram_double import json_answer
from tests.doubles.tls_double import Answer


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        yield bench


LOGIN_PAGE = Answer(200, b"<!DOCTYPE html><title>Login - Instagram</title>", {"Content-Type": "text/html"})
REFUSALS = {
    "429": (Answer(429), 3, "Instagram asked us to wait (429) at #food after 12 posts, all kept; run again after "),
    "429 json": (json_answer(message("Please wait a few minutes before you try again."), 429), 3, "asked us to wait"),
    "403": (Answer(403), 3, "refused the request (403)"),
    "401": (Answer(401), 4, "requires a login"),
    "401 wait": (json_answer(message("Please wait a few minutes", require_login=True), 401), 4, "requires a login"),
    "wait": (json_answer(message("Please wait a few minutes before you try again."), 400), 3, "asked us to wait"),
    "checkpoint": (json_answer(message("checkpoint_required"), 400), 5, "needs attention (checkpoint)"),
    "challenge": (json_answer(message("challenge_required"), 400), 5, "needs attention (challenge)"),
    "feedback": (json_answer(message("feedback_required", spam=True), 400), 5, "needs attention (feedback_required)"),
    "challenge beside a checkpoint": (
        json_answer({"checkpoint_url": "/x", "challenge": {"url": "/x"}, **message("challenge_required")}, 400),
        5,
        "needs attention (challenge)",
    ),
    "checkpoint beside a challenge": (
        json_answer(message("checkpoint_required", challenge={"url": "/x"}, checkpoint_url="/x"), 400),
        5,
        "needs attention (checkpoint)",
    ),
    "feedback 200": (json_answer(message("feedback_required")), 5, "needs attention"),
    "wait 200": (json_answer(message("Please wait a few minutes.")), 3, "asked us to wait (wait a few minutes) at"),
    "login 200": (json_answer(message("login_required")), 4, "requires a login (login_required)"),
    "login": (json_answer(message("login_required"), 403), 4, "requires a login"),
    "login page": (Answer(302, b"", {"Location": "https://www.instagram.com/accounts/login/?next=x"}), 4, "login page"),
    "login page, relative": (Answer(302, b"", {"Location": "/accounts/login/"}), 4, "login page"),
    "login page of the other company": (
        Answer(302, b"", {"Location": "https://www.facebook.com/login/?next=s1gnature"}),
        4,
        "login page",
    ),
    "login page at once": (LOGIN_PAGE, 4, "requires a login (it sent the login page)"),
    "busy for long": (Answer(503, headers={"Retry-After": "120"}), 3, "asked us to wait (503)"),
    "challenge page": (Answer(302, b"", {"Location": "https://www.instagram.com/challenge/1/"}), 5, "attention"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_ends_the_run_and_all_runs_for_a_time(bench: Bench, name: str) -> None:
    answer, code, text = REFUSALS[name]
    bench.instagram.every = (1, answer)
    posts, source = bench.run()
    assert len(posts) == 12 and len(bench.instagram.listings) == 2 and bench.slept == 0
    assert source.fault is not None and source.fault.exit_code == code and text in str(source.fault)
    assert "\n" not in str(source.fault) and "12 posts, all kept" in str(source.fault)
    assert source.metrics()["hashtags"]["food"] == {"wanted": 30, "got": 12, "status": "refused"}
    assert source.metrics()["hashtags"]["cats"]["status"] == "waiting"
    before = len(bench.double.requests)
    for wait in (1799.0, 3599.0, 7199.0):
        bench.now += wait
        _, source = bench.run()
        assert len(bench.double.requests) == before and source.fault is not None and source.fault.exit_code == code
        assert "in an earlier run" in str(source.fault) and "UTC" in str(source.fault)
        bench.now += 1
        _, source = bench.run()
        before += 1
        assert len(bench.double.requests) == before and source.fault is not None
    # Once it is over, nothing is lost, and the next refusal is a first one again.
    bench.now += 8 * 1800
    bench.instagram.every = None
    posts, source = bench.run()
    assert source.fault is None and len(posts) == 50
    assert len(bench.instagram.fetched) == 50


def test_retry_after_is_honoured(bench: Bench) -> None:
    bench.instagram.faults[1] = Answer(429, headers={"Retry-After": "7200"})
    bench.run("food")
    bench.now += 7199
    assert bench.run("food")[1].fault is not None and len(bench.instagram.listings) == 2
    bench.now += 1
    assert bench.run("food")[1].fault is None


def test_a_refusal_may_be_used(bench: Bench) -> None:
    bench.instagram.every = (1, Answer(429))
    posts, source = bench.run("food", on_refusal="use")
    assert len(posts) == 12 and source.fault is None
    (warning,) = source.warnings()
    assert "asked us to wait (429) at #food after 12 posts" in warning and "on_refusal: use" in warning
    posts, source = bench.run("cats", on_refusal="use")
    assert not posts and source.fault is not None and source.fault.exit_code == 3


def test_the_picture_servers_refuse(bench: Bench) -> None:
    bench.instagram.picture_faults[3] = [Answer(429, headers={"Retry-After": "60"})]
    posts, source = bench.run("food")
    assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == 3
    bench.now += 1799
    bench.run("food")
    assert len(bench.double.requests) == 1 + 4
    bench.now += 1
    assert len(bench.run("food")[0]) == 30


def test_refusals_of_pictures_wait_ever_longer_until_a_post_is_got(bench: Bench) -> None:
    bench.instagram.picture_faults[3] = [Answer(429)] * 3
    for wait in (1800, 3600, 7200):
        bench.run("food")
        before = len(bench.double.requests)
        bench.now += wait - 1
        bench.run("food")
        assert len(bench.double.requests) == before
        bench.now += 1
    bench.instagram.picture_faults[5] = [Answer(429)]
    assert len(bench.run("food")[0]) == 5
    bench.now += 1800
    assert len(bench.run("food")[0]) == 30


def test_a_state_of_before_exit_codes_goes_on(bench: Bench) -> None:
    bench.instagram.faults[1] = Answer(429)
    bench.run("food")
    with contextlib.closing(sqlite3.connect(bench.folder / "instagram.sqlite")) as state:
        state.executescript("ALTER TABLE refusals DROP COLUMN exit_code; PRAGMA user_version = 1;")
    _, source = bench.run("food")
    assert source.fault is not None and source.fault.exit_code == 3 and source.total == 12
    bench.now += 1800
    assert len(bench.run("food")[0]) == 30


def test_pauses_and_limits_hold_beyond_the_end_of_a_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    limits: dict[str, Any] = {"pause_seconds": (2.0, 6.0), "requests_per_hour": 3, "requests_per_day": 5}
    bench.run("food", per_hashtag=12, **limits)
    assert bench.slept == 0
    bench.run("food", per_hashtag=36, **limits)
    assert 4 <= bench.slept <= 12
    capsys.readouterr()
    start = bench.slept
    _, source = bench.run("food", "cats", per_hashtag=36, **limits)
    # The hour's three requests are used up; two more make the day's five.
    assert 3580 < bench.slept - start < 3610 and len(bench.instagram.listings) == 5
    assert "scrape: waiting until" in capsys.readouterr().err
    assert source.fault is not None and source.fault.exit_code == 3
    assert "the limit of 5 requests per day is reached at #cats" in str(source.fault) and "run again after" in str(
        source.fault
    )
    bench.now += 86400
    assert bench.run("food", "cats", per_hashtag=36, **limits)[1].fault is None


def test_a_clock_set_back_does_not_make_a_wait_longer(bench: Bench) -> None:
    bench.instagram.faults[1] = Answer(429)
    bench.run("food")
    bench.now -= 10**8
    assert bench.run("food")[1].fault is not None
    bench.now += 1800
    bench.run("food")
    assert len(bench.instagram.listings) == 2


@pytest.mark.parametrize("number_", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_post_in_hand(bench: Bench, number_: signal.Signals) -> None:
    before = signal.getsignal(number_)
    original = bench.instagram._picture

    def interrupt(request: Any) -> Any:
        if len(bench.instagram.fetched) == 5:
            signal.raise_signal(number_)
        return original(request)

    bench.instagram._picture = interrupt  # type: ignore[method-assign]
    posts, source = bench.run("food")
    assert len(posts) == 6 and source.fault is not None and source.fault.exit_code == 128 + number_
    assert f"stopped by {number_.name} at #food after 6 posts, all kept; run again to continue" in str(source.fault)
    assert signal.getsignal(number_) is before


def test_a_signal_ends_a_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run("food", per_hashtag=12)

    def sleep(seconds: float) -> None:
        Bench.sleep(bench, seconds)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(bench, "sleep", sleep)
    posts, source = bench.run("food", requests_per_hour=1)
    assert len(posts) == 12 and bench.slept <= 1 and source.fault is not None and source.fault.exit_code == 143
