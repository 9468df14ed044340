"""One picture from a CDN that may do anything: what comes back, how often it was asked, and how long it waited."""

import gzip
import re
import struct
import zlib
from email.utils import formatdate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen.pictures.decode import decode_picture, read_header
from hashgen.sources.instagram import fetching
from hashgen.sources.instagram.fetching import FetchFault, Refused
from hashgen.sources.instagram.transport import read_retry_after
from hashgen.sources.stops import Refusal
from tests.doubles.picture_cdn import (
    EARLIER,
    EXPIRED_URL,
    HOST,
    JPEG_TYPE,
    LATER,
    NOW,
    PICTURE,
    URL,
    Cdn,
    Reply,
    encoded,
    noise,
    redirect,
)
from tests.doubles.tls_double import Answer, Request


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


@pytest.fixture
def cdn(monkeypatch: pytest.MonkeyPatch) -> Cdn:
    return Cdn(monkeypatch)


def test_a_good_picture_comes_as_it_is_in_one_request(cdn: Cdn) -> None:
    assert cdn.fetch(Answer(body=PICTURE, headers=JPEG_TYPE)) == PICTURE
    (request,) = cdn.requests
    assert (request.scheme, request.method, request.host, request.path) == ("https", "GET", HOST, "/v/t51/1.jpg")
    assert request.arguments() == {"stp": "dst-jpg", "oh": "SIGNATURE", "oe": LATER}
    assert cdn.clock.slept == []


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


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Answer(403), "http_403"),
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
        (redirect("https://www.instagram.com/"), "foreign_host"),
        (redirect("https://[/"), "foreign_host"),
    ],
)
def test_permanent_faults_cost_one_request(cdn: Cdn, reply: Answer, reason: str) -> None:
    fault = cdn.fault(reply)
    assert (fault.reason, fault.permanent) == (reason, True)
    assert not isinstance(fault, Refused)
    assert (len(cdn.requests), cdn.clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (redirect("https://www.instagram.com/accounts/login/?next=x"), 4, "redirected to the login page"),
        (redirect("/accounts/login"), 4, "redirected to the login page"),
        (redirect("https://www.facebook.com/login/"), 4, "redirected to the login page"),
        (redirect("https://www.instagram.com/challenge/1/"), 5, "needs attention (challenge)"),
        (redirect("https://www.instagram.com/checkpoint/"), 5, "needs attention (checkpoint)"),
        (Answer(body=b"<html><title>Log in</title>", headers=JPEG_TYPE), 4, "a picture led to the login page"),
    ],
)
def test_pages_of_a_refusal_end_at_once(cdn: Cdn, reply: Answer, code: int, text: str) -> None:
    with pytest.raises(Refusal, match=re.escape(text)) as caught:
        cdn.fetch(reply)
    assert (caught.value.exit_code, len(cdn.requests), cdn.clock.slept) == (code, 1, [])


def test_whole_pictures_of_no_use_are_served(cdn: Cdn) -> None:
    heif = Answer(body=b"\0\0\0\x18ftypheic" + bytes(100))
    replies = (Answer(body=encoded(noise(64, 31))), Answer(body=encoded(Image.new("RGB", (1001, 1000)))), heif)
    assert [cdn.fault(reply).served for reply in (*replies, html(), Answer(404))] == [True, True, True, False, False]


@pytest.mark.parametrize("status", [401, 429])
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


def test_what_is_forbidden_is_so_for_its_address(cdn: Cdn) -> None:
    other = URL.replace("oe=", "foe=" + EARLIER + "&oe=")
    cut = Answer(403, headers={"Content-Length": "5"}, cut_after=0)
    for fault in (cdn.fault(Answer(403), url=other), cdn.fault(cut)):
        assert (fault.reason, fault.permanent, isinstance(fault, Refused)) == ("http_403", True, False)


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
    # How much of a reset comes through is the system's affair.
    reasons = ("network", "truncated") if name == "reset in the body" else (reason,)
    assert fault.reason in reasons and not fault.permanent
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
    # The first one waits too: a process that was killed may have fetched just before.
    assert cdn.clock.slept == [1.0, 0.75, 0.75, 0.75, 0.75]


def test_tries_keep_the_rate_too(cdn: Cdn) -> None:
    assert cdn.fault(Answer(500), per_minute=2).reason == "http_5xx"
    assert cdn.clock.slept == [30.0, 2.0, 28.0, 8.0, 22.0]


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
    assert decode_picture(found, 10**6).size == (64, 4)
    assert cdn.fault(Answer(body=encoded(noise(640, 31))), max_side=64).reason == "too_small"


@given(st.text() | st.from_regex(r"\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d( \w{3}| [+-]\d{4})?\Z"))
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = read_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < 10**12
