"""The source instagram against a double of its endpoints, by the real client: posts, limits, faults, what is kept."""

import dataclasses
import io
import json
import pickle
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hashgen.errors import HashgenError
from hashgen.params import read_params
from hashgen.posts import Post
from hashgen.sources.instagram import InstagramSource, read_hashtags
from tests.instagram_double import PAGE, SECRETS, Instagram, code_of, json_answer, number_of
from tests.test_instagram_kills import Quick
from tests.tls_double import Answer, TlsDouble

ROOT = Path(__file__).parent.parent
SALT = b"s" * 32
SETTINGS = read_params(ROOT / "params.yaml").scrape.instagram.model_copy(
    update={"per_hashtag": 30, "pause_seconds": (0.0, 0.0), "images_per_minute": 10**6, "i_have_permission": True}
)


@dataclasses.dataclass
class Bench:
    """A state folder, a clock that moves by sleeping alone, and the double."""

    folder: Path
    instagram: Instagram
    double: TlsDouble
    now: float = 1_800_000_000.0
    slept: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def source(self, hashtags: tuple[str, ...], refresh: bool = False, **changes: Any) -> InstagramSource:
        settings = SETTINGS.model_copy(update=changes)
        return InstagramSource(
            settings, hashtags, self.folder, SALT, refresh=refresh, clock=lambda: self.now, sleep=self.sleep
        )

    def run(self, *hashtags: str, refresh: bool = False, **changes: Any) -> tuple[list[Post], InstagramSource]:
        source = self.source(hashtags or tuple(self.instagram.hashtags), refresh, **changes)
        posts = list(source.posts())
        for post in posts:
            assert post.image is not None
            assert number_of(post.image) == (number(post), post.media_index) and f"Caption {number(post)} " in str(
                post.caption
            )
        assert source.total is not None
        return posts, source


def number(post: Post) -> int:
    return int(post.id[1:])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("INSTALOADER_SESSION", "INSTALOADER_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hashgen.sources.instagram.InstagramState", Quick)
    instagram = Instagram({"food": list(range(40)), "cats": [*range(20, 30), *range(40, 80)]})
    with TlsDouble(instagram) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "state").mkdir()
        yield Bench(tmp_path / "state", instagram, double)


def test_two_hashtags_with_shared_posts(bench: Bench) -> None:
    posts, source = bench.run()
    assert source.fault is None and source.warnings() == [] and source.total == 50
    assert [number(post) for post in posts] == [*range(30), *range(40, 60)]
    shared = {number(post) for post in posts if list(post.seed_hashtags) == ["food", "cats"]}
    assert shared == set(range(20, 30))
    complete = {"wanted": 30, "got": 30, "status": "complete"}
    assert source.metrics() == {"hashtags": {"food": complete, "cats": complete}, "rejected": {}}
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


def login(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = bench.folder.parent / "session"
    cookies = {"sessionid": "c00kie-value", "csrftoken": "c00kie-value", "ds_user_id": "9900011"}
    path.write_bytes(pickle.dumps(cookies))
    path.chmod(0o600)
    monkeypatch.setenv("INSTALOADER_SESSION", str(path))
    monkeypatch.setenv("INSTALOADER_USER", "login-name")
    repository = bench.folder.parent / "repository"
    (repository / ".git").mkdir(parents=True)
    monkeypatch.chdir(repository)
    return path


def test_a_login_is_sent_and_never_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login(bench, monkeypatch)
    bench.instagram.kinds = {3: ["image", "image"]}
    bench.instagram.faults = {1: Answer(502, b"c00kie-value"), 2: Answer(200, b"<html>s1gnature</html>")}
    posts, source = bench.run("food", carousel="all")
    assert source.fault is None and len(posts) == 31 and bench.instagram.others == []
    listing = next(request for request in bench.double.requests if request.path == "/graphql/query")
    assert "sessionid=c00kie-value" in listing.headers["cookie"]
    assert not any("cookie" in request.headers for request in bench.double.requests if "cdn" in request.host)
    assert (bench.folder / "instagram.log").read_text()
    output = capsys.readouterr()
    for text in [repr(posts), output.out, output.err, repr(source.metrics()), *map(str, source.warnings())]:
        assert not [secret for secret in SECRETS if secret in text]
    for path in bench.folder.rglob("*"):
        assert not [secret for secret in SECRETS if secret.encode() in path.read_bytes()], path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.chmod(0o644), "can be read by others"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"no pickle"), "no session of instaloader"),
        (lambda path: path.write_bytes(pickle.dumps({"a": "b"})), "holds no login"),
        (lambda path: path.write_bytes(pickle.dumps(Path("x"))), "no session of instaloader"),
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


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"message": text, "status": "fail", **more}


