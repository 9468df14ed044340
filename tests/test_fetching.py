"""One picture from a CDN that may do anything: what comes back, how often it was asked, and what is said of it."""

import gzip
import io
import itertools
import logging
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.utils import formatdate

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hashgen.images import read_header, read_image
from hashgen.sources import fetching
from hashgen.sources.fetching import REASONS, FetchFault, PictureFetcher, Refused
from tests.tls_double import Answer, Request, TlsDouble

HOST = "scontent-fra3-1.cdninstagram.com"
NOW = 1_700_000_000
LATER, EARLIER = f"{NOW + 3600:X}", f"{NOW - 1:x}"
URL = f"https://{HOST}/v/t51/1.jpg?stp=dst-jpg&oh=SIGNATURE&oe={LATER}"
EXPIRED_URL = URL.replace(LATER, EARLIER)
JPEG_TYPE = {"Content-Type": "image/jpeg"}
Reply = Answer | Iterable[bytes] | None


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURE = encoded(noise(64, 48))


def bomb() -> bytes:
    """A PNG of few bytes that is 100,000 pixels wide and high."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(300_001))),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


class Clock:
    """Time that passes in sleeps, and by `step` seconds whenever somebody looks."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.step = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.time += seconds

    def monotonic(self) -> float:
        self.time += self.step
        return self.time


