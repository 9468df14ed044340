"""Asks a server that speaks OpenAI's chat completions, by default one on this machine only."""

import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from hashgen.base.errors import HashgenError
from hashgen.params.baselines import Vlm

# Never in a parameter: those are committed, and shown in reports.
KEY = "HASHGEN_VLM_KEY"

# Seconds before another try where the server is busy or failed; a server that asks to wait for longer ends the run.
WAITS = (2.0, 8.0, 30.0)
LONGEST_WAIT = 120.0
# Bytes of an answer; one of a few hashtags has a thousandth of it.
MAX_BYTES = 4 * 2**20

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_QUOTED = 200


class BudgetSpent(Exception):
    """No request is left to this run (`baselines.vlm.budget`)."""


class Client:
    """One server. sleep and monotonic are the clock.

    Without `remote` the address must be of this machine; of such an address no proxy learns. Redirects are never
    followed. Raises HashgenError for an address that is not allowed and for a key that cannot be one.
    """

    def __init__(
        self,
        vlm: Vlm,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vlm = vlm
        self._url = f"{vlm.url.rstrip('/')}/chat/completions"
        self._left = vlm.budget
        self._sleep, self._monotonic = sleep, monotonic
        self._key = _read_key()
        host = urlsplit(vlm.url).hostname or ""
        is_here = _is_here(host)
        if not is_here and not vlm.remote:
            raise HashgenError(
                f"baselines.vlm.url: {host} is not this machine, and pictures and captions would leave it; use "
                "127.0.0.1 or localhost, or set baselines.vlm.remote: true"
            )
        self._session = requests.Session()
        self._session.trust_env = not is_here
        # Set as an authentication: as a header only, requests would replace it by what .netrc has for the host.
        self._session.auth = self._authorise

    def close(self) -> None:
        """Close the connection that is kept for the next question."""
        self._session.close()

    def ask(self, body: dict[str, Any]) -> str:
        """The text that the model answers; "" if it answers nothing.

        A busy or failing server (429, 5xx) gets some more tries, after growing waits that are at least what it asks
        for. Raises BudgetSpent, and HashgenError for everything else that goes wrong.
        """
        for wait in WAITS:
            status, text, retry_after = self._post(body)
            if status != 429 and status < 500:
                break
            if (retry_after or 0.0) > LONGEST_WAIT:
                raise HashgenError(
                    f"{self._url}: asks to wait for {retry_after:,.0f} seconds ({status}{self._said(text)}); run the "
                    "stage baselines again then, known answers are kept"
                )
            self._sleep(max(wait, retry_after or 0.0))
        else:
            status, text, _ = self._post(body)
        if status != 200:
            raise self._refusal(status, text)
        return self._answer(text)

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _post(self, body: dict[str, Any]) -> tuple[int, str, float | None]:
        """One request: status, body, and the seconds that the server asks to wait."""
        if not self._left:
            raise BudgetSpent
        self._left -= 1
        seconds = self._vlm.timeout_seconds
        ends = self._monotonic() + seconds
        try:
            response = self._session.post(
                self._url,
                json=body,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            )
            with closing(response):
                text = self._read(response, ends)
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            raise HashgenError(
                f"{self._url}: no answer within {seconds:g} seconds; raise baselines.vlm.timeout_seconds, or run the "
                "stage baselines again"
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise HashgenError(
                f"{self._url}: no connection ({_reason(error)}); start the server, or fix baselines.vlm.url"
            ) from None
        return response.status_code, text, _retry_after(response)

    def _read(self, response: requests.Response, ends: float) -> str:
        pieces: list[bytes] = []
        length = 0
        # Piece by piece as it arrives: the timeout is of each wait for bytes, and they may come slowly for ever.
        while piece := response.raw.read1(2**16, decode_content=True):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_BYTES:
                raise HashgenError(
                    f"{self._url}: the answer has more than {MAX_BYTES // 2**20} MiB; fix baselines.vlm.url"
                )
            if self._monotonic() > ends:
                raise TimeoutError
        return b"".join(pieces).decode("utf-8", "replace")

    def _answer(self, text: str) -> str:
        try:
            content = json.loads(text)["choices"][0]["message"]["content"]
            if not isinstance(content, str | None):
                raise TypeError
        except (ValueError, TypeError, LookupError, RecursionError):
            raise HashgenError(
                f"{self._url}: not an answer of an OpenAI-compatible server{self._said(text)}; fix baselines.vlm.url, "
                "which often ends in /v1"
            ) from None
        # Half of a surrogate pair, which JSON allows, could not be stored.
        return (content or "").encode("utf-8", "replace").decode()

    def _refusal(self, status: int, text: str) -> HashgenError:
        if status in (401, 403):  # not quoted: some servers repeat a part of the key
            what = f"refused the key in {KEY}" if self._key else "asks for a key"
            return HashgenError(f"{self._url}: {what} ({status}); set the environment variable {KEY} to a valid one")
        said = f"{status}{self._said(text)}"
        if 300 <= status < 400:
            return HashgenError(f"{self._url}: leads elsewhere ({status}); fix baselines.vlm.url")
        if status == 404:
            return HashgenError(
                f"{self._url}: no such address, or no model {self._vlm.model!r} ({said}); fix baselines.vlm.url or "
                "baselines.vlm.model"
            )
        if status == 429 or status >= 500:
            return HashgenError(
                f"{self._url}: still busy or failing after {1 + len(WAITS)} tries ({said}); run the stage baselines "
                "again later, known answers are kept"
            )
        return HashgenError(f"{self._url}: refused the request ({said}); fix baselines.vlm")

    def _said(self, text: str) -> str:
        """What a server says is wrong, in short and on one line, after a colon; never the key."""
        if self._key:
            text = text.replace(self._key, "…")
        try:
            document = json.loads(text)
            found = document.get("error", document.get("detail", document.get("message")))
            text = str(found["message"] if isinstance(found, dict) else found or "")
        except (ValueError, AttributeError, LookupError, RecursionError):
            pass
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        return f": {line[:_QUOTED]}" if line else ""


def _read_key() -> str:
    key = os.environ.get(KEY, "").strip()
    if key and not re.fullmatch(r"[!-~]+", key):
        raise HashgenError(f"{KEY}: holds blanks or letters that no key has; set it to the key alone")
    return key


def _is_here(host: str) -> bool:
    """Whether a host is this machine: 127.0.0.0/8, ::1, or localhost where it is nothing else."""
    if host != "localhost":
        return _is_loopback(host)
    try:
        found = {str(address[0]) for *_, address in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(map(_is_loopback, found))


def _is_loopback(address: str) -> bool:
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(number in network for network in _LOOPBACK)


def _retry_after(response: requests.Response) -> float | None:
    try:
        return urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", ""))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _reason(error: BaseException) -> str:
    """The system's own words for what went wrong, which requests wraps in many others; else the kind of fault."""
    cause = error
    while not (isinstance(cause, OSError) and isinstance(cause.strerror, str)):
        within = cause.__cause__ or cause.__context__
        if within is None:
            return type(cause).__name__
        cause = within
    return cause.strerror
