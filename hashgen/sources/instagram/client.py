"""Instagram's listings through instaloader: one page per call, every request counted, every answer checked.

instaloader's own waits, retries and files are switched off: what is requested, when and how often is decided here.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import instaloader
import requests
from instaloader.exceptions import (
    AbortDownloadException,
    BadResponseException,
    InstaloaderException,
    LoginRequiredException,
    PostChangedException,
    QueryReturnedNotFoundException,
)

from hashgen.sources.instagram.answers import (
    ListedPost,
    Page,
    is_login_page,
    login_refusal,
    read_page,
    read_post,
    read_redirect,
    read_refusal,
    says_no,
)
from hashgen.sources.instagram.login import Login
from hashgen.sources.instagram.politeness import Politeness
from hashgen.sources.instagram.transport import TimedAdapter, read_retry_after
from hashgen.sources.stops import ExitCode, Refusal, Stop

T = TypeVar("T")

REQUEST_SECONDS = 30.0  # for a whole answer
_ATTEMPTS = 3
_REDIRECTS = 3
_REFUSED = [401, 403, 429]
_LONGEST_BODY = 32 * 2**20  # bytes
_PIECE = 2**16
# What is raised for answers of an unexpected shape.
_SHAPES = (LookupError, TypeError, ValueError, AttributeError)
# Quoted text comes from Instagram or its data, and addresses may be signed: neither is logged.
_QUOTED = re.compile(r"[\"'“]|https?:")
_LONGEST_LINE = 300


class NotFound(Exception):
    """There is no such hashtag or post, or it is hidden."""


class InstagramClient:
    """Asks Instagram for pages of listings and for single posts, one request at a time.

    login: None for anonymous requests. log: the file that instaloader's messages are appended to, without parameters of
    addresses. All methods raise Stop when going on is pointless; a Refusal is first recorded by `politeness`.
    """

    def __init__(self, politeness: Politeness, login: Login | None, log: Path) -> None:
        self._politeness = politeness
        self._context = _Context(politeness, login, log)

    def close(self) -> None:
        """Close the connections."""
        self._context.close()  # type: ignore[no-untyped-call]

    def page(self, hashtag: str, cursor: str | None) -> Page:
        """One page of the posts of a hashtag. cursor: of an earlier page; None for the first.

        Raises NotFound for an unknown or hidden hashtag.
        """
        return self._ask(lambda: self._page(hashtag, cursor))

    def post(self, code: str) -> ListedPost:
        """A single post with all its children; costs a request. Raises NotFound if it is gone."""
        return self._ask(lambda: self._post(code))

    def _page(self, hashtag: str, cursor: str | None) -> Page:
        self._context.cursor, self._context.answer = cursor, None
        try:
            # The iterator requests its first page when it is created. The context adds the cursor, so that every page
            # is a first one: no request is spent on finding the position again, and the query stays instaloader's own.
            iterator = instaloader.Hashtag(self._context, {"name": hashtag}).get_posts_resumable()
            data: Any = iterator.freeze().remaining_data
        except (KeyError, TypeError):
            if _is_missing(self._context.answer):
                raise NotFound from None
            raise
        finally:
            self._context.cursor = None
        if data is None and _is_missing(self._context.answer):
            raise NotFound
        return read_page(data)

    def _post(self, code: str) -> ListedPost:
        try:
            return read_post(instaloader.Post.from_shortcode(self._context, code)._asdict())
        # Not a passing fault, and too costly to try three times: there may be many such posts.
        except (BadResponseException, PostChangedException, *_SHAPES) as error:
            raise _not_understood(type(error).__name__) from None

    def _ask(self, question: Callable[[], T]) -> T:
        """Send a request, and retry with growing waits where that may help."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return question()
            except Refusal as refusal:
                refusal.until = self._politeness.refuse(refusal)
                raise
            except (Stop, NotFound):
                raise
            except QueryReturnedNotFoundException:
                raise NotFound from None
            except (AbortDownloadException, LoginRequiredException) as error:
                told = self._context.refusal_of(error)
                told.until = self._politeness.refuse(told)
                raise told from None
            except (InstaloaderException, requests.RequestException, *_SHAPES) as error:
                self._context.error(f"{type(error).__name__}: {error}")
                if attempt == _ATTEMPTS:
                    raise _stop_of(error) from None
                self._politeness.back_off(attempt, self._context.retry_after or 0.0)
        raise AssertionError("unreachable")


