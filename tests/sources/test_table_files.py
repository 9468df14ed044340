"""Tables as files of text: what must end in one clear line, and what any rows or bytes come to."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import write_shards
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.values import RowCounts
from tests.doubles.tables import KINDS, NOTHING, ROLES, SALT, read, saved, table, written
from tests.properties import examples

HEAD = b"caption,image\nx,a.jpg\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.csv", b"", "no rows"),
        ("p.csv", b"caption,image\n", "no rows"),
        ("p.csv", b"caption;image\nx;a.jpg\n", "columns separated by semicolons; save it with commas"),
        ("p.tsv", HEAD, r"no column caption, image; found \(separated by tabs\) 'caption,image'"),
        ("p.csv", b"text,image\nx,a.jpg\n", "'text, image'; fix scrape.table.columns.caption$"),
        ("p.csv", b"caption,image,image\nx,a.jpg,b.jpg\n", "two columns are named 'image'"),
        ("p.csv", b"caption,\xe9,\xe9\n", "its first line is not UTF-8; save it as UTF-8, not Windows-1252"),
        ("p.csv", HEAD.decode().encode("utf-16"), "UTF-16"),
        ("p.csv", HEAD.decode().encode("utf-16-le"), "UTF-16"),
        ("p.csv", b"caption,image\rx,a.jpg\r", "lines end in CR, as on old Macs; save it with"),
        ("p.csv", b"caption,image\nx,y,z\n,,z\n", "all 2 rows are broken"),
        ("p.jsonl", b"", "no rows"),
        ("p.jsonl", b"[\n{},\n", "a JSON array; one object a line is needed"),
        ("p.jsonl", b",\n\xef\xbb\xbf\n", "no rows"),
        ("p.jsonl", b"{}\n", "no column caption, image"),
        ("p.jsonl", b'{"text": "x", "image": "a"}\n' * 2, "no column caption; found 'text, image'; fix scrape"),
        ("p.jsonl", '{"caption": "x", "image": "a"}'.encode("utf-16"), "UTF-16"),
        ("p.json", b"[{}]", "a JSON array; one object a line is needed"),
        ("p.jsonl", b'{"caption": "x"},\n{}\n', "JSON objects with commas between them"),
        ("p.json", b'\n{\n"caption": "x"\n}\n', "a JSON object over several lines"),
        ("p.csv", gzip.compress(HEAD, mtime=0), r"compressed with gzip; add \.gz to its name"),
        ("p.csv", b"PK\x03\x04rest", "a ZIP or Excel file; unpack it, or save it as CSV UTF-8"),
        ("p.tsv", b"PAR1rest", r"a Parquet file; .*\.parquet"),
        ("p.csv", HEAD.decode().encode("utf-16-be"), "UTF-16"),
        ("p.csv", "标题,图片\n上海,甲.jpg\n".encode("utf-16-le"), "UTF-16"),
        ("p.csv", "标题,图片\n上海,甲.jpg\n".encode("utf-16-be"), "UTF-16"),
        ("p.csv", "一,一\n一,一\n".encode("utf-16-le"), "UTF-16"),
        ("p.tsv", "подпись\tфото\nкот\tа.jpg\n".encode("utf-16-le"), "UTF-16"),
        ("p.jsonl", '{"标题": "上海"}\n'.encode("utf-16-le"), "UTF-16"),
        ("p.jsonl", b'{"posts": [{"caption": "x"}, {}]}', r"around a list of objects; .*: jq -c '\.posts\[\]' OLD"),
        ("p.json", b'{"n": 1, "data": {"my posts": [{"a": 1}]}}', r"jq -c '\.data\.\[\"my posts\"\]\[\]' OLD > NEW"),
        (
            "p.json",
            b'{\n "count": 2,\n "data": [\n {"caption": "x"}\n ]\n}\n',
            r"several lines; .* jq -c '\.data\[\]' OLD",
        ),
        ("p.json", b'{\n "caption": "x",\n "tags": ["a"]\n}\n', r"several lines; .* jq -c \. OLD"),
        (
            "p.csv",
            b"<!DOCTYPE html>\n<html><body>Log in</body></html>",
            r"a web page \(HTML or XML\), not the file itself",
        ),
        ("p.jsonl", b'\xef\xbb\xbf\n <html lang="en">\n', "a web page"),
        (
            "p.parquet",
            b'<?xml version="1.0"?><Error>AccessDenied</Error>',
            "a web page .*; download the file again, logged",
        ),
        ("p.csv.gz", b"<html>", "a web page"),
        ("p.csv", b"<Error><Code>AccessDenied</Code></Error>", "a web page"),
        ("p.csv", b"/annex/objects/SHA256E-s9--a.csv", "a pointer of git-annex.*git annex get"),
        (
            "p.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a pointer of Git LFS.*git lfs pull",
        ),
        ("p.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("p.parquet", b"<html>", "a web page"),
        ("p.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("p", b"", "unknown kind of table"),
        ("p.parquet", HEAD, "not a readable Parquet file"),
        ("p.parquet", b"", "not a readable Parquet file"),
        ("p.parquet.gz", HEAD, "not a readable Parquet file"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(HashgenError, match=message) as caught:
        read(saved(tmp_path / name, data))
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no gzip", lambda data: data[:20] + b"x" * 40]
)
def test_a_damaged_gzip_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = saved(tmp_path / "p.csv.gz", HEAD + b"x,a.jpg\n" * 10_000)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(HashgenError, match=r"p\.csv\.gz: damaged gzip"):
        read(path)


def test_a_pointer_named_as_packed(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(
        HashgenError, match=r"p\.jsonl\.gz: a pointer of Git LFS, not the file itself; .*: git lfs pull$"
    ):
        read(tmp_path / "p.jsonl.gz")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match=r"no such file; fix scrape\.table\.path"):
        table(tmp_path / "gone.csv")
    with pytest.raises(HashgenError, match=r"no \.parquet files in this folder"):
        table(tmp_path)


@pytest.mark.parametrize("text", ["caption,image\n\0x\0,a.jpg\n", "caption,image\n" + "x,a.jpg\n" * 9 + "\0,\0\n"])
def test_a_stray_nul_is_not_utf16(tmp_path: Path, text: str) -> None:
    _, counts = read(saved(tmp_path / "p.csv", (text + "x,a.jpg\n" * 9).encode()))
    assert counts.broken_rows == 1 and "a NUL character" in counts.broken_names[0]


def test_several_objects_on_a_line_are_rows(tmp_path: Path) -> None:
    row = '{"caption": "%s", "image": "a.jpg"}'
    text = f"{row % 1}{row % 2}\n{row % 3} {row % 4}\t\n{row % 5}{{\n\ufeff{row % 6}, {row % 7},\n\x1e{row % 8}\n"
    posts, counts = read(saved(tmp_path / "p.jsonl", text.encode()))
    assert [(post.caption, post.id) for post in posts] == [
        ("1", "p.jsonl:1"),
        ("2", "p.jsonl:2"),
        ("3", "p.jsonl:3"),
        ("4", "p.jsonl:4"),
        ("5", "p.jsonl:5"),
        ("6", "p.jsonl:7"),
        ("7", "p.jsonl:8"),
        ("8", "p.jsonl:9"),
    ]
    (told,) = counts.broken_names
    assert told.startswith("p.jsonl line 3: not valid JSON (") and told.endswith(", column 36)")


def test_joined_csv_files_make_no_post_of_their_headers(tmp_path: Path) -> None:
    text = "caption, image\nx,a.jpg\n\ufeffcaption,image\ny,a.jpg\n"
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [post.caption for post in posts] == ["x", "y"]
    assert counts.broken_names == ["p.csv line 3: the header again, as after joining files"]


@pytest.mark.parametrize("start", ["version https://git-lfs.github.com/spec/v1\n", "/annex/objects/SHA256E-s9"])
def test_a_pointer_is_no_picture(tmp_path: Path, start: str) -> None:
    path = written(tmp_path / "p.csv", [{"caption": "x", "image": "a.jpg"}])
    (tmp_path / "a.jpg").write_text(start)
    posts, counts = read(path)
    assert posts[0].image is None and counts == RowCounts(rows=1, rows_without_file=1)
    assert f"a.jpg is a pointer of {'Git LFS' if 'lfs' in start else 'git-annex'}, not the file" in counts.warnings()[0]


def test_types_that_mongodb_writes_as_objects(tmp_path: Path) -> None:
    row = {
        "id": {"$oid": "5d1f7a2e9c"},
        "caption": "x",
        "image": {"$binary": {"base64": "cGljdHVyZQ==", "subType": "00"}},
        "date": {"$date": {"$numberLong": "1556625600000"}},
        "author": {"$numberLong": "17841400000000000"},
        "hashtags": [{"name": "a", "_id": {"$oid": "7"}}],
    }
    old = row | {
        "image": {"bytes": {"$binary": "cGljdHVyZQ==", "$type": "00"}},
        "date": {"$date": "2019-04-30T12:00:00Z"},
    }
    posts, counts = read(written(tmp_path / "p.jsonl", [row, old]), "id", "date", "author", "hashtags")
    assert posts[0] == posts[1] and counts == RowCounts(rows=2)
    assert (posts[0].id, posts[0].image, posts[0].hashtags) == ("5d1f7a2e9c", b"picture", ["a"])
    assert str(posts[0].date) == "2019-04-30 12:00:00+00:00"
    assert posts[0].author == hash_author("17841400000000000", SALT)


def test_what_a_folder_of_shards_leaves_out_is_counted_and_named(tmp_path: Path) -> None:
    posts = pa.table({"caption": ["x"], "image": [b"picture"]})
    (tmp_path / "other").mkdir()
    (tmp_path / "f/_temporary").mkdir(parents=True)
    pq.write_table(posts, tmp_path / "f/a.parquet")
    pq.write_table(posts, tmp_path / "other/b.parquet")
    for name in ("more.csv", "c.pq", "README.md", "_common_metadata.parquet", ".b.jsonl"):
        (tmp_path / "f" / name).touch()
    for link in ("train", "_hidden"):
        (tmp_path / "f" / link).symlink_to(tmp_path / "other")
    source = table(tmp_path / "f")
    for _ in range(2):
        assert [post.id for post in source.posts()] == ["a.parquet:1"]
        assert source.counts == RowCounts(rows=1, linked_folders=1, unread_files=2)
    assert source.metrics()["linked_folders"] == 1
    assert source.warnings() == [
        "1 links to folders, not followed; put the folders themselves there (first: train)",
        "2 files that are not read, but look as if they were meant to be "
        "(first: c.pq; of a folder only .parquet files are read)",
    ]
    (tmp_path / "f/a.parquet").unlink()
    with pytest.raises(
        HashgenError, match=r"no \.parquet files in this folder \(the link train is not followed\); set"
    ):
        table(tmp_path / "f")


def test_optional_columns_that_no_json_row_has(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", [{"caption": "x", "image": "a.jpg"}])
    with pytest.raises(HashgenError, match=r"no column who, date; .* fix .*columns\.author, .*columns\.date$"):
        read(path, "date", author="who")
    assert len(read(written(path, [{"caption": "x"}, {"image": "a.jpg"}, {"date": None}]), "date")[0]) == 3


def test_a_json_column_that_is_long_missing_ends_early(tmp_path: Path) -> None:
    rows: list[object] = [{"caption": "x", "image": ""} for _ in range(1500)]
    source = table(written(tmp_path / "p.jsonl", rows), image="picture")
    with pytest.raises(HashgenError, match=r"no column picture"):
        list(source.posts())
    assert source.counts.rows < 1000


def test_reading_twice_counts_once(tmp_path: Path) -> None:
    source = table(written(tmp_path / "p.jsonl", [{"caption": "x", "image": "b.jpg"}, "{"]))
    assert source.total is None
    assert list(source.posts()) == list(source.posts())
    assert source.counts.rows == 2 and source.metrics()["broken_rows"] == 1 and len(source.warnings()) == 2


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@examples(200)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=5), kind=st.sampled_from(KINDS[:-1]))
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], kind: str
) -> None:
    names = ("caption", "image", "licence")
    folder = tmp_path_factory.mktemp("same")
    posts, counts = read(
        written(
            folder / f"p.{kind}",
            [dict(zip(names, ("x", "a.jpg", "y"), strict=True))]
            + [dict(zip(names, (caption, "a.jpg", licence), strict=True)) for caption, licence in rows],
        ),
        "licence",
    )
    assert counts == RowCounts(rows=len(rows) + 1)
    assert [post.caption for post in posts[1:]] == [caption or None for caption, _ in rows]
    assert [post.licence for post in posts[1:]] == [None if text.strip() in NOTHING else text for _, text in rows]


foreign = st.text(
    st.characters(categories=["L"], max_codepoint=0xFFFF).filter(lambda letter: 10 not in letter.encode("utf-16-le")),
    min_size=1,
    max_size=5,
)


@examples(200)
@given(names=st.lists(foreign, min_size=4, max_size=4), encoding=st.sampled_from(["utf-16-le", "utf-16-be"]))
def test_utf16_without_its_mark_is_known_in_any_script(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], encoding: str
) -> None:
    a, b, c, d = names
    path = saved(tmp_path_factory.mktemp("utf16") / "p.csv", f"{a},{b}\n{c},{d}\n".encode(encoding))
    with pytest.raises(HashgenError, match="UTF-16"):
        read(path)


@examples(200)
@given(
    captions=st.lists(st.text(max_size=10), min_size=1, max_size=6),
    between=st.sampled_from(["", " ", "\n", "\t\r\n", ", ", "\ufeff", "\n\x1e"]),
)
def test_objects_are_rows_whatever_is_between_them(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str], between: str
) -> None:
    rows = [json.dumps({"caption": caption, "image": "a.jpg"}) for caption in captions]
    path = saved(tmp_path_factory.mktemp("lines") / "p.jsonl", between.join([*rows, "{}"]).encode())
    posts, counts = read(path)
    assert len(posts) == len(rows) + 1 and counts.broken_rows == 0
    assert counts.mended_rows == sum("\0" in caption for caption in captions)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]))
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(["bytes", "path", "a"]), scalars)


@examples(200)
@given(row=st.dictionaries(st.sampled_from(ROLES), values))
def test_any_json_row_makes_a_post_that_can_be_written_or_is_broken(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]
) -> None:
    path = written(tmp_path_factory.mktemp("any") / "p.jsonl", [dict.fromkeys(ROLES), row])
    posts, counts = read(path, *ROLES)
    assert len(posts) + counts.broken_rows == 2
    assert write_shards(posts, path.parent) == len(posts)


@examples(300)
@given(data=st.binary(max_size=200), kind=st.sampled_from(KINDS[:-1]), has_head=st.booleans(), is_packed=st.booleans())
def test_any_bytes_end_in_posts_or_in_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str, has_head: bool, is_packed: bool
) -> None:
    start = (
        b'{"caption": "x", "image": "a.jpg"}\n'
        if "json" in kind
        else HEAD.replace(b",", b"," if "csv" in kind else b"\t")
    )
    path = saved(tmp_path_factory.mktemp("bytes") / f"p.{kind}", has_head * start + data)
    if not is_packed:
        path.write_bytes(has_head * start + data)
    try:
        posts, counts = read(path)
    except HashgenError as error:
        assert "\n" not in str(error)
    else:
        assert len(posts) + counts.broken_rows == counts.rows and posts
