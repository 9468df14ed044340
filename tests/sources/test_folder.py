"""Folders as people have them: good rows, broken rows, and what must end in one clear line."""

import csv
import io
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post, write_shards
from hashgen.sources.authors import hash_author, read_salt
from hashgen.sources.folder.source import FolderSource
from hashgen.sources.rows.text_files import MAX_LINE
from hashgen.sources.rows.values import RowCounts
from tests.properties import examples

SALT = bytes(range(32))


def jsonl(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def make_folder(
    path: Path, metadata: str | bytes, name: str = "metadata.jsonl", files: tuple[str, ...] = ("a.jpg",)
) -> Path:
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(metadata if isinstance(metadata, bytes) else metadata.encode())
    for file in files:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(f"picture {file}".encode())
    return path


def read(path: Path) -> tuple[list[Post], RowCounts]:
    source = FolderSource(path, SALT)
    return list(source.posts()), source.counts


def test_all_fields_of_a_row(tmp_path: Path) -> None:
    row = {
        "file_name": "images/a.jpg",
        "text": "soup #food",
        "id": 17,
        "author": "ann",
        "date": "2019-04-30T12:00:00+02:00",
        "hashtags": ["Lunch", 5],
        "seed_hashtags": "food, #love",
        "license": "CC0",
    }
    posts, counts = read(make_folder(tmp_path / "f", jsonl(row), files=("images/a.jpg",)))
    assert counts == RowCounts(rows=1)
    assert posts == [
        Post(
            id="17",
            source="folder",
            caption="soup #food",
            hashtags=["Lunch", "5"],
            seed_hashtags=["food", "love"],
            author=hash_author("ann", SALT),
            date=datetime(2019, 4, 30, 10, tzinfo=UTC),
            image=b"picture images/a.jpg",
            image_path="images/a.jpg",
            licence="CC0",
        )
    ]


def test_csv_gives_the_same_posts_as_jsonl(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "file_name": "a.jpg",
            "text": 'two\nlines, "quoted" #a',
            "hashtags": "x y",
            "author": "ann",
            "date": "1556625600",
        },
        {"file_name": "b.jpg", "text": None, "hashtags": None, "author": None, "date": None},
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    lines, _ = read(make_folder(tmp_path / "jsonl", jsonl(*rows), files=("a.jpg", "b.jpg")))
    table, _ = read(
        make_folder(tmp_path / "csv", b"\xef\xbb\xbf" + out.getvalue().encode(), "metadata.csv", ("a.jpg", "b.jpg"))
    )
    assert table == lines
    assert lines[0].date == datetime(2019, 4, 30, 12, tzinfo=UTC)
    assert lines[1].caption is None and lines[1].hashtags is None and lines[1].author is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-04-30", datetime(2019, 4, 30, tzinfo=UTC)),
        ("2019-04-30T12:00:00Z", datetime(2019, 4, 30, 12, tzinfo=UTC)),
        (1556625600, datetime(2019, 4, 30, 12, tzinfo=UTC)),
        (1556625600000, datetime(2019, 4, 30, 12, tzinfo=UTC)),
        (1556625600.5, datetime(2019, 4, 30, 12, 0, 0, 500000, tzinfo=UTC)),
        (2019, None),
        ("yesterday", None),
        (1e300, None),
        (9e15, None),
        (True, None),
        ([], None),
    ],
)
def test_dates(tmp_path: Path, value: object, expected: datetime | None) -> None:
    posts, counts = read(make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x", "date": value})))
    assert posts[0].date == expected
    assert counts.unread_dates == (expected is None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ({"text": "x", "filename": "a.jpg"}, "no file_name among the columns text, filename"),
        ({"file_name": "", "text": "x"}, "no file_name"),
        ({"file_name": "a.jpg"}, "no text"),
        ({"file_name": "a.jpg", "text": ["x"]}, "text is not text"),
        ({"file_name": ["a.jpg", "b.jpg"], "text": "x"}, "file_name is a list of 2 pictures; give each picture a row"),
        ({"file_name": {"a": 1}, "text": "x"}, "file_name is not text"),
        ({"file_name": {"url": "https://host.example/a.jpg"}, "text": "x"}, "file_name is an address; addresses are"),
        ({"file_name": "//cdn.host.example/a.jpg", "text": "x"}, "file_name is an address; addresses are not fetched"),
        ({"file_name": " Data:image/png;base64,aaaa", "text": "x"}, "a picture in base64; save it as a file, or set"),
        ({"file_name": "a.jpg", "text": "x", "id": {"a": 1}}, "id is not text"),
        ({"file_name": "/etc/passwd", "text": "x"}, "points outside the folder"),
        ({"file_name": "../a.jpg", "text": "x"}, "points outside the folder"),
        ({"file_name": "..\\a.jpg", "text": "x"}, "points outside the folder"),
        ({"file_name": "C:\\a.jpg", "text": "x"}, "points outside the folder"),
        ({"file_name": ".", "text": "x"}, "points outside the folder"),
        ("\0", "NUL"),
        (json.dumps({"file_name": "a.jpg", "text": "x" * MAX_LINE}), "32 MiB"),
    ],
)
def test_a_broken_row_is_counted_and_named_and_the_rest_goes_on(tmp_path: Path, row: object, reason: str) -> None:
    good = {"file_name": "a.jpg", "text": "x"}
    posts, counts = read(make_folder(tmp_path / "f", jsonl(good, row, good)))
    assert [post.id for post in posts] == ["a.jpg", "a.jpg"]
    assert (counts.rows, counts.broken_rows) == (3, 1)
    assert counts.broken_names[0].startswith("metadata.jsonl line 2: ") and reason in counts.broken_names[0]


