"""Progress off a terminal: plain lines, and nothing for short work."""

import itertools

import pytest

from hashgen.base.progress import Collecting, progress


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(5), total=5, unit="posts", label="x")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


def test_long_work_prints_lines_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 6)
    monkeypatch.setattr("hashgen.base.progress.time.monotonic", lambda: float(next(clock)))
    assert len(list(progress(range(4), total=4, unit="posts", label="read"))) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["read: 2 of 4 posts, 0.2 posts/s, 12 s left", "read: 4 of 4 posts, 0.2 posts/s, 0 s left"]
    list(progress(range(2), total=None, unit="posts", label="read"))
    assert capsys.readouterr().err.splitlines() == ["read: 2 posts, 0.2 posts/s"]


def test_collecting_prints_lines_with_hashtags_posts_and_requests_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 6)
    monkeypatch.setattr("hashgen.base.progress.time.monotonic", lambda: float(next(clock)))
    with Collecting("scrape", 3, 100) as watcher:
        watcher.left = lambda: 140
        watcher.hashtag("food", 10)
        for _ in range(2):
            watcher.post(True)
        watcher.waiting("14:32 UTC")
        watcher.waiting(None)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "scrape: #food (1 of 3 hashtags), 12 of 100 posts, 0.08 posts/s, 140 requests left this hour"
    )
    assert first.endswith("72 min left") and second == "scrape: waiting until 14:32 UTC"


def test_collecting_draws_bars_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Collecting("scrape", 2, 5) as watcher:
        for name in ("food", "cats"):
            watcher.hashtag(name, 0)
            for _ in range(5):
                watcher.post(True)
        watcher.waiting("14:32 UTC")
    drawn = capsys.readouterr().err
    assert "scrape" in drawn and "#cats" in drawn and "waiting until 14:32 UTC" in drawn
