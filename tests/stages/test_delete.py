"""Posts deleted from what was collected from Instagram: nothing of them is left, no other is asked for instead."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hashgen.sources.instagram.deletion as module
from hashgen import cli
from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked
from hashgen.corpus.posts import Post
from hashgen.sources.instagram.deletion import delete_posts
from hashgen.sources.instagram.state import DATABASE, InstagramState, Picture
from stages import scrape
from tests import ROOT
from tests.doubles.instagram_bench import Bench, number, running
from tests.doubles.instagram_double import Instagram, code_of
from tests.doubles.tls_double import TlsDouble
from tests.sources.test_instagram_kills import Quick
from tests.stages.test_scrape_instagram import options, served

POLICIES = ("one", "another")
POSTS = range(40)

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.stages.test_delete"])


class Leaky(Quick):
    """As SQLite is where it is not built to overwrite what is deleted."""

    def __init__(self, path: Path, policy: str) -> None:
        super().__init__(path, policy)
        self._db.execute("PRAGMA secure_delete = OFF")


def marks(post: str) -> list[str]:
    return [f"caption-{post}-", f"author-{post}-", f"picture-{post}-"]


def picture(post: str, media_index: int = 0, length: int = 40) -> Picture:
    return Picture(media_index, 2, "image", f"picture-{post}-".encode() * length)


def fill(folder: Path) -> None:
    """Posts of all lengths under two policies; one is undecided yet, one was rejected."""
    states = [Leaky(folder / DATABASE, policy) for policy in POLICIES]
    for place in POSTS:
        post = code_of(place)
        text = f"caption-{post}-" + "x" * (10, 300, 5000)[place % 3]
        whole = Post(id=post, source="instagram", caption=text, author=f"author-{post}-")
        for state in states:
            state.decide("food", whole, picture(post, length=(3, 40, 900)[place % 3]), None)
    states[0].add_picture("pending", picture("pending"))
    video = Post(id="video", source="instagram", caption="caption-video-", author="author-video-")
    states[0].decide("food", video, None, "video")
    for state in states:
        state.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    fill(tmp_path / "state")
    return tmp_path / "state"


@contextlib.contextmanager
def opened(folder: Path, policy: str) -> Iterator[InstagramState]:
    with contextlib.closing(Quick(folder / DATABASE, policy)) as state:
        state.want(["food"])
        yield state


def exported(folder: Path) -> list[Post]:
    found = []
    for policy in POLICIES:
        with opened(folder, policy) as state:
            found += list(state.posts(keep_author=True))
    return found


def left(folder: Path, post: str) -> list[str]:
    """The marks of a post that any file of the state has."""
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    return [mark for mark in marks(post) if mark.encode() in data]


def test_nothing_of_a_post_is_left_in_the_file(folder: Path) -> None:
    before = exported(folder)
    wanted = [code_of(place) for place in (0, 1, 2, 20, 39)]
    assert all(left(folder, post) == marks(post) for post in wanted)
    assert delete_posts(folder, [*wanted, "pending", "video", code_of(1)]) == 7
    assert [left(folder, post) for post in [*wanted, "pending", "video"]] == [[]] * 7
    assert exported(folder) == [post for post in before if post.id not in wanted]
    for policy in POLICIES:
        with opened(folder, policy) as state:
            assert all(state.is_decided(post) for post in [*wanted, "pending", "video"])
            assert (state.kept("food"), state.total(), state.collected("food")) == (35, 35, 40)
            unkept = {"deleted_unkept": 1} if policy == "one" else {}  # the video; the other one is under no hashtag
            assert state.rejected() == {"deleted": 5, **unkept}
    with opened(folder, "a third one") as state:
        assert state.is_decided(wanted[0]) and not state.is_decided(code_of(3))
    assert delete_posts(folder, wanted) == 5
    assert (folder / DATABASE).stat().st_mode & 0o777 == 0o600


def test_copies_that_were_left_before_are_gone_too(folder: Path) -> None:
    data = (folder / DATABASE).read_bytes()
    doubled = [post for post in map(code_of, POSTS) if data.count(f"caption-{post}-".encode()) > len(POLICIES)]
    if not doubled:
        pytest.skip("this SQLite has moved no row")
    delete_posts(folder, doubled)
    assert not [post for post in doubled if left(folder, post)]


def test_an_unknown_id_deletes_nothing(folder: Path, tmp_path: Path) -> None:
    before = exported(folder)
    with pytest.raises(HashgenError, match=r"no post nosuch, none; nothing was deleted"):
        delete_posts(folder, [code_of(1), "nosuch", "none/2"])
    assert exported(folder) == before and left(folder, "pending")
    with pytest.raises(HashgenError, match=r"instagram\.sqlite: no such file, .*--state"):
        delete_posts(tmp_path / "elsewhere", [code_of(1)])
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database" * 1000)
    with pytest.raises(HashgenError, match="damaged"):
        delete_posts(tmp_path, ["a"])


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(module, "_delete", full)
    with pytest.raises(HashgenError, match="disk is full: the posts, or traces of them, are still there") as caught:
        delete_posts(folder, [code_of(1)])
    assert caught.value.exit_code == 8


def delete_until(folder: Path, statements: int, posts: list[str]) -> None:
    """Delete in a process that is killed before its statement number `statements`."""
    remaining = statements

    def count(_: str) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database = sqlite3.Connection(*arguments, **options)
        database.set_trace_callback(count)
        return database

    module.sqlite3.connect = connect  # type: ignore[attr-defined]
    module.InstagramState = Quick  # type: ignore[attr-defined]
    delete_posts(folder, posts)


@pytest.mark.slow
def test_a_kill_at_every_statement_leaves_all_or_none(tmp_path: Path, folder: Path) -> None:
    wanted = [code_of(1), code_of(2), "pending"]
    before = exported(folder)
    after = [post for post in before if post.id not in wanted]
    statements, ends = 0, []
    while True:
        copy = tmp_path / str(statements)
        shutil.copytree(folder, copy)
        process = context.Process(target=delete_until, args=(copy, statements, wanted))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        found = exported(copy)
        assert found in (before, after)
        with opened(copy, POLICIES[0]) as state:
            assert bool(state.pictures("pending")) == (found == before)
            assert state.is_decided("pending") == (found == after)
        delete_posts(copy, wanted)
        assert exported(copy) == after and not [post for post in wanted if left(copy, post)]
        if process.exitcode == 0:
            break
        ends.append(found == after)
        statements += 1
    # Kills before the transaction ended, and kills after it.
    assert ends == sorted(ends) and {*ends} == {False, True}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        yield bench


def test_no_post_is_asked_for_in_the_place_of_a_deleted_one(bench: Bench) -> None:
    before, _ = bench.run("food", "cats")
    requests = len(bench.double.requests)
    delete_posts(bench.folder, [code_of(5), code_of(25)])
    posts, source = bench.run("food", "cats", i_have_permission=False)
    assert posts == [post for post in before if number(post) not in (5, 25)]
    hashtags = source.metrics()["hashtags"]
    assert hashtags["food"] == {"wanted": 30, "got": 28, "status": "complete"}
    assert hashtags["cats"] == {"wanted": 30, "got": 29, "status": "complete"}
    assert source.metrics()["rejected"] == {"deleted": 2} and source.total == 48
    assert source.warnings() == [] and source.fault is None and len(bench.double.requests) == requests


def test_a_deleted_post_is_asked_for_under_no_policy(bench: Bench) -> None:
    bench.run("food", per_hashtag=5)
    delete_posts(bench.folder, [code_of(2)])
    bench.instagram.fetched.clear()
    # More posts, another policy, and new ones: it is met each time.
    posts, _ = bench.run("food", per_hashtag=8)
    assert [number(post) for post in posts] == [0, 1, 3, 4, 5, 6, 7]
    posts, source = bench.run("food", per_hashtag=8, video="thumbnail")
    assert [number(post) for post in posts] == [0, 1, 3, 4, 5, 6, 7, 8] and source.metrics()["rejected"] == {}
    posts, _ = bench.run("food", per_hashtag=8, refresh=True)
    assert [number(post) for post in posts] == [0, 1, 3, 4, 5, 6, 7]
    assert (2, 0) not in bench.instagram.fetched


def test_a_deleted_post_is_met_under_another_hashtag(bench: Bench) -> None:
    bench.run("food")
    delete_posts(bench.folder, [code_of(25)])
    posts, source = bench.run("food", "cats")
    assert 25 not in map(number, posts)
    assert source.metrics()["hashtags"]["cats"] == {"wanted": 30, "got": 29, "status": "complete"}
    requests = len(bench.double.requests)
    bench.run("food", "cats", i_have_permission=False)
    assert len(bench.double.requests) == requests


@pytest.fixture
def instagram() -> Instagram:
    return Instagram({"food": list(range(20))}, kinds={3: ["image", "image"]})


@pytest.fixture
def double(instagram: Instagram, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsDouble]:
    with served(instagram, monkeypatch) as double:
        yield double


def test_a_carousel_from_the_command_to_the_shards(
    tmp_path: Path, double: TlsDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"hashtags": ["food"], "per_hashtag": 10, "carousel": "all"}
    scrape.main(**options(tmp_path, **settings))
    before = pd.read_parquet(tmp_path / "data/raw")
    requests = len(double.requests)
    capsys.readouterr()
    cli.delete([f"{code_of(3)}/1"], tmp_path / "home")
    assert capsys.readouterr().out == "delete: 1 post deleted; now dvc repro -f -s scrape, then dvc repro\n"
    scrape.main(**options(tmp_path, **settings, i_have_permission=False))
    after = pd.read_parquet(tmp_path / "data/raw")
    pd.testing.assert_frame_equal(after, before[before["id"] != code_of(3)].reset_index(drop=True))
    assert len(before) == 11 and len(after) == 9 and len(double.requests) == requests
    metrics = json.loads((tmp_path / "metrics/scrape.json").read_text())
    assert metrics["hashtags"] == {"food": {"wanted": 10, "got": 9, "status": "complete"}}
    assert metrics["rejected"] == {"deleted": 1}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"Caption 3 " in path.read_bytes()]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "hashgen", "delete", *words]


def test_the_command_by_hand(tmp_path: Path, folder: Path) -> None:
    done = subprocess.run(command("nosuch", "--state", str(folder)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == (
        f"error: {folder / DATABASE}: no post nosuch; nothing was deleted, correct the ids and run again\n"
    )
    words = ("--state", str(folder), "--quiet", "--", code_of(1), code_of(2))
    with locked(folder / DATABASE, "test"):
        waiting = subprocess.Popen(command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        found = left(folder, code_of(1))
    output, errors = waiting.communicate(timeout=60)
    assert "waiting for it to finish" in said and found == marks(code_of(1))
    assert (waiting.returncode, output, errors) == (0, "", "") and not left(folder, code_of(1))
