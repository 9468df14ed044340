"""Raw shards: what is written is read, in bounded memory, by others' tools too, and damage is named."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.corpus import posts as posts_module
from hashgen.corpus.posts import (
    Post,
    read_picture_bytes,
    read_row_group,
    read_shard,
    row_groups,
    shard_paths,
    write_shards,
)
from hashgen.corpus.tables import RAW_SCHEMA
from tests.properties import examples

FULL = Post(
    id="1",
    source="folder",
    caption="soup #food\n\N{FIRE}",
    hashtags=["a", "b"],
    seed_hashtags=["food"],
    author="abc",
    date=datetime(2019, 4, 30, 12, 0, 0, 5, tzinfo=UTC),
    kind="video",
    media_index=2,
    n_media=3,
    image=b"\xff\xd8\0picture",
    image_path="images/a.jpg",
    licence="CC0",
)
BARE = Post(id="2", source="folder")


def numbered(count: int, image_bytes: int = 10) -> list[Post]:
    return [Post(id=str(n), source="s", caption=f"c{n}", image=bytes([n % 256]) * image_bytes) for n in range(count)]


def read_all(folder: Path) -> list[Post]:
    found = []
    for shard in shard_paths(folder):
        for _, record in read_shard(shard):
            image = record.pop("image")
            assert isinstance(image, dict)
            data = image["bytes"]
            assert record.pop("sha256") == (None if data is None else hashlib.sha256(data).hexdigest())
            found.append(Post(**record, image=data, image_path=image["path"]))  # type: ignore[arg-type]
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert write_shards([FULL, BARE], tmp_path) == 2
    full, bare = read_all(tmp_path)
    assert full == FULL
    # A list is a list once it has been in a file.
    assert bare == Post(id="2", source="folder", seed_hashtags=[])


def test_nothing_absent_becomes_something_empty(tmp_path: Path) -> None:
    empty = Post(id="3", source="s", caption="", hashtags=[], seed_hashtags=[], image=b"", image_path="")
    write_shards([empty], tmp_path)
    assert read_all(tmp_path) == [empty]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@examples(50)
@given(
    many=st.lists(
        st.builds(
            Post,
            id=texts,
            source=texts,
            caption=st.none() | texts,
            hashtags=st.none() | st.lists(texts, max_size=3),
            seed_hashtags=st.lists(texts, max_size=3),
            date=st.none() | st.datetimes(timezones=st.just(UTC)),
            image=st.none() | st.binary(max_size=50),
        ),
        max_size=12,
    )
)
def test_any_posts_survive_in_order(tmp_path_factory: pytest.TempPathFactory, many: list[Post]) -> None:
    folder = tmp_path_factory.mktemp("any")
    assert write_shards(many, folder, posts_per_shard=5) == len(many)
    assert not many or read_all(folder) == many


def test_many_shards_keep_the_order(tmp_path: Path) -> None:
    write_shards(numbered(25), tmp_path, posts_per_shard=10)
    assert [path.name for path in shard_paths(tmp_path)] == [f"posts-0000{n}.parquet" for n in range(3)]
    assert [pq.read_metadata(path).num_rows for path in shard_paths(tmp_path)] == [10, 10, 5]
    assert [post.id for post in read_all(tmp_path)] == [str(n) for n in range(25)]


def test_no_shard_without_posts(tmp_path: Path) -> None:
    assert write_shards([], tmp_path) == 0
    with pytest.raises(HashgenError, match="the stage scrape creates them"):
        shard_paths(tmp_path)


def test_pictures_are_flushed_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_module, "ROW_GROUP_BYTES", 1000)
    write_shards(numbered(20, image_bytes=300), tmp_path, posts_per_shard=18)
    groups = row_groups(tmp_path)
    assert [group.rows for group in groups] == [4, 4, 4, 4, 2, 2]
    assert [(group.shard.name, group.start) for group in groups[-2:]] == [
        ("posts-00000.parquet", 16),
        ("posts-00001.parquet", 0),
    ]


def test_posts_are_taken_one_by_one_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_module, "ROW_GROUP_BYTES", 1000)
    most, alive = 0, set()

    class Picture(bytes):
        def __del__(self) -> None:
            alive.discard(id(self))

    def endless() -> Iterator[Post]:
        nonlocal most
        for n in range(200):
            picture = Picture(300)
            alive.add(id(picture))
            most = max(most, len(alive))
            yield Post(id=str(n), source="s", image=picture)
            del picture

    assert write_shards(endless(), tmp_path) == 200
    assert most <= 6


def test_row_groups_and_shards_and_pictures_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_module, "ROW_GROUP_BYTES", 1000)
    write_shards(numbered(17, image_bytes=300), tmp_path, posts_per_shard=9)
    by_group = [(group.shard, *pair) for group in row_groups(tmp_path) for pair in read_row_group(group)]
    by_shard = [(shard, *pair) for shard in shard_paths(tmp_path) for pair in read_shard(shard)]
    assert by_group == by_shard
    for shard in shard_paths(tmp_path):
        pictures = {row: record["image"]["bytes"] for row, record in read_shard(shard)}  # type: ignore[index]
        assert dict(read_picture_bytes(shard, list(pictures))) == pictures
        assert list(read_picture_bytes(shard, [7, 0, 5, 5])) == [(row, pictures[row]) for row in (0, 5, 7)]
        assert list(read_picture_bytes(shard, [])) == []


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    write_shards([FULL], tmp_path)
    ((row, record),) = read_shard(shard_paths(tmp_path)[0], ["id", "image.bytes"])
    assert (row, record) == (0, {"id": "1", "image": {"bytes": FULL.image}})


def test_the_image_column_is_what_hugging_face_datasets_use(tmp_path: Path) -> None:
    write_shards([FULL, BARE], tmp_path)
    column = pq.read_table(tmp_path / "posts-00000.parquet").schema.field("image").type
    assert column == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_same_posts_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_shards([FULL, BARE, *numbered(5)], tmp_path / name)
    assert (tmp_path / "a/posts-00000.parquet").read_bytes() == (tmp_path / "b/posts-00000.parquet").read_bytes()


@pytest.mark.parametrize("data", [b"", b"no parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_broken_shard_names_itself(tmp_path: Path, data: bytes) -> None:
    shard = tmp_path / "posts-00000.parquet"
    shard.write_bytes(data)
    for read in (
        lambda: list(read_shard(shard)),
        lambda: list(read_picture_bytes(shard, [0])),
        lambda: row_groups(tmp_path),
    ):
        with pytest.raises(HashgenError, match=r"posts-00000\.parquet: not a readable Parquet shard") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_damage_inside_a_shard_names_it(tmp_path: Path) -> None:
    write_shards(numbered(200, image_bytes=100), tmp_path)
    shard = tmp_path / "posts-00000.parquet"
    data = bytearray(shard.read_bytes())
    start = pq.read_metadata(shard).row_group(0).column(2).dictionary_page_offset or 4
    data[start : start + 60] = b"\xff" * 60
    shard.write_bytes(bytes(data))
    with pytest.raises(HashgenError, match=r"posts-00000\.parquet"):
        list(read_shard(shard))


def test_a_shard_without_a_column_names_both(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "posts-00000.parquet")
    with pytest.raises(HashgenError, match=r"posts-00000.parquet: no column source, caption, .*stage scrape"):
        list(read_shard(tmp_path / "posts-00000.parquet"))


def test_an_error_of_the_source_comes_through(tmp_path: Path) -> None:
    def failing() -> Iterator[Post]:
        yield FULL
        raise HashgenError("source: gone")

    with pytest.raises(HashgenError, match="source: gone"):
        write_shards(failing(), tmp_path)


def test_the_schema_has_all_fields_of_a_post() -> None:
    fields = {field for field in Post.__dataclass_fields__ if field not in ("image", "image_path")}
    assert fields | {"image", "sha256"} == set(RAW_SCHEMA.names)
