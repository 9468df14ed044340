"""The stage scrape with the source instagram: shards, exit codes, signals, and what stays out of every file."""

import contextlib
import errno
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked
from hashgen.base.progress import progress
from hashgen.corpus.posts import write_shards
from stages.scrape import main
from tests import ROOT
from tests.doubles.instagram_double import SECRETS, Instagram, json_answer
from tests.doubles.tls_double import Answer, Request, TlsDouble
from tests.sources.test_instagram_kills import Quick


@pytest.fixture
def instagram() -> Instagram:
    return Instagram({"food": list(range(40)), "cats": [*range(20, 30), *range(40, 80)]})


@contextlib.contextmanager
def served(instagram: Instagram, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsDouble]:
    """The double of Instagram, with an environment in which it is what is asked."""
    for name in ("INSTALOADER_SESSION", "INSTALOADER_USER", "HASHGEN_REFRESH", "HASHGEN_QUIET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hashgen.sources.instagram.source.InstagramState", Quick)
    with TlsDouble(instagram) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        yield double


@pytest.fixture
def double(instagram: Instagram, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsDouble]:
    with served(instagram, monkeypatch) as double:
        yield double


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["scrape"]["source"] = "instagram"
    fast = {"pause_seconds": [0, 0], "images_per_minute": 100000, "i_have_permission": True}
    params["scrape"]["instagram"] |= {"hashtags": ["food", "cats"], "per_hashtag": 30, **fast, **changes}
    YAML().dump(params, folder / "params.yaml")
    names = {"out": "data/raw", "truth": "data/truth.parquet", "metrics": "metrics/scrape.json", "home": "home"}
    return {name: folder / path for name, path in names.items()} | {"params": folder / "params.yaml"}


def command(paths: Mapping[str, Path], *more: str) -> list[str]:
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return [sys.executable, "-m", "stages.scrape", *words, *more]


def run(folder: Path, double: TlsDouble, *more: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | double.environment | {"PYTHONPATH": str(ROOT)}
    paths = options(folder, **changes)
    return subprocess.run(command(paths, *more), cwd=folder, env=environment, capture_output=True, text=True)


def shards(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "data/raw").iterdir())]


def test_old_shards_stay_as_they_are(tmp_path: Path, double: TlsDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.scrape.write_shards", functools.partial(write_shards, posts_per_shard=10))
    main(**options(tmp_path, hashtags=["food"], per_hashtag=25))
    before = shards(tmp_path)
    main(**options(tmp_path, hashtags=["food"], per_hashtag=25, i_have_permission=False))
    assert shards(tmp_path) == before and len(before) == 3
    main(**options(tmp_path, hashtags=["food"], per_hashtag=36))
    assert shards(tmp_path)[:2] == before[:2] and len(shards(tmp_path)) == 4
    metrics = json.loads((tmp_path / "metrics/scrape.json").read_text())
    assert metrics["posts"] == metrics["with_author"] == metrics["with_image"] == metrics["with_seed_hashtags"] == 36
    assert metrics["hashtags"] == {"food": {"wanted": 36, "got": 36, "status": "complete"}}


def test_secrets_are_in_no_file(tmp_path: Path, double: TlsDouble, instagram: Instagram) -> None:
    instagram.kinds = {3: ["image", "image"]}
    instagram.faults = {2: Answer(429)}
    with pytest.raises(HashgenError, match="asked us to wait") as caught:
        main(**options(tmp_path, carousel="all"))
    assert caught.value.exit_code == 3
    assert len(pd.read_parquet(tmp_path / "data/raw")) == 25
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not [secret for secret in SECRETS if secret.encode() in path.read_bytes()], path


def test_the_state_may_lie_elsewhere(tmp_path: Path, double: TlsDouble, instagram: Instagram) -> None:
    main(**options(tmp_path, per_hashtag=5), state=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/instagram.sqlite").exists() and not (tmp_path / "home/scrape").exists()


def test_a_file_of_hashtags_and_new_posts(tmp_path: Path, double: TlsDouble, instagram: Instagram) -> None:
    (tmp_path / "tags.txt").write_text("// mine\nfood\n")
    first = run(tmp_path, double, hashtags=str(tmp_path / "tags.txt"), per_hashtag=5)
    assert first.returncode == 0 and first.stdout == "scrape: 5 posts from instagram, 5 with a picture\n", first.stderr
    instagram.hashtags["food"].insert(0, 100)
    second = run(tmp_path, double, "--refresh", hashtags=str(tmp_path / "tags.txt"), per_hashtag=5)
    assert second.returncode == 0 and second.stdout.startswith("scrape: 6 posts"), second.stderr


HTML = Answer(200, b"<html></html>")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (Answer(429), 3, "error: Instagram asked us to wait (429) at #food after 12 posts, all kept; run again after "),
        (Answer(401), 4, "requires a login"),
        (json_answer({"message": "checkpoint_required", "status": "fail"}, 400), 5, "account needs attention"),
        (HTML, 6, "try a newer instaloader"),
        (None, 7, "cannot connect to Instagram"),
    ],
)
def test_exit_codes(
    tmp_path: Path, double: TlsDouble, instagram: Instagram, answer: Answer | None, code: int, text: str
) -> None:
    instagram.every = (1, answer)
    done = run(tmp_path, double)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and text in line
    # What was collected is there all the same.
    assert len(pd.read_parquet(tmp_path / "data/raw")) == 12
    assert json.loads((tmp_path / "metrics/scrape.json").read_text())["posts"] == 12