def test_half_an_emoji_and_nul_are_replaced_and_counted(tmp_path: Path) -> None:
    texts = ["half a face \ud83d", "\ude00 the other", "whole \ud83d\ude00", "a\0b"]
    rows = [{"file_name": "a.jpg", "text": text, "id": place} for place, text in enumerate(texts)]
    posts, counts = read(
        make_folder(tmp_path / "f", jsonl(*rows, {"file_name": "a.jpg", "text": "x", "\0": ["\udc80"]}))
    )
    assert [post.caption for post in posts] == ["half a face �", "� the other", "whole 😀", "a�b", "x"]
    assert counts == RowCounts(rows=5, mended_rows=4)
    assert counts.warnings() == [
        "4 rows with half an emoji or a NUL character, replaced by � "
        "(first: metadata.jsonl line 1: 'half a face \\ud83d')"
    ]


def test_a_line_that_is_not_utf8_is_a_broken_row(tmp_path: Path) -> None:
    lines = jsonl({"file_name": "a.jpg", "text": "x"}).encode() + '{"file_name": "b.jpg", "text": "café"}\n'.encode(
        "latin-1"
    )
    posts, counts = read(make_folder(tmp_path / "f", lines))
    assert len(posts) == counts.broken_rows == 1
    assert "not UTF-8" in counts.broken_names[0]


def test_broken_csv_rows(tmp_path: Path) -> None:
    text = "file_name,text\na.jpg,x\nb.jpg\nc.jpg,one, two\n\na\0.jpg,x\n" + 'd.jpg,"' + "y" * 200_000 + '"\na.jpg,z\n'
    posts, counts = read(make_folder(tmp_path / "f", text, "metadata.csv"))
    assert [post.caption for post in posts] == ["x", None, "y" * 200_000, "z"]
    assert (counts.rows, counts.broken_rows) == (6, 2)
    assert [line.split(":")[0] for line in counts.broken_names] == [f"metadata.csv line {n}" for n in (4, 6)]


