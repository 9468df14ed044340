"""The source instaloader on folders that the real instaloader wrote: posts, order, counts, what to do when empty."""

import io
import lzma
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import instaloader
import pytest
from PIL import Image

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.sources.authors import hash_author
from tests.doubles.instaloader_world import BASE, SALT, SECOND, World, read, source

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("compress", [True, False])
def test_a_picture(world: World, tmp_path: Path, compress: bool) -> None:
    node = world.post("CODE")
    world.download(tmp_path, node, compress_json=compress, download_geotags=True)
    posts, counts = read(tmp_path)
    assert posts == [
        Post(
            id="CODE",
            source="instaloader",
            caption="soup #food",
            seed_hashtags=("food",),
            author=hash_author("777", SALT),
            date=datetime(2019, 1, 1, 10, tzinfo=UTC),
            image=world.pictures_of(node)[0],
            image_path="CODE.jpg",
        )
    ]
    assert counts == {}


def test_an_author_is_the_account_by_whatever_name_and_none_without_salt(world: World, tmp_path: Path) -> None:
    nodes = [
        world.post(f"CODE{n}", taken_at_timestamp=SECOND + n, owner=owner)
        for n, owner in enumerate([{"id": "5", "username": "old"}, {"id": 5, "username": "new"}, {"id": "6"}, {}])
    ]
    world.download(tmp_path, *nodes)
    authors = [post.author for post in read(tmp_path)[0]]
    assert authors[0] == authors[1] == hash_author("5", SALT) and authors[2:] == [hash_author("6", SALT), None]
    assert {post.author for post in source(tmp_path, salt=None).posts()} == {None}


def chosen(posts: list[Post]) -> list[tuple[str, int, int, bytes | None]]:
    return [(post.kind, post.media_index, post.n_media, post.image) for post in posts]


@pytest.mark.parametrize(
    ("carousel", "video", "places"),
    [("first", "skip", [1]), ("first", "thumbnail", [1]), ("all", "skip", [1, 2]), ("all", "thumbnail", [0, 1, 2, 3])],
)
def test_a_carousel(world: World, tmp_path: Path, carousel: str, video: str, places: list[int]) -> None:
    node = world.carousel("CODE", [(80, 60), (60, 80), (70, 70), (50, 90)], videos=[0, 3])
    world.download(tmp_path, node)
    posts, counts = read(tmp_path, carousel, video)
    pictures = world.pictures_of(node)
    assert chosen(posts) == [("image", place, 4, pictures[place]) for place in places]
    assert [post.image_path for post in posts] == [f"CODE_{place + 1}.jpg" for place in places]
    assert {post.id for post in posts} == {"CODE"} and counts == {}


@pytest.mark.parametrize("videos", [[], [0]])
def test_a_carousel_of_one(world: World, tmp_path: Path, videos: list[int]) -> None:
    node = world.carousel("CODE", [(80, 60)], videos)
    folder = world.download(tmp_path, node)
    assert (folder / f"{BASE}_1.jpg").exists()
    posts, _ = read(tmp_path)
    assert chosen(posts) == [("video", 0, 1, None) if videos else ("image", 0, 1, world.pictures_of(node)[0])]


def test_a_video_is_skipped_or_gives_its_still_picture(world: World, tmp_path: Path) -> None:
    node = world.post("CODE", kind="GraphVideo")
    folder = world.download(tmp_path, node)
    assert (folder / f"{BASE}.mp4").exists()
    assert chosen(read(tmp_path)[0]) == [("video", 0, 1, None)]
    assert chosen(read(tmp_path, video="thumbnail")[0]) == [("image", 0, 1, world.pictures_of(node)[0])]


