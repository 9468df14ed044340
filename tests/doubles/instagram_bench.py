"""A state folder, a clock of its own and a double of Instagram, for the source instagram with the real client."""

import dataclasses
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hashgen.corpus.posts import Post
from hashgen.params import read_params
from hashgen.sources.instagram.source import InstagramSource
from tests import ROOT
from tests.doubles.instagram_double import Instagram, number_of
from tests.doubles.tls_double import TlsDouble
from tests.sources.test_instagram_kills import Quick

SALT = b"s" * 32
SETTINGS = read_params(ROOT / "params.yaml").scrape.instagram.model_copy(
    update={"per_hashtag": 30, "pause_seconds": (0.0, 0.0), "images_per_minute": 10**6, "i_have_permission": True}
)


@dataclasses.dataclass
class Bench:
    """A state folder, a clock that moves by sleeping alone, and the double."""

    folder: Path
    instagram: Instagram
    double: TlsDouble
    now: float = 1_800_000_000.0
    slept: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def source(self, hashtags: tuple[str, ...], refresh: bool = False, **changes: Any) -> InstagramSource:
        settings = SETTINGS.model_copy(update=changes)
        return InstagramSource(
            settings, hashtags, self.folder, SALT, refresh=refresh, clock=lambda: self.now, sleep=self.sleep
        )

    def run(self, *hashtags: str, refresh: bool = False, **changes: Any) -> tuple[list[Post], InstagramSource]:
        source = self.source(hashtags or tuple(self.instagram.hashtags), refresh, **changes)
        posts = list(source.posts())
        for post in posts:
            assert post.image is not None
            assert number_of(post.image) == (number(post), post.media_index) and f"Caption {number(post)} " in str(
                post.caption
            )
        assert source.total is not None
        return posts, source


def number(post: Post) -> int:
    return int(post.id[1:])


@contextmanager
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("INSTALOADER_SESSION", "INSTALOADER_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hashgen.sources.instagram.source.InstagramState", Quick)
    instagram = Instagram({"food": list(range(40)), "cats": [*range(20, 30), *range(40, 80)]})
    with TlsDouble(instagram) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "state").mkdir()
        yield Bench(tmp_path / "state", instagram, double)


def login(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = bench.folder.parent / "session"
    cookies = {"sessionid": "c00kie-value", "csrftoken": "c00kie-value", "ds_user_id": "9900011"}
    path.write_bytes(pickle.dumps(cookies))
    path.chmod(0o600)
    monkeypatch.setenv("INSTALOADER_SESSION", str(path))
    monkeypatch.setenv("INSTALOADER_USER", "login-name")
    repository = bench.folder.parent / "repository"
    (repository / ".git").mkdir(parents=True)
    monkeypatch.chdir(repository)
    return path


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"message": text, "status": "fail", **more}


def change(page: Mapping[str, Any], **fields: Any) -> Mapping[str, Any]:
    media = {**page["data"]["hashtag"]["edge_hashtag_to_media"], **fields}
    return {"data": {"hashtag": {"edge_hashtag_to_media": media}}, "status": "ok"}
