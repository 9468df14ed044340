"""What a fetch of a picture never does: ask a stranger, trust one, tell a secret, or read without end."""

import itertools
import logging
import time
from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from hashgen.sources.instagram import fetching
from hashgen.sources.instagram.fetching import FetchFault
from tests.doubles.picture_cdn import EARLIER, EXPIRED_URL, HOST, JPEG_TYPE, LATER, PICTURE, URL, Cdn, redirect
from tests.doubles.tls_double import Answer, Request


@pytest.fixture
def cdn(monkeypatch: pytest.MonkeyPatch) -> Cdn:
    return Cdn(monkeypatch)


def test_no_cookie_no_referrer_and_nothing_else_of_the_session_is_sent(cdn: Cdn) -> None:
    first = Answer(body=PICTURE, headers={**JPEG_TYPE, "Set-Cookie": "tracking=1"})
    with cdn.running(lambda _: first) as fetcher:
        fetcher.fetch(URL)
        fetcher.fetch(URL)
    for request in cdn.requests:
        assert set(request.headers) <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert request.headers["user-agent"] == "Agent/1"
        assert request.headers["accept-encoding"] == "identity"
    assert len(cdn.requests) == 2
    assert cdn.connections == [HOST]  # the second came by the first one's connection


def test_an_expired_address_is_known_by_its_date(cdn: Cdn) -> None:
    assert cdn.fault(Answer(403), url=EXPIRED_URL).reason == "url_expired"
    # A clock that is wrong must not lose what the server would give.
    assert cdn.fetch(Answer(body=PICTURE), url=EXPIRED_URL) == PICTURE
    assert cdn.fault(Answer(404), url=EXPIRED_URL).reason == "http_404"


def drip(start: bytes, again: bytes) -> Iterator[bytes]:
    yield start
    while True:
        time.sleep(0.001)
        yield again


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"\xff"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n\xff\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"\xff"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 ", b"2"),
    ],
)
def test_slow_drips_of_bodies_and_heads_end_at_the_deadline(cdn: Cdn, start: bytes, again: bytes) -> None:
    cdn.clock.step = 1.0
    with cdn.running(lambda _: drip(start, again)) as fetcher, pytest.raises(FetchFault) as caught:
        fetcher.fetch(URL)
    assert (caught.value.reason, caught.value.permanent) == ("timeout", False)
    # One deadline for all tries: what drips once has used it up.
    assert len(cdn.requests) == 1 and cdn.clock.time < 1000 + 2 * fetching.DEADLINE


def test_the_deadline_holds_for_all_redirects_of_a_try_together(cdn: Cdn) -> None:
    def handler(request: Request) -> Answer:
        cdn.clock.time += 0.51 * fetching.DEADLINE
        return redirect("/again")

    with cdn.running(handler) as fetcher, pytest.raises(FetchFault, match="timeout"):
        fetcher.fetch(URL)


def test_silence_ends_as_timeout(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.05)
    monkeypatch.setattr("hashgen.sources.instagram.transport.READ_TIMEOUT", 0.05)

    def silent() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\xff"
        time.sleep(0.3)

    with cdn.running(lambda _: silent()) as fetcher, pytest.raises(FetchFault, match="timeout"):
        fetcher.fetch(URL)


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_bodies_without_end_are_read_no_further_than_the_cap(
    cdn: Cdn, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 200_000)
    sent = itertools.count()

    def endless() -> Iterator[bytes]:
        for _ in sent:
            yield bytes(10_000)

    fault = cdn.fault(Answer(body=endless(), framing=framing))  # type: ignore[arg-type]
    assert (fault.reason, len(cdn.requests)) == ("too_large", 1)


