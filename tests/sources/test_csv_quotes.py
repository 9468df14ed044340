"""Rows of CSV as spreadsheets and scripts write them: quotes gone wrong, values missing, lines before the header."""

import base64
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.sources.rows.text_files import MAX_LINE
from tests.doubles.tables import read, saved
from tests.properties import examples

# Nothing that must be quoted, and no lines.
words = st.text(
    st.characters(categories=["L", "N", "S", "Zs"], exclude_characters='"'), min_size=1, max_size=20
).filter(str.strip)


def captions(path: Path, text: str) -> list[str | None]:
    return [post.caption for post in read(saved(path, text.encode()))[0]]


def test_a_quote_that_is_never_closed_loses_no_other_row(tmp_path: Path) -> None:
    rows = [f"Row {number} of a long table,a.jpg\n" for number in range(1000)]
    rows.insert(500, '"Two lines,\nand a comma",a.jpg\n')
    posts, counts = read(saved(tmp_path / "p.csv", ('caption,image\n"Never closed,a.jpg\n' + "".join(rows)).encode()))
    assert counts.broken_rows == counts.rows_without_file == 0
    assert [post.caption for post in posts[:3]] == ["Never closed", "Row 0 of a long table", "Row 1 of a long table"]
    assert len(posts) == 1002 and posts[501].caption == "Two lines,\nand a comma"


@pytest.mark.parametrize("end", [".csv", ".tsv"])
@pytest.mark.parametrize("rows_between", [1, 2, 9, 300])
def test_a_quote_that_a_later_row_closes_makes_no_post_of_many_rows(
    tmp_path: Path, end: str, rows_between: int
) -> None:
    lines = ["image,caption", 'a.jpg,"Never closed', *["a.jpg,Row between"] * rows_between, 'a.jpg,Stray at the end"']
    text = "\n".join([*lines, "a.jpg,After it"]).replace(",", "," if end == ".csv" else "\t")
    found = captions(tmp_path / f"p{end}", text)
    assert [(caption or "").strip('"') for caption in found] == [
        "Never closed",
        *["Row between"] * rows_between,
        "Stray at the end",
        "After it",
    ]


@pytest.mark.parametrize(
    "caption",
    [
        "Shopping:\nflour, 200 g\nmilk, 1 l",
        "roses, red\n" * 13,
        "Walk" + "\n" * 12 + "#dog #sea",
        "\n" * 50,
        "a,b\n" * 3,
        'He said "hi",\nand left\n',
        "x.jpg,y\nand more",
    ],
)
def test_lines_of_a_caption_are_no_rows(tmp_path: Path, caption: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["image", "caption"], ["a.jpg", caption], ["a.jpg", "z"]])
    assert captions(tmp_path / "p.csv", out.getvalue()) == [caption, "z"]


@examples(100)
@given(rows=st.lists(words, min_size=1, max_size=30), place=st.integers(0, 29), later=st.integers(1, 29))
def test_one_or_two_stray_quotes_keep_all_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], place: int, later: int
) -> None:
    lines = [f"a.jpg,{row}" for row in rows]
    lines[place % len(rows)] = f'a.jpg,"{rows[place % len(rows)]}'
    if place + 2 < place + later < len(rows):
        lines[place + later] += '"'
    found = captions(tmp_path_factory.mktemp("stray") / "p.csv", "\n".join(["image,caption", *lines, "a.jpg,end"]))
    # In Excel's eyes two lines are one value when the next but one is not yet a row of its own.
    assert [caption.strip('" ') for caption in found if caption is not None] == [
        row.strip(" ") for row in [*rows, "end"]
    ]


@pytest.mark.parametrize(
    "text",
    [
        '1,"open,a.jpg\n2,pipe 5",b.jpg\n',  # no row between
        '1,"open,a.jpg\n' + "2,between,a.jpg\n" * 20 + '3,short\n4,pipe 5",b.jpg\n',
        '1,"open,/9j/' + "A" * 300 + "\n" + f"2,between,/9j/{'B' * 300}\n" * 2 + f'3,pipe 5",/9j/{"C" * 300}\n',
    ],
)
def test_rows_within_one_are_noticed_by_their_pictures(tmp_path: Path, text: str) -> None:
    posts, _ = read(saved(tmp_path / "p.csv", f"id,caption,image\n{text}".encode()), "id")
    captions = [post.caption for post in posts]
    assert captions[0] == "open" and captions[-1] == 'pipe 5"'
    assert captions.count("between") == text.count("between")


