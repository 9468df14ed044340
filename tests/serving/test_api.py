"""The API in process: what it answers, and how it refuses."""

import logging
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hashgen.serving.app import Bounds
from hashgen.serving.examples import Sample
from hashgen.suggesting.platforms import PLATFORMS
from tests.doubles.suggester_double import SuggesterDouble
from tests.serving.conftest import Start, picture


def suggest(client: TestClient, **ask: Any) -> Any:
    response = client.post("/api/suggest", json=ask)
    assert response.status_code == 200, response.text
    return response.json()


def upload(client: TestClient, data: bytes, kind: str = "image/jpeg") -> str:
    response = client.post("/api/pictures", content=data, headers={"Content-Type": kind})
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["picture"]
    return str(response.json()["picture"])


def names(answer: Any) -> list[str]:
    return [one["hashtag"] for one in answer["hashtags"]]


def test_a_caption_alone(client: TestClient) -> None:
    answer = suggest(client, caption="train hard", max=2)
    assert answer == {
        "hashtags": [
            {"hashtag": "fitness", "confidence": 0.86, "posts": 412},
            {"hashtag": "gym", "confidence": 0.688, "posts": 375},
        ],
        "warnings": ["no picture: the caption alone decides"],
    }


def test_a_picture_alone_and_both(client: TestClient) -> None:
    name = upload(client, picture("blue"))
    assert re.fullmatch(r"[\w-]{22}", name)
    alone = suggest(client, picture=name, max=2)
    assert (names(alone), alone["warnings"]) == (["blue", "sky"], ["no caption: the picture alone decides"])
    both = suggest(client, picture=name, caption="train", max=8)
    assert (names(both)[0], names(both)[-1], both["warnings"]) == ("fitness", "blue", [])


def test_options_reach_the_model(start: Start) -> None:
    double = SuggesterDouble()
    client = start(double)
    answer = suggest(
        client, caption="train", tags=["#gym"], ban=["fitness"], prefix="w", mix="niche", max=3, explain=True
    )
    assert names(answer) == ["workout"]
    assert answer["hashtags"][0]["why"] == {
        "words": ["train"],
        "picture": None,
        "caption": 0.2,
        "copied": False,
        "tags": [],
        "posts": ["p1", "p2"],
        "mine": False,
    }
    assert double.calls == [{"picture": None, "caption": "train", "tags": ["#gym"], "mix": "niche", "prefix": "w"}]


def test_what_the_model_refuses_is_one_line(client: TestClient) -> None:
    response = client.post("/api/suggest", json={"caption": "x", "tags": ["1"]})
    assert (response.status_code, response.json()) == (422, {"error": "tags: '1' is no hashtag; use letters"})


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({}, "body: nothing to go by; give a picture, a caption, or both"),
        ({"caption": " \n"}, "body: nothing to go by; give a picture, a caption, or both"),
        ({"caption": "x" * 5001}, "caption: string should have at most 5000 characters"),
        ({"caption": "x", "tags": ["a"] * 101}, "tags: list should have at most 100 items after validation, not 101"),
        ({"caption": "x", "tags": ["a" * 151]}, "tags[0]: string should have at most 150 characters"),
        ({"caption": "x", "max": "5"}, "max: input should be a valid integer"),
        ({"caption": "x", "max": True}, "max: input should be a valid integer"),
        ({"caption": "x", "min_confidence": True}, "min_confidence: input should be a valid number"),
        ({"caption": "x", "max": 0}, "max: input should be greater than or equal to 1"),
        ({"caption": "x", "min_confidence": 2}, "min_confidence: input should be less than or equal to 1"),
        ({"caption": "x", "mix": "wild"}, "mix: input should be 'balanced', 'broad' or 'niche'"),
        ({"caption": "x", "secret": 1}, "body: a key that is not known"),
        ({"caption": 5}, "caption: input should be a valid string"),
        ([], "body: input should be a valid dictionary or object to extract fields from"),
    ],
)
def test_bad_options(client: TestClient, ask: Any, error: str) -> None:
    response = client.post("/api/suggest", json=ask)
    assert (response.status_code, response.json()) == (422, {"error": error})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b'{"caption": "\xff"}', 422),
        (b"[" * 100_000, 422),
        (b'{"caption": "x", "max": 1' + b"0" * 5000 + b"}", 422),
        (b'{"caption": "x", "min_confidence": NaN}', 422),
        (b'{"caption": "\\ud800"}', 422),
        (b'{"caption": "' + b"x" * 2**18 + b'"}', 413),
    ],
)
def test_bad_json(client: TestClient, body: bytes, status: int) -> None:
    response = client.post("/api/suggest", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert "\n" not in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nothing", 404, "no such path"),
        ("GET", "/docs", 404, "no such path"),
        ("GET", "/redoc", 404, "no such path"),
        ("GET", "/api/suggest", 405, "no such method here"),
        ("DELETE", "/", 405, "no such method here"),
        ("GET", "/api/examples/7", 404, "no such example; GET /api/examples lists them"),
    ],
)
def test_wrong_paths_and_methods(client: TestClient, method: str, path: str, status: int, error: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()) == (status, {"error": error})


