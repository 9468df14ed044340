"""HTTPS with requests and a deadline for the whole exchange: reading ends in time, however slowly bytes arrive."""

import http.client
import io
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

# Longest wait for a connection and for the next bytes, in seconds.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 20.0
# A server that asks to wait for longer, in seconds, is left alone.
LONGEST_WAIT = 60.0

# These log addresses with their queries: at level debug, and as a warning if headers are malformed.
_LOGGERS = ("urllib3.connection", "urllib3.connectionpool")


class TimedAdapter(HTTPAdapter):
    """An adapter for requests whose reads, of headers and bodies, stop when `remaining()` seconds have passed.

    They then raise the same error as any other read timeout. requests limits each wait for bytes, but not the total.
    """

    def __init__(self, remaining: Callable[[], float]) -> None:
        class Response(_TimedResponse):
            time_left = staticmethod(remaining)

        class Connection(HTTPSConnection):
            response_class = Response

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self._pools: dict[str, type] = {"https": Pool}
        super().__init__(pool_connections=2, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """As in requests, but of timed connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """As in requests, but of timed connections."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


class _TimedResponse(http.client.HTTPResponse):
    time_left: Callable[[], float]

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, self.time_left))


class _TimedReader(io.RawIOBase):
    """The bytes of a socket; before each wait for more the socket's timeout is set to what is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._raw, self._sock, self._remaining = raw, sock, remaining

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._remaining()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(min(READ_TIMEOUT, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep urllib3 from logging addresses, which may be signed, whatever the level."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(_nothing)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After of seconds or of a date (RFC 9110, 10.2.3); None for anything else."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value, re.ASCII):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
