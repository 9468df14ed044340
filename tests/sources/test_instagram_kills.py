"""A kill at every write of the state of Instagram: nothing lost, nothing doubled, next to nothing asked for again."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hashgen.sources.instagram.source as module
from hashgen.corpus.posts import Post
from hashgen.params import read_params
from hashgen.sources.instagram.source import InstagramSource
from hashgen.sources.instagram.state import InstagramState
from tests import ROOT
from tests.doubles.instagram_double import Instagram, number_of
from tests.doubles.tls_double import TlsDouble

HASHTAGS = {"food": list(range(8)), "cats": [3, 4, *range(12, 20)]}
WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT")

# The children come from a server that has everything imported and no threads.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.sources.test_instagram_kills"])


class Quick(InstagramState):
    """Leaves it to the system when writes reach the disk: all the same to a killed process, and much quicker."""

    def __init__(self, path: Path, policy: str) -> None:
        super().__init__(path, policy)
        self._db.execute("PRAGMA synchronous = OFF")


def source(folder: Path, refresh: bool = False, **changes: Any) -> InstagramSource:
    settings = read_params(ROOT / "params.yaml").scrape.instagram
    fast = {"pause_seconds": (0.0, 0.0), "images_per_minute": 10**6, "requests_per_hour": 10**6}
    all_changes = {**fast, "requests_per_day": 10**6, "per_hashtag": 4, "i_have_permission": True, **changes}
    return InstagramSource(settings.model_copy(update=all_changes), tuple(HASHTAGS), folder, b"s" * 32, refresh=refresh)


def collect(folder: Path, environment: dict[str, str], writes: int, changes: dict[str, Any]) -> None:
    """Collect in a process that is killed before its write number `writes`."""
    os.environ.update(environment)
    left = writes

    def count(statement: str) -> None:
        nonlocal left
        if statement.startswith(WRITES):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    class Traced(Quick):
        def want(self, hashtags: Any) -> None:
            super().want(hashtags)
            self._db.set_trace_callback(count)

    module.InstagramState = Traced  # type: ignore[attr-defined]
    found = source(folder, **changes)
    assert sum(1 for _ in found.posts()) and found.fault is None


def killed(folder: Path, double: TlsDouble, writes: int, changes: dict[str, Any]) -> bool:
    process = context.Process(target=collect, args=(folder, double.environment, writes, changes))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def check_pairs(posts: list[Post]) -> None:
    for post in posts:
        assert post.image is not None and number_of(post.image) == (int(post.id[1:]), post.media_index)
        assert f"Caption {int(post.id[1:])} " in str(post.caption)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsDouble]:
    monkeypatch.delenv("INSTALOADER_SESSION", raising=False)
    monkeypatch.delenv("INSTALOADER_USER", raising=False)
    monkeypatch.setattr(module, "InstagramState", Quick)
    instagram = Instagram(HASHTAGS, page_length=3, kinds={2: ["image", "image"], 3: "video"})
    with TlsDouble(instagram) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        yield double


def instagram_of(double: TlsDouble) -> Instagram:
    instagram = double._handler
    assert isinstance(instagram, Instagram)
    return instagram


def asked(double: TlsDouble) -> tuple[int, int, int]:
    """Listings, single posts and pictures asked for so far."""
    instagram = instagram_of(double)
    return len(instagram.listings), len(instagram.details), len(instagram.fetched)


@pytest.mark.slow
@pytest.mark.parametrize(("carousel", "step"), [("first", 1), ("all", 3)])
def test_a_kill_at_every_write(tmp_path: Path, double: TlsDouble, carousel: str, step: int) -> None:
    (tmp_path / "whole").mkdir()
    wanted = list(source(tmp_path / "whole", carousel=carousel).posts())
    check_pairs(wanted)
    whole = asked(double)
    writes = 0
    while True:
        folder = tmp_path / str(writes)
        folder.mkdir()
        before = asked(double)
        was_killed = killed(folder, double, writes, {"carousel": carousel})
        assert list(source(folder, carousel=carousel).posts()) == wanted
        listings, details, pictures = (now - then for now, then in zip(asked(double), before, strict=True))
        assert listings <= whole[0] + was_killed and pictures <= whole[2] + was_killed
        assert details <= whole[1] + was_killed
        if not was_killed:
            break
        writes += step
    assert writes > 50


@pytest.mark.slow
def test_kills_one_after_another(tmp_path: Path, double: TlsDouble) -> None:
    (tmp_path / "whole").mkdir()
    wanted = list(source(tmp_path / "whole").posts())
    whole = asked(double)
    (tmp_path / "state").mkdir()
    kills = 0
    # Nine writes are a request and little more than a post.
    while killed(tmp_path / "state", double, 9, {}):
        kills += 1
        with sqlite3.connect(tmp_path / "state/instagram.sqlite") as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copy.close()
    assert kills > 4
    assert list(source(tmp_path / "state").posts()) == wanted
    listings, _, pictures = (now - then for now, then in zip(asked(double), whole, strict=True))
    assert listings <= whole[0] + kills and pictures <= whole[2] + kills


@pytest.mark.slow
def test_a_kill_while_new_posts_are_looked_for(tmp_path: Path, double: TlsDouble) -> None:
    instagram = instagram_of(double)
    old = tmp_path / "old"
    old.mkdir()
    list(source(old).posts())
    instagram.hashtags = {"food": [*range(20, 28), *HASHTAGS["food"]], "cats": [*range(26, 30), *HASHTAGS["cats"]]}
    shutil.copytree(old, tmp_path / "whole")
    wanted = list(source(tmp_path / "whole", refresh=True).posts())
    assert {int(post.id[1:]) for post in wanted} >= set(range(20, 30))
    writes, was_killed = 0, True
    while was_killed:
        folder = tmp_path / str(writes)
        shutil.copytree(old, folder)
        was_killed = killed(folder, double, writes, {"refresh": True})
        assert list(source(folder, refresh=True).posts()) == wanted
        writes += 2
    assert writes > 30