def test_only_the_first_broken_names_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x"}, *["{"] * 50))
    _, counts = read(folder)
    assert counts.broken_rows == 50 and len(counts.broken_names) == 5


def test_files_and_rows_that_miss_each_other(tmp_path: Path) -> None:
    rows = [{"file_name": name, "text": "x"} for name in ("a.jpg", "gone.jpg", "x" * 300 + ".jpg", "images")]
    folder = make_folder(
        tmp_path / "f", jsonl(*rows), files=("a.jpg", "extra.PNG", "images/more.webp", "notes.txt", ".hidden.jpg")
    )
    posts, counts = read(folder)
    assert [post.image for post in posts] == [b"picture a.jpg", None, None, None]
    assert (counts.rows_without_file, counts.files_without_rows) == (3, 2)
    assert counts.warnings()[-1] == "2 files not named in any row (first: extra.PNG)"


def test_no_message_holds_what_a_terminal_obeys(tmp_path: Path) -> None:
    rows = [{"file_name": "\x1b[2J\u202egone\n.jpg", "text": "x", "date": "\x1b[31m"}, {"\x1b]0;title\x07": "y"}]
    _, counts = read(make_folder(tmp_path / "f", jsonl(*rows)))
    assert (counts.rows_without_file, counts.unread_dates, counts.broken_rows) == (1, 1, 1)
    assert all(warning.isprintable() for warning in counts.warnings()) and len(counts.warnings()) == 4
    assert "\\x1b[2J\\u202egone\\n.jpg" in counts.warnings()[1]


def test_names_from_other_systems(tmp_path: Path) -> None:
    rows = [{"file_name": name, "text": "x"} for name in ("images\\a.jpg", "./images//a.jpg")]
    posts, counts = read(make_folder(tmp_path / "f", jsonl(*rows), files=("images/a.jpg",)))
    assert [(post.id, post.image) for post in posts] == [("images/a.jpg", b"picture images/a.jpg")] * 2
    assert counts.files_without_rows == 0


def test_a_video_has_no_picture_and_is_no_missing_file(tmp_path: Path) -> None:
    posts, counts = read(make_folder(tmp_path / "f", jsonl({"file_name": "a.MP4", "text": "x"}), files=("a.MP4",)))
    assert (posts[0].kind, posts[0].image, counts) == ("video", None, RowCounts(rows=1))


def test_mixed_types(tmp_path: Path) -> None:
    rows = [
        '{"file_name": 7, "text": 12, "id": 12.0, "author": 5}',
        '{"file_name": "b", "caption": "y", "text": null, "id": NaN, "author": ""}',
    ]
    posts, _ = read(make_folder(tmp_path / "f", jsonl(*rows)))
    assert [(post.id, post.caption) for post in posts] == [("12", "12"), ("b", "y")]
    assert posts[0].author == hash_author("5", SALT) and posts[1].author is None


@pytest.mark.parametrize("value", ["['a', 'b']", '["a", "b"]', "a, b", "a b", "a;b", ["a", None, "b"]])
def test_hashtags_given_apart(tmp_path: Path, value: object) -> None:
    posts, _ = read(make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x", "hashtags": value})))
    assert posts[0].hashtags == ["a", "b"]


def test_subfolders_with_metadata_of_their_own(tmp_path: Path) -> None:
    for split in ("train", "test"):
        make_folder(tmp_path / "f" / split, jsonl({"file_name": "a.jpg", "text": split}))
    posts, counts = read(tmp_path / "f")
    assert [(post.id, post.caption) for post in posts] == [("test/a.jpg", "test"), ("train/a.jpg", "train")]
    assert counts.files_without_rows == 0 and all(post.image for post in posts)


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        ("metadata.jsonl", "", "no rows"),
        ("metadata.jsonl", "\n\n", "no rows"),
        ("metadata.csv", "", "no rows"),
        ("metadata.csv", "file_name,text\n", "no rows"),
        ("metadata.csv", "file_name;text\na.jpg;x\n", "found file_name;text"),
        ("metadata.csv", "image,text\na.jpg,x\n", "needs the columns file_name and text"),
        ("metadata.csv", "file_name,title\na.jpg,x\n", "needs the columns file_name and text"),
        ("metadata.csv", "file_name,text\rx\n", "lines end in CR"),
        ("metadata.jsonl", "[\n{},\n", "a JSON array; one object a line is needed"),
        ("metadata.csv", "file_name,text,text\n", "two columns are named text"),
        ("metadata.jsonl", '{"file_names": ["a.jpg"], "text": "x"}\n', "a row needs one picture, named in file_name"),
        ("metadata1000.jsonl", "", r"rename metadata1000\.jsonl to metadata\.jsonl"),
        ("metadata.parquet", "", r"set scrape\.source: table and scrape\.table\.path: /.*/f/metadata\.parquet$"),
        ("data.parquet", "", r"set scrape\.source: table and scrape\.table\.path: /.*/f/data\.parquet$"),
        ("Metadata.JSONL", "", r"rename Metadata\.JSONL to metadata\.jsonl"),
        ("_metadata.jsonl", "", r"rename _metadata\.jsonl to metadata\.jsonl"),
        ("metadata.csv.txt", "", r"rename metadata\.csv\.txt to metadata\.csv$"),
        ("metadata.jsonl.bak", "", r"rename metadata\.jsonl\.bak to metadata\.jsonl$"),
        ("metadata.csv (1)", "", r"rename metadata\.csv \(1\) to metadata\.csv$"),
        ("metadata.jsonl.gz", "", r"unpack metadata\.jsonl\.gz"),
        ("train/metadata1000.jsonl", "", r"rename train/metadata1000\.jsonl to metadata\.jsonl"),
        ("train/data.parquet", "", r"scrape\.table\.path: /.*/f/train/data\.parquet$"),
        ("metadata.csv/x.txt", "", r"metadata\.csv is a folder; put a file"),
        ("metadata.jsonl", '{"posts": [{"file_name": "a.jpg", "text": "x"}]}', r"jq -c '\.posts\[\]' OLD > NEW\.jsonl"),
        ("metadata.csv", "<!DOCTYPE html>\n<html>", r"a web page \(HTML or XML\), not the file itself"),
        ("metadata.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
        ("metadata.json", "[]", r"write metadata\.json as metadata\.jsonl, one object a line"),
        ("data.zip", "", r"unpack data\.zip"),
        ("metadata.jsonl", jsonl({"file_name": "a.jpg", "text": "x"}).encode("utf-16"), "UTF-16"),
        ("metadata.txt", "", "no metadata.jsonl or metadata.csv"),
    ],
)
def test_a_folder_without_usable_metadata_is_one_line(
    tmp_path: Path, name: str, metadata: str | bytes, message: str
) -> None:
    with pytest.raises(HashgenError, match=message) as caught:
        read(make_folder(tmp_path / "f", metadata, name))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match=r"no such folder; fix scrape\.folder\.path"):
        read(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(HashgenError, match="not a folder"):
        read(tmp_path / "file")


def test_two_kinds_of_metadata_are_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x"}))
    make_folder(tmp_path / "f", "file_name,text\n", "metadata.csv")
    with pytest.raises(HashgenError, match="both metadata"):
        read(tmp_path / "f")


def test_reading_twice_counts_once(tmp_path: Path) -> None:
    source = FolderSource(make_folder(tmp_path / "f", jsonl({"file_name": "b.jpg", "text": "x"}, "{")), SALT)
    first = list(source.posts())
    counts = source.counts
    assert list(source.posts()) == first and source.counts == counts
    assert (counts.rows, counts.broken_rows, counts.rows_without_file, counts.files_without_rows) == (2, 1, 1, 1)
    assert f"1 rows without a readable file (first: metadata.jsonl line 1: {tmp_path}" in " ".join(counts.warnings())


def test_the_salt_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    salt = read_salt(tmp_path / "home")
    assert len(salt) == 32 and read_salt(tmp_path / "home") == salt != read_salt(tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "home/salt").stat().st_mode) == 0o600


