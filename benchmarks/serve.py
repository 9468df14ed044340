"""How fast `hashgen serve` answers, beside a plain handler that encodes the picture for every request.

Run as `python -m benchmarks.serve`. Both serve the same model on loopback, one after the other. Measured are: the time
from the start of the process to its first answer; suggestions for a picture that the server knows, one at a time; new
pictures of 12 megapixels, sent and suggested for; and typists who ask after every key, with the memory before and
after.
"""

import asyncio
import contextlib
import io
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import typer
from PIL import Image

from hashgen.base.files import write_json

CAPTION = "Morning run along the sea, no excuses today. Coffee with friends after that, then back to work."
# A key every 0.3 s is 40 words a minute.
KEY_SECONDS = 0.3
HOST = "127.0.0.1"


def draw(width: int, height: int, seed: int) -> bytes:
    """A JPEG of soft coloured blots with the grain of a camera."""
    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += chance.integers(-6, 7, pixels.shape, dtype=np.int16)
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
    return stream.getvalue()


class Client:
    """One connection, kept open. httpx would take more of the processor than the server does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["Client"]:
        """Connect, and close at the end."""
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def post(self, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(line for line in answer.lower().split("\r\n") if line.startswith("content-length:"))
        return int(answer.split(" ", 2)[1]), await self._reader.readexactly(int(length.partition(":")[2]))


class Ours:
    """Asks `hashgen serve`: the picture is sent once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._name = ""

    async def picture(self, data: bytes) -> None:
        """Send a picture."""
        status, answer = await self._client.post("/api/pictures", data, "image/jpeg")
        assert status == 200, answer
        self._name = json.loads(answer)["picture"]

    async def ask(self, caption: str) -> int:
        """Status of an answer for that picture and this caption."""
        body = json.dumps({"picture": self._name, "caption": caption, "max": 12}).encode()
        return (await self._client.post("/api/suggest", body, "application/json"))[0]


class Plain:
    """Asks the plain handler: the picture goes with every request."""

    def __init__(self, client: Client) -> None:
        self._client, self._data = client, b""

    async def picture(self, data: bytes) -> None:
        """Remember a picture."""
        self._data = data

    async def ask(self, caption: str) -> int:
        """Status of an answer for that picture and this caption."""
        path = f"/suggest?caption={quote(caption)}"
        return (await self._client.post(path, self._data, "image/jpeg"))[0]


def ours(model: Path, port: int, workers: int) -> list[str]:
    """The command of `hashgen serve`."""
    options = ["--model", str(model), "--port", str(port), "--workers", str(workers)]
    return [sys.executable, "-m", "hashgen", "serve", *options]


def plain(model: Path, port: int, _: int) -> list[str]:
    """The command of the plain handler."""
    return [sys.executable, "-c", f"from benchmarks.serve import *; serve_plain({str(model)!r}, {port})"]


def serve_plain(model: str, port: int) -> None:
    """What one writes in ten lines: load the model, call it for each request."""
    import uvicorn
    from fastapi import FastAPI, Request
    from starlette.concurrency import run_in_threadpool

    from hashgen import Suggester

    suggester = Suggester.load(model)
    app = FastAPI()

    @app.post("/suggest")
    async def suggest(request: Request, caption: str) -> Any:
        data = await request.body()
        return await run_in_threadpool(lambda: suggester.suggest(data, caption, max=12).to_json())

    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.run(app, host=HOST, port=port, log_level="error")


@contextlib.contextmanager
def running(command: Any, model: Path, workers: int) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and process id."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(command(model, port, workers), stdout=subprocess.DEVNULL)
    try:
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


async def first_answer(port: int) -> None:
    """Wait until the server answers a caption."""
    while True:
        try:
            async with Client.open(port) as client:
                for path, body, kind in (
                    ("/api/suggest", b'{"caption": "x"}', "application/json"),
                    ("/suggest?caption=x", draw(64, 64, 1), "image/jpeg"),
                ):
                    if (await client.post(path, body, kind))[0] == 200:
                        return
        except OSError:
            pass
        await asyncio.sleep(0.02)


async def timed(work: Any) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    begun = time.perf_counter()
    result = await work
    return 1000 * (time.perf_counter() - begun), result