@pytest.mark.parametrize(
    "rows",
    [
        '1,"He said \\"go, now\\"\nand we went, #sea",a.jpg\n',
        '1,"my 5" screen\nhello, all\n#x, #y",a.jpg\n',
        '1,"she said "hi", then\nleft, and came back",a.jpg\n',
    ],
)
def test_the_rest_of_a_broken_row_is_no_post(tmp_path: Path, rows: str) -> None:
    posts, counts = read(saved(tmp_path / "p.csv", f"id,caption,image\n{rows}9,end,a.jpg\n".encode()), "id")
    assert [post.id for post in posts if post.image] == ["9"] and counts.broken_rows >= 1


@pytest.mark.parametrize(
    "rows",
    [
        '"my 5" screen\nhello, all\n#x, #y",a.jpg\n',
        '"my 5" screen, hello\nto all, and\n#x, #y",a.jpg\n',
        '"she said "hi", then\nleft, and\ncame, back",a.jpg\n',
    ],
)
@pytest.mark.parametrize("before", ["", "first,a.jpg\n"])
def test_of_two_columns_the_rest_of_a_broken_row_is_no_post(tmp_path: Path, rows: str, before: str) -> None:
    posts, counts = read(saved(tmp_path / "p.csv", f"caption,image\n{before}{rows}end,a.jpg\n".encode()))
    assert [post.caption for post in posts] == ["first"] * bool(before) + ["end"]
    assert counts.broken_rows == rows.count("\n") and counts.rows_without_file == 0


def test_of_rows_that_quotes_had_made_one_a_part_of_a_caption_is_no_post(tmp_path: Path) -> None:
    text = 'caption,image\n"open,a.jpg\nb,a.jpg\nrest of it\n5",a.jpg\nend,a.jpg\nshort\n'
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [(post.caption, post.image is None) for post in posts] == [
        ("open", False),
        ("b", False),
        ('5"', False),
        ("end", False),
        ("short", True),
    ]
    assert [name.partition(":")[0] for name in counts.broken_names] == ["p.csv line 4"]


def test_pictures_that_do_not_look_like_such_need_not_do_so_after_a_stray_quote(tmp_path: Path) -> None:
    (tmp_path / "123").write_bytes(b"picture")
    text = 'caption,image\nx,123\n"my 5" screen,123\ny,123\n'
    assert captions(tmp_path / "p.csv", text) == ["x", 'my 5" screen', "y"]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("image,caption", 'a.jpg,"open\nb.jpg,pipe 5"\n'),
        ("image,caption,likes", 'a.jpg,"open\nb.jpg,pipe 5",3\n'),
        ("caption,image", '"open\nx,b.jpg\ny\nz\n5",a.jpg\n'),
        ("id,caption,image", '1,"open,7\n2,pipe 5",8\n'),
        ("id,caption,image", '0,x,9\n1,"open,7\n2,mid,4\n2,pipe 5",8\n'),
    ],
)
def test_a_row_that_may_hold_another_is_counted_and_named(tmp_path: Path, header: str, rows: str) -> None:
    text = f"{header}\n{rows}"
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert counts.doubtful_rows == 1 and counts.broken_rows == 0 and len(posts) == counts.rows
    assert counts.warnings()[-1] == (
        "1 rows that hold what looks like other rows; if they do, a quote is missing or not doubled "
        f"(first: p.csv line {text.count(chr(10))})"
    )


@pytest.mark.parametrize("caption", ["Shopping:\nflour, 200 g\nmilk, 1 l", "one, b.jpg too", "see\nthis.\n#a, #b"])
@pytest.mark.parametrize("header", ["image,caption", "caption,image", "id,caption,image"])
def test_a_caption_of_several_lines_is_not_doubted(tmp_path: Path, caption: str, header: str) -> None:
    out = io.StringIO()
    row = {"image": "a.jpg", "caption": caption, "id": "1"}
    csv.writer(out).writerows([header.split(","), *([row[name] for name in header.split(",")] for _ in range(3))])
    posts, counts = read(saved(tmp_path / "p.csv", out.getvalue().encode()))
    assert [post.caption for post in posts] == [caption] * 3 and counts.doubtful_rows == counts.broken_rows == 0


