"""Downloads a picture from Instagram's CDN: politely, within limits, checked, without metadata."""

import random
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urljoin

import requests
import urllib3

from hashgen.pictures.decode import BadPicture, check_picture
from hashgen.pictures.stripping import strip_metadata
from hashgen.sources.instagram.answers import is_login_page, login_refusal, read_redirect
from hashgen.sources.instagram.transport import (
    CONNECT_TIMEOUT,
    LONGEST_WAIT,
    READ_TIMEOUT,
    TimedAdapter,
    read_retry_after,
    unlogged,
)

MAX_BYTES = 32 * 2**20  # of a body as it is sent, and as it is unpacked
DEADLINE = 60.0  # seconds for all tries of a picture together, waits between them not counted
MAX_REDIRECTS = 3
# Seconds before the second and the third try, times 0.5..1.5 by chance.
WAITS = (2.0, 8.0)

# The same address fails again.
PERMANENT = (
    "http_403",  # of this address; many in a row mean something else
    "http_404",
    "http_410",
    "http_4xx",  # any other
    "http_other",  # neither a success with a body, nor a redirect, nor an error
    "url_expired",  # the signed address has expired
    "not_https",
    "foreign_host",  # not Instagram's CDN
    "redirects",  # too many
    "not_image",
    "too_small",  # a side below min_side
    "too_large",  # more than max_pixels, or than MAX_BYTES
)
# Tried three times; may work later.
PASSING = ("truncated", "empty", "timeout", "network", "http_5xx")
# A certificate that is not the host's: not the fault of a picture, and an immediate retry does not help.
UNTRUSTED = "tls"
# The server asks to stop.
REFUSALS = ("http_401", "http_429", "http_503")
REASONS = (*PERMANENT, *PASSING, UNTRUSTED, *REFUSALS)

_REDIRECTS = (301, 302, 303, 307, 308)
_REFUSED = (401, 429)
# No user, no port but 443, no number, and nothing between host and path that another parser may read otherwise.
_ADDRESS = re.compile(
    r"https://(?:[a-z0-9_-]{1,63}\.)+(?:cdninstagram\.com|fbcdn\.net)(?::443)?(?=[/?#]|\Z)", re.ASCII | re.IGNORECASE
)
_EXPIRY = re.compile(r"[?&]oe=([0-9a-f]{1,12})(?=[&#]|\Z)", re.ASCII | re.IGNORECASE)
# Sound kinds of picture that are not decoded here: HEIF, JPEG XL, JPEG 2000.
_FOREIGN_PICTURE = re.compile(
    rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)|\xff\x0a|\0\0\0\x0c(JXL |jP  )\r\n\x87\n", re.DOTALL
)
# What the CDN answers with 403 if the address is at fault, and not the client.
_SPENT = re.compile(rb"URL signature (expired|mismatch)|Bad URL (timestamp|hash)", re.IGNORECASE)
_DETAILS = {"not_an_image": "not_image"}
_PIECE = 2**16


class FetchFault(Exception):
    """No picture. reason: one of REASONS, which is all that the message says: addresses are signed.

    permanent: the same address will fail again. Otherwise (except for `tls`) tries or time ran out, and it may work
    later. retry_after: seconds that the server asked to wait, None if it did not say. served: a whole picture came, but
    not a usable one, so the servers do serve us.
    """

    def __init__(self, reason: str, retry_after: float | None = None, *, served: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = reason in PERMANENT
        self.retry_after = retry_after
        self.served = served


class Refused(FetchFault):
    """The server asks to stop: 401, 429, 503 for more than LONGEST_WAIT.

    status: of HTTP. Never tried again.
    """

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"http_{status}", retry_after)
        self.status = status


