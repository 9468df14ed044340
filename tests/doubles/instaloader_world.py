"""Download folders written by the real instaloader, whose network is a dict of pictures."""

import io
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import instaloader
from instaloader import Instaloader
from PIL import Image

from hashgen.corpus.posts import Post
from hashgen.params import scrape
from hashgen.sources.instaloader.source import InstaloaderSource

SECOND = 1546336800  # 2019-01-01 10:00:00 UTC
BASE = "2019-01-01_10-00-00_UTC"
SALT = b"salt" * 8
Node = dict[str, Any]


class Answer(bytes):
    """What instaloader takes for the answer to a request."""

    headers: Mapping[str, str]


class World:
    """Posts and their pictures. `pictures`: all bytes by address."""

    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}

    def medium(self, name: str, size: tuple[int, int], is_video: bool = False) -> Node:
        """A GraphQL node of a picture or video, as the children of a carousel are."""
        url = f"https://cdn.example/v/t51/{name}_n.jpg?_nc_ht=secretsignature"
        self.pictures[url] = picture(name, size)
        node: Node = {"dimensions": {"width": size[0], "height": size[1]}, "display_url": url, "is_video": is_video}
        if is_video:
            node["video_url"] = url.replace(".jpg", ".mp4")
            self.pictures[node["video_url"]] = b"video of " + name.encode()
        return node

    def post(
        self,
        code: str,
        size: tuple[int, int] = (80, 60),
        caption: str | None = "soup #food",
        kind: str = "GraphImage",
        children: Sequence[Node] = (),
        **more: Any,
    ) -> Node:
        """A GraphQL node of a whole post; caption None: it has none."""
        node = self.medium(code, size, kind == "GraphVideo") if not children else {**children[0], "is_video": False}
        node |= {
            "__typename": kind,
            "shortcode": code,
            "id": str(10**12 + sum(code.encode())),
            "owner": {"id": "777", "username": "planted_user", "full_name": "Planted Name"},
            "taken_at_timestamp": SECOND,
            "edge_media_to_caption": {"edges": [] if caption is None else [{"node": {"text": caption}}]},
            "location": {"id": "1", "name": "Planted Place", "slug": "planted", "has_public_page": True},
        }
        if children:
            node |= {
                "__typename": "GraphSidecar",
                "edge_sidecar_to_children": {"edges": [{"node": child} for child in children]},
            }
        return node | more

    def carousel(self, code: str, sizes: Sequence[tuple[int, int]], videos: Sequence[int] = (), **more: Any) -> Node:
        """A post of many media; videos: the places of those that are videos."""
        children = [self.medium(f"{code}x{place}", size, place in videos) for place, size in enumerate(sizes)]
        return self.post(code, children=children, **more)

    def pictures_of(self, node: Node) -> list[bytes]:
        """The pictures of a post in order."""
        edges = node.get("edge_sidecar_to_children", {}).get("edges", [{"node": node}])
        return [self.pictures[edge["node"]["display_url"]] for edge in edges]

    def download(self, folder: Path, *nodes: Node, target: str = "#food", **options: Any) -> Path:
        """Let instaloader download posts one after the other into `folder/target`."""
        with self.loader(folder, **options) as loader:
            for node in nodes:
                loader.download_post(instaloader.Post(loader.context, node), target)
        return folder / target

    @contextmanager
    def loader(self, folder: Path, **options: Any) -> Iterator[Instaloader]:
        """The real client; addresses that are not of this world raise KeyError."""
        given: dict[str, Any] = {"dirname_pattern": f"{folder}/{{target}}", "quiet": True, "iphone_support": False}
        loader: Any = Instaloader(**(given | options))
        loader.context.get_raw = self._answer
        yield loader
        loader.close()

    def _answer(self, url: str) -> Answer:
        answer = Answer(self.pictures[url])
        answer.headers = {"Content-Type": "video/mp4" if ".mp4" in url else "image/jpeg"}
        return answer


def picture(name: str, size: tuple[int, int], orientation: int = 1) -> bytes:
    """A JPEG in the colour of a name."""
    stream = io.BytesIO()
    beside: dict[str, Any] = {}
    if orientation != 1:
        beside["exif"] = Image.Exif()
        beside["exif"][0x0112] = orientation
    Image.new("RGB", size, tuple(random.Random(name).randbytes(3))).save(stream, "JPEG", **beside)
    return stream.getvalue()


def source(folder: Path, carousel: str = "first", video: str = "skip", salt: bytes | None = SALT) -> InstaloaderSource:
    section = scrape.Instaloader.model_validate({"path": "x", "carousel": carousel, "video": video})
    return InstaloaderSource(section, folder, salt)


def read(folder: Path, carousel: str = "first", video: str = "skip") -> tuple[list[Post], dict[str, int]]:
    """All posts of a folder, and the counts that are not zero."""
    opened = source(folder, carousel, video)
    posts = list(opened.posts())
    return posts, {name: count for name, count in opened.metrics().items() if count}
