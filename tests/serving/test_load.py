"""Many at once, memory that ends, and a model that is replaced meanwhile."""

import asyncio
import concurrent.futures
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from hashgen.base.errors import HashgenError
from hashgen.serving.app import Bounds, create_app
from hashgen.serving.live import Live
from hashgen.serving.memory import Memory, Shared
from hashgen.serving.pool import Busy, Pool
from tests.doubles.suggester_double import SuggesterDouble, load_double
from tests.serving.conftest import Listening, Start, picture


def test_past_the_bound_the_answer_is_at_once_503(listening: Listening) -> None:
    """One works, two wait; the fourth is not kept waiting. Those that were accepted are answered."""
    hold = threading.Event()
    double = SuggesterDouble(hold=hold)
    address = listening(double, Bounds(suggesters=1, waiting=2))

    def ask(number: int) -> int:
        return httpx.post(f"{address}/api/suggest", json={"caption": f"train {number}"}, timeout=30).status_code

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        accepted = [threads.submit(ask, number) for number in range(3)]
        while 'hashgen_waiting{work="suggestions"} 3.0' not in httpx.get(f"{address}/metrics").text:
            time.sleep(0.01)
        refused = httpx.post(f"{address}/api/suggest", json={"caption": "x"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json() == {"error": "too busy; try again in a second"}
        # What does not need the model goes on.
        assert httpx.get(f"{address}/healthz").status_code == 200
        hold.set()
        assert [one.result() for one in accepted] == [200, 200, 200]
    assert ask(9) == 200


def test_many_typists_are_all_answered(listening: Listening) -> None:
    address = listening()

    def type_words(number: int) -> list[int]:
        with httpx.Client() as client:
            asks = [{"caption": f"train {number} {word}"} for word in range(10)]
            return [client.post(f"{address}/api/suggest", json=ask).status_code for ask in asks]

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        assert list(threads.map(type_words, range(16))) == [[200] * 10] * 16


def test_work_that_takes_too_long_is_given_up(start: Start) -> None:
    hold = threading.Event()
    client = start(SuggesterDouble(hold=hold), bounds=Bounds(work_seconds=0.05))
    response = client.post("/api/pictures", content=picture(), headers={"Content-Type": "image/jpeg"})
    hold.set()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.json() == {"error": "this took too long; try again, or a smaller picture"}


def test_a_pool_counts_what_its_callers_gave_up() -> None:
    hold = threading.Event()

    async def scenario() -> None:
        pool = Pool(threads=1, waiting=0, seconds=0.01)
        with pytest.raises(TimeoutError):
            await pool.run(hold.wait)
        with pytest.raises(Busy):
            await pool.run(int)
        hold.set()
        while pool.held:
            await asyncio.sleep(0.01)
        assert await pool.run(int, "7") == 7
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        assert pool.held == 0
        pool.close()

    asyncio.run(scenario())


def test_memory_forgets_the_least_recently_used() -> None:
    memory = Memory(capacity=2)
    first, second = memory.put(1, "m"), memory.put(2, "m")
    assert memory.get(first, "m") == 1
    third = memory.put(3, "m")
    assert [memory.get(name, "m") for name in (first, second, third)] == [1, None, 3]
    assert memory.purge() == 2


def test_memory_forgets_with_time() -> None:
    now = [0.0]
    memory = Memory(seconds=10, clock=lambda: now[0])
    first, second = memory.put(1, "m"), memory.put(2, "m")
    now[0] = 8
    assert memory.get(first, "m") == 1
    now[0] = 11
    assert (memory.get(second, "m"), memory.get(first, "m")) == (None, 1)
    now[0] = 30
    assert memory.purge() == 0


def test_memory_belongs_to_a_model() -> None:
    memory = Memory()
    name = memory.put(1, "old")
    assert memory.get(name, "new") is None
    assert memory.get(name, "old") == 1
    assert memory.get("unknown", "old") is None


def test_shared_memory_holds_bytes() -> None:
    memory = Memory()
    shared = Shared(memory)
    name = shared.put((1, 2), "m")
    assert isinstance(memory.get(name, "m"), bytes)
    assert (shared.get(name, "m"), shared.get("other", "m"), shared.purge()) == ((1, 2), None, 1)


def test_pictures_fill_no_memory(start: Start) -> None:
    memory = Memory(capacity=3)
    client = start(pictures=memory)
    header = {"Content-Type": "image/jpeg"}
    names = [client.post("/api/pictures", content=picture(), headers=header).json()["picture"] for _ in range(5)]
    assert memory.purge() == 3
    assert [client.post("/api/suggest", json={"picture": name}).status_code for name in names] == [
        404,
        404,
        200,
        200,
        200,
    ]


def write(model: Path, text: str) -> None:
    """As training does it: beside the old one, which it then replaces by two renames."""
    new, old = model.with_name("new"), model.with_name("old")
    new.mkdir()
    (new / "model.json").write_text(text)
    model.rename(old)
    new.rename(model)
    shutil.rmtree(old)


def wait_for(client: TestClient, is_there: Callable[[Any], bool]) -> Any:
    for _ in range(500):
        about = client.get("/api/about").json()["model"]
        if is_there(about):
            return about
        time.sleep(0.01)
    raise AssertionError(about)


def test_a_new_model_takes_over(start: Start, model: Path) -> None:
    client = start(look_seconds=0.01)
    name = client.post("/api/pictures", content=picture(), headers={"Content-Type": "image/jpeg"}).json()["picture"]
    assert client.post("/api/suggest", json={"picture": name}).status_code == 200
    write(model, "second")
    wait_for(client, lambda about: about["model"] == "second")
    # It reads pictures in its own way.
    assert client.post("/api/suggest", json={"picture": name}).status_code == 404


def test_a_broken_model_changes_nothing_but_the_warnings(start: Start, model: Path) -> None:
    client = start(look_seconds=0.01)
    write(model, "broken")
    warning = f"the newest model cannot be loaded, so the one before it answers ({model.name}: damaged; train again)"
    about = wait_for(client, lambda about: about["warnings"] != [])
    assert (about["model"], about["warnings"]) == ("first", [warning])
    answer = client.post("/api/suggest", json={"caption": "train"}).json()
    assert answer["warnings"] == ["no picture: the caption alone decides", warning]
    write(model, "third")
    assert wait_for(client, lambda about: about["model"] == "third")["warnings"] == []


def test_a_model_that_is_away_for_an_instant(model: Path) -> None:
    live = Live(model, load_double)

    async def scenario() -> None:
        await live.open()
        shutil.rmtree(model)
        assert not await live.check()
        assert live.warnings == []

    asyncio.run(scenario())


def test_not_ready_before_the_model_is_loaded(model: Path) -> None:
    hold, ready = threading.Event(), threading.Event()

    def load(folder: Path) -> SuggesterDouble:
        hold.wait()
        return load_double(folder)

    app = create_app(Live(model, load), started=lambda _: ready.set())
    with TestClient(app, base_url="http://localhost") as client:
        for response in (client.get("/healthz"), client.post("/api/suggest", json={"caption": "x"})):
            assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
            assert response.json() == {"error": "the model is being loaded; try again in a few seconds"}
        assert client.get("/").status_code == 200
        hold.set()
        assert ready.wait(10)
        assert client.get("/healthz").json() == {"status": "ready"}


def test_a_first_model_that_cannot_be_loaded_is_told(model: Path) -> None:
    (model / "model.json").write_text("broken")
    faults: list[Exception | None] = []
    told = threading.Event()

    def started(fault: Exception | None) -> None:
        faults.append(fault)
        told.set()

    with TestClient(create_app(Live(model, load_double), started=started), base_url="http://localhost"):
        assert told.wait(10)
    (fault,) = faults
    assert isinstance(fault, HashgenError)