def test_a_damaged_salt_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(HashgenError, match="damaged"):
        read_salt(tmp_path)
    assert (tmp_path / "salt").read_bytes() == b"short"


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(HashgenError, match="--home"):
        read_salt(tmp_path / "home")


def test_authors_are_told_apart_only_with_the_salt() -> None:
    assert hash_author("ann", SALT) == hash_author("ann", SALT) != hash_author("bob", SALT)
    hashed = hash_author("ann", SALT)
    assert hashed is not None and hashed != hash_author("ann", bytes(32)) and "ann" not in hashed


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]))
keys = st.sampled_from(["file_name", "text", "caption", "id", "hashtags", "seed_hashtags", "author", "date", "licence"])


@examples(200)
@given(
    row=st.dictionaries(keys, scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars, max_size=1))
)
def test_any_json_row_makes_a_post_that_can_be_written_or_is_broken(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("any"), jsonl({"file_name": "a.jpg", "text": "x"}, row))
    posts, counts = read(folder)
    assert len(posts) + counts.broken_rows == 2
    assert write_shards(posts, folder) == len(posts)


@examples(200)
@given(data=st.binary(max_size=200), name=st.sampled_from(["metadata.jsonl", "metadata.csv"]))
def test_any_bytes_end_in_posts_or_in_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    start = b"file_name,text\na.jpg,x\n" if name == "metadata.csv" else b'{"file_name": "a.jpg", "text": "x"}\n'
    posts, counts = read(make_folder(tmp_path_factory.mktemp("bytes"), start + data, name))
    assert posts[0].id == "a.jpg" and len(posts) + counts.broken_rows == counts.rows


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("A.JPG", "a.jpg"),
        ("a.jpg", "A.JPG"),
        ("Cafe\u0301/B.JPG", "caf\u00e9/b.jpg"),
        ("a: sunset.jpg", "a: sunset.jpg"),
        ("a.jpg", " a.jpg "),
    ],
)
def test_a_name_that_is_written_in_another_way_is_found(tmp_path: Path, on_disk: str, written: str) -> None:
    posts, counts = read(make_folder(tmp_path / "f", jsonl({"file_name": written, "text": "x"}), files=(on_disk,)))
    assert posts[0].image == f"picture {on_disk}".encode() and posts[0].image_path == on_disk
    assert posts[0].id == written.strip() and counts == RowCounts(rows=1)


