"""A damaged database of what was collected from Instagram: sound posts or one line that says so, nothing else."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.sources.instagram.deletion import delete_posts
from hashgen.sources.instagram.state import DATABASE
from tests.doubles.instagram_bench import Bench, running
from tests.doubles.instagram_double import code_of
from tests.doubles.tls_double import Answer

FLIPS = 150


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        bench.instagram.kinds = {2: "video", 4: ["image", "image"]}
        bench.instagram.children_in_listing = True
        bench.run("food", "cats", per_hashtag=14, carousel="all")
        # A refusal is in the database too, and keeps the runs below from asking for anything.
        bench.instagram.every = (0, Answer(429))
        bench.run("food", "cats", per_hashtag=20, carousel="all")
        bench.now += 60
        yield bench


def check(error: HashgenError, path: Path) -> None:
    text = str(error)
    assert str(path) in text and text.isprintable(), text
    assert "; " in text, "what to do"


def exported(bench: Bench) -> list[Post]:
    posts = list(bench.source(("food", "cats"), per_hashtag=20, carousel="all").posts())
    assert len({(post.id, post.media_index) for post in posts}) == len(posts)
    for post in posts:
        assert post.image and post.kind in ("image", "video") and 0 <= post.media_index < post.n_media
        assert isinstance(post.caption, str | None) and isinstance(post.author, str | None)
    return posts


def flipped(data: bytes, die: random.Random) -> bytes:
    """Some bytes changed: anywhere, or where SQLite keeps what describes the rest."""
    damaged = bytearray(data)
    for _ in range(die.choice((1, 1, 3, 20))):
        page = die.randrange(len(data) // 4096) * 4096
        place = die.choice((die.randrange(len(data)), page + die.randrange(64), die.randrange(4096)))
        damaged[place] = die.randrange(256)
    return bytes(damaged)


def spoil(data: bytes, die: random.Random) -> bytes:
    kind = die.randrange(8)
    if kind == 0:
        return data[: die.randrange(1, len(data))]
    if kind == 1:
        start = die.randrange(len(data))
        return data[:start] + die.randbytes(len(data) - start)
    return flipped(data, die)


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_gives_sound_posts_or_one_line(bench: Bench, seed: int) -> None:
    path, die = bench.folder / DATABASE, random.Random(seed)
    sound, ends = path.read_bytes(), {"posts": 0, "error": 0}
    before = len(bench.double.requests)
    for _ in range(FLIPS):
        damaged = spoil(sound, die)
        path.write_bytes(damaged)
        try:
            exported(bench)
            ends["posts"] += 1
        except HashgenError as error:
            check(error, path)
            ends["error"] += 1
            assert path.exists()
    assert min(ends.values()) > FLIPS // 10
    assert len(bench.double.requests) < before + FLIPS


@pytest.mark.parametrize("seed", range(3))
def test_deleting_from_a_damaged_file_deletes_all_of_a_post_or_says_why_not(bench: Bench, seed: int) -> None:
    path, die = bench.folder / DATABASE, random.Random(seed)
    sound, ends = path.read_bytes(), {"deleted": 0, "error": 0}
    for _ in range(FLIPS):
        damaged = spoil(sound, die)
        path.write_bytes(damaged)
        try:
            delete_posts(bench.folder, [code_of(1), code_of(4)])
            ends["deleted"] += 1
        except HashgenError as error:
            check(error, path)
            ends["error"] += 1
            continue
        with closing(sqlite3.connect(path)) as database:
            deleted = (code_of(1), code_of(4))
            assert database.execute("SELECT count(*) FROM pictures WHERE id IN (?, ?)", deleted).fetchone() == (0,)
            query = "SELECT count(*) FROM posts WHERE id IN (?, ?) AND reason LIKE 'deleted%' AND caption IS NULL"
            assert database.execute(query, deleted).fetchone() == (2,)
    assert min(ends.values()) > FLIPS // 10


CHANGES: dict[str, str] = {
    "text that is not UTF-8": "UPDATE posts SET caption = CAST(x'ff80' AS TEXT)",
    "a hashtag that is not UTF-8": "UPDATE sightings SET hashtag = CAST(x'666f6fff' AS TEXT)",
    "an id that is no text": "UPDATE posts SET id = x'00' WHERE id = 'C00003'",
    "a caption that is no text": "UPDATE posts SET caption = x'00'",
    "a date that is none": "UPDATE posts SET date = 'yesterday'",
    "a date beyond time": "UPDATE posts SET date = 1e300",
    "a picture that is text": "UPDATE pictures SET bytes = 'x'",
    "no picture": "UPDATE pictures SET bytes = NULL",
    "a place of no picture": "UPDATE pictures SET media_index = -1 WHERE id = 'C00001'",
    "a place beyond counting": "UPDATE pictures SET n_media = 1 << 40",
    "a kind that is none": "UPDATE pictures SET kind = 'x'",
    "a status that is none": "UPDATE listings SET status = 'x'",
    "a cursor that is no text": "UPDATE listings SET cursor = x'00'",
    "a refusal at no time": "UPDATE refusals SET until = 1e300",
    "a refusal of no code": "UPDATE refusals SET exit_code = 77",
    "a refusal of many lines": "UPDATE refusals SET what = 'a' || char(10) || 'b'",
    "a request at no time": "UPDATE requests SET at = 'x'",
    "a reason of many lines": "UPDATE posts SET reason = 'a' || char(10) WHERE reason IS NOT NULL",
}


@pytest.mark.parametrize("name", CHANGES)
def test_values_of_a_wrong_kind(bench: Bench, name: str) -> None:
    path = bench.folder / DATABASE
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(CHANGES[name])
    bench.now += 10**6 if "request" in name else 0
    if name == "an id that is no text" or name == "a hashtag that is not UTF-8":
        # Not one of those that are exported.
        exported(bench)
        return
    with pytest.raises(HashgenError, match=r"damaged .*; nothing was deleted; restore it") as end:
        exported(bench)
    check(end.value, path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM posts").fetchone() == (29,)


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "random": lambda data: random.Random(0).randbytes(len(data)),
    "cut": lambda data: data[: len(data) // 2],
    "cut within the header": lambda data: data[:50],
    "no UTF-8 in the schema": lambda data: data.replace(b"CREATE TABLE posts", b"CREATE TABLE p\xff\xfets"),
    "header alone": lambda data: data[:100] + bytes(len(data) - 100),
}


@pytest.mark.parametrize("name", SPOILS)
def test_damage_is_said_and_nothing_is_changed(bench: Bench, name: str) -> None:
    path = bench.folder / DATABASE
    path.write_bytes(SPOILS[name](path.read_bytes()))
    shutil.copy(path, path.with_suffix(".copy"))
    for attempt in (lambda: exported(bench), lambda: delete_posts(bench.folder, [code_of(1)])):
        with pytest.raises(HashgenError, match=r"damaged .*; nothing was deleted; restore it") as end:
            attempt()
        check(end.value, path)
        assert path.read_bytes() == path.with_suffix(".copy").read_bytes()
