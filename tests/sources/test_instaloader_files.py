"""Which pictures are a post's: what instaloader itself leaves of posts of one second, patterns, sizes, texts."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen.pictures.decode import decode_picture
from tests.doubles.instaloader_world import BASE, SECOND, Node, World, picture, read, source
from tests.properties import examples

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")

CODES = ("ABCDEFGHIJ1", "KLMNOPQRST2", "UVWXYZabcd3")


@pytest.fixture
def world() -> World:
    return World()


def make(world: World, kind: str, code: str, side: int, caption: str | None) -> Node:
    """A post whose pictures are `side` wide and of a height that no other side gives."""
    sizes = [(side, side + 7 * n) for n in range(3)]
    if kind == "image" or kind == "video":
        return world.post(code, sizes[0], caption, "GraphImage" if kind == "image" else "GraphVideo")
    videos = [1] if kind == "mixed" else []
    return world.carousel(code, sizes[: 2 if kind == "two" else 3], videos, caption=caption)


KINDS = ("image", "video", "two", "three", "mixed")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(KINDS, KINDS)))
def test_of_two_posts_of_one_second_none_has_the_others_picture(
    world: World, tmp_path: Path, first: str, second: str
) -> None:
    """Told by the caption that was moved away where sizes are the same, by sizes where a caption was wanting."""
    captions = [
        ("one #a", "two #b", 50, 50),
        ("one #a", None, 50, 50),
        (None, "two #b", 50, 90),
        ("x #a", "x #a", 50, 90),
    ]
    for number, (one, two, side, other) in enumerate(captions):
        nodes = [make(world, first, CODES[0], side, one), make(world, second, CODES[1], other, two)]
        folder = world.download(tmp_path / str(number), *nodes)
        assert len(list(folder.glob("*.json.xz"))) == 1
        for carousel, video in itertools.product(("first", "all"), ("skip", "thumbnail")):
            posts, _ = read(tmp_path / str(number), carousel, video)
            own = world.pictures_of(nodes[1])
            assert {post.id for post in posts} == {CODES[1]}
            assert all(post.image is None or post.image == own[post.media_index] for post in posts)
            if first == second:
                assert all(post.image is None for post in posts)


@examples(60)
@given(
    posts=st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.sampled_from([None, "x #a", "y #a"])),
        min_size=2,
        max_size=6,
    ),
    pattern=st.sampled_from(["{date_utc}_UTC", "{date_utc}_UTC_{typename}", "{shortcode}", "{mediaid}", "{filename}"]),
)
def test_however_posts_collide_no_picture_is_anothers(
    tmp_path_factory: pytest.TempPathFactory, posts: list[Any], pattern: str
) -> None:
    """Posts are of one of three seconds, and all their sizes differ."""
    world, folder = World(), tmp_path_factory.mktemp("dump")
    nodes = {
        code: make(world, kind, code, 40 + 30 * number, caption) | {"taken_at_timestamp": SECOND + second}
        for number, (kind, second, caption) in enumerate(posts)
        for code in [f"CODEOFPOST{number}"]
    }
    world.download(folder, *nodes.values(), filename_pattern=pattern)
    for carousel in ("first", "all"):
        found, _ = read(folder, carousel, "thumbnail")
        for post in found:
            assert post.image in (None, world.pictures_of(nodes[post.id])[post.media_index])
        if pattern in ("{shortcode}", "{mediaid}", "{filename}"):
            assert all(post.image is not None for post in found) and {post.id for post in found} == set(nodes)


@pytest.mark.parametrize(
    "pattern",
    [
        "{shortcode}",
        "{mediaid}",
        "{filename}",
        "{date_utc}_UTC_{shortcode}",
        "{profile}/{shortcode}",
        "{shortcode}/{filename}",
        "{date_utc:%Y}_{filename}",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_names_of_their_own_match_whatever_the_second(world: World, tmp_path: Path, pattern: str, kind: str) -> None:
    """Also when a caption was edited between two downloads."""
    nodes = [make(world, kind, code, 50, "old #a") for code in CODES[:2]]
    edited = [node | {"edge_media_to_caption": {"edges": [{"node": {"text": "new #a"}}]}} for node in nodes]
    world.download(tmp_path, *nodes, filename_pattern=pattern)
    world.download(tmp_path, *edited, filename_pattern=pattern)
    posts, counts = read(tmp_path, "all", "thumbnail")
    assert {(post.id, post.caption) for post in posts} == {(code, "new #a") for code in CODES[:2]} and counts == {}
    assert [post.image for post in sorted(posts, key=lambda post: post.id)] == [
        image for node in nodes for image in world.pictures_of(node)
    ]


def test_posts_of_one_second_in_two_folders_are_well(world: World, tmp_path: Path) -> None:
    nodes = [world.post(code) for code in CODES[:2]]
    world.download(tmp_path, nodes[0], target="#a")
    world.download(tmp_path, nodes[1], target="#b")
    posts, counts = read(tmp_path)
    assert [post.image for post in posts] == [world.pictures_of(node)[0] for node in nodes] and counts == {}


def test_a_packed_and_a_plain_json_of_one_name(world: World, tmp_path: Path) -> None:
    node, other = world.post(CODES[0]), world.post(CODES[1])
    folder = world.download(tmp_path, node, compress_json=True)
    world.download(tmp_path, node, compress_json=False)
    posts, counts = read(tmp_path)
    assert [post.image is None for post in posts] == [False] and counts == {}
    world.download(tmp_path, other, compress_json=False)
    (folder / f"{BASE}_old_01.txt").unlink(missing_ok=True)
    posts, counts = read(tmp_path)
    assert [(post.id, post.image) for post in posts] == [(CODES[1], None), (CODES[0], None)]
    assert counts == {"shared_names": 2}
    (folder / f"{BASE}.json.xz").write_bytes(b"broken")
    posts, counts = read(tmp_path)
    assert [(post.id, post.image) for post in posts] == [(CODES[1], None)]
    assert counts == {"shared_names": 1, "broken_rows": 1}


def test_two_json_that_claim_one_picture(world: World, tmp_path: Path) -> None:
    """A pattern that numbers posts as instaloader numbers media."""
    world.download(tmp_path, world.carousel("A", [(80, 60), (80, 60)]), filename_pattern="x")
    world.download(tmp_path, world.post("B"), filename_pattern="x_1")
    posts, counts = read(tmp_path)
    assert [(post.id, post.image) for post in posts] == [("A", None), ("B", None)] and counts == {"shared_names": 2}


@pytest.mark.parametrize("pattern", ["{date_utc}_UTC", "{shortcode}"])
def test_a_carousel_that_lost_a_picture_may_have_the_wrong_numbers(world: World, tmp_path: Path, pattern: str) -> None:
    sizes = [(80, 60)] * 3
    node = world.carousel(CODES[0], sizes)
    world.download(tmp_path, node, filename_pattern=pattern)
    fewer = node | {"edge_sidecar_to_children": {"edges": node["edge_sidecar_to_children"]["edges"][1:]}}
    world.download(tmp_path, fewer, filename_pattern=pattern)
    posts, counts = read(tmp_path)
    assert [post.image for post in posts] == [None] and counts == {"shared_names": 1}


def spoil_video(folder: Path) -> None:
    (folder / f"{BASE}.mp4").write_bytes(b"x")


def spoil_twice(folder: Path) -> None:
    (folder / f"{BASE}.webp").write_bytes(b"x")


def spoil_number(folder: Path) -> None:
    (folder / f"{BASE}_1.jpg").write_bytes(b"x")


def spoil_text(folder: Path) -> None:
    (folder / f"{BASE}_old_01.txt").write_text("another text")


@pytest.mark.parametrize("spoil", [spoil_video, spoil_twice, spoil_number, spoil_text])
def test_files_that_the_json_does_not_explain(world: World, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = world.download(tmp_path, world.post("CODE"))
    assert read(tmp_path)[0][0].image is not None
    spoil(folder)
    posts, counts = read(tmp_path)
    assert posts[0].image is None and counts == {"shared_names": 1}


def blots(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("pattern", ["{date_utc}_UTC", "{shortcode}", "{filename}"])
@pytest.mark.parametrize("kind", ["image", "two"])
def test_a_picture_that_was_saved_as_webp_and_as_jpg(world: World, tmp_path: Path, pattern: str, kind: str) -> None:
    node = make(world, kind, CODES[0], 320, "x #a")
    for address in world.pictures:
        size = Image.open(io.BytesIO(world.pictures[address])).size
        world.pictures[address] = saved(blots(1, size), "JPEG")
    folder = world.download(tmp_path, node, filename_pattern=pattern)
    jpg = min(folder.glob("*.jpg"))
    whole = decode_picture(jpg.read_bytes(), 10**6)
    for image, format, suffix in (
        (whole, "WEBP", ".webp"),
        (whole.resize((640, 640)), "WEBP", ".webp"),
        (whole, "JPEG", ".webp"),
        (whole, "PNG", ".PNG"),
    ):
        extra = jpg.with_suffix(suffix)
        extra.write_bytes(saved(image, format, **({} if format == "PNG" else {"quality": 60})))
        posts, counts = read(tmp_path, "all")
        images = [post.image for post in posts]
        assert jpg.read_bytes() in images or suffix == ".PNG"
        assert None not in images and counts == {}
        extra.unlink()


@pytest.mark.parametrize("suffix", [".webp", ".jpeg", ".JPG"])
def test_two_pictures_that_show_something_else(world: World, tmp_path: Path, suffix: str) -> None:
    node = world.post("CODE", (320, 240))
    world.pictures[node["display_url"]] = saved(blots(1), "JPEG")
    folder = world.download(tmp_path, node)
    whole = saved(blots(1), "WEBP")
    for data in (
        saved(blots(2), "WEBP"),
        saved(blots(1, (240, 240)), "WEBP"),
        saved(blots(1).convert("L"), "WEBP"),
        saved(Image.new("RGB", (320, 240)), "WEBP"),
        whole[: len(whole) // 2],
        b"",
    ):
        (folder / f"{BASE}{suffix}").write_bytes(data)
        posts, counts = read(tmp_path)
        assert [post.image for post in posts] == [None] and counts == {"shared_names": 1}


def test_plain_pictures_are_alike_in_one_colour_only(world: World, tmp_path: Path) -> None:
    folder = world.download(tmp_path, world.post("CODE"))
    [jpg] = folder.glob("*.jpg")
    for colour, is_alike in ((decode_picture(jpg.read_bytes(), 10**6).getpixel((5, 5)), True), ("red", False)):
        jpg.with_suffix(".webp").write_bytes(saved(Image.new("RGB", (80, 60), colour), "WEBP", lossless=True))
        assert (read(tmp_path)[0][0].image is not None) == is_alike


def download_without_list(
    world: World, folder: Path, sizes: list[tuple[int, int]], videos: tuple[int, ...] = ()
) -> Path:
    """Download a carousel and take the list of its media from the JSON."""
    target = world.download(folder, world.carousel("CODE", sizes, videos), compress_json=False)
    path = target / f"{BASE}.json"
    document = json.loads(path.read_text())
    del document["node"]["edge_sidecar_to_children"]
    path.write_text(json.dumps(document))
    return target


def test_a_carousel_without_a_list_has_the_pictures_beside_it(world: World, tmp_path: Path) -> None:
    folder = download_without_list(world, tmp_path, [(80, 60), (60, 80), (70, 70)])
    pictures = [(folder / f"{BASE}_{n}.jpg").read_bytes() for n in (1, 2, 3)]
    posts, counts = read(tmp_path, "all")
    assert [(post.media_index, post.n_media, post.image) for post in posts] == [
        (place, 3, image) for place, image in enumerate(pictures)
    ]
    assert counts == {} and [post.image for post in read(tmp_path)[0]] == pictures[:1]
    (folder / f"{BASE}_2.jpg").unlink()
    posts, counts = read(tmp_path, "all")
    assert [post.image for post in posts] == [pictures[0], None, pictures[2]] and counts == {"rows_without_file": 1}


def test_a_video_in_a_carousel_without_a_list(world: World, tmp_path: Path) -> None:
    folder = download_without_list(world, tmp_path, [(80, 60), (60, 80)], videos=(1,))
    assert [post.image is None for post in read(tmp_path, "all", "thumbnail")[0]] == [False, False]
    (folder / f"{BASE}_2.jpg").unlink()
    posts, counts = read(tmp_path, "all")
    assert [(post.kind, post.n_media) for post in posts] == [("image", 2)] and counts == {}
    assert [post.image is None for post in read(tmp_path, "all", "thumbnail")[0]] == [False, True]


def spoil_first(folder: Path) -> None:
    (folder / f"{BASE}_1.jpg").write_bytes(picture("other", (50, 90)))


def spoil_single(folder: Path) -> None:
    (folder / f"{BASE}.jpg").write_bytes(picture("other", (80, 60)))


def spoil_double(folder: Path) -> None:
    (folder / f"{BASE}_2.webp").write_bytes(picture("other", (80, 60)))


@pytest.mark.parametrize("spoil", [spoil_first, spoil_single, spoil_double, spoil_text])
def test_a_carousel_without_a_list_whose_files_may_be_anothers(
    world: World, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(download_without_list(world, tmp_path, [(80, 60), (60, 80)]))
    posts, counts = read(tmp_path)
    assert [post.image for post in posts] == [None]
    assert counts == {"unmatched_pictures" if spoil is spoil_first else "shared_names": 1}


def test_a_carousel_without_a_list_and_pictures_is_broken(world: World, tmp_path: Path) -> None:
    folder = download_without_list(world, tmp_path, [(80, 60), (60, 80)])
    world.download(tmp_path, world.post("OTHER", taken_at_timestamp=SECOND + 1))
    for path in folder.glob(f"{BASE}_*.jpg"):
        path.unlink()
    opened = source(tmp_path)
    assert [post.id for post in opened.posts()] == ["OTHER"]
    assert opened.counts.broken_names == [
        f"#food/{BASE}.json: it does not list the pictures of its carousel, and none are beside it; download it again"
    ]


@pytest.mark.parametrize(
    ("told", "size", "orientation", "fits"),
    [
        ((80, 60), (80, 60), 1, True),
        ((80, 60), (60, 80), 6, True),
        ((80, 60), (80, 60), 6, False),
        ((80, 60), (60, 80), 1, False),
        ((80, 60), (40, 30), 1, False),  # nothing so small is served in several sizes
        ((1080, 1349), (640, 799), 1, True),
        ((1080, 1350), (1440, 1800), 1, True),  # fetched when logged in, the JSON written anew later
        ((1080, 1350), (1080, 1080), 1, False),
        (None, (80, 60), 1, True),
        ((0, -5), (80, 60), 1, True),
        ((10**400, 10**400), (80, 60), 1, True),
    ],
)
def test_sizes(
    world: World, tmp_path: Path, told: tuple[int, int] | None, size: tuple[int, int], orientation: int, fits: bool
) -> None:
    node = world.post("CODE", size)
    world.pictures[node["display_url"]] = picture("CODE", size, orientation)
    node["dimensions"] = told and {"width": told[0], "height": told[1]}
    world.download(tmp_path, node)
    posts, counts = read(tmp_path)
    assert (posts[0].image is not None) == fits and counts == ({} if fits else {"unmatched_pictures": 1})


def test_one_unlike_picture_spoils_its_carousel(world: World, tmp_path: Path) -> None:
    node = world.carousel("CODE", [(80, 60), (60, 80)])
    folder = world.download(tmp_path, node)
    (folder / f"{BASE}_2.jpg").write_bytes(picture("other", (50, 50)))
    posts, counts = read(tmp_path)
    assert [post.image for post in posts] == [None] and counts == {"unmatched_pictures": 1}


@pytest.mark.parametrize(
    ("node", "text", "caption", "has_picture"),
    [
        (
            {"edge_media_to_caption": {"edges": [{"node": {"text": " e\u0301 #a\r\n क़ "}}]}},
            None,
            " e\u0301 #a\r\n क़ ",
            True,
        ),
        ({"edge_media_to_caption": {"edges": []}}, None, None, True),
        ({"edge_media_to_caption": {"edges": []}}, "another's", None, False),
        ({"caption": "plain #a"}, "7 likes", "plain #a", True),
        ({"caption": {"text": "struct #a"}}, "struct #a\r\n", "struct #a", True),
        ({"caption": None}, None, None, True),
        ({}, "beside #a\n", "beside #a", True),
        ({}, None, None, True),
    ],
)
def test_captions(
    world: World, tmp_path: Path, node: Node, text: str | None, caption: str | None, has_picture: bool
) -> None:
    whole = world.post("CODE")
    del whole["edge_media_to_caption"]
    folder = world.download(tmp_path, whole | node, post_metadata_txt_pattern="")
    if text is not None:
        (folder / f"{BASE}.txt").write_bytes(text.encode())
    [post] = read(tmp_path)[0]
    assert (post.caption, post.image is not None) == (caption, has_picture)


def test_captions_are_as_they_were_written(world: World, tmp_path: Path) -> None:
    captions = [" e\u0301 #a ", "\n\nline\r\nline #हिन्दी ", "क़ #a", "#a 😀"]
    nodes = [world.post(f"C{n}", caption=text, taken_at_timestamp=SECOND + n) for n, text in enumerate(captions)]
    world.download(tmp_path, *nodes)
    posts, counts = read(tmp_path)
    assert [post.caption for post in posts] == captions and counts == {}


def test_an_old_text_is_no_caption_of_a_json_without(world: World, tmp_path: Path) -> None:
    node = world.post("CODE")
    del node["edge_media_to_caption"]
    folder = world.download(tmp_path, node)
    (folder / f"{BASE}.txt").write_text("whose?")
    (folder / f"{BASE}_old_01.txt").write_text("whose?")
    posts, counts = read(tmp_path)
    assert (posts[0].caption, posts[0].image) == (None, None) and counts == {"shared_names": 1}