def test_of_two_names_that_are_alike_neither_is_guessed(tmp_path: Path) -> None:
    rows = jsonl({"file_name": "a.jpg", "text": "x"}, {"file_name": "A.JPG", "text": "y"})
    posts, _ = read(make_folder(tmp_path / "f", rows, files=("A.JPG", "a.JPG")))
    assert [post.image for post in posts] == [None, b"picture A.JPG"]


def test_paths_that_stay_in_the_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    make_folder(folder / "train", "", files=("../images/a.jpg", "b.jpg"))
    names = ["../images/a.jpg", str(folder / "images/a.jpg"), "x/../b.jpg", str(folder / "train/../images/a.jpg")]
    (folder / "train/metadata.jsonl").write_text(jsonl(*({"file_name": name, "text": name} for name in names)))
    posts, counts = read(folder)
    assert [post.image_path for post in posts] == ["images/a.jpg", "images/a.jpg", "train/b.jpg", "images/a.jpg"]
    assert all(post.image for post in posts) and (counts.broken_rows, counts.files_without_rows) == (0, 0)


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = make_folder(tmp_path / "f", "", files=("a.jpg", "images/b.jpg"))
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "within.jpg").symlink_to(folder / "images/b.jpg")
    (folder / "up").symlink_to(tmp_path)
    (folder / "twice.jpg").symlink_to("link.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    names = ["a.jpg", "link.jpg", "within.jpg", "up/secret.jpg", "twice.jpg", "LINK.JPG", "loop.jpg"]
    (folder / "metadata.jsonl").write_text(jsonl(*({"file_name": name, "text": name} for name in names)))
    source = FolderSource(folder, SALT)
    posts = list(source.posts())
    assert [(post.id, post.image) for post in posts] == [
        ("a.jpg", b"picture a.jpg"),
        ("within.jpg", b"picture images/b.jpg"),
        ("loop.jpg", None),
    ]
    assert source.counts.broken_rows == 4
    assert "file_name is a link that leads out of the folder" in source.counts.broken_names[0]
    assert source.metrics()["linked_folders"] == 1
    assert source.warnings()[-1] == "1 links to folders, not followed; put the folders themselves there (first: up)"


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x"}))
    (tmp_path / "link").symlink_to("f")
    posts, counts = read(tmp_path / "link")
    assert posts[0].image == b"picture a.jpg" and counts == RowCounts(rows=1)


def test_a_subfolder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x"}))
    make_folder(folder / "closed", jsonl({"file_name": "a.jpg", "text": "y"}))
    scandir = os.scandir

    def refusing(path: str) -> Any:  # also for root, whom no mode keeps out
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    posts, counts = read(folder)
    assert [post.caption for post in posts] == ["x"]
    assert counts.broken_names == ["closed/: Permission denied"]
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(HashgenError, match=r"folders cannot be read \(closed/: Permission denied\): check their perm"):
        read(folder)


def test_a_folder_that_holds_only_a_link_to_one(tmp_path: Path) -> None:
    make_folder(tmp_path / "other", jsonl({"file_name": "a.jpg", "text": "x"}))
    (tmp_path / "f").mkdir()
    (tmp_path / "f/train").symlink_to(tmp_path / "other")
    with pytest.raises(HashgenError, match=r"links to folders are not followed \(train\): put the folder itself there"):
        read(tmp_path / "f")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("train/metadata1000.jsonl", "rename train/metadata1000.jsonl to metadata.jsonl"),
        ("Metadata.CSV", "rename Metadata.CSV to metadata.csv"),
        ("train/metadata.parquet", "set scrape.source: table and scrape.table.path: {folder}/train/metadata.parquet"),
        ("train/metadata.csv/x.txt", "train/metadata.csv is a folder; put a file of that name there instead"),
    ],
)
def test_what_may_be_meant_as_metadata_is_counted_and_named(tmp_path: Path, name: str, told: str) -> None:
    folder = make_folder(tmp_path / "f", jsonl({"file_name": "a.jpg", "text": "x"}))
    make_folder(folder, "", name, ())
    make_folder(folder, "", "notes.csv", ())
    _, counts = read(folder)
    assert counts == RowCounts(rows=1, unread_files=1)
    assert counts.warnings() == [
        f"1 files that are not read, but look as if they were meant to be (first: {told.format(folder=folder)})"
    ]


