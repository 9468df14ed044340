"""The source instagram when answers are broken, empty, repeated or of another shape, and when pictures fail."""

import io
import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.doubles.instagram_bench import Bench, change, number, running
from tests.doubles.instagram_double import Instagram, json_answer, picture
from tests.doubles.tls_double import Answer


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        yield bench


HTML = Answer(200, b"<!doctype html><html></html>", {"Content-Type": "text/html"})
WHOLE = json.dumps(Instagram({"food": list(range(40))}).page("food", "after-11")).encode()
TRANSIENT = {
    "html": (HTML, 6, "not JSON"),
    "cut json": (Answer(200, WHOLE, cut_after=len(WHOLE) // 2), 7, "cannot connect to Instagram"),
    "half json": (Answer(200, WHOLE[:-9]), 6, "not JSON"),
    "502": (Answer(502, b"bad gateway"), 7, "has a server error (502)"),
    "503 json": (json_answer({"status": "fail"}, 503), 7, "has a server error (503)"),
    "reset": (None, 7, "cannot connect to Instagram"),
    "empty": (Answer(200, b""), 6, "not JSON"),
    "list": (Answer(200, b"[]"), 6, "response was not understood"),
    "null": (Answer(200, b"null"), 6, "response was not understood"),
    "no data": (json_answer({"data": {}, "status": "ok"}), 6, "response was not understood"),
    "broken nodes": (
        lambda page: change(page, edges=[{"node": {"id": 1}}]),
        6,
        "response was not understood",
    ),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_passing_fault_costs_nothing(bench: Bench, name: str) -> None:
    bench.instagram.faults[1] = TRANSIENT[name][0]
    posts, source = bench.run("food")
    assert source.fault is None and [number(post) for post in posts] == list(range(30))
    assert len(bench.instagram.listings) == 4


NO = {
    "fail": json_answer({"status": "fail"}),
    "400": Answer(400),
    "400 json": json_answer({"message": "useragent mismatch", "status": "fail"}, 400),
    "410": Answer(410),
}


@pytest.mark.parametrize("name", NO)
def test_a_plain_no_is_asked_for_once(bench: Bench, name: str) -> None:
    bench.instagram.every = (1, NO[name])
    posts, source = bench.run("food")
    assert len(posts) == 12 and len(bench.instagram.listings) == 2 and bench.slept == 0
    assert source.fault is not None and source.fault.exit_code == 6
    said = {"fail": "its status is not ok", "400 json": "400"}.get(name, name)
    assert f"Instagram's response was not understood ({said})" in str(source.fault)
    bench.instagram.every = None
    assert len(bench.run("food")[0]) == 30


def test_a_server_that_is_busy_for_a_while_is_waited_for(bench: Bench) -> None:
    bench.instagram.faults = {1: Answer(503, headers={"Retry-After": "30"}), 2: Answer(503)}
    posts, source = bench.run("food")
    assert len(posts) == 30 and source.fault is None and 32 <= bench.slept < 34


def drip(piece: bytes, then: Callable[[], object] = lambda: None) -> Iterator[bytes]:
    for place in itertools.count():
        time.sleep(0.02)
        if place == 5:
            then()
        yield piece


def test_an_answer_that_drips_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.sources.instagram.client.REQUEST_SECONDS", 0.3)
    for framing in ("chunked", "close"):
        dripping = [Answer(200, drip(b" "), framing=framing) for _ in range(3)]
        first = len(bench.instagram.listings)
        bench.instagram.faults = {first + place: answer for place, answer in enumerate(dripping)}
        _, source = bench.run("food")
        assert source.fault is not None and source.fault.exit_code == 7
    assert len(bench.instagram.listings) == 6


def test_a_signal_ends_an_answer_that_drips(bench: Bench) -> None:
    bench.instagram.every = (0, Answer(200, drip(b" ", lambda: signal.raise_signal(signal.SIGTERM)), framing="close"))
    _, source = bench.run("food")
    assert source.fault is not None and source.fault.exit_code == 143 and len(bench.instagram.listings) == 1


def test_an_answer_without_end_is_read_no_further_than_the_cap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.sources.instagram.client._LONGEST_BODY", 10**6)
    bench.instagram.every = (0, Answer(200, itertools.repeat(b" " * 10**5), framing="close"))
    _, source = bench.run("food")
    assert source.fault is not None and source.fault.exit_code == 6 and "too long" in str(source.fault)


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


@pytest.mark.parametrize("empty", [2, 3])
def test_empty_pages_before_more_posts(bench: Bench, empty: int) -> None:
    good = bench.instagram.page

    def page(hashtag: str, after: str | None) -> dict[str, Any]:
        found = good(hashtag, after)
        if after not in [f"after-{11 + place}" for place in range(empty)]:
            return found
        more = {"has_next_page": True, "end_cursor": f"after-{int(after[6:]) + 1}"}
        return dict(change(found, edges=[], page_info=more))

    bench.instagram.page = page  # type: ignore[method-assign]
    posts, source = bench.run("food", per_hashtag=20)
    # The first empty page is asked for once more, which does not count.
    asked = [None, "after-11", "after-11", "after-12", "after-13"]
    assert [after for _, after in bench.instagram.listings] == asked
    assert len(posts) == (20 if empty == 2 else 12)
    status = "complete" if empty == 2 else "ended_early"
    assert source.metrics()["hashtags"]["food"]["status"] == status


@pytest.mark.parametrize("more", [True, False])
def test_empty_pages_for_ever(bench: Bench, more: bool) -> None:
    info = {"has_next_page": more, "end_cursor": "after-11" if more else None}
    bench.instagram.every = (1, lambda page: change(page, edges=[], page_info=info))
    posts, source = bench.run("food")
    assert len(posts) == 12 and source.fault is None and len(bench.instagram.listings) == 5
    assert source.metrics()["hashtags"]["food"] == {"wanted": 30, "got": 12, "status": "ended_early"}
    (warning,) = source.warnings()
    assert "1 of 1 hashtags have fewer than 30 posts: #food 12 (ended early)" in warning
    # Reported again without a request; asked again when told to, and gone on from where it was.
    assert bench.run("food")[1].warnings() == [warning] and len(bench.instagram.listings) == 5
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
    assert len(posts) == 12 and len(bench.instagram.listings) == 5
    assert source.metrics()["hashtags"]["food"]["status"] == "repeating"
    bench.run("food")
    assert len(bench.instagram.listings) == 5


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
    assert not posts and source.fault is not None and source.fault.exit_code == 1
    assert "2 of 2 hashtags" in str(source.fault) and "fix scrape.instagram.hashtags" in str(source.fault)


@pytest.mark.parametrize("fault", [json_answer({"data": {"hashtag": None}, "status": "ok"}), Answer(404)])
def test_a_hashtag_that_vanishes_while_it_is_read(bench: Bench, fault: Answer) -> None:
    bench.instagram.faults[1] = fault
    assert len(bench.run("food", per_hashtag=20)[0]) == 20
    bench.instagram.every = (4, fault)
    posts, source = bench.run("food", per_hashtag=36)
    assert len(posts) == 24 and len(bench.instagram.listings) == 6 and source.fault is None
    assert source.metrics()["hashtags"]["food"]["status"] == "ended_early"
    bench.instagram.every = None
    assert len(bench.run("food", refresh=True, per_hashtag=36)[0]) == 36


def test_a_cover_that_is_a_video_costs_a_request(bench: Bench) -> None:
    bench.instagram.kinds = {2: ["video", "image"]}
    node = bench.instagram.node
    bench.instagram.node = lambda number: {**node(number), "is_video": number == 2}  # type: ignore[method-assign]
    posts, _ = bench.run("food", per_hashtag=3)
    assert [(number(post), post.media_index, post.n_media) for post in posts] == [(0, 0, 1), (1, 0, 1), (2, 1, 2)]
    assert bench.instagram.details == [2]


def test_broken_nodes_among_good_ones(bench: Bench) -> None:
    bench.instagram.faults[0] = lambda page: change(
        page, edges=[{"node": {"owner": 3}}, None, 7, *page["data"]["hashtag"]["edge_hashtag_to_media"]["edges"]]
    )
    posts, source = bench.run("food", per_hashtag=12)
    assert len(posts) == 12 and source.metrics()["broken_nodes"] == 3 and len(bench.instagram.listings) == 1
    assert bench.run("food", per_hashtag=12)[1].metrics()["broken_nodes"] == 3


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
        ([Answer(403)], "http_403", 13),
        ([Answer(403, b"URL signature expired")] * 2, "url_expired", 14),
    ],
)
def test_a_picture_that_cannot_be_had(bench: Bench, answers: list[Any], reason: str, fetched: int) -> None:
    bench.instagram.picture_faults[3] = list(answers)
    posts, source = bench.run("food", per_hashtag=12)
    assert [number(post) for post in posts] == [0, 1, 2, *range(4, 13)] and source.fault is None
    assert source.metrics()["rejected"] == {reason: 1} and len(bench.instagram.fetched) == fetched
    bench.run("food", per_hashtag=13)
    assert bench.instagram.fetched.count((3, 0)) == len(answers)


def test_an_address_that_expired_costs_no_more(bench: Bench) -> None:
    bench.instagram.expired = {3, 4}
    bench.instagram.picture_faults = {post: [Answer(403)] * 2 for post in bench.instagram.expired}
    posts, source = bench.run("food", per_hashtag=10)
    assert len(posts) == 10 and source.fault is None and source.metrics()["rejected"] == {"url_expired": 2}
    # The page is asked for once more, and then each of them once: its address has expired again.
    assert not bench.instagram.details and len(bench.instagram.fetched) == 13 and len(bench.instagram.listings) == 2


BAD_PICTURES = {
    "truncated": Answer(200, picture(3)[:-200]),
    "empty": Answer(200),
    "not_image": Answer(200, b"<html>"),
    "http_404": Answer(404),
    "too_small": Answer(200, tiny()),
}


@pytest.mark.parametrize("reason", ["http_404", "too_small"])
def test_bad_pictures_one_after_another_are_counted_and_no_more(bench: Bench, reason: str) -> None:
    bench.instagram.picture_faults = {post: [BAD_PICTURES[reason]] * 3 for post in range(3, 8)}
    posts, source = bench.run("food", per_hashtag=12)
    assert [number(post) for post in posts] == [0, 1, 2, *range(8, 17)] and source.fault is None
    assert source.metrics()["rejected"] == {reason: 5}


@pytest.mark.parametrize("reason", ["truncated", "empty", "not_image"])
def test_bad_pictures_one_after_another_are_an_outage(bench: Bench, reason: str) -> None:
    bench.instagram.picture_faults = {post: [BAD_PICTURES[reason]] * 3 for post in range(3, 8)}
    posts, source = bench.run("food", per_hashtag=12)
    assert [number(post) for post in posts] == [0, 1, 2] and source.fault is not None
    assert source.fault.exit_code == (6 if reason == "not_image" else 7) and source.metrics()["rejected"] == {}
    assert f"pictures cannot be downloaded ({reason}) at #food after 3 posts, all kept" in str(source.fault)


def test_a_picture_that_came_clears_the_network(bench: Bench) -> None:
    small = Answer(200, tiny())
    bad = {3: Answer(500), 4: Answer(404), 5: small, 6: Answer(500), 7: Answer(404), 8: small, 9: Answer(404)}
    bench.instagram.picture_faults = {post: [answer] * 3 for post, answer in bad.items()}
    posts, source = bench.run("food", per_hashtag=12)
    assert len(posts) == 12 and source.fault is None
    assert source.metrics()["rejected"] == {"http_404": 3, "http_5xx": 2, "too_small": 2}


@pytest.mark.parametrize("carousel", ["first", "all"])
def test_three_forbidden_pictures_one_after_another_are_a_refusal(bench: Bench, carousel: str) -> None:
    if carousel == "all":
        bench.instagram.kinds = {3: ["image", "image"]}
    bench.instagram.picture_faults = {post: [Answer(403)] * 9 for post in (3, 4, 5)}
    posts, source = bench.run("food", per_hashtag=12, carousel=carousel)
    assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == 3
    assert "the picture servers refused the request (403) at #food after 3 posts" in str(source.fault)
    assert len(bench.instagram.fetched) == 6 and source.metrics()["rejected"] == {}
    before = len(bench.double.requests)
    assert bench.run("food", per_hashtag=12)[1].fault is not None and len(bench.double.requests) == before
    bench.instagram.picture_faults = {}
    bench.now += 1800
    assert {number(post) for post in bench.run("food", per_hashtag=12, carousel=carousel)[0]} == set(range(12))


NO_DETAIL = [Answer(400), json_answer({"status": "fail"}), json_answer({"data": {"x": 1}}), Answer(404)]
NO_DETAIL += [json_answer({"data": {"xdt_api__v1__media__shortcode__web_info": {"items": [{"code": "C00003"}]}}})]


@pytest.mark.parametrize("answer", NO_DETAIL)
def test_a_post_whose_own_page_is_not_understood(bench: Bench, answer: Answer) -> None:
    bench.instagram.kinds = {3: ["image", "image"]}
    bench.instagram.post_faults = {3: answer}
    posts, source = bench.run("food", per_hashtag=12, carousel="all")
    assert len(posts) == 12 and source.fault is None and bench.instagram.details == [3]
    assert source.metrics()["rejected"] == {"gone" if answer.status == 404 else "no_detail": 1}


@pytest.mark.parametrize(("answer", "code"), [(Answer(429), 3), (Answer(401), 4), (Answer(302), 4)])
def test_a_refusal_of_a_post_s_own_page_ends_the_run(bench: Bench, answer: Answer, code: int) -> None:
    if answer.status == 302:
        answer = Answer(302, headers={"Location": "/accounts/login/"})
    bench.instagram.kinds = {3: ["image", "image"]}
    bench.instagram.post_faults = {3: answer}
    for wait in (1800, 3600, 7200):
        posts, source = bench.run("food", per_hashtag=12, carousel="all")
        assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == code
        before = len(bench.double.requests)
        bench.now += wait - 1
        bench.run("food", per_hashtag=12, carousel="all")
        assert len(bench.double.requests) == before
        bench.now += 1


def test_pictures_that_fail_one_after_another_end_the_run_and_none_is_given_up(bench: Bench) -> None:
    for post in range(3, 40):
        bench.instagram.picture_faults[post] = [None] * 3
    posts, source = bench.run("food")
    assert len(posts) == 3 and source.fault is not None and source.fault.exit_code == 7
    assert source.metrics()["rejected"] == {}
    bench.instagram.picture_faults = {}
    assert len(bench.run("food")[0]) == 30
