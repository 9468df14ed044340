"""Tables in Parquet: types of columns, shards in folders, and damage."""

import dataclasses
import math
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.values import RowCounts
from tests.doubles.tables import SALT, read, table
from tests.properties import examples


def parquet(path: Path, **columns: Any) -> Path:
    """A Parquet file of these columns; caption and image are added, and a picture a.jpg beside it."""
    rows = len(next(iter(columns.values()))) if columns else 1
    given = {"caption": ["x"] * rows, "image": ["a.jpg"] * rows} | columns
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(given), path)
    (path.parent / "a.jpg").write_bytes(b"picture")
    return path


TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
LIST_TYPES = [
    pa.list_(pa.string()),
    pa.large_list(pa.large_string()),
    pa.list_(pa.string(), 2),
    pa.list_(pa.dictionary(pa.int8(), pa.string())),
]
IMAGE_TYPES = [
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary()), ("more", pa.int8())]),
]
BYTE_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4), pa.dictionary(pa.int32(), pa.binary())]


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_text_of_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["a.jpg", None, "a.jpg"], pa.string()).cast(kind)
    names = ("id", "hashtags", "author", "licence", "seed_hashtags")
    posts, counts = read(
        parquet(tmp_path / "p.parquet", caption=column, image=column, **dict.fromkeys(names, column)), *names
    )
    given = Post(
        id="a.jpg",
        source="table",
        caption="a.jpg",
        hashtags=["a.jpg"],
        seed_hashtags=["a.jpg"],
        author=hash_author("a.jpg", SALT),
        image=b"picture",
        image_path="a.jpg",
        licence="a.jpg",
    )
    if pa.types.is_binary(kind):  # as an image it is the picture itself
        given = dataclasses.replace(given, image=b"a.jpg", image_path=None)
    assert posts == [given, Post(id="p.parquet:2", source="table"), given]
    assert (counts.rows, counts.broken_rows, counts.rows_without_file) == (3, 0, 1)


@pytest.mark.parametrize("kind", LIST_TYPES, ids=str)
def test_lists_of_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([["a", "b"], None, ["c", None]], pa.list_(pa.string())).cast(kind)
    posts, _ = read(parquet(tmp_path / "p.parquet", tags=column), hashtags="tags", seed_hashtags="tags")
    assert [(post.hashtags, post.seed_hashtags) for post in posts] == [
        (["a", "b"], ["a", "b"]),
        (None, ()),
        (["c"], ["c"]),
    ]


@pytest.mark.parametrize("kind", BYTE_TYPES, ids=str)
def test_pictures_as_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([b"\xff\xd8\xff\xe0", None, b"\x89PNG"]).cast(kind)
    posts, counts = read(parquet(tmp_path / "p.parquet", image=column))
    assert [(post.image, post.image_path) for post in posts] == [
        (b"\xff\xd8\xff\xe0", None),
        (None, None),
        (b"\x89PNG", None),
    ]
    assert counts == RowCounts(rows=3, rows_without_file=1)


@pytest.mark.parametrize("kind", IMAGE_TYPES, ids=str)
def test_the_image_struct(tmp_path: Path, kind: pa.DataType) -> None:
    values = [
        {"bytes": b"\xff\xd8", "path": "b.jpg"},
        {"bytes": None, "path": "a.jpg"},
        {"bytes": b"", "path": "a.jpg"},
        {"bytes": None, "path": None},
        {"bytes": None, "path": "gone.jpg"},
        None,
    ]
    posts, counts = read(parquet(tmp_path / "p.parquet", image=pa.array(values, kind)))
    assert [post.image for post in posts] == [b"\xff\xd8", b"picture", b"picture", None, None, None]
    assert [post.image_path for post in posts] == ["b.jpg", "a.jpg", "a.jpg", None, "gone.jpg", None]
    assert counts == RowCounts(rows=6, rows_without_file=3)