def test_one_stray_quote_loses_one_row_where_all_leave_out_the_last_value(tmp_path: Path) -> None:
    text = 'caption,image,likes\nx,a.jpg\n"open,a.jpg\ny,a.jpg\nz,a.jpg\n'
    assert captions(tmp_path / "p.csv", text) == ["x", "open", "y", "z"]


def test_quotes_within_quotes_that_are_not_doubled(tmp_path: Path) -> None:
    text = 'image,caption\na.jpg,"He said "hi" to me"\na.jpg,"Say ""yes"", please"\na.jpg,5" pan\n'
    assert captions(tmp_path / "p.csv", text) == ['He said "hi" to me', 'Say "yes", please', '5" pan']


def test_what_follows_a_broken_row_does_not_become_a_post(tmp_path: Path) -> None:
    text = 'image,caption,date\na.jpg,"He said "hi", and\nthe rest\nis lost",2019\na.jpg,x,2019\n'
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [post.caption for post in posts] == ["x"] and (counts.rows, counts.broken_rows) == (4, 3)


def test_many_quotes_that_are_never_closed_end_in_time(tmp_path: Path) -> None:
    # Each of these lines ends a quoted value and begins another one, so that a row could take all that follow.
    text = "caption,image\nx,a.jpg\n" + 'a",x,"b\n' * 2999
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert len(posts) + counts.broken_rows == counts.rows == 3000


def test_long_values_are_read_in_any_column(tmp_path: Path) -> None:
    picture = bytes(range(256)) * 2000
    lines = base64.encodebytes(picture).decode()
    whole = base64.b64encode(picture).decode()
    text = f'image,caption,other\n{whole},x,\na.jpg,y,{"z" * 300_000}\n"{lines}",z,\na.jpg,end,\n'
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [post.image for post in posts] == [picture, b"picture", picture, b"picture"]
    assert [post.caption for post in posts] == ["x", "y", "z", "end"] and counts.broken_rows == 0


def test_a_line_that_is_too_long_is_one_broken_row(tmp_path: Path) -> None:
    text = f"image,caption\na.jpg,{'x' * MAX_LINE}\na.jpg,y\n"
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [post.caption for post in posts] == ["y"]
    assert counts.broken_names == ["p.csv line 2: a NUL character, or a line over 32 MiB"]


@pytest.mark.parametrize(
    "text",
    [
        "\n \n,,\nimage,caption\na.jpg,x\n",
        "sep=,\nimage,caption\na.jpg,x\n",
        '"sep=,"\r\nimage,caption\r\na.jpg,x\r\n',
        "sep=;\nimage;caption\na.jpg;x\n",
        "SEP=|\nimage|caption\na.jpg|x\n",
        "sep=\t\nimage\tcaption\na.jpg\tx\n",
        "image,caption,,\na.jpg,x,,\n",
        "image,caption\na.jpg,x,,\n",
        "image,caption,likes,place\na.jpg,x\n",
        "image,likes,caption,likes\na.jpg,1,x,2\n",
        'image, caption\na.jpg, "x"\n',
        'image , caption\n"a.jpg", "x"\n',
        "caption, image\nx, a.jpg\n",
    ],
)
def test_ways_to_write_one_row(tmp_path: Path, text: str) -> None:
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()))
    assert [(post.caption, post.image, post.id) for post in posts] == [("x", b"picture", "p.csv:1")]
    assert counts.broken_rows == 0


def test_a_blank_before_a_quote_keeps_commas_and_lines_together(tmp_path: Path) -> None:
    text = 'image, caption\na.jpg, "Yum, pancakes\nfor all"\na.jpg, plain\n"a.jpg", "see, "\n'
    assert captions(tmp_path / "p.csv", text) == ["Yum, pancakes\nfor all", " plain", "see, "]


@pytest.mark.parametrize(
    ("encoding", "remedy"),
    [("cp1252", "save it as UTF-8, not Windows-1252"), ("latin-1", r"in Excel: CSV UTF-8")],
)
def test_another_encoding_is_named_with_the_remedy(tmp_path: Path, encoding: str, remedy: str) -> None:
    text = "caption,image\nPlain,a.jpg\nCafé,a.jpg\n".encode(encoding)
    posts, counts = read(saved(tmp_path / "p.csv", text))
    assert [post.caption for post in posts] == ["Plain"] and counts.broken_rows == 1
    assert remedy in counts.warnings()[0] and "line 3: not UTF-8" in counts.warnings()[0]
