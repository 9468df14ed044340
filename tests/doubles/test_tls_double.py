"""The double of https sites itself: what it records, and that a client's checks stay on."""

import threading
from collections.abc import Iterator

import pytest
import requests

from tests.doubles.tls_double import Answer, Request, TlsDouble


def lead(monkeypatch: pytest.MonkeyPatch, double: TlsDouble) -> None:
    for name, value in double.environment.items():
        monkeypatch.setenv(name, value)


def test_requests_are_recorded_by_host_and_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: Request) -> Answer:
        return Answer(404) if request.path == "/none" else Answer(body=request.body or b"hello")

    with TlsDouble(handler) as double, requests.Session() as session:
        lead(monkeypatch, double)
        assert session.get("https://www.instagram.com/hello?a=1").text == "hello"
        assert session.get("https://www.instagram.com/none").status_code == 404
        assert session.post("https://i.instagram.com/form", data={"b": "2"}).text == "b=2"
        assert session.head("https://i.instagram.com/form").status_code == 200
        session.get("http://plain.example/")
    seen = [(r.scheme, r.method, r.host, r.path) for r in double.requests]
    assert seen == [
        ("https", "GET", "www.instagram.com", "/hello"),
        ("https", "GET", "www.instagram.com", "/none"),
        ("https", "POST", "i.instagram.com", "/form"),
        ("https", "HEAD", "i.instagram.com", "/form"),
        ("http", "GET", "plain.example", "/"),
    ]
    assert double.requests[0].arguments() == {"a": "1"}
    assert double.requests[2].form() == {"b": "2"}
    assert double.paths("www.instagram.com") == ["/hello", "/none"]
    assert double.connections == ["www.instagram.com", "i.instagram.com"]
    assert double.most_at_once == 1


def test_a_certificate_of_another_host_is_refused_by_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with TlsDouble(lambda _: Answer(), certificates={"a.example": "b.example"}) as double:
        lead(monkeypatch, double)
        with pytest.raises(requests.exceptions.SSLError, match="not valid for"):
            requests.get("https://a.example/")
        assert requests.get("https://c.example/").status_code == 200
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            requests.get("https://c.example/")
    assert [request.host for request in double.requests] == ["c.example"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_bodies_in_pieces_and_cut_ones(monkeypatch: pytest.MonkeyPatch, framing: str) -> None:
    def handler(request: Request) -> Answer:
        length = {"Content-Length": "6"} if framing == "length" else {}
        cut = 4 if request.path == "/cut" else None
        return Answer(200, [b"abc", b"def"], length, framing, cut)  # type: ignore[arg-type]

    with TlsDouble(handler) as double:
        lead(monkeypatch, double)
        assert requests.get("https://a.example/").content == b"abcdef"
        if framing == "close":
            assert requests.get("https://a.example/cut").content == b"abcd"
        else:
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                requests.get("https://a.example/cut")


def test_raw_answers_resets_and_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    second = threading.Event()

    def handler(request: Request) -> Iterator[bytes] | Answer | None:
        if request.path == "/reset":
            return None
        if request.path == "/second":
            second.set()
            return Answer(body=b"2")
        return slow()

    def slow() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        second.wait(30)
        yield b"1"

    with TlsDouble(handler) as double:
        lead(monkeypatch, double)
        with requests.get("https://a.example/first", stream=True) as first:
            assert requests.get("https://a.example/second").content == b"2"
            assert first.content == b"1"
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get("https://a.example/reset")
    assert double.most_at_once == 2


def test_errors_of_a_handler_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: Request) -> Answer:
        raise KeyError("handler")

    with pytest.raises(KeyError, match="handler"), TlsDouble(handler) as double:
        lead(monkeypatch, double)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get("https://a.example/")