class PictureFetcher:
    """Fetches pictures one at a time, the starts of any two tries at least 60 / `per_minute` seconds apart.

    The first one waits as long too: another process may have been downloading until now.

    Proxies and CA bundles come from `session` and its environment as in requests, TLS is always verified; of the
    session's headers only User-Agent is sent, of its cookies none. min_side, max_pixels: as `check_picture`; max_side:
    as `strip_metadata`. logged_in: whether listings are read with a login, for the words of a refusal. sleep,
    monotonic, now (epoch seconds) and chance (0..1) are the clock and the die.
    """

    def __init__(
        self,
        session: requests.Session,
        *,
        per_minute: int,
        max_side: int | None,
        min_side: int,
        max_pixels: int,
        logged_in: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._gap = 60 / per_minute
        self._max_side, self._min_side, self._max_pixels = max_side, min_side, max_pixels
        self._logged_in = logged_in
        self._sleep, self._monotonic, self._now, self._chance = sleep, monotonic, now, chance
        self._next_start = monotonic() + self._gap
        self._ends = 0.0
        self._adapter = TimedAdapter(lambda: self._ends - self._monotonic())

    def fetch(self, url: str) -> bytes:
        """A picture, complete, upright and without metadata.

        Passing faults get up to three tries in DEADLINE seconds, with growing waits that are at least what the server
        asks for; all others get one. Raises FetchFault; if it is Refused, nothing more should be requested for now.
        Raises Refusal where a login page comes, or a redirect leads to one or to another page of a refusal.
        """
        self._ends = self._monotonic() + DEADLINE
        for wait in WAITS:
            try:
                return self._clean(self._transfer(url))
            except FetchFault as fault:
                if fault.reason not in PASSING or self._monotonic() >= self._ends:
                    raise
                self._wait(max(wait * (0.5 + self._chance()), fault.retry_after or 0.0))
        return self._clean(self._transfer(url))

    def close(self) -> None:
        """Close the connections that are kept for the next picture."""
        self._adapter.close()

    def _clean(self, body: bytes) -> bytes:
        try:
            check_picture(body, self._min_side, self._max_pixels)
            bare = strip_metadata(body, self._max_pixels, self._max_side)
            check_picture(bare, 1, self._max_pixels)
        except BadPicture as error:
            reason = _DETAILS.get(str(error), str(error))
            if reason == "not_image" and is_login_page(200, body[:_PIECE].decode(errors="replace")):
                raise login_refusal("a picture led to the login page", logged_in=self._logged_in) from None
            is_foreign = reason == "not_image" and _FOREIGN_PICTURE.match(body) is not None
            raise FetchFault(reason, served=is_foreign or reason in ("too_small", "too_large")) from None
        return bare

    def _transfer(self, url: str) -> bytes:
        """The body behind an address, redirects followed: one try."""
        _check_address(url)
        self._pace()
        with _as_faults(), unlogged():
            for _ in range(1 + MAX_REDIRECTS):
                with closing(self._ask(url)) as response:
                    target = response.headers.get("Location")
                    if response.status_code not in _REDIRECTS or target is None:
                        self._check_status(response, url)
                        return _body(response)
                url = self._redirected(url, target)
        raise FetchFault("redirects")

    def _pace(self) -> None:
        wait = self._next_start - self._monotonic()
        if wait > 0:
            self._wait(wait)
        self._next_start = self._monotonic() + self._gap

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)
        self._ends += seconds

    def _ask(self, url: str) -> requests.Response:
        # Past the session: it would add cookies and .netrc, and read the bodies of redirects to their ends.
        agent = str(self._session.headers.get("User-Agent") or requests.utils.default_user_agent())
        headers = {"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        request = requests.Request("GET", url, headers=headers).prepare()
        settings = self._session.merge_environment_settings(url, {}, True, True, None)
        return self._adapter.send(request, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), **settings)

    def _redirected(self, url: str, target: str) -> str:
        try:
            address = urljoin(url, target)
            refusal = read_redirect(url, target, logged_in=self._logged_in)
        except ValueError:
            raise FetchFault("foreign_host") from None
        if refusal is not None:
            raise refusal
        _check_address(address)
        return address

    def _check_status(self, response: requests.Response, url: str) -> None:
        status, now = response.status_code, self._now()
        if status == 200:
            return
        if status == 403:
            expired = _is_expired(url, now) or _SPENT.search(_start_of_body(response))
            raise FetchFault("url_expired" if expired else "http_403")
        retry_after = read_retry_after(response.headers.get("Retry-After"), now)
        if status in _REFUSED or (status == 503 and (retry_after or 0.0) > LONGEST_WAIT):
            raise Refused(status, retry_after)
        if status == 408:
            raise FetchFault("timeout")
        named = {404: "http_404", 410: "http_410"}
        classes = {4: "http_4xx", 5: "http_5xx"}
        raise FetchFault(named.get(status) or classes.get(status // 100, "http_other"), retry_after)


def _check_address(url: str) -> None:
    if not url[:8].lower() == "https://":
        raise FetchFault("not_https")
    if not _ADDRESS.match(url):
        raise FetchFault("foreign_host")


def _is_expired(url: str, now: float) -> bool:
    expiry = _EXPIRY.search(url)
    return expiry is not None and int(expiry[1], 16) <= now


@contextmanager
def _as_faults() -> Iterator[None]:
    """Turn what requests and urllib3 raise, whose messages hold addresses, into FetchFault."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise FetchFault(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "timeout"
    # Of a body: what goes wrong before it comes wrapped by requests.
    if isinstance(error, urllib3.exceptions.ProtocolError) and not any(isinstance(arg, OSError) for arg in error.args):
        return "truncated"
    return UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in str(error) else "network"


def _start_of_body(response: requests.Response) -> bytes:
    try:
        return bytes(response.raw.read(2048, decode_content=False))
    except (urllib3.exceptions.HTTPError, OSError):
        return b""


def _body(response: requests.Response) -> bytes:
    """The body, unpacked: no longer than MAX_BYTES, and as long as announced unless it is packed."""
    announced = response.headers.get("Content-Length", "")
    if re.fullmatch("[0-9]+", announced) and int(announced) > MAX_BYTES:
        raise FetchFault("too_large")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    is_packed = encoding not in ("", "identity")
    response.raw.enforce_content_length = not is_packed
    pieces, length = [], 0
    for piece in response.raw.stream(_PIECE, decode_content=False):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_BYTES:
            raise FetchFault("too_large")
    body = b"".join(pieces)
    if not body:
        raise FetchFault("empty")
    return _unpacked(body, encoding) if is_packed else body


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchFault("not_image")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    try:
        content = unpacker.decompress(body, MAX_BYTES + 1)
    except zlib.error:
        raise FetchFault("truncated") from None
    if len(content) > MAX_BYTES:
        raise FetchFault("too_large")
    if not unpacker.eof:
        raise FetchFault("truncated")
    return content
