"""A small stand-in for Instagram, for the real client: listings of hashtags, single posts, pictures.

Posts are made of their numbers; a picture's colour tells whose it is. Faults are given for the n-th listing request.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from tests.doubles.tls_double import Answer, Request

PAGE = 12
SECRETS = (
    "s1gnature",
    "owner-name",
    "99000",
    "tagged-person",
    "some-place",
    "c00kie-value",
    "login-name",
    "Rude comment",
)
LISTING, POST = "9b498c08113f1e09617a1703c22b2f32", "27128499623469141"

Fault = Answer | None | Callable[[Mapping[str, Any]], Mapping[str, Any]]


def picture(number: int, child: int = 0, side: int = 64) -> bytes:
    """A JPEG whose colour is the post's number and child, EXIF inside."""
    image = Image.new("RGB", (side, side), (number % 64 * 4, number // 64 * 4, child * 32))
    exif = Image.Exif()
    exif[0x010E] = "some-place"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def number_of(data: bytes) -> tuple[int, int]:
    """The post's number and child that a picture shows."""
    red, green, blue = Image.open(io.BytesIO(data)).convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    return round(red / 4) + 64 * round(green / 4), round(blue / 32)


def code_of(number: int) -> str:
    return f"C{number:05d}"


@dataclasses.dataclass
class Instagram:
    """hashtags: the numbers of their posts, newest first, on pages of `page_length`.

    kinds: "video" or the children's kinds of a carousel. faults: what is answered instead, by the place of the listing
    request, from 0; a function changes the good answer. every: a fault for all listing requests from a place on.
    picture_faults: by post number, one a try. post_faults: what is answered instead of a post's own page. expired:
    posts whose addresses are of long ago.
    """

    hashtags: dict[str, list[int]]
    page_length: int = PAGE
    kinds: dict[int, str | list[str]] = dataclasses.field(default_factory=dict)
    children_in_listing: bool = False
    faults: dict[int, Fault] = dataclasses.field(default_factory=dict)
    every: tuple[int, Fault] | None = None
    picture_faults: dict[int, list[Answer | None]] = dataclasses.field(default_factory=dict)
    post_faults: dict[int, Answer | None] = dataclasses.field(default_factory=dict)
    expired: set[int] = dataclasses.field(default_factory=set)
    listings: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    details: list[int] = dataclasses.field(default_factory=list)
    fetched: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    others: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, request: Request) -> Answer | None:
        if request.host.endswith(".cdninstagram.com"):
            return self._picture(request)
        if request.path == "/graphql/query" and request.method == "GET":
            return self._listing(request.arguments())
        if request.path in ("/graphql/query", "/api/graphql") and request.method == "POST":
            return self._post(request.form())
        self.others.append(request.path)
        if request.path == "/":
            page = '["LSD",[],{"token":"lsd-token"}] "IG_USER_EIMU":"0"'
            return Answer(200, page.encode(), {"Set-Cookie": "csrftoken=abc; Domain=.instagram.com; Path=/; Secure"})
        return Answer(404)

    def _listing(self, arguments: Mapping[str, str]) -> Answer | None:
        variables = json.loads(arguments["variables"])
        assert arguments["query_hash"] == LISTING and variables["first"] == PAGE
        place = len(self.listings)
        self.listings.append((variables["tag_name"], variables.get("after")))
        fault = self.faults.get(place)
        if place not in self.faults and self.every and place >= self.every[0]:
            fault = self.every[1]
        elif place not in self.faults:
            return json_answer(self.page(*self.listings[-1]))
        return json_answer(fault(self.page(*self.listings[-1]))) if callable(fault) else fault

    def page(self, hashtag: str, after: str | None) -> dict[str, Any]:
        """The good answer; a cursor names the last post before it, so new posts on top move nothing."""
        numbers = self.hashtags.get(hashtag)
        if numbers is None:
            return {"data": {"hashtag": None}, "status": "ok"}
        start = 0 if after is None else numbers.index(int(after.removeprefix("after-"))) + 1
        shown = numbers[start : start + self.page_length]
        more = start + self.page_length < len(numbers)
        media = {
            "count": len(numbers),
            "page_info": {"has_next_page": more, "end_cursor": f"after-{shown[-1]}" if more else None},
            "edges": [{"node": self.node(number)} for number in shown],
        }
        return {"data": {"hashtag": {"id": "1", "name": hashtag, "edge_hashtag_to_media": media}}, "status": "ok"}

    def node(self, number: int) -> dict[str, Any]:
        kind = self.kinds.get(number, "image")
        names = {"image": "GraphImage", "video": "GraphVideo"}
        node = {
            "__typename": names[kind] if isinstance(kind, str) else "GraphSidecar",
            "id": str(10**12 + number),
            "shortcode": code_of(number),
            "edge_media_to_caption": {"edges": [{"node": {"text": f"Caption {number} #food #हिन्दी"}}]},
            "taken_at_timestamp": 1_500_000_000 + number,
            "display_url": url(number, expired=number in self.expired),
            "owner": {"id": f"99000{number % 7}"},
            "is_video": kind == "video",
            "edge_media_to_comment": {"count": 1, "edges": [{"node": {"text": "Rude comment"}}]},
        }
        if self.children_in_listing and isinstance(kind, list):
            children = [
                {"node": {"is_video": child == "video", "display_url": url(number, place)}}
                for place, child in enumerate(kind)
            ]
            node["edge_sidecar_to_children"] = {"edges": children}
        return node

    def _post(self, form: Mapping[str, str]) -> Answer | None:
        assert form["doc_id"] == POST
        number = int(json.loads(form["variables"])["shortcode"][1:])
        self.details.append(number)
        if number in self.post_faults:
            return self.post_faults[number]
        kind = self.kinds.get(number, "image")
        media: dict[str, Any] = {
            "code": code_of(number),
            "pk": str(10**12 + number),
            "media_type": 8 if isinstance(kind, list) else 2 if kind == "video" else 1,
            "taken_at": 1_500_000_000 + number,
            "caption": {"text": f"Caption {number} #food"},
            "user": {"pk": f"99000{number % 7}", "username": "owner-name", "full_name": "owner-name"},
            "image_versions2": {"candidates": [{"url": url(number)}]},
            "usertags": {"in": [{"user": {"username": "tagged-person"}}]},
            "location": {"name": "some-place"},
        }
        if isinstance(kind, list):
            media["carousel_media"] = [
                {
                    "code": code_of(number),
                    "media_type": 2 if child == "video" else 1,
                    "image_versions2": {"candidates": [{"url": url(number, place)}]},
                }
                for place, child in enumerate(kind)
            ]
        return json_answer({"data": {"xdt_api__v1__media__shortcode__web_info": {"items": [media]}}, "status": "ok"})

    def _picture(self, request: Request) -> Answer | None:
        number, child = (int(part) for part in request.path.removesuffix(".jpg").rpartition("/")[2].split("_"))
        self.fetched.append((number, child))
        if self.picture_faults.get(number):
            return self.picture_faults[number].pop(0)
        return Answer(200, picture(number, child), {"Content-Type": "image/jpeg"})


def url(number: int, child: int = 0, expired: bool = False) -> str:
    until = "1" if expired else "7fffffff"
    return f"https://scontent.cdninstagram.com/v/t51/{number}_{child}.jpg?oh=s1gnature&oe={until}"


def json_answer(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps(value).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})