def test_a_refusal_that_is_used_ends_well(tmp_path: Path, double: TlsDouble, instagram: Instagram) -> None:
    instagram.every = (1, Answer(429))
    done = run(tmp_path, double, on_refusal="use")
    assert done.returncode == 0 and done.stdout == "scrape: 12 posts from instagram, 12 with a picture\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: Instagram asked us to wait (429)")


def test_a_run_without_posts_tells_why(tmp_path: Path, double: TlsDouble, instagram: Instagram) -> None:
    done = run(tmp_path, double, hashtags=["nosuchtag"])
    assert done.returncode == 1 and "#nosuchtag 0 (not found)" in done.stderr and "newer" not in done.stderr
    found = json.loads((tmp_path / "metrics/scrape.json").read_text())
    assert found["posts"] == 0 and found["hashtags"]["nosuchtag"]["status"] == "not_found"
    instagram.hashtags["few"] = [1, 2, 3, 4]
    instagram.kinds = dict.fromkeys((1, 2, 3, 4), "video")
    done = run(tmp_path, double, hashtags=["few"])
    assert done.returncode == 1 and "rejected: video 4" in done.stderr, done.stderr
    found = json.loads((tmp_path / "metrics/scrape.json").read_text())
    assert found["rejected"] == {"video": 4} and found["hashtags"]["few"]["got"] == 0
    assert not (tmp_path / "data/raw").exists()
    # Pictures that are all missing are an outage.
    instagram.hashtags["gone"] = [5, 6, 7, 8]
    instagram.picture_faults = {post: [Answer(404)] for post in (5, 6, 7, 8)}
    done = run(tmp_path, double, hashtags=["gone"])
    assert done.returncode == 6 and "pictures cannot be downloaded (http_404)" in done.stderr, done.stderr
    found = json.loads((tmp_path / "metrics/scrape.json").read_text())
    assert found["rejected"] == {} and found["hashtags"]["gone"] == {"wanted": 30, "got": 0, "status": "waiting"}
    assert not (tmp_path / "data/raw").exists()


