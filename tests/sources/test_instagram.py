"""The source instagram against a double of its endpoints, by the real client: which posts come, and what is kept."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hashgen.base.errors import HashgenError
from hashgen.sources.instagram.source import read_hashtags
from tests import ROOT
from tests.doubles.instagram_bench import Bench, login, number, running
from tests.doubles.instagram_double import PAGE, SECRETS, code_of, json_answer
from tests.doubles.tls_double import Answer
from tests.sources.test_instagram_kills import Quick


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        yield bench


def test_two_hashtags_with_shared_posts(bench: Bench) -> None:
    posts, source = bench.run()
    assert source.fault is None and source.warnings() == [] and source.total == 50
    assert [number(post) for post in posts] == [*range(30), *range(40, 60)]
    shared = {number(post) for post in posts if list(post.seed_hashtags) == ["food", "cats"]}
    assert shared == set(range(20, 30))
    complete = {"wanted": 30, "got": 30, "status": "complete"}
    counts = {"rejected": {}, "missing_pictures": 0, "broken_nodes": 0}
    assert source.metrics() == {"hashtags": {"food": complete, "cats": complete}, **counts}
    first = posts[0]
    assert first.caption == "Caption 0 #food #हिन्दी" and first.date is not None and first.date.timestamp() == 1.5e9
    assert first.source == "instagram" and first.kind == "image" and first.author is not None
    assert first.author == posts[7].author != posts[1].author
    # Thirty posts are three pages; a shared picture is fetched once.
    assert len(bench.instagram.listings) == 6 and len(bench.instagram.fetched) == 50
    assert not bench.instagram.details and not bench.instagram.others
    again, _ = bench.run(i_have_permission=False)
    assert again == posts and len(bench.double.requests) == 56


def test_more_posts_are_read_on_from_where_it_was(bench: Bench) -> None:
    few, _ = bench.run("food", per_hashtag=10)
    more, _ = bench.run("food", per_hashtag=24)
    assert more[:10] == few and len(more) == 24
    # The page in work is asked for again, since addresses are not kept; no picture is.
    assert bench.instagram.listings == [("food", None), ("food", None), ("food", "after-11")]
    bench.run("food", per_hashtag=36)
    assert bench.instagram.listings[3:] == [("food", "after-23")]
    assert len(bench.instagram.fetched) == 36
    posts, source = bench.run("food", "cats", per_hashtag=30)
    assert source.metrics()["hashtags"]["food"] == {"wanted": 30, "got": 36, "status": "complete"}
    assert [number(post) for post in posts] == [*range(36), *range(40, 60)]
    only, _ = bench.run("cats", per_hashtag=30)
    assert {tuple(post.seed_hashtags) for post in only} == {("cats",)} and len(only) == 30


def test_new_posts_are_looked_for_when_asked(bench: Bench) -> None:
    bench.run("food")
    bench.instagram.hashtags["food"] = [*range(100, 120), *range(40)]
    bench.run("food")
    assert len(bench.instagram.listings) == 3
    posts, source = bench.run("food", refresh=True)
    assert [number(post) for post in posts] == [*range(30), *range(100, 120)]
    assert source.metrics()["hashtags"]["food"]["got"] == 50
    assert [after for _, after in bench.instagram.listings[3:]] == [None, "after-111"]
    # Nothing new: one page tells.
    again, _ = bench.run("food", refresh=True)
    assert again == posts and len(bench.instagram.listings) == 6


@pytest.mark.parametrize(("few", "requests"), [(1, 1), (4, 2), (14, 2)])
def test_looking_for_new_posts_never_reads_what_lies_below(bench: Bench, few: int, requests: int) -> None:
    bench.run("food", per_hashtag=few)
    bench.instagram.hashtags["food"] = [*range(100, 100 + (10 if few == 4 else 11)), *range(40)]
    before = len(bench.instagram.listings)
    posts, _ = bench.run("food", refresh=True, per_hashtag=few)
    assert [number(post) for post in posts] == [*range(few), *bench.instagram.hashtags["food"][:-40]]
    assert len(bench.instagram.listings) == before + requests


def test_reading_on_after_many_new_posts(bench: Bench) -> None:
    bench.run("food", per_hashtag=5)
    bench.instagram.hashtags["food"] = [*range(100, 160), *range(40)]
    bench.run("food", refresh=True, per_hashtag=5)
    posts, source = bench.run("food", per_hashtag=100)
    assert {number(post) for post in posts} == {*range(40), *range(100, 160)} and source.warnings() == []


def test_a_hashtag_that_comes_to_be(bench: Bench) -> None:
    bench.run("new", "food")
    bench.instagram.hashtags["new"] = list(range(200, 240))
    assert bench.run("new", "food")[1].total == 30
    _, source = bench.run("new", "food", refresh=True)
    assert source.total == 60 and source.warnings() == []


def test_a_refresh_that_was_cut_off_goes_on(bench: Bench) -> None:
    bench.run("food")
    bench.instagram.hashtags["food"] = [*range(100, 130), *range(40)]
    bench.instagram.faults[5] = Answer(429)
    _, source = bench.run("food", refresh=True)
    assert source.fault is not None and source.total == 54
    bench.now += 7200
    posts, source = bench.run("food", refresh=True)
    assert source.fault is None and {number(post) for post in posts} == {*range(30), *range(100, 130)}


def test_videos_and_carousels(bench: Bench) -> None:
    bench.instagram.kinds = {1: "video", 2: ["image", "image", "video"], 3: ["video", "image"], 4: ["video"]}
    bench.instagram.children_in_listing = True
    posts, source = bench.run("food", per_hashtag=8)
    assert [(number(post), post.media_index, post.n_media) for post in posts][:4] == [
        (0, 0, 1),
        (2, 0, 3),
        (3, 1, 2),
        (5, 0, 1),
    ]
    assert source.metrics()["rejected"] == {"video": 2} and source.total == 8
    assert not bench.instagram.details
    posts, source = bench.run("food", per_hashtag=5, carousel="all", video="thumbnail")
    assert [(number(post), post.media_index, post.kind) for post in posts] == [
        (0, 0, "image"),
        (1, 0, "video"),
        (2, 0, "image"),
        (2, 1, "image"),
        (2, 2, "video"),
        (3, 0, "video"),
        (3, 1, "image"),
        (4, 0, "video"),
    ]
    assert source.total == 5
    # Another policy keeps its own posts; the first one's are still there, without a request.
    before = len(bench.double.requests)
    assert len(bench.run("food", per_hashtag=8)[0]) == 8 and len(bench.double.requests) == before


def test_children_cost_a_request_only_where_they_are_wanted(bench: Bench) -> None:
    bench.instagram.kinds = {2: ["image", "image"], 3: ["video", "image"]}
    posts, _ = bench.run("food", per_hashtag=6)
    assert [(number(post), post.media_index) for post in posts] == [(n, 0) for n in range(6)]
    assert not bench.instagram.details
    posts, _ = bench.run("food", per_hashtag=6, carousel="all")
    assert [(number(post), post.media_index) for post in posts][2:6] == [(2, 0), (2, 1), (3, 1), (4, 0)]
    # Anonymously the start page gives the tokens, once.
    assert bench.instagram.details == [2, 3] and bench.instagram.others == ["/"]


def test_a_login_is_sent_and_never_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login(bench, monkeypatch)
    bench.instagram.kinds = {3: ["image", "image"]}
    said = {"message": "owner-name: c00kie-value\nof login-name 'expired'", "status": "fail"}
    bench.instagram.faults = {
        1: Answer(502, b"c00kie-value"),
        2: Answer(200, b"<html>s1gnature</html>"),
        4: json_answer(said, 503),
    }
    posts, source = bench.run("food", carousel="all")
    assert source.fault is None and len(posts) == 31 and bench.instagram.others == []
    listing = next(request for request in bench.double.requests if request.path == "/graphql/query")
    assert "sessionid=c00kie-value" in listing.headers["cookie"]
    assert not any("cookie" in request.headers for request in bench.double.requests if "cdn" in request.host)
    log = bench.folder / "instagram.log"
    assert "503" in log.read_text() and log.stat().st_mode & 0o777 == 0o600
    output = capsys.readouterr()
    for text in [repr(posts), output.out, output.err, repr(source.metrics()), *map(str, source.warnings())]:
        assert not [secret for secret in SECRETS if secret in text]
    for path in bench.folder.rglob("*"):
        assert not [secret for secret in SECRETS if secret.encode() in path.read_bytes()], path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.chmod(0o644), "readable by other users"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"no pickle"), "not a session file of instaloader"),
        (lambda path: path.write_bytes(pickle.dumps({"a": "b"})), "contains no login"),
        (lambda path: path.write_bytes(pickle.dumps(Path("x"))), "not a session file of instaloader"),
        (lambda path: path.replace(path.parent / "repository/session"), "no such file"),
    ],
)
def test_a_session_file_that_must_not_be_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spoil: Any, message: str
) -> None:
    spoil(login(bench, monkeypatch))
    with pytest.raises(HashgenError, match=message) as caught:
        bench.run("food")
    assert caught.value.exit_code == 4 and not bench.double.requests
    assert "login-name" not in str(caught.value)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_session_file_inside_the_repository(bench: Bench, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    path = login(bench, monkeypatch)
    inside = path.parent / "repository" / "session"
    path.replace(inside)
    monkeypatch.setenv("INSTALOADER_SESSION", str(inside))
    (inside.parent / below).mkdir(exist_ok=True)
    monkeypatch.chdir(inside.parent / below)
    with pytest.raises(HashgenError, match="inside the repository"):
        bench.run("food")
    assert not bench.double.requests


def test_without_permission_nothing_is_asked(bench: Bench) -> None:
    with pytest.raises(HashgenError, match="i_have_permission") as caught:
        bench.run("food", i_have_permission=False)
    assert caught.value.exit_code == 1 and not bench.double.requests


def test_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(Quick):
        def decide(self, *args: Any) -> None:
            if number(args[1]) == 20:
                self._db.execute(f"PRAGMA max_page_count = {self._value('PRAGMA page_count')}")
            super().decide(*args)

    monkeypatch.setattr("hashgen.sources.instagram.source.InstagramState", Small)
    posts, source = bench.run("food")
    assert source.fault is not None and source.fault.exit_code == 8 and "the disk is full at #food" in str(source.fault)
    assert 20 <= len(posts) < 30
    monkeypatch.undo()


def test_a_damaged_state(bench: Bench) -> None:
    (bench.folder / "instagram.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(HashgenError, match="damaged"):
        bench.run("food")


def test_certificates_are_checked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    source = bench.source(("food",))
    assert list(source.posts()) == [] and source.fault is not None and source.fault.exit_code == 7
    assert not bench.double.requests


def test_authors_may_be_left_out(bench: Bench) -> None:
    source = bench.source(("food",), per_hashtag=1)
    source._salt = None
    assert [post.author for post in source.posts()] == [None]


def test_authors_that_were_kept_are_left_out_from_then_on(bench: Bench) -> None:
    assert bench.run("food", per_hashtag=1)[0][0].author is not None
    source = bench.source(("food",), per_hashtag=1)
    source._salt = None
    assert [post.author for post in source.posts()] == [None]


def test_hashtags_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_hashtags(["#Food", "cats", "food", "मोर_1"]) == ("food", "cats", "मोर_1")
    path = tmp_path / "tags.txt"
    path.write_text("// mine\nfood\n\n  #Cats  \n", encoding="utf-8")
    assert read_hashtags(path) == ("food", "cats")
    path.write_text("// none\n")
    for wrong, text in [
        (path, "has no hashtags"),
        (tmp_path / "x", "cannot be read"),
        (["a b"], "'a b' is not a hashtag"),
    ]:
        with pytest.raises(HashgenError, match=text):
            read_hashtags(wrong)  # type: ignore[arg-type]


def test_the_list_that_comes_with_the_project() -> None:
    hashtags = read_hashtags(ROOT / "hashgen/sources/instagram/hashtags.txt")
    assert len(hashtags) == 130 and PAGE == 12 and code_of(3) == "C00003"