def test_pictures_that_are_still_packed_are_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", jsonl({"file_name": "b.jpg", "text": "x"}), files=("images.zip",))
    _, counts = read(folder)
    assert counts.warnings()[0].endswith("f/b.jpg; unpack images.zip)")


def test_several_captions_of_a_picture_are_all_kept(tmp_path: Path) -> None:
    rows = [{"file_name": "a.jpg", "text": text} for text in ("one", "two", "one")]
    posts, counts = read(make_folder(tmp_path / "f", jsonl(*rows)))
    assert [(post.id, post.caption) for post in posts] == [
        ("a.jpg", "one"),
        ("metadata.jsonl:2", "two"),
        ("a.jpg", "one"),
    ]
    assert counts.shared_names == ["metadata.jsonl line 2: 'a.jpg'"]


@pytest.mark.parametrize("nothing", ["NaN", "None", "NA", "null", ""])
def test_words_for_nothing_are_no_values(tmp_path: Path, nothing: str) -> None:
    row = dict.fromkeys(("id", "author", "hashtags", "seed_hashtags", "licence", "date"), nothing)
    posts, counts = read(make_folder(tmp_path / "f", jsonl(row | {"file_name": "a.jpg", "text": "x"})))
    assert (posts[0].id, posts[0].author, posts[0].hashtags, posts[0].licence) == ("a.jpg", None, None, None)
    assert counts == RowCounts(rows=1)


def test_metadata_that_is_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").symlink_to("gone")
    with pytest.raises(HashgenError, match=r"metadata\.jsonl: a link to a file that is not there; put the file itself"):
        read(tmp_path)


def test_metadata_that_a_link_takes_from_elsewhere_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "other", jsonl({"file_name": "a.jpg", "text": "secret"}))
    (tmp_path / "f").mkdir()
    (tmp_path / "f/metadata.jsonl").symlink_to(tmp_path / "other/metadata.jsonl")
    with pytest.raises(HashgenError, match=r"metadata\.jsonl: a link that leads out of the folder"):
        read(tmp_path / "f")
