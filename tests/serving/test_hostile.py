"""What others may try: uploads that are no pictures or bombs, names that are not ours, pages of other sites."""

import io
import socket
import struct
import time
import zlib

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen.serving.app import Bounds
from hashgen.serving.guard import LOOPBACK, _hostname, is_loopback
from hashgen.serving.uploads import BadUpload, check_upload
from tests.properties import examples
from tests.serving.conftest import Listening, Start, picture

NO_PICTURE = (415, "picture: not a picture that can be read; send a JPEG, PNG, WebP, GIF or TIFF file")
DAMAGED = (422, "picture: damaged: it cannot be read to its end; send the whole file")
# The head of an upload, to be sent by hand.
HEAD = b"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"


def send(client: TestClient, data: bytes, kind: str = "image/png") -> tuple[int, str]:
    response = client.post("/api/pictures", content=data, headers={"Content-Type": kind})
    return response.status_code, response.json().get("error", "")


def noise(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 10)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_the_content_decides_what_a_file_is(client: TestClient) -> None:
    assert send(client, picture(kind="PNG"), "image/jpeg") == (200, "")
    assert send(client, picture(kind="WEBP"), "image/unknown") == (200, "")
    for data in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF", b"MZ", b"#!/bin/sh", bytes(99)):
        assert send(client, data) == NO_PICTURE


def test_nothing_at_all(client: TestClient) -> None:
    assert send(client, b"") == (422, "picture: the body is empty; send the bytes of a picture")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_truncated(client: TestClient, kind: str) -> None:
    whole = noise(kind)
    assert send(client, whole) == (200, "")
    status, error = send(client, whole[: len(whole) // 2])
    assert status == 422
    assert "\n" not in error


def test_a_header_that_promises_too_much(client: TestClient) -> None:
    """50 megapixels are the most, whatever the file's size."""
    too_many = (413, "picture: more than 50 megapixels; send a smaller picture")
    assert send(client, png_of(60_000, 60_000)) == too_many
    assert send(client, png_of(7_072, 7_072)) == too_many
    check_upload(png_of(7_071, 7_071))


def test_a_jpeg_of_thousands_of_scans() -> None:
    """Each scan of a progressive JPEG costs as much as a whole picture."""
    whole = noise("JPEG", progressive=True)
    check_upload(whole)
    start = whole.rindex(b"\xff\xda")
    scan = whole[start : whole.index(b"\xff\xd9", start)]
    with pytest.raises(BadUpload, match="too many scans"):
        check_upload(whole[:start] + scan * 200 + b"\xff\xd9")


def test_polyglots_are_pictures_and_nothing_else(client: TestClient) -> None:
    script = b"<script>alert(1)</script>"
    assert send(client, picture() + script, "image/jpeg") == (200, "")
    assert send(client, b"GIF89a/*" + script) == DAMAGED
    assert send(client, script + picture()) == NO_PICTURE


def test_too_large_by_header_and_by_count(client: TestClient) -> None:
    error = (413, "larger than 10 MiB; send less")
    assert send(client, bytes(10 * 2**20 + 1)) == error
    parts = (bytes(2**20) for _ in range(11))
    response = client.post("/api/pictures", content=parts, headers={"Content-Type": "image/png"})
    assert (response.status_code, response.json()["error"]) == error


@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF"]), st.integers(0, 400))
@examples(100)
def test_any_bytes_are_checked_without_a_bug(tail: bytes, kind: str, cut: int) -> None:
    for data in (tail, noise(kind)[:cut] + tail):
        try:
            check_upload(data)
        except BadUpload as error:
            assert error.status in (413, 415, 422)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("evil.example@localhost", 403),
        ("localhost:8000:9", 403),
        ("localhost/..", 403),
        ("", 403),
    ],
)
def test_host(client: TestClient, host: str, status: int) -> None:
    """A name that points here by somebody else's DNS is not ours."""
    for path in ("/", "/healthz", "/api/about", "/metrics", "/openapi.json"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == status
    if status == 403:
        error = "Host: not a name of this server; start it with --allow-host NAME to allow it"
        assert response.json() == {"error": error}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "http://localhost:8000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8000.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_origin(client: TestClient, headers: dict[str, str], status: int) -> None:
    """Another page in the same browser cannot ask in the user's name, not even one of another local server."""
    assert client.post("/api/suggest", json={"caption": "x"}, headers=headers).status_code == status


def test_allowed_names(start: Start) -> None:
    client = start(hosts=["Tags.example"])
    assert client.get("/healthz", headers={"Host": "tags.example"}).status_code == 200
    local = start(hosts=["127.0.0.1"])
    headers = {"Origin": "http://127.0.0.1:9999"}
    assert local.post("/api/suggest", json={"caption": "x"}, headers=headers).status_code == 403
    # Behind a proxy that ends TLS, or calls us by another name.
    for host in ("tags.example", "127.0.0.1:8000"):
        headers = {"Host": host, "Origin": "https://tags.example"}
        assert client.post("/api/suggest", json={"caption": "x"}, headers=headers).status_code == 200
    headers = {"Host": "tags.example", "Origin": "https://evil.example"}
    assert client.post("/api/suggest", json={"caption": "x"}, headers=headers).status_code == 403


@given(st.text(max_size=30))
@examples(100)
def test_no_text_but_our_names_is_our_name(text: str) -> None:
    for netloc in (text, f"{text}localhost", f"localhost{text}", f"{text}@localhost"):
        if _hostname(netloc) in LOOPBACK:
            plain = netloc.lower()
            assert (plain[1:].partition("]") if plain.startswith("[") else plain.partition(":"))[0] in LOOPBACK


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.3.2.1", "::1", "LocalHost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.5", "localhost.example", "")] == [False] * 5


def test_a_slow_client_is_cut_off(listening: Listening) -> None:
    address = httpx.URL(listening(bounds=Bounds(body_seconds=0.2)))
    with socket.create_connection((address.host, address.port or 0), timeout=20) as sock:
        sock.sendall(HEAD + b"Content-Length: 99\r\n\r\nabc")
        answer = b""
        while part := sock.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"the body took longer than 0.2 s to arrive; send it again"}' in answer
    assert httpx.get(address.join("/healthz")).status_code == 200


def test_an_endless_body_is_cut_off(listening: Listening) -> None:
    """The answer comes while the client is still sending, and soon nothing more is read."""
    address = httpx.URL(listening())
    with socket.create_connection((address.host, address.port or 0), timeout=20) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        part = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
        with pytest.raises(OSError):
            for _ in range(1000):
                sock.sendall(part)
    assert httpx.get(address.join("/healthz")).status_code == 200


def test_the_answer_to_a_large_body_is_seen(listening: Listening) -> None:
    address = listening()
    for size in (10 * 2**20 + 1, 30 * 2**20):
        response = httpx.post(f"{address}/api/pictures", content=bytes(size), headers={"Content-Type": "image/png"})
        assert (response.status_code, response.json()["error"]) == (413, "larger than 10 MiB; send less")


def test_a_client_that_leaves_while_it_sends(listening: Listening) -> None:
    address = httpx.URL(listening(bounds=Bounds(uploads=1)))
    for _ in range(3):
        with socket.create_connection((address.host, address.port or 0), timeout=20) as sock:
            sock.sendall(HEAD + b"Content-Length: 99\r\n\r\nabc")
    for _ in range(100):
        response = httpx.post(address.join("/api/suggest"), json={"caption": "x"})
        if response.status_code == 200:
            break
        time.sleep(0.05)
    assert response.status_code == 200
