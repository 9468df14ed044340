"""A CDN of pictures that answers as it is told, a clock that passes at once, and a fetcher between them."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from PIL import Image

from hashgen.sources.instagram.fetching import REASONS, FetchFault, PictureFetcher
from tests.doubles.tls_double import Answer, Request, TlsDouble

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


def redirect(target: str, status: int = 302) -> Answer:
    return Answer(status, headers={"Location": target})


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
        changes = {"per_minute": 10**18, "max_side": None, "min_side": 32, "max_pixels": 10**6, **options}
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
