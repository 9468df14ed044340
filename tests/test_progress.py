"""Progress off a terminal: plain lines, and nothing for short work."""

import itertools

import pytest

from hashgen import progress as module
from hashgen.progress import progress


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(5), total=5, unit="posts", label="x")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


def test_long_work_prints_lines_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 6)
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    assert len(list(progress(range(4), total=4, unit="posts", label="read"))) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["read: 2 of 4 posts, 0.2 posts/s, 12 s left", "read: 4 of 4 posts, 0.2 posts/s, 0 s left"]
    list(progress(range(2), total=None, unit="posts", label="read"))
    assert capsys.readouterr().err.splitlines() == ["read: 2 posts, 0.2 posts/s"]
