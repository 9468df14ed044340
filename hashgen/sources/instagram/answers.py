"""What Instagram's answers say: posts of a listing, and refusals in their many forms."""

import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from hashgen.sources.instagram.transport import LONGEST_WAIT, read_retry_after
from hashgen.sources.stops import ExitCode, Refusal

_ATTENTION = ("checkpoint", "challenge", "feedback_required", "consent_required", "suspended", "account_disabled")
_LOGIN = ("login_required", "require_login")
_LOGIN_PAGE = re.compile(r"\blog-?\s?in", re.IGNORECASE)
_WAIT = ("wait a few minutes", "rate limit", "try again later", "too many")
_ATTENTION_PATHS = ("/challenge", "/checkpoint", "/accounts/suspended", "/accounts/disabled", "/consent")
_KINDS = {"GraphSidecar": "carousel", "XDTGraphSidecar": "carousel"}
_VIDEOS = ("GraphVideo", "XDTGraphVideo")


@dataclasses.dataclass(frozen=True, slots=True)
class Medium:
    """A picture of a post, or the thumbnail of a video. media_index: in its carousel. url: signed, never stored."""

    media_index: int
    is_video: bool
    url: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class ListedPost:
    """A post as a listing or its own page gives it.

    kind: "image", "video" or "carousel". owner: an id, never stored. media: a carousel's children; if the listing
    does not list them (`knows_children` is False), its cover.
    """

    id: str
    caption: str | None
    owner: str | None = dataclasses.field(repr=False)
    date: datetime | None
    kind: str
    media: tuple[Medium, ...]
    knows_children: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing. cursor: of the next page, None if there is none. broken: number of nodes without a post."""

    posts: tuple[ListedPost, ...]
    broken: int
    cursor: str | None


def read_page(data: Mapping[str, Any]) -> Page:
    """A page from what instaloader's iterator holds: `edges` and `page_info`.

    Raises KeyError, TypeError or ValueError for any other shape, and if no node contains a post.
    """
    edges = data["edges"]
    posts = [post for post in map(_read_edge, edges) if post is not None]
    if edges and not posts:
        raise ValueError("no post in any node")
    info = data["page_info"]
    cursor = info.get("end_cursor") if info.get("has_next_page") else None
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError("a cursor that is not text")
    return Page(tuple(posts), len(edges) - len(posts), cursor or None)


def _read_edge(edge: Any) -> ListedPost | None:
    try:
        return read_post(edge["node"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError, IndexError):
        return None


def read_post(node: Mapping[str, Any]) -> ListedPost:
    """A post from a node of Instagram, as listings have it or as instaloader shapes a post's own page.

    Raises KeyError, TypeError, ValueError and the like for a node without a post.
    """
    code = node.get("shortcode") or node["code"]
    if not isinstance(code, str):
        raise TypeError("a shortcode that is not text")
    kind = _KINDS.get(str(node.get("__typename")), "video" if _is_video(node) else "image")
    children = [edge["node"] for edge in (node.get("edge_sidecar_to_children") or {}).get("edges") or []]
    media = [Medium(index, _is_video(child), _address(child, "display_url")) for index, child in enumerate(children)]
    if children:
        kind = "carousel"
    else:
        media = [Medium(0, _is_video(node), _address(node, "display_url", "display_src"))]
    taken = node.get("taken_at_timestamp", node.get("date"))
    owner = (node.get("owner") or {}).get("id")
    return ListedPost(
        id=code,
        caption=_read_caption(node),
        owner=None if owner is None else str(owner),
        date=None if taken is None else datetime.fromtimestamp(float(taken), tz=UTC),
        kind=kind,
        media=tuple(media),
        knows_children=bool(children) or kind != "carousel",
    )


def _address(node: Mapping[str, Any], *keys: str) -> str | None:
    return next((node[key] for key in keys if node.get(key) and isinstance(node[key], str)), None)


def _is_video(node: Mapping[str, Any]) -> bool:
    return bool(node.get("is_video")) or node.get("__typename") in _VIDEOS


def _read_caption(node: Mapping[str, Any]) -> str | None:
    edges = (node.get("edge_media_to_caption") or {}).get("edges") or []
    text = edges[0]["node"]["text"] if edges else node.get("caption")
    if isinstance(text, Mapping):
        text = text.get("text")
    # JSON can contain half a surrogate pair, which cannot be written to a file.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(text, str) else None


def read_refusal(status: int, headers: Mapping[str, str], body: str, *, logged_in: bool) -> Refusal | None:
    """The refusal that an answer means, by its status and what its JSON says; None for any other answer."""
    said = _said(body)
    after = read_retry_after(headers.get("Retry-After"), time.time())
    if found := _first(_ATTENTION, said):
        return _attention(found, after)
    wants_login, asks_to_wait = _first(_LOGIN, said), _first(_WAIT, said)
    is_busy = status >= 500 and (after or 0.0) > LONGEST_WAIT
    if status == 429 or is_busy or (asks_to_wait and (logged_in or not wants_login)):
        # Status 200 says nothing; what the JSON says does.
        why = asks_to_wait if status == 200 else status
        return Refusal(f"Instagram asked us to wait ({why})", ExitCode.WAIT, retry_after=after)
    if status == 401 or wants_login:
        why = wants_login if status == 200 else status
        return login_refusal(str(why), logged_in=logged_in, retry_after=after)
    if status == 403:
        return Refusal("Instagram refused the request (403)", ExitCode.WAIT, retry_after=after)
    return None


def read_redirect(url: str, location: str, *, logged_in: bool) -> Refusal | None:
    """The refusal that a redirect from `url` means; None for one to any other page."""
    path = urlsplit(urljoin(url, location)).path
    # The second is that of www.facebook.com.
    if path.startswith(("/accounts/login", "/login")):
        return login_refusal("redirected to the login page", logged_in=logged_in)
    if found := next((start for start in _ATTENTION_PATHS if path.startswith(start)), None):
        return _attention(found.rpartition("/")[2], None)
    return None


def login_refusal(why: str, *, logged_in: bool, retry_after: float | None = None) -> Refusal:
    """The refusal for an answer that requires a login, worded for users with and without one."""
    if logged_in:
        return Refusal(f"the login has expired ({why})", ExitCode.LOGIN, "log in again with instaloader", retry_after)
    remedy = "log in with instaloader and set INSTALOADER_SESSION to its session file"
    return Refusal(f"Instagram requires a login ({why})", ExitCode.LOGIN, remedy, retry_after)


def _attention(why: str, retry_after: float | None) -> Refusal:
    remedy = "open Instagram in a browser and do what it asks"
    return Refusal(f"the account needs attention ({why})", ExitCode.ATTENTION, remedy, retry_after)


def is_login_page(status: int, body: str) -> bool:
    """Whether the login page was sent, with status 200, instead of JSON."""
    return status == 200 and body.lstrip().startswith("<") and _LOGIN_PAGE.search(body) is not None


def says_no(status: int, body: str) -> bool:
    """Whether an answer that is not a refusal is still final: the same request would get the same answer.

    Not 404, which is an answer, and not 408, which is a fault of the network.
    """
    if status == 200:
        return bool(_parsed(body).get("status", "ok") != "ok")
    return 400 <= status < 500 and status not in (404, 408)


def _first(words: Sequence[str], said: str) -> str | None:
    """The one of `words` that `said` has first: what a message says goes before the names of other fields."""
    return min((word for word in words if word in said), key=said.index, default=None)


def _said(body: str) -> str:
    """The reason that the JSON of a failed request gives, in lower case, its message first; none of its data."""
    answer = _parsed(body)
    if answer.get("status") == "ok":
        return ""
    words = [str(answer.get(key, "")) for key in ("message", "error_type", "error_title", "category")]
    words += [key for key in ("require_login", "checkpoint_url", "challenge") if answer.get(key)]
    return " ".join(words).lower()


def _parsed(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
