"""The client against a server that fails in every way: one line each, nothing told to anyone else, the key kept."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hashgen.base.errors import HashgenError
from hashgen.params.baselines import Vlm
from hashgen.scoring.vlm import client as client_module
from hashgen.scoring.vlm.client import KEY, BudgetSpent, Client
from tests.doubles.tls_double import Answer, Handler, Request, TlsDouble

BODY = {"model": "m", "messages": []}
SECRET = "sk-verysecret123"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def vlm(url: str, **changes: Any) -> Vlm:
    values: dict[str, Any] = {"url": url, "model": "m", "budget": 100, "timeout_seconds": 30.0}
    return Vlm(**(values | changes))


def said(content: object) -> Answer:
    return Answer(body=json.dumps({"choices": [{"message": {"content": content}}]}).encode())


def ask(handler: Handler, **changes: Any) -> tuple[str, list[Request], list[float]]:
    """What one question gets: the answer, the requests that it took, the waits between them."""
    waits: list[float] = []
    with TlsDouble(handler) as double:
        with closing(Client(vlm(f"{double.url}/v1", **changes), sleep=waits.append)) as client:
            answer = client.ask(BODY)
        return answer, double.requests, waits


def fault(handler: Handler, **changes: Any) -> str:
    """The one line of an error."""
    with pytest.raises(HashgenError) as caught:
        ask(handler, **changes)
    line = str(caught.value)
    assert "\n" not in line and "/v1/chat/completions: " in line
    return line.partition("/v1/chat/completions: ")[2]


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    rest = iter(answers)
    return lambda _: next(rest)


def test_a_question_is_one_post_of_json() -> None:
    answer, requests, waits = ask(lambda _: said("#sea"))
    assert answer == "#sea" and waits == []
    (request,) = requests
    assert (request.method, request.path, json.loads(request.body)) == ("POST", "/v1/chat/completions", BODY)
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers and "cookie" not in request.headers


@pytest.mark.parametrize(
    ("content", "answer"), [(None, ""), ("", ""), ("#é\n", "#é\n"), ("\ud83d #sea", "? #sea"), ("a\0b", "a\0b")]
)
def test_what_a_model_may_say(content: object, answer: str) -> None:
    assert ask(lambda _: said(content))[0] == answer


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_answer_may_come_in_pieces(framing: str) -> None:
    body = said("#sea").body
    assert isinstance(body, bytes)
    pieces: bytes | Iterable[bytes] = body if framing == "length" else [body[:9], body[9:]]
    assert ask(lambda _: Answer(body=pieces, framing=framing))[0] == "#sea"  # type: ignore[arg-type]


def test_the_key_comes_from_the_environment_and_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, f" {SECRET}\n")
    assert ask(lambda _: said(""))[1][0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("key", ["two words", "l\nines", "schlüssel", "a\x7f"])
def test_what_cannot_be_a_key_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(HashgenError) as caught:
        Client(vlm("http://127.0.0.1:1/v1"))
    assert str(caught.value) == f"{KEY}: holds blanks or letters that no key has; set it to the key alone"


def error(status: int, message: str = "it is so", **headers: str) -> Answer:
    body = json.dumps({"error": {"message": message}}).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (error(401), f"asks for a key (401); set the environment variable {KEY} to a valid one"),
        (
            error(404, "model not found"),
            "no such address, or no model 'm' (404: model not found); fix baselines.vlm.url or baselines.vlm.model",
        ),
        (Answer(404), "no such address, or no model 'm' (404); fix baselines.vlm.url or baselines.vlm.model"),
        (error(400, "two\nlines \x1b[31m"), "refused the request (400: two lines [31m); fix baselines.vlm"),
        (Answer(422, b'{"detail": "odd"}'), "refused the request (422: odd); fix baselines.vlm"),
        (Answer(400, b'{"error": "plain"}'), "refused the request (400: plain); fix baselines.vlm"),
        (Answer(413, b"<b>large</b>"), "refused the request (413: <b>large</b>); fix baselines.vlm"),
        (Answer(400, b"x" * 999), f"refused the request (400: {'x' * 200}); fix baselines.vlm"),
        (Answer(400, b"[1]"), "refused the request (400: [1]); fix baselines.vlm"),
        (Answer(302, headers={"Location": "/v2"}), "leads elsewhere (302); fix baselines.vlm.url"),
        (
            Answer(body=b"<html>"),
            "not an answer of an OpenAI-compatible server: <html>; fix baselines.vlm.url, which often ends in /v1",
        ),
        (
            error(200, "no such thing"),
            "not an answer of an OpenAI-compatible server: no such thing; fix baselines.vlm.url, which often ends in "
            "/v1",
        ),
    ],
)
def test_a_refusal_is_one_line_and_one_request(answer: Answer, line: str) -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Answer:
        seen.append(request)
        return answer

    assert fault(handler) == line
    assert len(seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"choices": []}', b'{"choices": 3}'),
        *(b'{"choices": [{"message": {}}]}', b'{"choices": [{"message": {"content": 3}}]}'),
    ],
)
def test_what_is_no_answer_is_said(body: bytes) -> None:
    assert fault(lambda _: Answer(body=body)).startswith("not an answer of an OpenAI-compatible server")


def test_the_key_is_in_no_error_and_no_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(KEY, SECRET)
    with caplog.at_level(logging.DEBUG):
        lines = [fault(in_turn(error(status, f"wrong key {SECRET}"))) for status in (200, 400, 401, 403, 404)]
        lines.append(fault(lambda _: error(429, f"wrong key {SECRET}", Retry_After="9999")))
        lines.append(fault(lambda _: Answer(500, SECRET.encode())))
    assert lines[2] == f"refused the key in {KEY} (401); set the environment variable {KEY} to a valid one"
    assert "wrong key …" in lines[1]
    assert SECRET not in "".join(lines) + caplog.text
    assert caplog.text


def test_a_busy_server_gets_more_tries_and_the_time_it_asks_for() -> None:
    answer, requests, waits = ask(in_turn(error(429, Retry_After="5"), error(503, Retry_After="3"), said("#sea")))
    assert answer == "#sea" and len(requests) == 3
    assert waits == [5.0, 8.0]
    assert ask(in_turn(error(502, Retry_After="soon"), said("#sea")))[2] == [2.0]


def test_a_server_that_stays_busy_is_left_alone() -> None:
    tries: list[int] = []

    def handler(_: Request) -> Answer:
        tries.append(1)
        return error(503, "loading")

    assert fault(handler) == (
        "still busy or failing after 4 tries (503: loading); run the stage baselines again later, known answers are "
        "kept"
    )
    assert len(tries) == 4


def test_a_long_wait_is_not_waited_for() -> None:
    assert fault(lambda _: error(429, "quota", Retry_After="3600")) == (
        "asks to wait for 3,600 seconds (429: quota); run the stage baselines again then, known answers are kept"
    )


def test_every_try_counts_towards_the_budget() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Answer:
        seen.append(request)
        return error(503)

    with pytest.raises(BudgetSpent):
        ask(handler, budget=2)
    assert len(seen) == 2


def test_no_server_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(HashgenError) as caught, closing(Client(vlm(f"http://127.0.0.1:{port}/v1"))) as client:
        client.ask(BODY)
    assert str(caught.value) == (
        f"http://127.0.0.1:{port}/v1/chat/completions: no connection (Connection refused); start the server, or fix "
        "baselines.vlm.url"
    )


def test_a_connection_that_breaks_off() -> None:
    assert fault(lambda _: None).startswith("no connection (Connection reset by peer)")
    assert fault(lambda _: Answer(body=b"x" * 99, cut_after=3)).startswith(("no connection (", "not an answer"))
    assert fault(lambda _: Answer(body=[b"abc"], framing="chunked", cut_after=2)).startswith("no connection (")
    assert fault(lambda _: [b"nonsense\r\n\r\n"]).startswith("no connection (")


def test_an_answer_that_takes_too_long() -> None:
    def silent(_: Request) -> Iterator[bytes]:
        gone.wait(30)
        yield b""

    gone = threading.Event()
    line = "no answer within 0.2 seconds; raise baselines.vlm.timeout_seconds, or run the stage baselines again"
    try:
        assert fault(silent, timeout_seconds=0.2) == line
    finally:
        gone.set()


def test_bytes_that_never_end_are_not_awaited() -> None:
    clock = iter((0.0, 10.0, 31.0))

    def drip() -> Iterator[bytes]:
        while True:
            yield b" "

    with (
        TlsDouble(lambda _: Answer(body=drip(), framing="chunked")) as double,
        closing(Client(vlm(f"{double.url}/v1"), monotonic=lambda: next(clock))) as client,
        pytest.raises(HashgenError, match="no answer within 30 seconds"),
    ):
        client.ask(BODY)


def test_an_answer_without_measure_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_BYTES", 2**20)
    assert fault(lambda _: Answer(body=b" " * 2**21)) == "the answer has more than 1 MiB; fix baselines.vlm.url"


def test_redirects_are_not_followed() -> None:
    with TlsDouble(lambda _: said("#sea")) as other:
        for status in (301, 302, 303, 307, 308):
            where = {"Location": f"{other.url}/v1/chat/completions"}
            assert fault(in_turn(Answer(status, headers=where))).startswith("leads elsewhere")
    assert other.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://vlm.example/v1",
        "https://10.0.0.1/v1",
        "http://192.168.1.5:11434/v1",
        "http://0.0.0.0:11434/v1",
        "http://[::]/v1",
        "http://[::2]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://128.0.0.1/v1",
        "http://127.0.0.1.example/v1",
        "http://localhost.example/v1",
        "http://2130706433/v1",
        "http://0x7f.0.0.1/v1",
        "http://127.1/v1",
    ],
)
def test_another_machine_needs_a_word(url: str) -> None:
    with pytest.raises(
        HashgenError, match=r"baselines\.vlm\.url: .* is not this machine.*baselines\.vlm\.remote: true"
    ):
        Client(vlm(url))
    Client(vlm(url, remote=True)).close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/v1", "http://127.9.9.9:1/v1", "http://[::1]:1/v1", "https://[0:0:0:0:0:0:0:1]"]
)
def test_this_machine_needs_none(url: str) -> None:
    Client(vlm(url)).close()


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        (["127.0.0.1"], True),
        (["::1", "127.0.0.1"], True),
        (["127.0.0.1", "10.0.0.1"], False),
        (["8.8.8.8"], False),
        ([], False),
        (None, False),
    ],
)
def test_localhost_is_this_machine_only_where_it_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch, found: list[str] | None, allowed: bool
) -> None:
    def resolve(host: str, port: object, *rest: object) -> list[Any]:
        if found is None:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    if allowed:
        Client(vlm("http://LOCALHOST:11434/v1")).close()
    else:
        with pytest.raises(HashgenError, match="localhost is not this machine"):
            Client(vlm("http://localhost:11434/v1"))


def lead(monkeypatch: pytest.MonkeyPatch, folder: Path, proxy: str, host: str) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    netrc = folder / "netrc"
    netrc.write_text(f"machine {host} login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))


def test_no_proxy_learns_what_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with TlsDouble(lambda _: said("#no")) as proxy:
        lead(monkeypatch, tmp_path, proxy.url, "127.0.0.1")
        for remote in (False, True):
            answer, requests, _ = ask(lambda _: said("#sea"), remote=remote)
            assert answer == "#sea" and "authorization" not in requests[0].headers
    assert proxy.requests == []


def test_another_machine_is_reached_by_the_proxy_with_no_other_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with TlsDouble(lambda _: said("#sea")) as proxy:
        lead(monkeypatch, tmp_path, proxy.url, "vlm.example")
        for key in ("", SECRET):
            monkeypatch.setenv(KEY, key)
            with closing(Client(vlm("http://vlm.example/v1", remote=True))) as client:
                assert client.ask(BODY) == "#sea"
    assert [request.host for request in proxy.requests] == ["vlm.example"] * 2
    assert [request.headers.get("authorization") for request in proxy.requests] == [None, f"Bearer {SECRET}"]
