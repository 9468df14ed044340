"""A server around a suggester that knows no model: in process, or listening on a port."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from hashgen.serving.app import Bounds, create_app
from hashgen.serving.live import Live
from tests.doubles.suggester_double import SuggesterDouble, load_double

Start = Callable[..., TestClient]
Listening = Callable[..., str]


def picture(colour: str = "blue", size: tuple[int, int] = (40, 30), kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that `load_double` loads."""
    folder = tmp_path / "models" / "hashgen"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("first")
    return folder


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Start an application and wait until it is ready; its double is `client.app.state.double`."""
    with ExitStack() as stack:

        def run(double: SuggesterDouble | None = None, **options: Any) -> TestClient:
            ready = threading.Event()

            def load(folder: Path) -> SuggesterDouble:
                return double or load_double(folder)

            app = create_app(Live(model, load), started=lambda _: ready.set(), **options)
            client = stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000"))
            assert ready.wait(10)
            return client

        yield run


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


@pytest.fixture
def listening(model: Path) -> Iterator[Listening]:
    """Start an application on a free port of 127.0.0.1; gives its address."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def run(double: SuggesterDouble | None = None, bounds: Bounds | None = None, **options: Any) -> str:
        ready = threading.Event()
        app = create_app(
            Live(model, lambda folder: double or load_double(folder)),
            started=lambda _: ready.set(),
            bounds=bounds or Bounds(),
            **options,
        )
        config = uvicorn.Config(app, port=0, access_log=False, log_config=None, log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        assert ready.wait(10)
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield run
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)
