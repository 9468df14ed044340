"""What is checked before a request reaches the API, and said with every answer."""

import asyncio
import dataclasses
import ipaddress
import logging
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# How long, and how much of, a body that was refused is still read: a client that is writing would not see the answer
# if the connection were closed on it.
_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 64 * 2**20


def is_loopback(host: str) -> bool:
    """Whether a server on `host`, a name or an address, is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclasses.dataclass(frozen=True)
class Body:
    """What a path takes: at most `limit` bytes, of a content type that starts with `kind`."""

    limit: int
    kind: str


class _Refused(Exception):
    """pending: whether the client may still be sending a body."""

    def __init__(self, status: int, message: str, *, pending: bool = True) -> None:
        super().__init__(message)
        self.status, self.pending = status, pending


class Guard:
    """ASGI middleware: who may ask, how much, and how fast.

    hosts: names besides LOOPBACK under which the server may be called. bodies: what each path takes that takes a body.
    seconds: how long a body may take to arrive. uploads: how many bodies may arrive at once. count: told the route's
    path (`other` for none), the status and the seconds of every answer. A faulty handler is logged without what the
    request said.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        bodies: Mapping[str, Body],
        seconds: float,
        uploads: int,
        count: Callable[[str, int, float], None],
    ) -> None:
        self._count = count
        self._app, self._bodies, self._seconds, self._places = app, bodies, seconds, uploads
        self._named = {host.lower() for host in hosts}
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 0, time.perf_counter()

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                refused = scope["path"] if scope["path"] in self._bodies else "other"
                self._count(str(getattr(scope.get("route"), "path", refused)), status, time.perf_counter() - begun)
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_sender(scope["method"], headers)
            ready = await self._with_body(scope, headers, receive)
        except _Refused as refused:
            await _refuse(scope, receive, dressed, refused)
            return
        try:
            await self._app(scope, ready, dressed)
        except Exception as error:
            # Neither its message nor the values that it met: they may hold a caption.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s in %s\n%s", type(error).__name__, scope["path"], where)
            if not status:
                answer = JSONResponse({"error": "the server failed on this request; its log says where"}, 500)
                await answer(scope, receive, dressed)

    def _check_sender(self, method: str, headers: Headers) -> None:
        """Refuse names that are not ours (DNS rebinding), and pages of others that make a browser post to us."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or _hostname(hosts[0]) not in LOOPBACK | self._named:
            raise _Refused(403, "Host: not a name of this server; start it with --allow-host NAME to allow it")
        site = headers.get("sec-fetch-site", "")
        foreign = any(not self._is_ours(origin, hosts[0]) for origin in origins)
        if foreign or (site == "cross-site" and method not in ("GET", "HEAD")):
            raise _Refused(403, "Origin: requests from pages of other sites are refused")

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page at `origin` is our own. A proxy may call us by another name than a browser calls it.

        Not so on this machine, where another port is another program.
        """
        netloc = origin.partition("://")[2]
        name = _hostname(netloc)
        return netloc.lower() == host.lower() or (name in self._named and not is_loopback(name))

    async def _with_body(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive` with the whole body read already, where the path takes one."""
        body = self._bodies.get(scope["path"])
        if body is None or scope["method"] != "POST":
            return receive
        if not headers.get("content-type", "").lower().startswith(body.kind):
            expected = f"{body.kind}…" if body.kind.endswith("/") else body.kind
            raise _Refused(415, f"Content-Type: must be {expected}")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > body.limit:
            raise _Refused(413, _too_large(body))
        if self._arriving >= self._places:
            raise _Refused(503, "too busy: too many uploads at once; try again in a second")
        self._arriving += 1
        try:
            async with asyncio.timeout(self._seconds):
                data = await _read(receive, body)
        except TimeoutError:
            message = f"the body took longer than {self._seconds:g} s to arrive; send it again"
            raise _Refused(408, message, pending=False) from None
        finally:
            self._arriving -= 1

        handed = False

        async def replay() -> Message:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": data, "more_body": False}

        return replay


async def _read(receive: Receive, body: Body) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the body ended too early", pending=False)
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > body.limit:
            raise _Refused(413, _too_large(body), pending=more)
        parts.append(message.get("body", b""))
        if not more:
            return b"".join(parts)


def _too_large(body: Body) -> str:
    size = f"{body.limit // 2**20} MiB" if body.limit >= 2**20 else f"{body.limit // 2**10} KiB"
    return f"larger than {size}; send less"


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: _Refused) -> None:
    """Answer at once, then read on a little."""
    later = {"Retry-After": "1"} if refused.status == 503 else {}
    answer = JSONResponse({"error": str(refused)}, refused.status, {"Connection": "close", **later})
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    size, more = 0, refused.pending and scope["method"] == "POST"
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while more and size < _DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _hostname(netloc: str) -> str:
    """`netloc` without its port, in lower case; empty if it is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.netloc == netloc and "@" not in netloc else ""