def test_a_body_of_just_the_cap_is_read(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", len(PICTURE))
    assert cdn.fetch(Answer(body=PICTURE)) == PICTURE
    monkeypatch.setattr(fetching, "MAX_BYTES", len(PICTURE) - 1)
    assert cdn.fault(Answer(body=PICTURE, framing="chunked")).reason == "too_large"


def test_bodies_of_redirects_are_not_read(cdn: Cdn) -> None:
    moved = Answer(302, itertools.repeat(bytes(10_000)), {"Location": "/2.jpg"}, "chunked")
    assert cdn.fetch(moved, Answer(body=PICTURE)) == PICTURE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_within_the_cdn_are_followed(cdn: Cdn, status: int) -> None:
    other = "https://instagram.fxyz1-1.fna.fbcdn.net/2.jpg?oe=" + LATER
    assert cdn.fetch(redirect("/1.jpg", status), redirect(other, status), Answer(body=PICTURE)) == PICTURE
    assert [request.host for request in cdn.requests] == [HOST, HOST, "instagram.fxyz1-1.fna.fbcdn.net"]


def test_at_most_three_redirects(cdn: Cdn) -> None:
    assert cdn.fetch(redirect("/2"), redirect("/3"), redirect("/4"), Answer(body=PICTURE)) == PICTURE
    fault = cdn.fault(redirect("/1"))
    assert (fault.reason, fault.permanent) == ("redirects", True)
    assert len(cdn.requests) == 4


def test_a_redirect_to_an_expired_address_is_judged_by_that_one(cdn: Cdn) -> None:
    assert cdn.fault(redirect(f"/2.jpg?oe={EARLIER}"), Answer(403)).reason == "url_expired"


@pytest.mark.parametrize(
    "url",
    [
        "https://cdninstagram.com/1.jpg",
        "https://fbcdn.net/1.jpg",
        "https://evilcdninstagram.com/1.jpg",
        "https://a.cdninstagram.com.evil.example/1.jpg",
        "https://evil.example/a.cdninstagram.com/",
        "https://evil.example\\.fbcdn.net/",
        "https://evil.example#.fbcdn.net/",
        "https://evil.example?.fbcdn.net/",
        "https://a.fbcdn.net@evil.example/",
        "https://user@a.fbcdn.net/",
        "https://user:pass@a.fbcdn.net/",
        "https://a.fbcdn.net:8443/",
        "https://a.fbcdn.net:/",
        "https://a.fbcdn.net\\@evil.example/",
        "https://a.fbcdn.net\n.evil.example/",
        "https://a.fbcdn.net\n",
        "https://a.fbcdn.net./",
        "https://a..fbcdn.net/",
        "https://.fbcdn.net/",
        "https://a.fbcdn。net/",
        "https://a.cdninſtagram.com/",
        "https://127.0.0.1/1.jpg",
        "https://[::1]/1.jpg",
        "https://www.instagram.com/1.jpg",
        "https://",
    ],
)
def test_foreign_hosts_are_never_asked(cdn: Cdn, url: str) -> None:
    fault = cdn.fault(Answer(body=PICTURE), url=url)
    assert (fault.reason, fault.permanent) == ("foreign_host", True)
    assert (cdn.requests, cdn.connections) == ([], [])


@pytest.mark.parametrize("url", ["", f"http://{HOST}/1.jpg", f"//{HOST}/1.jpg", "file:///etc/passwd", f" {URL}"])
def test_only_https_is_asked(cdn: Cdn, url: str) -> None:
    assert cdn.fault(Answer(body=PICTURE), url=url).reason == "not_https"
    assert (cdn.requests, cdn.connections) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        f"HTTPS://{HOST.upper()}/1.jpg",
        f"https://{HOST}:443/1.jpg",
        "https://a_b.fbcdn.net/?x",
        f"https://{HOST}/1.jpg#a",
    ],
)
def test_addresses_of_the_cdn_are_known(cdn: Cdn, url: str) -> None:
    assert cdn.fetch(Answer(body=PICTURE), url=url) == PICTURE
    assert len(cdn.requests) == 1


def test_a_certificate_of_another_host_ends_it(cdn: Cdn) -> None:
    cdn.certificates = {HOST: "evil.example"}
    fault = cdn.fault(Answer(body=PICTURE))
    assert (fault.reason, fault.permanent) == ("tls", False)
    assert (cdn.requests, cdn.connections) == ([], [HOST])


def test_verification_stays_on_whatever_the_session_says(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    with cdn.running(lambda _: Answer(body=PICTURE)) as fetcher:
        fetcher._session.verify = False
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(FetchFault, match="tls"):
            fetcher.fetch(URL)
    assert cdn.requests == []


def test_a_proxy_that_is_not_there_is_the_network(cdn: Cdn) -> None:
    with cdn.running(lambda _: Answer(body=PICTURE)) as fetcher:
        pass
    with pytest.raises(FetchFault, match="network"):
        fetcher.fetch(URL)
    assert cdn.waits == [2.0, 8.0]


def test_nothing_signed_is_logged_or_said(cdn: Cdn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    malformed = [b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 3\r\n\r\nabc"]
    said = [repr(cdn.fault(reply)) for reply in (Answer(404), None, malformed, Answer(403), Answer(body=PICTURE[:99]))]
    cdn.certificates = {HOST: "evil.example"}
    said.append(repr(cdn.fault(Answer())))
    for text in (*said, caplog.text):
        assert "SIGNATURE" not in text and LATER not in text and "http" + "s:" not in text
    # What others log of theirs still comes out.
    logging.getLogger("urllib3.connectionpool").warning("something else")
    assert "something else" in caplog.text


@given(st.text())
def test_any_address_is_good_or_a_fault(text: str) -> None:
    for url in (text, "https://" + text, "https://" + text + ".fbcdn.net/", URL + text):
        try:
            fetching._check_address(url)
        except FetchFault as fault:
            assert fault.reason in ("not_https", "foreign_host")
        else:
            assert requests.Request("GET", url).prepare().url is not None
