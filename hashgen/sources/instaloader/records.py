"""The JSON files that instaloader writes beside pictures, read by its own loader and never by a request."""

import dataclasses
import json
import lzma
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import instaloader

from hashgen.sources.rows.picture_files import read_file
from hashgen.sources.rows.values import BrokenRow, RowCounts, mended, read_date

# A post's JSON has ten to some hundred kilobytes; xz as instaloader writes it takes 9 MiB of memory to unpack.
MAX_JSON = 2**24
_XZ_MEMORY = 2**27
_LONGEST_SIDE = 2**20

_FOREIGN = "needs JSON as instaloader 4 writes it; not written by instaloader"
# What the JSON of other programs holds on its first level.
_PROGRAMS = {"category": "gallery-dl", "extractor": "yt-dlp"}

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Medium:
    """A picture or video of a post, as given in the JSON.

    sizes: (width, height) in pixels that its picture may have. url_names: the names that its addresses end in.
    """

    is_video: bool
    sizes: tuple[Size, ...]
    url_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What the JSON of a post says.

    caption: the raw text; empty where the JSON says that there is none, None where it says nothing. owner: the number
    of the account, which outlives its names. date: UTC. media: at least one, in order. number: of the post.
    url_names: the names that the addresses of the post's cover end in.
    """

    shortcode: str
    number: str | None
    caption: str | None
    owner: str | None
    date: datetime | None
    is_carousel: bool
    media: tuple[Medium, ...]
    url_names: tuple[str, ...]


class _Offline:
    """Replaces the connection of instaloader: where it would send a request to Instagram, the row is broken instead."""

    is_logged_in = False
    iphone_support = False

    def __getattr__(self, name: str) -> Any:
        raise BrokenRow("it lacks data that only Instagram has")


def read_record(path: Path, counts: RowCounts, numbered: Sequence[bool] = ()) -> Record | None:
    """The post that a `.json` or `.json.xz` holds; None for a story, a profile or anything else that is not a post.

    At most MAX_JSON bytes are read and unpacked. Unreadable dates are counted in `counts`. numbered: for each numbered
    file beside it whether it is a video; the media of a carousel whose JSON does not list them. Raises BrokenRow if the
    file cannot be read, is damaged, was not written by instaloader, or lacks what a post must have.
    """
    value = _load(path)
    if at(value, "instaloader", "node_type") not in (None, "Post"):
        return None
    is_whole = not isinstance(value, dict) or "instaloader" in value
    node = at(value, "node") if is_whole else value.get("node", value)
    if isinstance(name := at(node, "__typename"), str):
        # Instagram's newer queries name their types so, and some versions of instaloader saved them as they were.
        node["__typename"] = name.removeprefix("XDT")
    if not is_whole:
        value = _completed(value, node)
    try:
        post = instaloader.load_structure(cast(Any, _Offline()), value)
        return _record(cast(instaloader.Post, post), value["node"], counts, numbered)
    except instaloader.InvalidArgumentException as error:
        raise BrokenRow(_FOREIGN) from error
    except (AssertionError, AttributeError, LookupError, TypeError) as error:
        raise BrokenRow("it lacks data that every post has") from error


def _completed(value: dict[str, Any], node: Any) -> dict[str, Any]:
    """The JSON of a post as instaloader 4 writes it, from that of instaloader 3, which is the node alone."""
    if at(node, "__typename") in instaloader.Post.supported_graphql_types() and ("shortcode" in node or "code" in node):
        return {"node": node, "instaloader": {"node_type": "Post"}}
    program = next((program for key, program in _PROGRAMS.items() if key in value), None)
    raise BrokenRow(f"{_FOREIGN} but, it seems, by {program}" if program else _FOREIGN)


def _load(path: Path) -> Any:
    data = read_file(path, MAX_JSON)
    if data is None:
        raise BrokenRow("it cannot be read, or is over 16 MiB")
    try:
        return json.loads(_unpack(data) if path.suffix == ".xz" else data)
    except (ValueError, RecursionError) as error:
        raise BrokenRow(str(error) if isinstance(error, BrokenRow) else "not valid JSON") from error


def _unpack(data: bytes) -> bytes:
    """Unpack xz of at most MAX_JSON bytes, however far it would unpack."""
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        unpacked = unpacker.decompress(data, MAX_JSON + 1)
    except lzma.LZMAError as error:
        raise BrokenRow("damaged xz file") from error
    if len(unpacked) > MAX_JSON:
        raise BrokenRow("it unpacks to over 16 MiB")
    if not unpacker.eof:
        raise BrokenRow("truncated xz file")
    return unpacked


def _record(post: instaloader.Post, node: dict[str, Any], counts: RowCounts, numbered: Sequence[bool]) -> Record:
    if not isinstance(post.shortcode, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", post.shortcode):
        raise BrokenRow("no shortcode")
    if post.typename not in post.supported_graphql_types():
        raise BrokenRow("unknown type of post")
    owner = _first(at(node, "owner", "id"), at(node, "iphone_struct", "user", "pk"), at(node, "user", "pk"))
    number = at(node, "id")
    sources = [node, node.get("iphone_struct")]
    is_carousel = post.typename == "GraphSidecar"
    return Record(
        shortcode=post.shortcode,
        number=str(number).partition("_")[0] if isinstance(number, str | int) else None,
        caption=_caption(node, counts),
        owner=str(owner) if isinstance(owner, str | int) else None,
        # Posts of 2010 have nine digits.
        date=read_date(_first(*(node.get(key) for key in ("date", "taken_at_timestamp", "taken_at"))), counts),
        is_carousel=is_carousel,
        media=_children(post, node, numbered) if is_carousel else (_medium(bool(post.is_video), sources),),
        url_names=_url_names(sources),
    )


def _caption(node: dict[str, Any], counts: RowCounts) -> str | None:
    """The text unchanged, but for half an emoji; instaloader's own property would normalise it."""
    text = at(node, "edge_media_to_caption", "edges", 0, "node", "text")
    if text is None:
        caption = node.get("caption")
        text = caption.get("text") if isinstance(caption, dict) else caption
    if text is None:
        return "" if "caption" in node or "edge_media_to_caption" in node else None
    if not isinstance(text, str):
        raise BrokenRow("its caption is not text")
    mended_text: str = mended(text, counts)
    return mended_text