NOON = datetime(2019, 4, 30, 12)
MIDNIGHT = datetime(2019, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        *[(pa.array([NOON], pa.timestamp(unit)), NOON.replace(tzinfo=UTC)) for unit in ("s", "ms", "us", "ns")],
        (pa.array([NOON], pa.timestamp("us", "UTC")), NOON.replace(tzinfo=UTC)),
        (pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("ns", "America/New_York")), NOON.replace(tzinfo=UTC)),
        (pa.array([1556625600_123456789], pa.timestamp("ns")), NOON.replace(tzinfo=UTC, microsecond=123456)),
        (pa.array([date(2019, 4, 30)]), MIDNIGHT),
        (pa.array([date(2019, 4, 30)], pa.date64()), MIDNIGHT),
        (pa.array([1556625600]), NOON.replace(tzinfo=UTC)),
        (pa.array([1556625600000.0]), NOON.replace(tzinfo=UTC)),
        (pa.array(["2019-04-30 12:00:00+00:00"]), NOON.replace(tzinfo=UTC)),
        (pa.array([Decimal("1556625600")]), NOON.replace(tzinfo=UTC)),
        (pa.array([2**60], pa.timestamp("ms")), None),
        (pa.array([-(2**30)], pa.date32()), None),
        (pa.array([2019]), None),
        (pa.array([True]), None),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_dates(tmp_path: Path, column: pa.Array, expected: datetime | None) -> None:
    posts, counts = read(parquet(tmp_path / "p.parquet", date=column), "date")
    assert posts[0].date == expected
    assert counts == RowCounts(rows=1, unread_dates=expected is None)


def test_nothing_is_no_unread_date(tmp_path: Path) -> None:
    for column in (pa.nulls(2), pa.array([math.nan, None]), pa.array([None, None], pa.timestamp("ns"))):
        posts, counts = read(parquet(tmp_path / "p.parquet", date=column), "date")
        assert [post.date for post in posts] == [None, None] and counts == RowCounts(rows=2)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([17], pa.uint64()), "17"),
        (pa.array([17.0, None]), "17"),
        (pa.array([2**62]), str(2**62)),
        (pa.array([Decimal("1.50")]), "1.50"),
        (pa.array([date(2019, 4, 30)]), "2019-04-30"),
        (pa.array([b"\xff" * 16], pa.binary(16)), "ff" * 16),
        (pa.array([bytes(16)], pa.uuid()), "00000000-0000-0000-0000-000000000000"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_ids_and_authors_of_any_type(tmp_path: Path, column: pa.Array, text: str) -> None:
    posts, _ = read(parquet(tmp_path / "p.parquet", key=column), id="key", author="key")
    assert (posts[0].id, posts[0].author) == (text, hash_author(text, SALT))
    assert [post.id for post in posts[1:]] == ["p.parquet:2"] * (len(column) - 1)


def test_text_that_is_not_utf8_is_a_broken_row(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(2, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"x\xff"))
    for column in (bad, pa.array([b"x", b"\xff"])):
        posts, counts = read(parquet(tmp_path / "p.parquet", caption=column))
        assert [post.caption for post in posts] == ["x"]
        assert counts.broken_names == ["p.parquet row 2: not UTF-8"]


@pytest.mark.parametrize(
    ("role", "column"),
    [
        ("caption", pa.array([["x"]])),
        ("image", pa.array([[{"a": "x"}]])),
        ("image", pa.array([{"alt": "a.jpg"}])),
        ("id", pa.array([{"a": 1}])),
        ("hashtags", pa.array([{"a": 1}])),
        ("hashtags", pa.array([[["a"]]])),
        ("hashtags", pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))),
        ("hashtags", pa.array([3])),
    ],
    ids=str,
)
def test_types_that_make_no_sense_are_one_line(tmp_path: Path, role: str, column: pa.Array) -> None:
    with pytest.raises(
        HashgenError, match=rf"column {role} has the type .*, not a {role}; fix scrape\.table\.columns\.{role}$"
    ) as caught:
        table(parquet(tmp_path / "p.parquet", **{role: column}), role)
    assert "\n" not in str(caught.value)