def _is_missing(answer: Any) -> bool:
    """Whether an answer says that there is no such hashtag, or that its posts are hidden."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or "hashtag" not in data:
        return False
    hashtag = data["hashtag"]
    return hashtag is None or (isinstance(hashtag, dict) and not hashtag.get("edge_hashtag_to_media"))


def _stop_of(error: Exception) -> Stop:
    cause = error.__cause__ if isinstance(error, InstaloaderException) and error.__cause__ else error
    if isinstance(cause, json.JSONDecodeError):
        return _not_understood("not JSON")
    if isinstance(cause, requests.RequestException):
        what = f"cannot connect to Instagram ({type(cause).__name__})"
        return Stop(what, ExitCode.NETWORK, "check your connection")
    if status := re.match(r"(5\d\d)\b", str(cause)):
        return Stop(f"Instagram has a server error ({status[1]})", ExitCode.NETWORK, "wait a while")
    return _not_understood(type(cause).__name__)


def _not_understood(why: str) -> Stop:
    remedy = "try a newer instaloader (pip install -U instaloader)"
    return Stop(f"Instagram's response was not understood ({why})", ExitCode.ANSWER, remedy)


def _read(response: requests.Response) -> str:
    """The body of an answer, stored in it as requests does. Raises Stop if it is too long."""
    body = bytearray()
    for piece in response.iter_content(_PIECE):
        body += piece
        if len(body) > _LONGEST_BODY:
            raise _not_understood("too long")
    response._content = bytes(body)
    return body.decode(errors="replace")


class _Rate(instaloader.RateController):
    """Replaces the rate control of instaloader with our own."""

    def __init__(self, context: instaloader.InstaloaderContext, politeness: Politeness) -> None:
        super().__init__(context)
        self._politeness = politeness
        self.ends = 0.0

    def wait_before_query(self, query_type: str) -> None:
        self._politeness.before_request()
        self.ends = time.monotonic() + REQUEST_SECONDS

    def time_left(self) -> float:
        """Seconds that the current request may still take. Raises Stop on a signal."""
        self._politeness.wait(0.0)
        return self.ends - time.monotonic()

    def handle_429(self, query_type: str) -> None:
        """Never sleep: a refusal ends the run."""


class _Context(instaloader.InstaloaderContext):
    """instaloader's context: quiet, one attempt per request, queries that start at a cursor, answers checked."""

    def __init__(self, politeness: Politeness, login: Login | None, log: Path) -> None:
        rate = _Rate(self, politeness)
        super().__init__(
            sleep=False,
            quiet=True,
            max_connection_attempts=1,
            request_timeout=REQUEST_SECONDS,
            rate_controller=lambda context: rate,
            fatal_status_codes=_REFUSED,
            iphone_support=False,
        )
        self.cursor: str | None = None
        self.answer: Any = None
        self._log = log
        self._secrets = (
            [] if login is None else [login.user, *(value for value in login.cookies.values() if len(value) > 3)]
        )
        self._redirects = 0
        self._wants_json = False
        self.retry_after: float | None = None
        if login is not None:
            self.load_session(login.user, login.cookies)  # type: ignore[no-untyped-call]
        self._adapter = TimedAdapter(rate.time_left)
        self._watch_over(self._session)

    def _watch_over(self, session: requests.Session) -> None:
        session.hooks["response"] = [self._watch]
        session.mount("https://", self._adapter)

    def log(self, *msg: Any, sep: str = "", end: str = "\n", flush: bool = False) -> None:
        self.error(sep.join(str(part) for part in msg))

    def error(self, msg: Any, repeat_at_end: bool = True) -> None:
        line = _QUOTED.split(" ".join(str(msg).split()))[0][:_LONGEST_LINE]
        for secret in self._secrets:
            line = line.replace(secret, "…")
        if line:
            self._log.touch(mode=0o600)
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")

    def get_json(
        self,
        path: str,
        params: dict[str, Any],
        host: str = "www.instagram.com",
        session: requests.Session | None = None,
        response_headers: dict[str, Any] | None = None,
        use_post: bool = False,
    ) -> dict[str, Any]:
        session = session or self._session
        self._watch_over(session)
        self._redirects = 0
        self.retry_after = None
        self._wants_json = True
        try:
            return super().get_json(path, params, host, session, response_headers, use_post)
        finally:
            self._wants_json = False

    def graphql_query(self, query_hash: str, variables: dict[str, Any], referer: str | None = None) -> dict[str, Any]:
        after = {} if self.cursor is None else {"after": self.cursor}
        self.answer = super().graphql_query(query_hash, {**variables, **after}, referer)
        return self.answer  # type: ignore[no-any-return]

    def doc_id_graphql_query(
        self, doc_id: str, variables: dict[str, Any], referer: str | None = None, web_api: bool = False
    ) -> dict[str, Any]:
        after = {} if self.cursor is None else {"after": self.cursor, "before": None, "first": 12, "last": None}
        self.answer = super().doc_id_graphql_query(doc_id, {**variables, **after}, referer, web_api)
        return self.answer  # type: ignore[no-any-return]

    def _csrf_token(self) -> str:
        if not self._session.cookies.get_dict().get("csrftoken"):
            self._rate_controller.wait_before_query("other")
        return super()._csrf_token()

    def _watch(self, response: requests.Response, **_: Any) -> None:
        """Raise the refusal that an answer means before instaloader reads it; count redirects that it will follow."""
        try:
            self._check(response)
        except BaseException:
            response.close()
            raise

    def _check(self, response: requests.Response) -> None:
        logged_in = self.is_logged_in
        body = _read(response)
        self.retry_after = read_retry_after(response.headers.get("Retry-After"), time.time())
        if response.is_redirect:
            location = response.headers["location"]
            if refusal := read_redirect(response.url, location, logged_in=logged_in):
                raise refusal
            self._redirects += 1
            if self._redirects > _REDIRECTS or not location.startswith("https://www.instagram.com/"):
                raise _not_understood("redirected elsewhere")
            self._rate_controller.wait_before_query("other")
            return
        status = response.status_code
        if refusal := read_refusal(status, response.headers, body, logged_in=logged_in):
            raise refusal
        if self._wants_json and is_login_page(status, body):
            raise login_refusal("it sent the login page", logged_in=logged_in)
        if says_no(status, body):
            raise _not_understood("its status is not ok" if status == 200 else str(status))

    def refusal_of(self, error: Exception) -> Refusal:
        """The refusal for an error that a later instaloader may raise by itself, in our words."""
        if isinstance(error, LoginRequiredException) or "login page" in str(error):
            return login_refusal("redirected to the login page", logged_in=self.is_logged_in)
        found = re.search(r"\b(4\d\d)\b", str(error))
        status = int(found[1]) if found else 403
        body = json.dumps({"message": str(error)})
        refusal = read_refusal(status, {}, body, logged_in=self.is_logged_in)
        return refusal or Refusal(f"Instagram refused the request ({status})", ExitCode.WAIT)