REFUSALS = {
    "429": (Answer(429), 3, "Instagram asked to wait (429) at #food after 12 posts; all kept; run again after "),
    "429 json": (json_answer(message("Please wait a few minutes before you try again."), 429), 3, "asked to wait"),
    "403": (Answer(403), 3, "refused to answer (403)"),
    "401": (Answer(401), 4, "asks for a login"),
    "401 wait": (json_answer(message("Please wait a few minutes", require_login=True), 401), 4, "asks for a login"),
    "wait": (json_answer(message("Please wait a few minutes before you try again."), 400), 3, "asked to wait"),
    "checkpoint": (json_answer(message("checkpoint_required"), 400), 5, "needs attention (checkpoint)"),
    "challenge": (json_answer(message("challenge_required"), 400), 5, "needs attention (challenge)"),
    "feedback": (json_answer(message("feedback_required", spam=True), 400), 5, "needs attention (feedback_required)"),
    "feedback 200": (json_answer(message("feedback_required")), 5, "needs attention"),
    "login": (json_answer(message("login_required"), 403), 4, "asks for a login"),
    "login page": (Answer(302, b"", {"Location": "https://www.instagram.com/accounts/login/?next=x"}), 4, "login page"),
    "login page, relative": (Answer(302, b"", {"Location": "/accounts/login/"}), 4, "login page"),
    "challenge page": (Answer(302, b"", {"Location": "https://www.instagram.com/challenge/1/"}), 5, "attention"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_ends_the_run_and_all_runs_for_a_time(bench: Bench, name: str) -> None:
    answer, code, text = REFUSALS[name]
    bench.instagram.every = (1, answer)
    posts, source = bench.run()
    assert len(posts) == 12 and len(bench.instagram.listings) == 2 and bench.slept == 0
    assert source.fault is not None and source.fault.exit_code == code and text in str(source.fault)
    assert "\n" not in str(source.fault) and "12 posts; all kept" in str(source.fault)
    assert source.metrics()["hashtags"]["food"] == {"wanted": 30, "got": 12, "status": "refused"}
    assert source.metrics()["hashtags"]["cats"]["status"] == "waiting"
    before = len(bench.double.requests)
    for wait in (1799.0, 3599.0, 7199.0):
        bench.now += wait
        _, source = bench.run()
        assert len(bench.double.requests) == before and source.fault is not None and source.fault.exit_code == 3
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
    assert "asked to wait (429) at #food after 12 posts" in warning and "on_refusal: use" in warning
    posts, source = bench.run("cats", on_refusal="use")
    assert not posts and source.fault is not None and source.fault.exit_code == 3


HTML = Answer(200, b"<!doctype html><html></html>", {"Content-Type": "text/html"})
WHOLE = json.dumps(Instagram({"food": list(range(40))}).page("food", "after-11")).encode()
TRANSIENT = {
    "html": (HTML, 6, "no JSON"),
    "cut json": (Answer(200, WHOLE, cut_after=len(WHOLE) // 2), 7, "cannot be reached"),
    "half json": (Answer(200, WHOLE[:-9]), 6, "no JSON"),
    "502": (Answer(502, b"bad gateway"), 7, "out of order (502)"),
    "503 json": (json_answer({"status": "fail"}, 503), 7, "out of order (503)"),
    "reset": (None, 7, "cannot be reached"),
    "empty": (Answer(200, b""), 6, "no JSON"),
    "list": (Answer(200, b"[]"), 6, "not understood"),
    "null": (Answer(200, b"null"), 6, "not understood"),
    "no data": (json_answer({"data": {}, "status": "ok"}), 6, "not understood"),
    "fail": (json_answer({"status": "fail"}), 6, "not understood"),
    "broken nodes": (
        lambda page: change(page, edges=[{"node": {"id": 1}}]),
        6,
        "not understood",
    ),
}


def change(page: Mapping[str, Any], **fields: Any) -> Mapping[str, Any]:
    media = {**page["data"]["hashtag"]["edge_hashtag_to_media"], **fields}
    return {"data": {"hashtag": {"edge_hashtag_to_media": media}}, "status": "ok"}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_passing_fault_costs_nothing(bench: Bench, name: str) -> None:
    bench.instagram.faults[1] = TRANSIENT[name][0]
    posts, source = bench.run("food")
    assert source.fault is None and [number(post) for post in posts] == list(range(30))
    assert len(bench.instagram.listings) == 4


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_lasting_fault_ends_the_run_after_three_tries(bench: Bench, name: str) -> None:
    answer, code, text = TRANSIENT[name]
    bench.instagram.every = (1, answer)
    posts, source = bench.run("food", pause_seconds=(2.0, 6.0), on_refusal="use")
    assert len(posts) == 12 and len(bench.instagram.listings) == 4 and bench.slept > 12 + 24
    assert source.fault is not None and source.fault.exit_code == code and text in str(source.fault)
    bench.instagram.every = None
    assert len(bench.run("food")[0]) == 30


def test_an_empty_page_once(bench: Bench) -> None:
    bench.instagram.faults[1] = lambda page: change(page, edges=[])
    posts, source = bench.run("food")
    assert len(posts) == 30 and source.warnings() == [] and len(bench.instagram.listings) == 4


@pytest.mark.parametrize("more", [True, False])
def test_empty_pages_for_ever(bench: Bench, more: bool) -> None:
    info = {"has_next_page": more, "end_cursor": "after-11" if more else None}
    bench.instagram.every = (1, lambda page: change(page, edges=[], page_info=info))
    posts, source = bench.run("food")
    assert len(posts) == 12 and source.fault is None and len(bench.instagram.listings) == 4
    assert source.metrics()["hashtags"]["food"] == {"wanted": 30, "got": 12, "status": "ended_early"}
    (warning,) = source.warnings()
    assert "1 of 1 hashtags gave fewer than 30 posts: #food 12 (ended early)" in warning
    # Reported again without a request; asked again when told to, and gone on from where it was.
    assert bench.run("food")[1].warnings() == [warning] and len(bench.instagram.listings) == 4
    bench.instagram.every = None
    assert len(bench.run("food", refresh=True)[0]) == 30


def test_an_early_end(bench: Bench) -> None:
    _, source = bench.run("food", "cats", per_hashtag=45)
    assert source.metrics()["hashtags"] == {
        "food": {"wanted": 45, "got": 40, "status": "ended_early"},
        "cats": {"wanted": 45, "got": 45, "status": "complete"},
    }
    _, source = bench.run("food", "cats", per_hashtag=45, on_shortfall="fail")
    assert source.fault is not None and source.fault.exit_code == 1 and "#food 40" in str(source.fault)
    assert len(bench.instagram.listings) == 4 + 4


def test_a_page_repeated_once(bench: Bench) -> None:
    bench.instagram.faults[1] = lambda _: bench.instagram.page("food", None)
    posts, _ = bench.run("food")
    assert [number(post) for post in posts] == list(range(30)) and len(bench.instagram.listings) == 4


def test_a_page_repeated_for_ever(bench: Bench) -> None:
    bench.instagram.every = (1, lambda _: bench.instagram.page("food", None))
    posts, source = bench.run("food")
    assert len(posts) == 12 and len(bench.instagram.listings) == 4
    assert source.metrics()["hashtags"]["food"]["status"] == "repeating"
    bench.run("food")
    assert len(bench.instagram.listings) == 4


@pytest.mark.parametrize("fault", [json_answer({"data": {"hashtag": {"name": "x"}}, "status": "ok"}), Answer(404), 0])
def test_an_unknown_or_hidden_hashtag(bench: Bench, fault: Any) -> None:
    if fault:
        bench.instagram.faults[0] = fault
    posts, source = bench.run("nosuchtag", "food", per_hashtag=12)
    assert len(posts) == 12 and source.fault is None
    assert source.metrics()["hashtags"]["nosuchtag"] == {"wanted": 12, "got": 0, "status": "not_found"}
    assert len(bench.instagram.listings) == 2
    bench.run("nosuchtag", "food", per_hashtag=12)
    assert len(bench.instagram.listings) == 2


def test_no_hashtag_exists(bench: Bench) -> None:
    posts, source = bench.run("nosuchtag", "nonesuch")
    assert not posts and source.fault is not None and source.fault.exit_code == 6
    assert "2 of 2 hashtags" in str(source.fault) and "newer instaloader" in str(source.fault)


def test_a_cover_that_is_a_video_costs_a_request(bench: Bench) -> None:
    bench.instagram.kinds = {2: ["video", "image"]}
    node = bench.instagram.node
    bench.instagram.node = lambda number: {**node(number), "is_video": number == 2}  # type: ignore[method-assign]
    posts, _ = bench.run("food", per_hashtag=3)
    assert [(number(post), post.media_index, post.n_media) for post in posts] == [(0, 0, 1), (1, 0, 1), (2, 1, 2)]
    assert bench.instagram.details == [2]


def test_broken_nodes_among_good_ones(bench: Bench) -> None:
    bench.instagram.faults[0] = lambda page: change(
        page, edges=[{"node": {"owner": 3}}, *page["data"]["hashtag"]["edge_hashtag_to_media"]["edges"]]
    )
    assert len(bench.run("food", per_hashtag=12)[0]) == 12


def tiny() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("answers", "reason", "fetched"),
    [
        ([Answer(404)], "http_404", 13),
        ([Answer(200, b"<html>")], "not_image", 13),
        ([Answer(200, tiny())], "too_small", 13),
        ([Answer(200, b"\xff\xd8\xff half", cut_after=5)] * 3, "truncated", 15),
        ([None] * 3, "network", 15),
        ([Answer(403)] * 2, "http_403", 13),
    ],
)
def test_a_picture_that_cannot_be_had(bench: Bench, answers: list[Any], reason: str, fetched: int) -> None:
    bench.instagram.picture_faults[3] = list(answers)
    if reason == "http_403":
        # The first address had expired; the new one is refused.
        posts, source = bench.run("food", per_hashtag=12)
        assert bench.instagram.details == [3] and source.fault is not None and source.fault.exit_code == 3
        return
    posts, source = bench.run("food", per_hashtag=12)
    assert [number(post) for post in posts] == [0, 1, 2, *range(4, 13)] and source.fault is None
    assert source.metrics()["rejected"] == {reason: 1} and len(bench.instagram.fetched) == fetched
    bench.run("food", per_hashtag=13)
    assert bench.instagram.fetched.count((3, 0)) == len(answers)


def test_an_address_that_expired_costs_one_request(bench: Bench) -> None:
    bench.instagram.picture_faults[3] = [Answer(403)]
    posts, source = bench.run("food", per_hashtag=12)
    assert len(posts) == 12 and source.fault is None
    assert bench.instagram.details == [3] and bench.instagram.fetched.count((3, 0)) == 2


def test_pictures_that_fail_one_after_another_end_the_run_and_none_is_given_up(bench: Bench) -> None:
    for post in range(3, 40):
        bench.instagram.picture_faults[post] = [None] * 3
    posts, source = bench.run("food")
    assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == 7
    assert source.metrics()["rejected"] == {}
    bench.instagram.picture_faults = {}
    assert len(bench.run("food")[0]) == 30


def test_the_picture_servers_refuse(bench: Bench) -> None:
    bench.instagram.picture_faults[3] = [Answer(429, headers={"Retry-After": "60"})]
    posts, source = bench.run("food")
    assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == 3
    bench.now += 1799
    bench.run("food")
    assert len(bench.double.requests) == 1 + 4
    bench.now += 1
    assert len(bench.run("food")[0]) == 30


def test_pauses_and_limits_hold_beyond_the_end_of_a_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    limits = {"pause_seconds": (2.0, 6.0), "requests_per_hour": 3, "requests_per_day": 5}
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
    assert "the day's 5 requests are used up at #cats" in str(source.fault) and "run again after" in str(source.fault)
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
    assert f"ended by {number_.name} at #food after 6 posts; all kept; run again to go on" in str(source.fault)
    assert signal.getsignal(number_) is before


def test_a_signal_ends_a_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run("food", per_hashtag=12)

    def sleep(seconds: float) -> None:
        Bench.sleep(bench, seconds)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(bench, "sleep", sleep)
    posts, source = bench.run("food", requests_per_hour=1)
    assert len(posts) == 12 and bench.slept <= 1 and source.fault is not None and source.fault.exit_code == 143


def test_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(Quick):
        def decide(self, *args: Any) -> None:
            if number(args[1]) == 20:
                self._db.execute(f"PRAGMA max_page_count = {self._value('PRAGMA page_count')}")
            super().decide(*args)

    monkeypatch.setattr("hashgen.sources.instagram.InstagramState", Small)
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


def test_hashtags_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_hashtags(["#Food", "cats", "food", "मोर_1"]) == ("food", "cats", "मोर_1")
    path = tmp_path / "tags.txt"
    path.write_text("// mine\nfood\n\n  #Cats  \n", encoding="utf-8")
    assert read_hashtags(path) == ("food", "cats")
    path.write_text("// none\n")
    for wrong, text in [(path, "names no hashtag"), (tmp_path / "x", "cannot be read"), (["a b"], "'a b' is no")]:
        with pytest.raises(HashgenError, match=text):
            read_hashtags(wrong)  # type: ignore[arg-type]


def test_the_list_that_comes_with_the_project() -> None:
    hashtags = read_hashtags(ROOT / "hashgen/sources/hashtags.txt")
    assert len(hashtags) == 130 and PAGE == 12 and code_of(3) == "C00003"