def test_the_first_still_picture_that_is_there(world: World, tmp_path: Path) -> None:
    """instaloader --slide fetches a part of a carousel and numbers it as in the whole."""
    node = world.carousel("CODE", [(80, 60), (60, 80), (70, 70)])
    world.download(tmp_path, node, slide="last")
    assert chosen(read(tmp_path)[0]) == [("image", 2, 3, world.pictures_of(node)[2])]
    posts, counts = read(tmp_path, carousel="all")
    assert [post.image is None for post in posts] == [True, True, False] and counts == {"rows_without_file": 2}


def test_nodes_of_the_iphone_kind(world: World, tmp_path: Path) -> None:
    """As instaloader 4.9 and later makes them of hashtag and feed listings, numbers as text or not."""
    candidates: list[dict[str, Any]] = [{"url": "https://cdn.example/a.jpg?x", "width": 1080, "height": 720}]
    media: dict[str, Any] = {
        "code": "CODE",
        "pk": "123",
        "media_type": 1,
        "taken_at": SECOND,
        "caption": {"text": "soup #food"},
        "has_liked": False,
        "like_count": 1,
        "user": {"pk": 777, "username": "planted_user", "full_name": "x", "is_private": False, "profile_pic_url": "x"},
        "image_versions2": {"candidates": candidates},
    }
    child = {"media_type": 1, "image_versions2": {"candidates": candidates}}
    both = [media, media | {"code": "MANY", "taken_at": SECOND + 1, "media_type": 8, "carousel_media": [child, child]}]
    world.pictures[candidates[0]["url"]] = b"no picture"
    with world.loader(tmp_path) as loader:
        for each in both:
            loader.download_post(instaloader.Post.from_iphone_struct(loader.context, each), "planted_user")
    posts, counts = read(tmp_path)
    assert [post.id for post in posts] == ["CODE", "MANY"] and counts == {}
    for post, n_media in zip(posts, (1, 2), strict=True):
        assert (post.author, post.caption, post.n_media) == (hash_author("777", SALT), "soup #food", n_media)
        assert post.date is not None and post.image == b"no picture" and post.seed_hashtags == ()


def test_order_is_that_of_paths_and_a_post_in_two_folders_comes_twice(world: World, tmp_path: Path) -> None:
    nodes = [world.post(code, taken_at_timestamp=SECOND + n) for n, code in enumerate(("B", "A", "C"))]
    world.download(tmp_path, *reversed(nodes), target="#zoo")
    world.download(tmp_path, nodes[1], target="#food")
    world.download(tmp_path, nodes[2], target=":saved")
    posts, _ = read(tmp_path)
    assert [(post.id, tuple(post.seed_hashtags)) for post in posts] == [
        ("A", ("food",)),
        ("B", ("zoo",)),
        ("A", ("zoo",)),
        ("C", ("zoo",)),
        ("C", ()),
    ]


@pytest.mark.parametrize(
    ("place", "seed"),
    [
        ("#food", ("food",)),
        ("#food/2019", ("food",)),
        ("#food/#soup/x", ("soup",)),
        ("%23caf%C3%A9", ("café",)),
        ("#हिन्दी", ("हिन्दी",)),
        ("#", ()),
        ("food", ()),
        ("#bad\udce9", ()),
        ("%2300123", ()),  # place 2300123
        ("#00123", ()),
        ("#_", ()),
        ("#2019_food", ("2019_food",)),
        ("#food/%2300123", ("food",)),
        ("#food/#2019", ("food",)),
        ("#soup of the day", ()),
        ("#soup#food", ()),
        ("%23soup%20food", ()),
    ],
)
def test_seed_hashtags(world: World, tmp_path: Path, place: str, seed: tuple[str, ...]) -> None:
    folder = world.download(tmp_path / "plain", world.post("CODE"))
    (tmp_path / "dump" / place).parent.mkdir(parents=True, exist_ok=True)
    folder.rename(tmp_path / "dump" / place)
    for root in (tmp_path / "dump", tmp_path / "dump" / place.partition("/")[0]):
        assert [post.seed_hashtags for post in read(root)[0]] == [seed]


