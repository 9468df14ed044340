"""The server around a real model of the tiny world: both say the same."""

import json
import threading
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from hashgen import Suggester
from hashgen.serving import schema
from hashgen.serving.app import create_app
from hashgen.serving.live import Live
from hashgen.serving.server import load_model
from tests.doubles.model_folder import write_model_folder


def test_the_server_says_what_the_suggester_says(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    suggester, data = Suggester.load(folder), (tmp_path / "picture.png").read_bytes()
    ready = threading.Event()
    app = create_app(Live(folder, load_model), started=lambda _: ready.set())
    with TestClient(app, base_url="http://localhost") as client:
        assert ready.wait(60)
        assert client.get("/api/about").json()["model"] == suggester.about
        sent = client.post("/api/pictures", content=data, headers={"Content-Type": "image/png"})
        name = sent.json()["picture"]
        asked: list[dict[str, Any]] = [
            {},
            {"max": 3},
            {"platform": "threads"},
            {"max": 4, "mix": "niche", "explain": True},
        ]
        for options in asked:
            answer = client.post("/api/suggest", json={"picture": name, "caption": "a sunny day", **options}).json()
            said = suggester.suggest(data, "a sunny day", **options).to_json()
            assert answer == json.loads(json.dumps(said))
            assert schema.Reply.model_validate(answer, strict=True).hashtags
        refused = client.post("/api/suggest", json={"caption": "a sunny day", "platform": "myspace"})
        assert refused.status_code == 422
        assert refused.json()["error"].startswith("platform: no 'myspace'; use one of instagram, ")
