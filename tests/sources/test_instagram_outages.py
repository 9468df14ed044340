"""The source instagram when pictures or posts' own pages fail in rows: nothing is lost for good, nothing gets stuck."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from hashgen.sources.instagram.deletion import delete_posts
from hashgen.sources.instagram.state import DATABASE
from tests.doubles.instagram_bench import Bench, number, running
from tests.doubles.instagram_double import code_of, json_answer, picture
from tests.doubles.tls_double import Answer, Request

POSTS = 20
PATTERNS: dict[str, Callable[[int], bool]] = {
    "every": lambda post: True,
    "one in five": lambda post: post % 5 == 2,
    "first three": lambda post: post < 3,
    "all but the first": lambda post: post > 0,
}
HTML = Answer(200, b"<!doctype html><html><body>Sorry</body></html>", {"Content-Type": "text/html"})
LOGIN = Answer(302, headers={"Location": "https://www.instagram.com/accounts/login/?next=s1gnature"})
CHALLENGE = Answer(302, headers={"Location": "https://www.instagram.com/challenge/1/"})
# What is answered instead of a picture, and the exit code of a run to which it happens every time.
FAULTS: dict[str, tuple[Answer | None, int]] = {
    "html": (HTML, 6),
    "text": (Answer(200, b"sorry"), 6),
    "login page": (Answer(200, b"<html><title>Login - Instagram</title></html>"), 4),
    "redirect to the login page": (LOGIN, 4),
    "redirect to the other login page": (Answer(302, headers={"Location": "https://www.facebook.com/login/?x"}), 4),
    "redirect to a challenge": (CHALLENGE, 5),
    "redirect to the start page": (Answer(302, headers={"Location": "https://www.instagram.com/"}), 6),
    "redirect without end": (Answer(302, headers={"Location": "?again"}), 6),
    "redirect without encryption": (Answer(301, headers={"Location": "http://scontent.cdninstagram.com/1_0.jpg"}), 6),
    "cut": (Answer(200, picture(3), cut_after=300), 7),
    "half": (Answer(200, picture(3)[:300]), 7),
    "empty": (Answer(200), 7),
    "reset": (None, 7),
    "no content": (Answer(204), 6),
    "busy for long": (Answer(503, headers={"Retry-After": "3600"}), 3),
    "signature": (Answer(403, b"URL signature expired"), 6),
}
CODES = {401: 3, 403: 3, 429: 3, 408: 7}
FAULTS |= {str(status.value): (Answer(status), CODES.get(status, 6)) for status in HTTPStatus if 400 <= status < 500}
FAULTS |= {str(status.value): (Answer(status), 7) for status in HTTPStatus if 500 <= status < 600}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with running(tmp_path, monkeypatch) as bench:
        bench.instagram.hashtags = {"food": list(range(POSTS))}
        monkeypatch.setattr("hashgen.sources.instagram.fetching.WAITS", (0.0, 0.0))
        yield bench


class Outage:
    """Gives a fault instead of the pictures of some posts, for as long as it lasts."""

    def __init__(self, bench: Bench, answer: Answer | None, fails: Callable[[int], bool]) -> None:
        self.answer, self.fails, self._good = answer, fails, bench.instagram._picture
        bench.instagram._picture = self  # type: ignore[method-assign]

    def __call__(self, request: Request) -> Answer | None:
        good = self._good(request)
        post = int(request.path.rpartition("/")[2].partition("_")[0])
        return self.answer if self.fails(post) else good

    def end(self) -> None:
        self.fails = lambda post: False


def run(bench: Bench, refresh: bool = False, **changes: Any) -> tuple[set[int], Any]:
    """The posts after a run, once its wait is over; each is there once."""
    bench.now += 8 * 86400
    posts, source = bench.run("food", refresh=refresh, **{"per_hashtag": POSTS, **changes})
    assert len({(post.id, post.media_index) for post in posts}) == len(posts)
    return {number(post) for post in posts}, source


# Of the many statuses that mean the same, one is tried in all patterns.
CASES = [
    (name, pattern)
    for name in FAULTS
    for pattern in PATTERNS
    if pattern == "every" or not name.isdecimal() or int(name) in (400, 401, 403, 404, 408, 410, 429, 500)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), CASES)
def test_no_post_is_lost_for_good(bench: Bench, name: str, pattern: str) -> None:
    answer, code = FAULTS[name]
    fails = PATTERNS[pattern]
    outage = Outage(bench, answer, fails)
    found, source = run(bench)
    assert found <= {post for post in range(POSTS) if not fails(post)}
    if pattern in ("every", "all but the first"):
        # An outage: the run ends soon, and rejects nothing.
        assert source.fault is not None and source.fault.exit_code == code
        assert source.metrics()["rejected"] == {} and len(bench.instagram.fetched) <= 13
        before = len(bench.instagram.fetched)
        found, source = run(bench)
        assert source.fault is not None and source.fault.exit_code == code
        assert source.metrics()["rejected"] == {} and len(bench.instagram.fetched) <= before + 13
    outage.end()
    found, source = run(bench)
    assert source.fault is None
    if found != set(range(POSTS)):
        assert pattern in ("one in five", "first three")
        (warning,) = source.warnings()
        assert "set HASHGEN_REFRESH=1 to try them again" in warning and "rejected: " in warning
        found, source = run(bench, refresh=True)
    assert found == set(range(POSTS)) and source.fault is None and source.metrics()["rejected"] == {}
    pictures = len(bench.instagram.fetched)
    assert run(bench, refresh=True)[0] == set(range(POSTS)) and len(bench.instagram.fetched) == pictures


def test_a_redirect_to_the_login_page_is_a_refusal_at_once(bench: Bench) -> None:
    Outage(bench, LOGIN, lambda post: post >= 3)
    _, source = run(bench)
    assert source.fault is not None and source.fault.exit_code == 4 and len(bench.instagram.fetched) == 4
    assert "Instagram requires a login (redirected to the login page) at #food after 3 posts" in str(source.fault)
    before = len(bench.double.requests)
    bench.now += 1799
    assert bench.run("food")[1].fault is not None and len(bench.double.requests) == before
    bench.now += 1
    assert bench.run("food")[1].fault is not None and len(bench.double.requests) == before + 2


def test_an_outage_names_what_happened(bench: Bench) -> None:
    answers = [HTML, Answer(400), Answer(500)]
    Outage(bench, None, lambda post: False)
    bench.instagram.picture_faults = {3 + place: [answer] * 3 for place, answer in enumerate(answers)}
    _, source = run(bench)
    assert source.fault is not None and source.fault.exit_code == 7 and source.metrics()["rejected"] == {}
    assert "pictures cannot be downloaded (not_image, http_4xx, http_5xx) at #food after 3 posts" in str(source.fault)


ROWS: dict[str, list[Any]] = {
    "in the middle": [range(5, 8)],
    "a page": [range(12)],
    "the first": [range(7)],
    "the last three": [range(17, 20)],
    "the last page": [range(12, 20)],
    "all but one": [range(19)],
    "many": [range(2, 5), range(7, 10), range(13, 16)],
}


@pytest.mark.parametrize("answer", [Answer(404), Answer(410), Answer(403), Answer(500), HTML], ids=lambda answer: "")
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_dead_posts_are_got_past(bench: Bench, name: str, answer: Answer) -> None:
    dead = {post for row in ROWS[name] for post in row}
    Outage(bench, answer, dead.__contains__)
    runs = 1
    while (run(bench))[1].fault is not None:
        runs += 1
        assert runs < 12
    found, source = run(bench)
    assert found == set(range(POSTS)) - dead and sum(source.metrics()["rejected"].values()) == len(dead)
    # Three dead neighbours among good ones need no second run if they are plainly gone.
    assert runs == 1 or name != "in the middle" or answer.status not in (404, 410)


def test_a_hashtag_of_dead_posts_does_not_keep_others_from_being_collected(bench: Bench) -> None:
    bench.instagram.hashtags = {"food": [100, 101, 102, 103], "cats": list(range(20))}
    Outage(bench, HTML, lambda post: post >= 100)
    _, source = bench.run("food", "cats", per_hashtag=20)
    assert source.fault is not None and source.fault.exit_code == 6 and source.total == 0
    posts, source = bench.run("food", "cats", per_hashtag=20)
    assert len(posts) == 20 and source.fault is None and source.metrics()["rejected"] == {"not_image": 4}
    assert source.metrics()["hashtags"]["food"]["status"] == "ended_early"


def test_a_hashtag_of_dead_posts_beside_one_that_is_complete(bench: Bench) -> None:
    bench.run("food", per_hashtag=20)
    bench.instagram.hashtags["dead"] = [100, 101, 102, 103]
    Outage(bench, Answer(404), lambda post: post >= 100)
    # Nothing else is to be asked for: a picture that was had before tells that pictures are served.
    posts, source = bench.run("food", "dead", per_hashtag=20)
    assert source.fault is None and len(posts) == 20 and source.metrics()["rejected"] == {"http_404": 4}


def test_dead_posts_alone_are_never_decided(bench: Bench) -> None:
    outage = Outage(bench, Answer(404), lambda post: True)
    for _ in range(5):
        before = len(bench.instagram.fetched)
        found, source = run(bench)
        assert not found and source.fault is not None and len(bench.instagram.fetched) <= before + 6
    outage.end()
    assert run(bench)[0] == set(range(POSTS))


@pytest.mark.parametrize("data", [picture(0, side=8), b"\0\0\0\x18ftypheic" + bytes(99)], ids=["small", "heif"])
def test_pictures_that_are_of_no_use_are_no_outage(bench: Bench, data: bytes) -> None:
    Outage(bench, Answer(200, data), lambda post: post < 15)
    found, source = run(bench)
    assert found == set(range(15, 20)) and source.fault is None and len(bench.instagram.fetched) == 20
    assert source.metrics()["rejected"] in ({"too_small": 15}, {"not_image": 15})


def test_posts_without_an_address_in_a_row_are_an_outage(bench: Bench) -> None:
    node = bench.instagram.node
    bench.instagram.node = lambda number: {**node(number), "display_url": {"a": 1}}  # type: ignore[method-assign]
    found, source = run(bench)
    assert not found and source.fault is not None and source.fault.exit_code == 6 and not bench.instagram.fetched

    def unencrypted(number: int) -> dict[str, Any]:
        return {**node(number), "display_url": node(number)["display_url"].replace("https:", "http:")}

    bench.instagram.node = unencrypted  # type: ignore[method-assign]
    _, source = run(bench)
    assert source.fault is not None and source.fault.exit_code == 6
    assert source.metrics()["rejected"] == {} and not bench.instagram.fetched
    bench.instagram.node = node  # type: ignore[method-assign]
    assert run(bench)[0] == set(range(POSTS))


DETAILS = {
    "400": (Answer(400), 6),
    "html": (HTML, 6),
    "fail": (json_answer({"status": "fail"}), 6),
    "shape": (json_answer({"data": {"x": 1}}), 6),
    "gone": (Answer(404), 6),
    "500": (Answer(500), 7),
    "429": (Answer(429), 3),
    "login": (LOGIN, 4),
}


@pytest.mark.parametrize("few", [False, True], ids=["all carousels", "every other"])
@pytest.mark.parametrize("name", DETAILS)
def test_no_post_is_lost_with_its_own_page(bench: Bench, name: str, few: bool) -> None:
    answer, code = DETAILS[name]
    posts = range(1, POSTS, 2) if few else range(POSTS)
    bench.instagram.kinds = {post: ["image", "image"] for post in posts}
    bench.instagram.post_faults = dict.fromkeys(range(POSTS), answer)
    for _ in range(2):
        before = len(bench.instagram.details)
        found, source = run(bench, carousel="all")
        assert not found & set(posts) and source.metrics()["rejected"] == {}
        assert source.fault is not None and source.fault.exit_code == code
        assert len(bench.instagram.details) <= before + 10
    bench.instagram.post_faults = {}
    found, source = run(bench, carousel="all")
    assert found == set(range(POSTS)) and source.fault is None


def test_pages_of_dead_posts_are_got_past(bench: Bench) -> None:
    bench.instagram.kinds = {post: ["image", "image"] for post in range(POSTS)}
    bench.instagram.post_faults = dict.fromkeys(range(3, 9), Answer(400))
    runs = 1
    while run(bench, carousel="all")[1].fault is not None:
        runs += 1
    found, source = run(bench, carousel="all")
    assert runs == 3 and found == {0, 1, 2, *range(9, 20)} and source.metrics()["rejected"] == {"no_detail": 6}


def test_a_carousel_in_an_outage_keeps_all_its_pictures(bench: Bench) -> None:
    bench.instagram.kinds = {2: ["image"] * 3}
    bench.instagram.children_in_listing = True
    bench.instagram.picture_faults = {}
    good = bench.instagram._picture
    fails = True

    def answer(request: Request) -> Answer | None:
        found = good(request)
        return HTML if fails and not request.path.endswith(("/0_0.jpg", "/1_0.jpg", "/2_0.jpg")) else found

    bench.instagram._picture = answer  # type: ignore[method-assign]
    found, source = run(bench, carousel="all")
    assert found == {0, 1} and source.fault is not None
    fails = False
    posts, source = bench.run("food", per_hashtag=POSTS, carousel="all")
    assert [post.media_index for post in posts if number(post) == 2] == [0, 1, 2] and source.fault is None
    assert bench.instagram.fetched.count((2, 0)) == 1


@pytest.mark.parametrize("renewed", [True, False])
def test_an_expired_address_is_asked_for_anew_once(bench: Bench, renewed: bool) -> None:
    bench.instagram.expired = {3, 4, 15}
    page = bench.instagram.page

    def read(hashtag: str, after: str | None) -> dict[str, Any]:
        if renewed and (hashtag, after) in bench.instagram.listings[:-1]:
            bench.instagram.expired = set() if after else {15}
        return page(hashtag, after)

    good = bench.instagram._picture
    bench.instagram._picture = lambda request: Answer(403) if "oe=1" in request.query else good(request)  # type: ignore[method-assign]
    bench.instagram.page = read  # type: ignore[method-assign]
    found, source = run(bench)
    assert source.fault is None
    assert [after for _, after in bench.instagram.listings] == [None, None, "after-11", "after-11"]
    lost = set() if renewed else {3, 4, 15}
    assert found == set(range(POSTS)) - lost
    assert source.metrics()["rejected"] == ({} if renewed else {"url_expired": 3})


def reject(bench: Bench, reasons: dict[int, str]) -> None:
    """Make of kept posts what an earlier version would have made of them in an outage."""
    with contextlib.closing(sqlite3.connect(bench.folder / DATABASE)) as state, state:
        for post, reason in reasons.items():
            state.execute("UPDATE posts SET reason = ? WHERE id = ?", (reason, code_of(post)))
            state.execute("UPDATE pictures SET reason = ?, bytes = NULL WHERE id = ?", (reason, code_of(post)))


REASONS = ("not_image", "truncated", "empty", "http_404", "http_4xx", "no_detail", "url_expired", "http_403", "gone")


def test_posts_that_were_rejected_in_an_outage_are_asked_for_again(bench: Bench) -> None:
    run(bench)
    lasting = {10: "video", 11: "too_small", 12: "too_large"}
    reject(bench, dict(enumerate(REASONS)) | lasting)
    delete_posts(bench.folder, [code_of(8), code_of(13)])
    bench.instagram.fetched.clear()
    assert run(bench)[0] == {9, *range(14, 20)} and not bench.instagram.fetched
    found, source = run(bench, refresh=True)
    assert found == {*range(8), 9, *range(14, 20)}
    assert bench.instagram.fetched == [(post, 0) for post in range(8)]
    rejected = {"deleted": 1, "deleted_unkept": 1, "too_large": 1, "too_small": 1, "video": 1}
    assert source.metrics()["rejected"] == rejected
    assert run(bench, refresh=True)[0] == found and len(bench.instagram.fetched) == 8


def test_pictures_that_a_carousel_lacks_are_asked_for_again(bench: Bench) -> None:
    bench.instagram.kinds = {5: ["image"] * 4, 7: ["image"] * 2}
    good, missing = bench.instagram._picture, {(5, 1), (5, 3), (7, 1)}

    def answer(request: Request) -> Answer | None:
        found = good(request)
        return Answer(404) if bench.instagram.fetched[-1] in missing else found

    bench.instagram._picture = answer  # type: ignore[method-assign]
    wanted = [(post, 0) for post in range(POSTS)] + [(5, 1), (5, 2), (5, 3), (7, 1)]

    def collected(refresh: bool) -> list[tuple[int, int]]:
        bench.now += 8 * 86400
        posts, source = bench.run("food", per_hashtag=POSTS, carousel="all", refresh=refresh)
        assert source.fault is None and source.metrics()["rejected"].keys() <= {"deleted"}
        there = [(number(post), post.media_index) for post in posts]
        lost = len(missing - set(there))
        told = [f"{lost} pictures of carousels could not be had; set HASHGEN_REFRESH=1 to try them again"]
        assert source.metrics()["missing_pictures"] == lost and source.warnings() == told * bool(lost)
        bench.instagram.fetched.sort()
        return there

    found = collected(refresh=False)
    assert sorted(found) == sorted(set(wanted) - missing)
    bench.instagram.fetched.clear()
    assert collected(refresh=False) == found and bench.instagram.fetched == []
    missing.discard((5, 1))
    for tries in (1, 2):  # what still fails costs a request each time, and nothing that is there
        again = collected(refresh=True)
        assert again == sorted([*found, (5, 1)], key=lambda one: (found.index((one[0], 0)), one[1]))
        assert bench.instagram.fetched == sorted([(5, 1), *[(5, 3), (7, 1)] * tries])
    missing.clear()
    bench.instagram.fetched.clear()
    delete_posts(bench.folder, [code_of(7)])
    assert sorted(collected(refresh=True)) == sorted(one for one in wanted if one[0] != 7)
    assert bench.instagram.fetched == [(5, 3)]


def test_a_kept_carousel_whose_page_is_gone_stays(bench: Bench) -> None:
    bench.instagram.kinds = {5: ["image"] * 2}
    bench.instagram.picture_faults = {5: [Answer(200, picture(5, 0)), Answer(404)]}
    found, source = run(bench, carousel="all")
    assert found == set(range(POSTS)) and source.fault is None
    for answer in (Answer(404), json_answer({"data": {}})):
        bench.instagram.post_faults = {5: answer}
        found, source = run(bench, carousel="all", refresh=True)
        assert found == set(range(POSTS)) and source.metrics()["rejected"] == {}
    bench.instagram.post_faults = {}
    bench.instagram.kinds = {5: ["video"] * 2}
    assert run(bench, carousel="all", refresh=True)[0] == set(range(POSTS))


def test_they_are_asked_for_again_where_others_took_their_place(bench: Bench) -> None:
    bench.instagram.hashtags["food"] = list(range(60))
    run(bench, per_hashtag=40)
    reject(bench, dict.fromkeys((0, 1, 2, 3, 20, 33), "not_image"))
    bench.run("food", per_hashtag=34)
    bench.instagram.fetched.clear()
    bench.instagram.picture_faults = {33: [Answer(404)]}
    before = len(bench.instagram.listings)
    found, source = run(bench, refresh=True, per_hashtag=34)
    assert found == set(range(40)) - {33} and source.metrics()["rejected"] == {"http_404": 1}
    assert len(bench.instagram.fetched) == 6 and len(bench.instagram.listings) == before + 3
    # That one was asked for twice: a later refresh does not look for it down there.
    assert run(bench, refresh=True, per_hashtag=34)[0] == found and len(bench.instagram.listings) == before + 4
    # Going on from where collecting had stopped.
    assert run(bench, per_hashtag=59)[0] == set(range(60)) - {33}


def test_a_refresh_in_an_outage_rejects_nothing_more(bench: Bench) -> None:
    run(bench)
    reject(bench, dict.fromkeys(range(10), "not_image"))
    outage = Outage(bench, HTML, lambda post: True)
    for _ in range(2):
        found, source = run(bench, refresh=True)
        assert found == set(range(10, 20)) and source.fault is not None and source.fault.exit_code == 6
    outage.end()
    found, source = run(bench, refresh=True)
    assert found == set(range(POSTS)) and source.fault is None


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("kind", ["ends", "repeats", "is empty"])
def test_a_listing_that_ended_early_is_read_again_to_its_end(bench: Bench, kind: str, pages: int) -> None:
    bench.instagram.hashtags["food"] = list(range(60))
    good = bench.instagram.page

    def page(hashtag: str, after: str | None) -> dict[str, Any]:
        found = good(hashtag, after)
        media = found["data"]["hashtag"]["edge_hashtag_to_media"]
        if kind == "ends" and after == (None if pages == 1 else "after-11"):
            media["page_info"] = {"has_next_page": False, "end_cursor": None}
        elif kind != "ends" and after == f"after-{12 * pages - 1}":
            media["edges"] = (
                [] if kind == "is empty" else good(hashtag, None)["data"]["hashtag"]["edge_hashtag_to_media"]["edges"]
            )
            media["page_info"] = {"has_next_page": kind == "repeats", "end_cursor": after}
        return found

    bench.instagram.page = page  # type: ignore[method-assign]
    found, source = run(bench, per_hashtag=50)
    assert found == set(range(12 * pages))
    status = "repeating" if kind == "repeats" else "ended_early"
    assert source.metrics()["hashtags"]["food"]["status"] == status
    asked = len(bench.instagram.listings)
    assert run(bench, per_hashtag=50)[0] == found and len(bench.instagram.listings) == asked
    # It is so still: little is asked, nothing is lost.
    assert run(bench, per_hashtag=50, refresh=True)[0] == found
    assert len(bench.instagram.listings) <= asked + 9
    bench.instagram.page = good  # type: ignore[method-assign]
    bench.instagram.hashtags["food"].insert(0, 70)
    asked = len(bench.instagram.listings)
    found, source = run(bench, per_hashtag=50, refresh=True)
    assert found == {70, *range(49)} and source.warnings() == []
    assert len(bench.instagram.fetched) == 50 and len(bench.instagram.listings) <= asked + 6
    assert run(bench, per_hashtag=61)[0] == {70, *range(60)}


def test_a_hashtag_that_was_not_found_is_read_again(bench: Bench) -> None:
    bench.instagram.faults[0] = Answer(404)
    _, source = run(bench)
    assert source.metrics()["hashtags"]["food"]["status"] == "not_found"
    assert run(bench, refresh=True)[0] == set(range(POSTS))


def test_reading_again_goes_on_after_it_was_cut_off(bench: Bench) -> None:
    bench.instagram.hashtags["food"] = list(range(60))
    good = bench.instagram.page
    info = {"has_next_page": False, "end_cursor": None}

    def page(hashtag: str, after: str | None) -> dict[str, Any]:
        found = good(hashtag, after)
        if after == "after-23":
            found["data"]["hashtag"]["edge_hashtag_to_media"]["page_info"] = info
        return found

    bench.instagram.page = page  # type: ignore[method-assign]
    assert run(bench, per_hashtag=60)[0] == set(range(36))
    bench.instagram.page = good  # type: ignore[method-assign]
    bench.instagram.faults[len(bench.instagram.listings) + 2] = Answer(429)
    _, source = run(bench, per_hashtag=60, refresh=True)
    assert source.fault is not None and source.fault.exit_code == 3
    # What was begun with a refresh needs none to end.
    assert run(bench, per_hashtag=60)[0] == set(range(60)) and len(bench.instagram.fetched) == 60