def test_json_of_other_programs(world: World, tmp_path: Path) -> None:
    (tmp_path / "1_1.jpg").write_bytes(b"x")
    (tmp_path / "1_1.jpg.json").write_text('{"shortcode": "CODE", "category": "instagram"}')
    reason = "needs JSON as instaloader 4 writes it; not written by instaloader but, it seems, by gallery-dl"
    with pytest.raises(HashgenError, match=rf"can be read \(1_1\.jpg\.json: {reason}\); download it again"):
        list(source(tmp_path).posts())
    world.download(tmp_path, world.post("CODE"))
    opened = source(tmp_path)
    assert [post.id for post in opened.posts()] == ["CODE"]
    assert opened.counts.broken_names == [f"1_1.jpg.json: {reason}"]


def test_what_is_no_post_is_passed_over(world: World, tmp_path: Path) -> None:
    folder = world.download(tmp_path, world.post("CODE"))
    with world.loader(tmp_path) as loader:
        items: list[Any] = [
            instaloader.StoryItem(loader.context, {"id": "1", "taken_at_timestamp": SECOND}),
            instaloader.Profile(loader.context, {"username": "planted_user", "id": "777"}),
            instaloader.Hashtag(loader.context, {"name": "food"}),
            instaloader.FrozenNodeIterator("h", {}, None, None, 0, None, None, None, None),
        ]
    for number, item in enumerate(items):
        instaloader.save_structure_to_file(item, str(folder / f"{number}.json.xz"))
    (folder / f"{BASE}_comments.json").write_text("[]")
    (folder / f"._{BASE}.json").write_bytes(b"\0\5\26\7 of a Mac")
    (folder / "id").write_text("777")
    (folder / f"{BASE}_profile_pic.jpg").write_bytes(b"x")
    posts, counts = read(tmp_path)
    assert [post.id for post in posts] == ["CODE"]
    assert counts == {"other_json": 4, "files_without_rows": 1}


def test_missing_and_empty_pictures(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [world.post(f"CODE{n}", taken_at_timestamp=SECOND + n) for n in range(4)]
    folder = world.download(tmp_path, *nodes)
    gone, empty, _, whole = sorted(folder.glob("*.jpg"))
    gone.unlink()
    empty.write_bytes(b"")
    monkeypatch.setattr("hashgen.sources.rows.picture_files.MAX_FILE", whole.stat().st_size - 1)
    _, opened = read(tmp_path), source(tmp_path)
    images = [post.image for post in opened.posts()]
    assert images == [None, b"", None, None]
    assert opened.counts.rows_without_file == 3 and len(opened.warnings()) == 1


@pytest.mark.parametrize("suffix", [".webp", ".png", ".heic", ".JPG"])
def test_pictures_of_other_kinds(world: World, tmp_path: Path, suffix: str) -> None:
    folder = world.download(tmp_path, world.post("CODE"))
    (folder / f"{BASE}.jpg").rename(folder / f"{BASE}{suffix}")
    [post] = read(tmp_path)[0]
    assert post.image is not None and post.image_path == f"CODE{suffix.lower()}"


def test_names_that_are_not_utf8_and_links_in_a_circle(world: World, tmp_path: Path) -> None:
    folder = world.download(tmp_path, world.post("CODE"))
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace(BASE, "caf\udce9"))
    (folder / "circle").symlink_to(tmp_path)
    (folder / "bro\udce9ken.json").symlink_to(folder / "bro\udce9ken.json")
    os.mkfifo(folder / "pipe.json")
    opened = source(tmp_path)
    [post] = opened.posts()
    assert post.image is not None and post.image_path == "CODE.jpg"
    assert opened.counts.broken_names == [
        "#food/bro�ken.json: it cannot be read, or is over 16 MiB",
        "#food/pipe.json: it cannot be read, or is over 16 MiB",
    ]
    assert any("links to folders, not followed" in line for line in opened.warnings())