class Cdn:
    """The double, and a fetcher that the environment leads to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.clock = Clock()
        self.certificates: dict[str, str] = {}
        self.requests: list[Request] = []
        self.connections: list[str] = []

    def fetch(self, *replies: Reply, url: str = URL, **options: object) -> bytes:
        """A picture; the replies are given in order, the last one for ever."""
        left = list(replies)
        with self.running(lambda _: left.pop(0) if len(left) > 1 else left[0], **options) as fetcher:
            return fetcher.fetch(url)

    def fault(self, *replies: Reply, url: str = URL, **options: object) -> FetchFault:
        with pytest.raises(FetchFault) as caught:
            self.fetch(*replies, url=url, **options)
        fault = caught.value
        assert fault.reason in REASONS
        assert str(fault) == fault.reason
        # Errors of requests hold addresses: a traceback must not show them.
        assert fault.__suppress_context__ or fault.__context__ is None
        return fault

    @contextmanager
    def running(self, handler: Callable[[Request], Reply], **options: object) -> Iterator[PictureFetcher]:
        changes = {"per_minute": 10**6, "max_side": None, "min_side": 32, "max_pixels": 10**6, **options}
        with TlsDouble(handler, self.certificates) as double, requests.Session() as session:
            self.requests, self.connections = double.requests, double.connections
            for name, value in double.environment.items():
                self._monkeypatch.setenv(name, value)
            session.headers.update({"User-Agent": "Agent/1", "Referer": "https://www.instagram.com/", "X-Secret": "1"})
            session.cookies.set("sessionid", "SECRET", domain=f".{HOST}")
            fetcher = PictureFetcher(
                session,
                **changes,  # type: ignore[arg-type]
                sleep=self.clock.sleep,
                monotonic=self.clock.monotonic,
                now=lambda: NOW,
                chance=lambda: 0.5,
            )
            yield fetcher
            fetcher.close()

    @property
    def waits(self) -> list[float]:
        """Waits between tries, without those of the rate."""
        return [wait for wait in self.clock.slept if wait > 0.1]


@pytest.fixture
def cdn(monkeypatch: pytest.MonkeyPatch) -> Cdn:
    return Cdn(monkeypatch)


def test_a_good_picture_comes_as_it_is_in_one_request(cdn: Cdn) -> None:
    assert cdn.fetch(Answer(body=PICTURE, headers=JPEG_TYPE)) == PICTURE
    (request,) = cdn.requests
    assert (request.scheme, request.method, request.host, request.path) == ("https", "GET", HOST, "/v/t51/1.jpg")
    assert request.arguments() == {"stp": "dst-jpg", "oh": "SIGNATURE", "oe": LATER}
    assert cdn.clock.slept == []


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


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_every_framing_is_read(cdn: Cdn, framing: str) -> None:
    assert cdn.fetch(Answer(body=PICTURE, framing=framing)) == PICTURE  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/png", ""])
def test_content_decides_and_not_the_type_that_is_told(cdn: Cdn, kind: str) -> None:
    assert cdn.fetch(Answer(body=PICTURE, headers={"Content-Type": kind})) == PICTURE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP"])
def test_packed_bodies_are_unpacked(cdn: Cdn, coding: str) -> None:
    body = zlib.compress(PICTURE) if coding == "deflate" else gzip.compress(PICTURE)
    assert cdn.fetch(Answer(body=body, headers={"Content-Encoding": coding})) == PICTURE
    # A proxy that packs may leave the old length standing.
    lengths = {"Content-Encoding": coding, "Content-Length": str(len(body) + 9), "Connection": "close"}
    assert cdn.fetch(Answer(body=[body], headers=lengths, cut_after=len(body))) == PICTURE


def test_packed_bodies_have_bounds(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(PICTURE)
    fault = cdn.fault(Answer(body=packed[:-20], headers={"Content-Encoding": "gzip"}))
    assert (fault.reason, len(cdn.requests)) == ("truncated", 3)
    assert cdn.fault(Answer(body=PICTURE, headers={"Content-Encoding": "gzip"})).reason == "truncated"
    assert cdn.fault(Answer(body=PICTURE, headers={"Content-Encoding": "br"})).reason == "not_image"
    monkeypatch.setattr(fetching, "MAX_BYTES", 10_000)
    fault = cdn.fault(Answer(body=gzip.compress(bytes(10**6)), headers={"Content-Encoding": "gzip"}))
    assert (fault.reason, len(cdn.requests)) == ("too_large", 1)


def html() -> Answer:
    return Answer(body=b"<!DOCTYPE html><html><body>Sorry</body></html>", headers=JPEG_TYPE)


def redirect(target: str, status: int = 302) -> Answer:
    return Answer(status, headers={"Location": target})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Answer(404), "http_404"),
        (Answer(410), "http_410"),
        (Answer(400), "http_4xx"),
        (Answer(451), "http_4xx"),
        (Answer(204), "http_other"),
        (Answer(206, PICTURE), "http_other"),
        (Answer(300), "http_other"),
        (Answer(302), "http_other"),
        (html(), "not_image"),
        (Answer(body=b"\0\0\0\x18ftypmp42" + bytes(100), headers=JPEG_TYPE), "not_image"),
        (Answer(body=encoded(noise(64, 31))), "too_small"),
        (Answer(body=encoded(Image.new("RGB", (1001, 1000)))), "too_large"),
        (Answer(body=bomb()), "too_large"),
        (Answer(headers={"Content-Length": str(2**25 + 1)}, cut_after=0), "too_large"),
        (Answer(403, b"URL signature expired"), "url_expired"),
        (Answer(403, b"Bad URL timestamp"), "url_expired"),
        (redirect("http://" + URL[8:]), "not_https"),
        (redirect("ftp://" + URL[8:]), "not_https"),
        (redirect("https://evil.example/"), "foreign_host"),
        (redirect("//evil.example/"), "foreign_host"),
        (redirect("https://www.instagram.com/accounts/login/"), "foreign_host"),
        (redirect("https://[/"), "foreign_host"),
    ],
)
def test_permanent_faults_cost_one_request(cdn: Cdn, reply: Answer, reason: str) -> None:
    fault = cdn.fault(reply)
    assert (fault.reason, fault.permanent) == (reason, True)
    assert not isinstance(fault, Refused)
    assert (len(cdn.requests), cdn.clock.slept) == (1, [])


def test_an_expired_address_is_known_by_its_date(cdn: Cdn) -> None:
    assert cdn.fault(Answer(403), url=EXPIRED_URL).reason == "url_expired"
    # A clock that is wrong must not lose what the server would give.
    assert cdn.fetch(Answer(body=PICTURE), url=EXPIRED_URL) == PICTURE
    assert cdn.fault(Answer(404), url=EXPIRED_URL).reason == "http_404"


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 120 ", 120.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("soon", None),
    ],
)
def test_refusals_end_at_once(cdn: Cdn, status: int, told: str | None, seconds: float | None) -> None:
    fault = cdn.fault(Answer(status, b"Please wait", {} if told is None else {"Retry-After": told}))
    assert isinstance(fault, Refused)
    assert (fault.status, fault.reason, fault.retry_after) == (status, f"http_{status}", seconds)
    assert not fault.permanent
    assert (len(cdn.requests), cdn.clock.slept) == (1, [])


def test_refusals_with_other_expired_parts_are_refusals(cdn: Cdn) -> None:
    assert isinstance(cdn.fault(Answer(401), url=EXPIRED_URL), Refused)
    assert isinstance(cdn.fault(Answer(429), url=EXPIRED_URL), Refused)
    assert isinstance(cdn.fault(Answer(403), url=URL.replace("oe=", "foe=" + EARLIER + "&oe=")), Refused)
    assert isinstance(cdn.fault(Answer(403, headers={"Content-Length": "5"}, cut_after=0)), Refused)


def test_a_server_that_is_busy_for_long_is_left_alone(cdn: Cdn) -> None:
    fault = cdn.fault(Answer(503, headers={"Retry-After": "3600"}))
    assert isinstance(fault, Refused)
    assert (fault.status, fault.reason, fault.retry_after) == (503, "http_503", 3600.0)
    assert (len(cdn.requests), cdn.clock.slept) == (1, [])


def passing_replies() -> dict[str, tuple[Reply, str]]:
    half = len(PICTURE) // 2
    packed = gzip.compress(PICTURE)
    return {
        "500": (Answer(500), "http_5xx"),
        "503": (Answer(503), "http_5xx"),
        "408": (Answer(408), "timeout"),
        "reset": (None, "network"),
        "no answer": ([], "network"),
        "no HTTP": ([b"hello\r\n\r\n"], "network"),
        "empty": (Answer(body=b""), "empty"),
        "empty to the end": (Answer(body=b"", framing="close"), "empty"),
        "cut, of known length": (Answer(body=PICTURE, cut_after=half), "truncated"),
        "cut, of unknown length": (Answer(body=PICTURE, framing="close", cut_after=half), "truncated"),
        "cut, chunked": (Answer(body=[PICTURE[:half], PICTURE[half:]], framing="chunked", cut_after=half), "truncated"),
        "cut in the last bytes": (Answer(body=PICTURE, cut_after=len(PICTURE) - 2), "truncated"),
        "short of its length by trailing bytes": (
            Answer(body=[PICTURE], headers={"Content-Length": str(len(PICTURE) + 1)}, cut_after=len(PICTURE)),
            "truncated",
        ),
        "longer than its length": (Answer(body=PICTURE, headers={"Content-Length": str(half)}), "truncated"),
        "a chunk of no length": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"], "truncated"),
        "reset in the body": (Answer(body=PICTURE, cut_after=half, reset=True), "network"),
        "whole but broken": (Answer(body=PICTURE[:half]), "truncated"),
        "packed and cut": (Answer(body=packed, headers={"Content-Encoding": "gzip"}, cut_after=half), "truncated"),
    }


@pytest.mark.parametrize("name", passing_replies())
def test_passing_faults_get_three_tries_with_growing_waits(cdn: Cdn, name: str) -> None:
    reply, reason = passing_replies()[name]
    fault = cdn.fault(reply)
    assert (fault.reason, fault.permanent) == (reason, False)
    assert len(cdn.requests) == 3
    assert cdn.waits == [2.0, 8.0]


@pytest.mark.parametrize("name", passing_replies())
def test_a_passing_fault_is_over_when_it_is_over(cdn: Cdn, name: str) -> None:
    reply, _ = passing_replies()[name]
    assert cdn.fetch(reply, Answer(body=PICTURE)) == PICTURE
    assert (len(cdn.requests), cdn.waits) == (2, [2.0])


def test_the_wait_is_no_shorter_than_the_server_asks(cdn: Cdn) -> None:
    fault = cdn.fault(Answer(503, headers={"Retry-After": "5"}))
    assert (fault.reason, fault.retry_after) == ("http_5xx", 5.0)
    assert cdn.waits == [5.0, 8.0]


def test_waits_differ_by_chance_and_grow_all_the_same(cdn: Cdn) -> None:
    for chance, expected in ((0.0, [1.0, 4.0]), (1.0, [3.0, 12.0])):
        cdn.clock.slept.clear()
        with cdn.running(lambda _: Answer(500)) as fetcher:
            fetcher._chance = lambda chance=chance: chance  # type: ignore[misc]
            with pytest.raises(FetchFault, match="http_5xx"):
                fetcher.fetch(URL)
        assert cdn.waits == expected


def test_a_refusal_after_a_passing_fault_ends_it(cdn: Cdn) -> None:
    assert isinstance(cdn.fault(Answer(500), Answer(429)), Refused)
    assert len(cdn.requests) == 2


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
    assert len(cdn.requests) == 3


def test_the_deadline_holds_for_all_redirects_of_a_try_together(cdn: Cdn) -> None:
    def handler(request: Request) -> Answer:
        cdn.clock.time += 0.51 * fetching.DEADLINE
        return redirect("/again")

    with cdn.running(handler) as fetcher, pytest.raises(FetchFault, match="timeout"):
        fetcher.fetch(URL)


def test_silence_ends_as_timeout(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.05)
    monkeypatch.setattr("hashgen.sources.transport.READ_TIMEOUT", 0.05)

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


def test_pictures_are_spaced_by_the_rate(cdn: Cdn) -> None:
    starts = []

    def handler(request: Request) -> Answer:
        starts.append(cdn.clock.time)
        cdn.clock.time += 0.25
        return Answer(body=PICTURE)

    with cdn.running(handler, per_minute=60) as fetcher:
        for _ in range(4):
            fetcher.fetch(URL)
        cdn.clock.time += 100
        for _ in range(2):
            fetcher.fetch(URL)
    assert np.diff(starts).tolist() == [1.0, 1.0, 1.0, 100.25, 1.0]
    assert cdn.clock.slept == [0.75, 0.75, 0.75, 0.75]


def test_tries_keep_the_rate_too(cdn: Cdn) -> None:
    assert cdn.fault(Answer(500), per_minute=2).reason == "http_5xx"
    assert cdn.clock.slept == [2.0, 28.0, 8.0, 22.0]


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


def test_metadata_goes_and_turned_pictures_are_turned(cdn: Cdn) -> None:
    exif = Image.Exif()
    exif[0x010F] = "MAKER"
    assert cdn.fetch(Answer(body=encoded(noise(64, 48), exif=exif, comment=b"MAKER"))) == PICTURE
    exif[0x0112] = 6
    turned = cdn.fetch(Answer(body=encoded(noise(64, 48), exif=exif)))
    header = read_header(turned, 10**6)
    assert (header.width, header.height, header.turned) == (48, 64, False)
    assert b"MAKER" not in turned


def test_large_pictures_are_resized_after_their_size_was_judged(cdn: Cdn) -> None:
    found = cdn.fetch(Answer(body=encoded(noise(640, 40))), max_side=64)
    assert read_image(found, 10**6).size == (64, 4)
    assert cdn.fault(Answer(body=encoded(noise(640, 31))), max_side=64).reason == "too_small"


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d( \w{3}| [+-]\d{4})?\Z"))
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = fetching._retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < 10**12


@settings(deadline=None)
@given(st.text())
def test_any_address_is_good_or_a_fault(text: str) -> None:
    for url in (text, "https://" + text, "https://" + text + ".fbcdn.net/", URL + text):
        try:
            fetching._check_address(url)
        except FetchFault as fault:
            assert fault.reason in ("not_https", "foreign_host")
        else:
            assert requests.Request("GET", url).prepare().url is not None