def test_the_clock_of_progress_starts_at_the_first_post(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("hashgen.base.progress.time.monotonic", lambda: now)
    monkeypatch.delenv("HASHGEN_QUIET", raising=False)

    def posts() -> Iterator[int]:
        nonlocal now
        now += 3600
        yield 1
        now += 5
        yield 2
        now += 5
        yield 3

    for _ in progress(posts(), total=None, unit="posts", label="scrape"):
        now += 1
    assert capsys.readouterr().err == "scrape: 3 posts, 0.2 posts/s\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_posts_exported(
    tmp_path: Path, double: TlsDouble, instagram: Instagram, number: signal.Signals
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def handler(request: Request) -> Any:
        if "cdn" in request.host and len(instagram.fetched) == 4:
            reached.set()
            go_on.wait(30)
        return instagram(request)

    double._handler = handler
    environment = os.environ | double.environment | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command(options(tmp_path)), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as stage:
        assert reached.wait(60)
        # A group of processes may get it twice.
        stage.send_signal(number)
        stage.send_signal(number)
        go_on.set()
        _, errors = stage.communicate(timeout=60)
    assert stage.returncode == 128 + number
    assert errors == f"error: stopped by {number.name} at #food after 5 posts, all kept; run again to continue\n"
    assert len(pd.read_parquet(tmp_path / "data/raw")) == 5


def test_a_second_run_waits_for_the_first(tmp_path: Path, double: TlsDouble) -> None:
    environment = os.environ | double.environment | {"PYTHONPATH": str(ROOT)}
    with locked(tmp_path / "home/scrape/instagram.sqlite", "test"):
        stage = subprocess.Popen(
            command(options(tmp_path, per_hashtag=3)),
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert stage.stderr is not None and "waiting for it to finish" in stage.stderr.readline()
        assert not double.requests
    stage.communicate(timeout=60)
    assert stage.returncode == 0


FULL = {"space": errno.ENOSPC, "quota": errno.EDQUOT}
# What is called first for each of the things that a run creates, and what its path ends with.
CREATING = {
    "the home folder": ("os.mkdir", "home"),
    "the lock of the salt": ("os.open", "salt.lock"),
    "the folder of the state": ("os.mkdir", "scrape"),
    "the lock of the state": ("os.open", "instagram.lock"),
    "the state": ("os.open", "instagram.sqlite"),
    "the log": ("os.open", "instagram.log"),
    "the folder of posts": ("os.mkdir", ".partial"),
}


@pytest.mark.parametrize("kind", FULL)
@pytest.mark.parametrize("thing", CREATING)
def test_a_disk_that_is_full_from_the_start(
    tmp_path: Path, double: TlsDouble, instagram: Instagram, monkeypatch: pytest.MonkeyPatch, thing: str, kind: str
) -> None:
    call, end = CREATING[thing]
    original = getattr(os, call.removeprefix("os."))

    def full(path: Any, *more: Any, **options: Any) -> Any:
        if str(path).endswith(end):
            raise OSError(FULL[kind], os.strerror(FULL[kind]), str(path))
        return original(path, *more, **options)

    instagram.faults = {0: Answer(502)}  # something to log
    monkeypatch.setattr(call, full)
    with pytest.raises(HashgenError, match=r"the disk is full.*; free some space, then run again") as caught:
        main(**options(tmp_path, hashtags=["food"], per_hashtag=3))
    assert caught.value.exit_code == 8 and str(caught.value).isprintable()
    monkeypatch.undo()
    for name, value in double.environment.items():
        monkeypatch.setenv(name, value)
    main(**options(tmp_path, hashtags=["food"], per_hashtag=3))
    assert len(pd.read_parquet(tmp_path / "data/raw")) == 3


@pytest.mark.parametrize("when", ["opening", "want"])
def test_a_disk_that_is_full_for_the_state(
    tmp_path: Path, double: TlsDouble, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    class Full(Quick):
        def _open(self, path: Path) -> None:
            if when == "opening":
                raise sqlite3.OperationalError("database or disk is full")
            super()._open(path)

        def want(self, hashtags: Any) -> None:
            self._db.execute(f"PRAGMA max_page_count = {self._value('PRAGMA page_count')}")
            self._db.execute("INSERT INTO marks VALUES ('', ?, '')", ("x" * 10**6,))

    monkeypatch.setattr("hashgen.sources.instagram.source.InstagramState", Full)
    with pytest.raises(HashgenError, match=r"instagram\.sqlite: the disk is full; free some space, then run") as caught:
        main(**options(tmp_path))
    assert caught.value.exit_code == 8


def test_a_quota_that_is_used_up_within_sqlite(tmp_path: Path, double: TlsDouble) -> None:
    """SQLite calls that an input/output error while writing."""
    paths = options(tmp_path)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    start = f"sys.argv = ['scrape', *{command(paths)[3:]!r}]; runpy.run_module('stages.scrape', {{}}, '__main__')"
    code = f"import sys, runpy; {limited}; {start}"
    environment = os.environ | double.environment | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 8, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "the disk is full; free some space, then run again to continue" in line


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("thing", list(CREATING)[:5])
def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, double: TlsDouble, monkeypatch: pytest.MonkeyPatch, thing: str, error: int
) -> None:
    call, end = CREATING[thing]
    original = getattr(os, call.removeprefix("os."))

    def closed(path: Any, *more: Any, **options: Any) -> Any:
        if str(path).endswith(end):
            raise OSError(error, os.strerror(error), str(path))
        return original(path, *more, **options)

    monkeypatch.setattr(call, closed)
    with pytest.raises(HashgenError, match=rf"home.*{os.strerror(error)}.*; choose a") as caught:
        main(**options(tmp_path))
    assert caught.value.exit_code == 1 and str(caught.value).isprintable() and not double.requests


def test_a_full_disk_while_exporting(tmp_path: Path, double: TlsDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stages.scrape.write_shards", full)
    with pytest.raises(HashgenError, match="disk is full; free some space") as caught:
        main(**options(tmp_path))
    assert caught.value.exit_code == 8
