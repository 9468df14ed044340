"""What a row of a table may hold: ids, dates, hashtags, pictures, nothing; and rows that are broken."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hashgen.corpus.posts import Post, write_shards
from hashgen.sources.authors import hash_author
from hashgen.sources.rows.text_files import MAX_LINE
from hashgen.sources.rows.values import RowCounts
from tests.doubles.tables import KINDS, NOTHING, ROLES, SALT, read, saved, table, written


@pytest.mark.parametrize("kind", KINDS)
def test_all_columns_of_a_row(tmp_path: Path, kind: str) -> None:
    row = {
        "key": 17,
        "text": 'two\nlines, "quoted"\tand #one',
        "tags": "Lunch, #food 5",
        "file": "a.jpg",
        "who": "ann",
        "when": "2019-04-30T12:00:00+02:00",
        "rights": "CC0",
        "found": "food love",
        "more": "ignored",
    }
    names = dict(zip(ROLES, ("key", "text", "tags", "file", "who", "when", "rights", "found"), strict=True))
    posts, counts = read(written(tmp_path / f"posts.{kind.lower()}", [row, row]), **names)
    assert counts == RowCounts(rows=2)
    assert posts == 2 * [
        Post(
            id="17",
            source="table",
            caption=row["text"],  # type: ignore[arg-type]
            hashtags=["Lunch", "food", "5"],
            seed_hashtags=["food", "love"],
            author=hash_author("ann", SALT),
            date=datetime(2019, 4, 30, 10, tzinfo=UTC),
            image=b"picture",
            image_path="a.jpg",
            licence="CC0",
        )
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_columns_that_params_do_not_name_are_not_read(tmp_path: Path, kind: str) -> None:
    row = {"id": "7", "caption": "x", "image": "a.jpg", "author": "ann", "date": "2019-01-01", "hashtags": "a"}
    posts, _ = read(written(tmp_path / f"p.{kind}", [row]))
    assert posts == [Post(id=f"p.{kind}:1", source="table", caption="x", image=b"picture", image_path="a.jpg")]


def test_an_id_by_place_stays_when_rows_are_added(tmp_path: Path) -> None:
    rows: list[object] = [{"caption": "x", "image": "a.jpg", "id": None}, "{", "", {"caption": "y", "id": 5}]
    posts, _ = read(written(tmp_path / "p.jsonl", rows), "id")
    more, _ = read(written(tmp_path / "p.jsonl", [*rows, {"caption": "z"}]), "id")
    assert [post.id for post in posts] == ["p.jsonl:1", "5"]
    assert [post.id for post in more] == ["p.jsonl:1", "5", "p.jsonl:4"]


@pytest.mark.parametrize("value", [*NOTHING, " ", None, float("nan")])
def test_ways_to_write_that_there_is_nothing(tmp_path: Path, value: object) -> None:
    row = dict.fromkeys(ROLES, value) | {"caption": "x"}
    posts, counts = read(written(tmp_path / "p.jsonl", [row]), *ROLES)
    assert posts == [Post(id="p.jsonl:1", source="table", caption="x")]
    assert counts == RowCounts(rows=1, rows_without_file=1)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (12.0, "12"),
        (12.5, "12.5"),
        (17841400000000000.0, "17841400000000000"),
        ("12.0", "12"),
        ("007", "007"),
        ("1e5", "1e5"),
        ("v1.0", "v1.0"),
    ],
)
def test_numbers_that_are_ids_and_authors(tmp_path: Path, kind: str, value: object, text: str) -> None:
    posts, _ = read(
        written(tmp_path / f"p.{kind}", [{"caption": "x", "image": "", "id": value, "author": value}]), "id", "author"
    )
    assert (posts[0].id, posts[0].author) == (text, hash_author(text, SALT))


def test_no_author_is_kept_without_salt(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", [{"caption": "x", "image": "a.jpg", "author": "ann"}])
    section = table(path, "author")
    section._salt = None
    assert [post.author for post in section.posts()] == [None]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "value",
    [
        "2019-04-30T12:00:00Z",
        "2019-04-30 12:00:00",
        "2019-04-30 12:00:00+00:00",
        "2019-04-30 12:00:00 UTC",
        "2019-04-30 14:00:00.000+02:00",
        1556625600,
        1556625600.0,
        "1556625600",
        1556625600000,
        1556625600000.0,
        "1556625600000",
    ],
)
def test_dates(tmp_path: Path, kind: str, value: object) -> None:
    posts, counts = read(written(tmp_path / f"p.{kind}", [{"caption": "x", "image": "a.jpg", "date": value}]), "date")
    assert posts[0].date == datetime(2019, 4, 30, 12, tzinfo=UTC)
    assert counts == RowCounts(rows=1)


@pytest.mark.parametrize("value", ["yesterday", "30.04.2019", 2019, True, 10**17, "9" * 400, [1], {"a": 1}])
def test_a_date_that_cannot_be_read_is_counted(tmp_path: Path, value: object) -> None:
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": "a.jpg", "date": value}]), "date")
    assert posts[0].date is None and counts == RowCounts(rows=1, unread_dates=1)


@pytest.mark.parametrize("value", ["['a', 'b']", '["a", "b"]', "a, b", "#a #b", "a;b", ["a", None, "b"], "['a' 'b']"])
def test_hashtags_given_apart(tmp_path: Path, value: object) -> None:
    posts, _ = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": "a.jpg", "hashtags": value}]), "hashtags")
    assert [tag.removeprefix("#") for tag in posts[0].hashtags or ()] == ["a", "b"]


def test_paths_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.jpg").write_bytes(b"other")
    (tmp_path / "table").mkdir()
    paths = ["a.jpg", "../elsewhere/b.jpg", str(tmp_path / "elsewhere/b.jpg"), "..\\elsewhere\\b.jpg", "./a.jpg"]
    lost = ["gone.jpg", "x" * 300, ".", "https://example.org/a.jpg", "", "/dev/zero"]
    rows: list[object] = [{"caption": "x", "image": path} for path in (*paths, *lost)]
    posts, counts = read(written(tmp_path / "table/p.jsonl", rows))
    assert [post.image for post in posts] == [b"picture", b"other", b"other", b"other", b"picture"] + [None] * len(lost)
    assert (counts.rows_without_file, counts.broken_rows) == (len(lost), 0)


@pytest.mark.parametrize(
    ("value", "image", "path"),
    [
        ({"bytes": None, "path": "a.jpg"}, b"picture", "a.jpg"),
        ({"path": "a.jpg"}, b"picture", "a.jpg"),
        ({"bytes": base64.b64encode(b"\xff\xd8").decode(), "path": "a.jpg"}, b"\xff\xd8", "a.jpg"),
        ({"bytes": base64.b64encode(b"\xff\xd8").decode(), "path": None}, b"\xff\xd8", None),
        ({"bytes": "no base64", "path": "a.jpg"}, b"picture", "a.jpg"),
        ({"bytes": "é", "path": None}, None, None),
        ({"bytes": "", "path": float("nan")}, None, None),
        ({}, None, None),
    ],
)
def test_the_image_struct_in_json(tmp_path: Path, value: object, image: bytes | None, path: str | None) -> None:
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": value}]))
    assert (posts[0].image, posts[0].image_path, counts.rows_without_file) == (image, path, image is None)


def test_a_long_picture_in_json(tmp_path: Path) -> None:
    data = bytes(3 * 2**20)
    row = {"caption": "x", "image": {"bytes": base64.b64encode(data).decode(), "path": None}}
    posts, counts = read(written(tmp_path / "p.jsonl", [row, "x" * (MAX_LINE + 1)]))
    assert posts[0].image == data and "over 32 MiB" in counts.broken_names[0]


def test_a_video_is_no_missing_picture(tmp_path: Path) -> None:
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": "gone.MP4"}]))
    assert (posts[0].kind, posts[0].image, counts) == ("video", None, RowCounts(rows=1))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ({"caption": ["x"]}, "caption is not text"),
        ({"caption": "x", "image": True}, "image is not text"),
        ({"caption": "x", "image": {"bytes": [255, 216]}}, "image is neither a path nor bytes"),
        ({"caption": "x", "id": {"a": 1}}, "id is not text"),
        ("{\0}", "NUL"),
    ],
)
def test_a_broken_row_is_counted_and_named_and_the_rest_goes_on(tmp_path: Path, row: object, reason: str) -> None:
    good: dict[str, Any] = {"caption": "x", "image": "a.jpg", "hashtags": [], "id": None}
    posts, counts = read(written(tmp_path / "p.jsonl", [good, row, good]), "hashtags", "id")
    assert [post.id for post in posts] == ["p.jsonl:1", "p.jsonl:3"]
    assert (counts.rows, counts.broken_rows, counts.rows_without_file) == (3, 1, 0)
    assert counts.broken_names[0].startswith("p.jsonl line 2: ") and reason in counts.broken_names[0]


def test_half_an_emoji_and_nul_are_replaced_and_counted(tmp_path: Path) -> None:
    rows = [
        {"caption": "half a face \ud83d", "image": "a.jpg", "hashtags": ["\ude00", "b"], "other": "\0"},
        {"caption": "a\0b", "image": "a.jpg"},
        {"caption": "\ud83d\ude00", "image": "a\0.jpg", "other": "\ud83d"},
        {"caption": "x", "image": "a.jpg", "other": "\ud83d"},
    ]
    posts, counts = read(written(tmp_path / "p.jsonl", rows), "hashtags")
    assert [post.caption for post in posts] == ["half a face �", "a�b", "😀", "x"]
    assert posts[0].hashtags == ["�", "b"]
    assert counts == RowCounts(rows=4, mended_rows=3, rows_without_file=1)
    assert write_shards(posts, tmp_path) == 4


def test_broken_csv_rows(tmp_path: Path) -> None:
    text = "\ufeffcaption , image\r\nx,a.jpg\r\nx\r\none, two,a.jpg\r\n\r\na\0,a.jpg\r\n"
    text += '"' + "y" * 200_000 + '",a.jpg\r\nz,a.jpg\r\n"never closed,a.jpg\r\n'
    posts, counts = read(saved(tmp_path / "p.csv", text.encode() + b"caf\xe9,a.jpg\r\n"))
    assert [post.caption for post in posts] == ["x", "x", "y" * 200_000, "z", "never closed"]
    assert [name.split(":")[0] for name in counts.broken_names] == [f"p.csv line {n}" for n in (4, 6, 10)]
    assert (counts.rows, counts.broken_rows, counts.rows_without_file) == (8, 3, 1)


def test_bare_quotes_between_tabs(tmp_path: Path) -> None:
    lines = [
        "id\tcaption\timage",
        '4\t"quoted ""as"" Excel\tdoes"\ta.jpg',
        '1\t"Hello" world\ta.jpg',
        '2\t"unclosed\ta.jpg',
        "3\tplain\ta.jpg",
    ]
    lines += ["5\ttoo few", '6\t12" pizza\ta.jpg']
    (tmp_path / "a.jpg").write_bytes(b"picture")
    path = tmp_path / "posts.tsv"
    path.write_text("\n".join(lines) + "\n")
    posts, counts = read(path, id="id", caption="caption", image="image")
    captions = {post.id: post.caption for post in posts}
    assert captions["1"] == '"Hello" world' and captions["3"] == "plain" and captions["6"] == '12" pizza'
    assert captions["2"] == '"unclosed' and captions["4"] == 'quoted "as" Excel\tdoes'
    assert (counts.rows, counts.broken_rows, counts.rows_without_file) == (6, 0, 1)


@pytest.mark.parametrize(
    ("value", "image", "path"),
    [
        ("data:image/jpeg;base64,cGljdHVyZQ==", b"picture", None),
        (base64.b64encode(b"picture" * 1000).decode(), b"picture" * 1000, None),
        ("https://host.example/a.jpg?sig=secret#x", None, "https://host.example/a.jpg"),
    ],
)
def test_pictures_in_text(tmp_path: Path, value: str, image: bytes | None, path: str | None) -> None:
    posts, _ = read(written(tmp_path / "posts.csv", [{"caption": "x", "image": value}]))
    assert (posts[0].image, posts[0].image_path) == (image, path)


def test_a_file_by_its_url(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"here")
    posts, _ = read(written(tmp_path / "posts.csv", [{"caption": "x", "image": (tmp_path / "a b.jpg").as_uri()}]))
    assert posts[0].image == b"here"