async def one_at_a_time(asker: Any, picture: bytes, asks: int) -> list[float]:
    """Suggestions for one picture, for a caption that grows; the first ten are not counted."""
    await asker.picture(picture)
    return [(await timed(asker.ask(CAPTION[: 3 + place % 90])))[0] for place in range(asks + 10)][10:]


async def new_pictures(asker: Any, pictures: list[bytes]) -> list[float]:
    """Pictures that the server has not seen, sent and suggested for."""

    async def both(data: bytes) -> None:
        await asker.picture(data)
        assert await asker.ask(CAPTION) == 200

    return [(await timed(both(data)))[0] for data in pictures]


async def typists(kind: Any, port: int, count: int, seconds: float, picture: bytes) -> tuple[list[float], int]:
    """Times of the answers to people who type at once, and how many requests failed."""
    found: list[float] = []
    failed = 0
    end = time.monotonic() + seconds

    async def write(number: int) -> None:
        nonlocal failed
        chance = random.Random(number)
        async with Client.open(port) as client:
            asker = kind(client)
            await asker.picture(picture)
            place = 0
            while time.monotonic() < end:
                await asyncio.sleep(KEY_SECONDS * chance.uniform(0.5, 1.5))
                place += 1
                took, status = await timed(asker.ask(CAPTION[: 3 + place % 90]))
                found.append(took)
                failed += status != 200

    await asyncio.gather(*(write(number) for number in range(count)))
    return found, failed


def memory(pid: int) -> float:
    """Resident memory of a process and its children, MB; 0 where /proc does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return own / 1024 + sum(memory(int(child)) for child in children)


def shown(times: list[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return {"n": len(times), "p50_ms": statistics.median(times), "p95_ms": cuts[18], "most_ms": max(times)}


async def measure(
    kind: Any, port: int, pid: int, asks: int, count: int, seconds: float, begun: float
) -> dict[str, Any]:
    """All that is measured of one server."""
    async with asyncio.timeout(120):
        await first_answer(port)
    start = time.perf_counter() - begun
    small, large = draw(1080, 1080, 0), [draw(4000, 3000, seed) for seed in range(1, 21)]
    async with Client.open(port) as client:
        known = await one_at_a_time(kind(client), small, asks)
        new = await new_pictures(kind(client), large)
    before = memory(pid)
    typed, failed = await typists(kind, port, count, seconds, small)
    return {
        "start_seconds": start,
        "known_picture": shown(known),
        "new_picture_12_megapixels": shown(new),
        "typists": {"people": count, "seconds": seconds, "failed": failed, **shown(typed)},
        "memory_mb": {"before": before, "after": memory(pid)},
    }


def main(
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/hashgen"),
    seconds: Annotated[float, typer.Option(min=1, max=300, help="How long the typists write.")] = 60,
    people: Annotated[int, typer.Option(min=1, max=200, help="How many type at once.")] = 32,
    asks: Annotated[int, typer.Option(min=20, max=5000, help="Suggestions for a known picture.")] = 300,
    workers: Annotated[int, typer.Option(min=1, max=64, help="As for hashgen serve.")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Print the figures of both servers as a table."""
    found = {}
    for name, command, kind in (("hashgen serve", ours, Ours), ("plain handler", plain, Plain)):
        begun = time.perf_counter()
        with running(command, model, workers) as (port, pid):
            found[name] = asyncio.run(measure(kind, port, pid, asks, people, seconds, begun))
        print(f"{name}: measured", file=sys.stderr)
    if out is not None:
        write_json(out, found)
    every = list(found.values())
    print(f"| | {' | '.join(found)} |\n|---|{'---:|' * len(found)}")

    def row(label: str, *values: str) -> None:
        print(f"| {label} | {' | '.join(values)} |")

    row("start to first answer, s", *(f"{one['start_seconds']:.1f}" for one in every))
    for label, key in (
        ("known picture", "known_picture"),
        ("new 12-megapixel JPEG", "new_picture_12_megapixels"),
        (f"{people} typists", "typists"),
    ):
        row(f"{label}, p50 / p95, ms", *(f"{one[key]['p50_ms']:.0f} / {one[key]['p95_ms']:.0f}" for one in every))
    row("answers to typists, failed", *(f"{one['typists']['n']:,}, {one['typists']['failed']}" for one in every))
    memories = [one["memory_mb"] for one in every]
    row("memory before / after typists, MB", *(f"{one['before']:.0f} / {one['after']:.0f}" for one in memories))


if __name__ == "__main__":
    typer.run(main)