def test_missing_and_double_columns_are_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        HashgenError, match=r"no column words, who; found 'caption, image'; fix .*\.caption, .*\.author$"
    ):
        table(parquet(tmp_path / "p.parquet"), caption="words", author="who")
    twice = pa.Table.from_arrays([pa.array(["x"])] * 3, ["caption", "image", "image"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(HashgenError, match="two columns are named 'image'"):
        table(tmp_path / "twice.parquet")


def test_shards_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    for shard, texts in (
        ("data/b.parquet", ["3"]),
        ("data/a.parquet", ["1", "2"]),
        ("z.PARQUET", [4]),
        ("empty.parquet", []),
    ):
        parquet(folder / shard, caption=texts, image=["a.jpg"] * len(texts))
    for other in ("_temporary/0.parquet", "data/.a.parquet.crc", "data/.hidden.parquet", "README.md"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_text("nothing")
    (folder / "old.parquet").mkdir()
    source = table(folder)
    posts = list(source.posts())
    assert source.total == 4
    assert [(post.id, post.caption) for post in posts] == [
        ("data/a.parquet:1", "1"),
        ("data/a.parquet:2", "2"),
        ("data/b.parquet:1", "3"),
        ("z.PARQUET:1", "4"),
    ]
    assert all(post.image == b"picture" for post in posts)


def test_every_shard_must_have_the_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(HashgenError, match=r"b\.parquet: no column caption, image; found 'text'"):
        table(tmp_path)


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match="no rows"):
        read(parquet(tmp_path / "p.parquet", caption=pa.array([], pa.string())))


@pytest.mark.parametrize("end", [3, 11, 12, 500, -2000, -500, -9, -4, -1])
def test_a_truncated_file_is_one_line(tmp_path: Path, end: int) -> None:
    path = parquet(tmp_path / "p.parquet", image=[os.urandom(100)] * 1000)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(HashgenError, match=r"p\.parquet: not a readable Parquet file") as caught:
        table(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("noise", [bytes(1000), b"\xff" * 1000])
def test_a_damaged_page_is_one_line(tmp_path: Path, noise: bytes) -> None:
    path = parquet(tmp_path / "p.parquet", image=[os.urandom(100) for _ in range(1000)])
    data = path.read_bytes()
    path.write_bytes(data[:4] + noise + data[1004:])
    source = table(path)
    with pytest.raises(HashgenError, match=r"p\.parquet: not a readable Parquet file"):
        list(source.posts())


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def bare(tag: str) -> str:
    """A hashtag without the signs it begins with, but for one that is nothing else."""
    return tag.lstrip("#＃") or tag


@examples(100)
@given(
    rows=st.lists(st.tuples(texts, st.lists(texts, max_size=3), st.none() | st.binary(min_size=1)), min_size=1),
    rows_per_group=st.integers(1, 5),
)
@example(rows=[("#", ["#", "##", "＃", "#a", "##a#", "a"], None)], rows_per_group=1)
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, list[str | None], bytes | None]],
    rows_per_group: int,
) -> None:
    path = tmp_path_factory.mktemp("same") / "p.parquet"
    captions, hashtags, images = zip(*rows, strict=True)
    columns = {"caption": pa.array(captions, pa.string()), "hashtags": pa.array(hashtags, pa.list_(pa.string()))}
    pq.write_table(pa.table(columns | {"image": pa.array(images, pa.binary())}), path, row_group_size=rows_per_group)
    source = table(path, "hashtags")
    posts = list(source.posts())
    assert source.total == len(posts) == source.counts.rows
    assert [post.caption for post in posts] == list(captions)
    assert [post.hashtags for post in posts] == [[bare(tag) for tag in tags if tag] for tags in hashtags]
    assert [post.image for post in posts] == list(images)


def test_lists_and_objects_in_columns_of_pictures_and_hashtags(tmp_path: Path) -> None:
    rows = {
        "caption": ["x", "y", "z"],
        "image": [[b"picture"], [b"one", b"two"], []],
        "hashtags": [[{"name": "love", "id": 1}, {"name": None, "id": 2}], None, [{"name": "new york", "id": 3}]],
    }
    pq.write_table(pa.table(rows), tmp_path / "p.parquet")
    posts, counts = read(tmp_path / "p.parquet", "hashtags")
    assert [(post.image, post.hashtags) for post in posts] == [
        (b"picture", ["love"]),
        (None, None),
        (None, ["new york"]),
    ]
    assert counts == RowCounts(rows=3, rows_without_file=2, unread_hashtags=1)
    assert counts.warnings()[0].endswith("(first: p.parquet row 2: a list of 2 pictures; give each picture a row of "
                                         "its own, with the same id and text)")  # fmt: skip
    addresses = [{"url": "https://host.example/a.jpg?sig=secret"}]
    pq.write_table(pa.table({"caption": ["a\0b"], "image": addresses}), tmp_path / "p.parquet")
    posts, counts = read(tmp_path / "p.parquet")
    assert [(post.caption, post.image_path) for post in posts] == [("a�b", "https://host.example/a.jpg")]
    assert counts == RowCounts(rows=1, mended_rows=1, rows_without_file=1)