def test_other_content_types_are_refused(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = client.post("/api/suggest", content=b'{"caption": "x"}', headers={"Content-Type": kind})
        assert (response.status_code, response.json()) == (415, {"error": "Content-Type: must be application/json"})
    response = client.post("/api/pictures", files={"file": picture()})
    assert (response.status_code, response.json()) == (415, {"error": "Content-Type: must be image/…"})


def test_a_picture_that_is_not_known(client: TestClient) -> None:
    response = client.post("/api/suggest", json={"picture": "a" * 22})
    assert response.status_code == 404
    assert response.json() == {"error": "picture: not known, or no longer; send it to /api/pictures again"}


def test_the_same_picture_twice_has_two_names(client: TestClient) -> None:
    """A name that followed from the picture would tell whoever has a copy that somebody sent it."""
    assert upload(client, picture()) != upload(client, picture())


def test_about(client: TestClient) -> None:
    about = client.get("/api/about").json()
    assert about["model"] == {"model": "first", "posts": 1234, "hashtags": 56, "source": "sample", "warnings": []}
    assert [one["name"] for one in about["platforms"]] == list(PLATFORMS)
    assert about["limits"] == {"picture_bytes": 10485760, "picture_pixels": 50000000, "caption": 5000, "tags": 100}


def test_examples(start: Start) -> None:
    client = start(samples=lambda: [Sample("a walk", b"jpeg")])
    assert client.get("/api/examples").json() == [{"caption": "a walk", "picture": "/api/examples/0"}]
    response = client.get("/api/examples/0")
    assert (response.content, response.headers["Content-Type"]) == (b"jpeg", "image/jpeg")


def test_metrics(client: TestClient) -> None:
    suggest(client, caption="secret words")
    client.post("/api/suggest", json={})
    client.get("/some/secret/path")
    page = client.get("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain; version=")
    assert 'hashgen_requests_total{path="/api/suggest",status="200"} 1.0' in page.text
    assert 'hashgen_requests_total{path="/api/suggest",status="422"} 1.0' in page.text
    assert 'hashgen_requests_total{path="other",status="404"} 1.0' in page.text
    assert 'hashgen_request_seconds_count{path="/api/suggest"} 2.0' in page.text
    assert "secret" not in page.text


def test_the_page_and_its_headers(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "style=" not in page.text
    assert re.findall(r"<script[^>]*>", page.text) == ['<script type="module" src="/page.js">']
    for path, kind in (("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml")):
        response = client.get(path)
        assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, kind)
    for response in (page, client.get("/nothing"), client.get("/healthz"), client.get("/", headers={"Host": "evil"})):
        assert response.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "access-control-allow-origin" not in response.headers


def test_the_schema_has_examples(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert sorted(schema["paths"]) == [
        "/api/about",
        "/api/examples",
        "/api/examples/{place}",
        "/api/pictures",
        "/api/suggest",
        "/healthz",
        "/metrics",
    ]
    ask = schema["components"]["schemas"]["Ask"]
    assert ask["examples"] == [{"caption": "no excuses today", "tags": ["fitness"], "platform": "instagram"}]
    assert suggest(client, **ask["examples"][0])["hashtags"][0]["hashtag"] == "photooftheday"
    assert "image/jpeg" in schema["paths"]["/api/pictures"]["post"]["requestBody"]["content"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]


class Faulty(SuggesterDouble):
    def suggest(self, picture: Any = None, caption: str = "", **_: Any) -> Any:
        raise ValueError(f"cannot stand {caption}")


def test_nothing_that_was_written_is_logged(
    start: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = start(Faulty())
    response = client.post("/api/suggest", json={"caption": "my secret plan", "tags": ["hushhush"]})
    assert response.status_code == 500
    assert response.json() == {"error": "the server failed on this request; its log says where"}
    assert "ValueError in /api/suggest" in caplog.text
    client.post("/api/suggest", json={"caption": "my secret plan", "max": -1, "tags": ["hushhush"]})
    client.post("/api/pictures", content=b"my secret plan", headers={"Content-Type": "image/png"})
    seen = caplog.text + "".join(capfd.readouterr())
    assert "secret" not in seen
    assert "hushhush" not in seen


def test_upload_limit_in_process(start: Start) -> None:
    client = start(bounds=Bounds(uploads=0))
    response = client.post("/api/suggest", json={"caption": "x"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