def _children(post: instaloader.Post, node: dict[str, Any], numbered: Sequence[bool]) -> tuple[Medium, ...]:
    if at(node, "edge_sidecar_to_children", "edges") is None:
        return _numbered(node, numbered)
    media = tuple(
        _medium(
            bool(is_video),
            [
                at(node, "edge_sidecar_to_children", "edges", place, "node"),
                at(node, "carousel_media", place),
                at(node, "iphone_struct", "carousel_media", place),
            ],
        )
        for place, is_video in enumerate(post.get_is_videos())
    )
    if not media:
        raise BrokenRow("empty carousel")
    return media


def _numbered(node: dict[str, Any], numbered: Sequence[bool]) -> tuple[Medium, ...]:
    """The media of a carousel whose JSON lacks its list: those that lie beside it, of which the first is the cover."""
    if not numbered:
        raise BrokenRow("it does not list the pictures of its carousel, and none are beside it; download it again")
    return tuple(_medium(is_video, [node] if place == 0 else []) for place, is_video in enumerate(numbered))


def _medium(is_video: bool, sources: Sequence[Any]) -> Medium:
    sizes = (size for source in sources for size in _sizes(source))
    return Medium(is_video, tuple(dict.fromkeys(sizes)), _url_names(sources))


def _sizes(source: Any) -> list[Size]:
    """Sizes of GraphQL's and of the iPhone's kind; of its candidates, the one that instaloader fetches."""
    candidate = at(source, "image_versions2", "candidates", 0)
    pairs = (
        (at(source, "dimensions", "width"), at(source, "dimensions", "height")),
        (at(source, "original_width"), at(source, "original_height")),
        (at(candidate, "width"), at(candidate, "height")),
    )
    return [
        (pair[0], pair[1])
        for pair in pairs
        if all(isinstance(side, int) and 0 < side <= _LONGEST_SIDE for side in pair)
    ]


def _url_names(sources: Sequence[Any]) -> tuple[str, ...]:
    urls = (
        at(source, *keys)
        for source in sources
        for keys in (("display_url",), ("display_src",), ("image_versions2", "candidates", 0, "url"))
    )
    return tuple(dict.fromkeys(name for url in urls if isinstance(url, str) and (name := _url_name(url))))


def _url_name(url: str) -> str:
    try:
        return PurePosixPath(urlsplit(url).path).stem
    except ValueError:  # such as an unclosed bracket
        return ""


def at(value: Any, *keys: str | int) -> Any:
    """The value at the end of a path through dicts and lists; None if the path ends early."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