def test_a_folder_that_may_not_be_entered(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.download(tmp_path, world.post("CODE"))
    (tmp_path / "planted_user").mkdir()

    def scan(path: Any, scandir: Any = os.scandir) -> Any:
        if Path(path).name == "planted_user":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    opened = source(tmp_path)
    assert [post.id for post in opened.posts()] == ["CODE"]
    assert opened.counts.broken_names == ["a folder: Permission denied"]


def test_names_of_accounts_are_not_in_messages(world: World, tmp_path: Path) -> None:
    folder = world.download(tmp_path, world.post("CODE"), target="planted_user")
    (folder / "x.json").write_text("{")
    opened = source(tmp_path)
    list(opened.posts())
    assert opened.warnings() == ["1 broken rows skipped (x.json: not valid JSON)"]


def test_nothing_to_read(world: World, tmp_path: Path) -> None:
    for path, words in [(tmp_path / "gone", "no such folder"), (tmp_path, r"no \.json or \.json\.xz files of posts")]:
        with pytest.raises(HashgenError, match=words):
            list(source(path).posts())
    (tmp_path / "file").write_text("x")
    with pytest.raises(HashgenError, match=r"not a folder; fix scrape\.instaloader\.path"):
        list(source(tmp_path / "file").posts())
    folder = world.download(tmp_path, world.post("CODE"), save_metadata=False)
    with pytest.raises(HashgenError, match=r"1 pictures, but no \.json .*--no-metadata-json.*source: folder"):
        list(source(tmp_path).posts())
    (folder / "x.json").write_text('{"node": {}, "instaloader": {"node_type": "StoryItem"}}')
    with pytest.raises(HashgenError, match="none of the 1 JSON files is a post"):
        list(source(tmp_path).posts())
    (folder / "y.json.xz").write_bytes(lzma.compress(b"{"))
    with pytest.raises(HashgenError, match=r"no file in it can be read \(#food/y\.json\.xz: not valid JSON\)"):
        list(source(tmp_path).posts())


def test_posts_come_one_by_one(world: World, tmp_path: Path) -> None:
    folder = world.download(tmp_path, *(world.post(f"CODE{n}", taken_at_timestamp=SECOND + n) for n in range(3)))
    posts = source(tmp_path).posts()
    assert next(posts).id == "CODE0"
    for path in folder.iterdir():
        path.unlink()
    assert [post.image for post in posts] == []


def test_pictures_lose_what_is_written_beside_their_pixels(tmp_path: Path) -> None:
    world = World()
    node = world.post("GEO")
    exif = Image.Exif()
    exif[0x010E] = "planted place"
    stream = io.BytesIO()
    Image.open(io.BytesIO(world.pictures[node["display_url"]])).save(stream, "JPEG", quality="keep", exif=exif)
    world.pictures[node["display_url"]] = stream.getvalue()
    world.download(tmp_path, node)
    (post,), _ = read(tmp_path)
    assert b"planted place" in stream.getvalue() and b"planted place" not in (post.image or b"")
    before, after = (
        Image.open(io.BytesIO(data)).convert("RGB").tobytes() for data in (stream.getvalue(), post.image or b"")
    )
    assert before == after


def test_types_by_their_newer_names(tmp_path: Path) -> None:
    world = World()
    folder = world.download(
        tmp_path, world.post("NEW"), world.carousel("MANY", [(80, 60), (60, 80)], taken_at_timestamp=SECOND + 1)
    )
    for path in folder.glob("*.json.xz"):
        text = lzma.decompress(path.read_bytes()).replace(b'"Graph', b'"XDTGraph')
        path.write_bytes(lzma.compress(text))
    posts, _ = read(tmp_path, carousel="all")
    assert [(post.id, post.media_index) for post in posts] == [("NEW", 0), ("MANY", 0), ("MANY", 1)]
