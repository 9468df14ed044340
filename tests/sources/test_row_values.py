"""Values as exports write them: hashtags in any list's spelling, captions with markup, ids that several rows share."""

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.filtering.judging import picture_id
from hashgen.sources.rows.picture_values import picture_of
from hashgen.sources.rows.values import BrokenRow, RowCounts, read_caption, read_hashtags
from hashgen.text.captions import normalise_hashtags
from tests.doubles.tables import read, saved, written
from tests.properties import examples

LISTS = [
    *("a1 b1", "#a1 #b1", "#a1#b1", "＃a1＃b1", "a1,b1", "a1, b1", "a1;b1", "a1|b1", "a1 | b1", "a1/b1", "a1、b1"),
    *("a1，b1", "a1；b1", "a1 · b1", "a1\\nb1", "a1\tb1", "a1\u200bb1", "#a1, #b1;", "[a1 b1]", "[a1, b1]"),
    *("{a1,b1}", '{"a1","b1"}', "{'a1', 'b1'}", "('a1', 'b1')", "['a1', 'b1']", '["a1", "b1"]', '["#a1","#b1"]'),
    *("['#a1' '#b1']", "[\\'a1\\', \\'b1\\']", '[\\"a1\\",\\"b1\\"]', "array(['a1', 'b1'], dtype=object)"),
    *("np.array(['a1', 'b1'])", "frozenset({'a1', 'b1'})", "Index(['a1', 'b1'], dtype='object')"),
    *(
        "#a1! #b1.",
        "#a1:#b1",
        'c("a1","b1",NA)',
        "deque(['a1', 'b1'])",
        "‘a1’ “b1”",
        "[a1, nan, b1]",
        "['a1', None, 'b1']",
        '["a1", null, "b1"]',
        "#a1&#10;#b1",
    ),
]


def hashtags(value: object) -> tuple[list[str] | None, RowCounts]:
    counts = RowCounts()
    return read_hashtags({"tags": value}, "tags", counts), counts


@pytest.mark.parametrize("value", LISTS)
def test_every_spelling_of_a_list_gives_its_hashtags(value: str) -> None:
    found, _ = hashtags(value)
    assert normalise_hashtags(found or ()) == ["a1", "b1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("[]", []),
        ("[nan]", []),
        ("[None]", []),
        ("{}", []),
        ("['nan']", ["nan"]),
        ("#nan", ["nan"]),
        ("#", ["#"]),
        ("['#']", ["#"]),
        ("# ##", ["#", "##"]),
        (["#love#food", "#sea"], ["love", "food", "sea"]),
        (["a", None, float("nan"), 5], ["a", "5"]),
        (3, ["3"]),
        ([["a", "b"], [["c"]]], ["a", "b", "c"]),
        ([b"caf\xc3\xa9"], ["café"]),
        (
            [{"name": "#love"}, {"hashtag": {"name": "sea"}}, {"text": "food", "indices": [0, 5]}, {"tag": None}],
            ["love", "sea", "food"],
        ),
        ({"tag": ["a", "b"]}, ["a", "b"]),
        ('[{"name": "love"}, {"name": "sea", "id": null}]', ["love", "sea"]),
        ("[{'name': 'love', 'id': None}]", ["love"]),
        ("%23love %23caf%C3%A9", ["love", "café"]),
        ("%23love%20%23sea", ["love", "sea"]),
        (["%23love"], ["love"]),
        ("love—food–sea", ["love", "food", "sea"]),
        ("[u'love', u\"food\", b'sea']", ["love", "food", "sea"]),
        ('["caf\\u00e9", "\\ud83d\\ude00"]', ["café", "😀"]),
    ],
)
def test_hashtags_that_are_special(value: object, expected: list[str] | None) -> None:
    assert hashtags(value) == (expected, RowCounts())


@pytest.mark.parametrize(
    ("value", "left", "first"),
    [
        ("sci-fi, a1", ["a1"], "'sci-fi'"),
        ('["it\'s", "mom\'s"]', [], '"it\'s"'),
        (["new york", "a1"], ["a1"], "'new york'"),
        ("[{'name': 'food'} {'name': 'sea'}]", [], "\"[{'name': 'food'} {'name': 'sea'}]\""),
        ('{"tags": "food"}', [], "\"{'tags': 'food'}\""),
        ({"love": 3}, [], "\"{'love': 3}\""),
        ("[OrderedDict([('name', 'love')])]", [], "\"[OrderedDict([('name', 'love')])]\""),
        ("[Tag(name='love')]", [], "\"[Tag(name='love')]\""),
        ([{"id": 7}, "a1", {"name": "b1"}], ["a1", "b1"], "\"{'id': 7}\""),
        ([True, "a1"], ["a1"], "'True'"),
    ],
)
def test_what_is_no_hashtag_is_counted_and_named(value: object, left: list[str], first: str) -> None:
    found, counts = hashtags(value)
    assert normalise_hashtags(found or ()) == left
    assert counts.unread_hashtags > 0 and counts.first["unread_hashtags"] == first
    assert counts.warnings() == [
        f"{counts.unread_hashtags} values among the hashtags that are not hashtags (first: {first})"
    ]


tags = st.text(st.sampled_from("abcé_19"), min_size=1, max_size=8).filter(lambda tag: bool(normalise_hashtags([tag])))


@examples(200)
@given(tags=st.lists(tags, min_size=1, max_size=5, unique=True), spelled=st.sampled_from([str, repr, tuple, "joined"]))
def test_lists_of_any_hashtags_survive_being_written_out(tags: list[str], spelled: Any) -> None:
    text = {"joined": "#" + "#".join(tags), tuple: str(tuple(tags))}.get(spelled) or str(tags)
    found, counts = hashtags(text)
    assert found == tags and counts == RowCounts()


@examples(300)
@given(value=st.text() | st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_any_text_gives_hashtags_without_their_sign(value: object) -> None:
    found, _ = hashtags(value)
    assert all(tag and (tag[0] not in "#＃" or not tag.strip("#＃﹟")) for tag in found or ())


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Yum!<br>#food<br/>#sea", "Yum!\n#food\n#sea"),
        ('<p>Morning with <a href="/t/x" class="y">#<span>food</span></a></p>', "Morning with #food"),
        ("Line one\\nLine two #sea\\n#food", "Line one\nLine two #sea\n#food"),
        ("One\\r\\nTwo", "One\n\nTwo"),
        ("Caf\\u00e9 \\ud83d\\ude00 #caf\\u00e9", "Café 😀 #café"),
        ("a \\ud83d half", "a \N{REPLACEMENT CHARACTER} half"),
        ('Say \\"hi\\"\\nnow', 'Say "hi"\nnow'),
        ("<b></b>", None),
        ("&lt;p&gt;Morning&lt;/p&gt;&lt;p&gt;#sea &amp;amp; sun", "Morning\n\n#sea & sun"),
        ("Yum!&amp;lt;br&amp;gt;#food", "Yum!\n#food"),
    ],
)
def test_markup_and_escapes_in_captions_are_decoded_and_counted(caption: str, expected: str | None) -> None:
    counts = RowCounts()
    assert read_caption({"text": caption}, "text", counts) == expected
    assert counts == RowCounts(decoded_captions=1)
    assert counts.warnings()[0].startswith("1 captions with HTML or written-out escapes, decoded (first: ")


@pytest.mark.parametrize(
    "caption",
    [
        "I <3 you",
        "a<b and b>c",
        "I &lt;3 you",
        "a &amp; b",
        "¯\\_(ツ)_/¯",
        "\\o/ yes",
        "C:\\photos",
        "real\nline \\n here",
        "<wow>",
        " x ",
    ],
)
def test_signs_that_are_no_markup_stay(caption: str) -> None:
    counts = RowCounts()
    assert read_caption({"text": caption}, "text", counts) == caption and counts == RowCounts()


def test_pictures_of_one_post_in_several_rows_are_a_carousel(tmp_path: Path) -> None:
    for name in ("b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    rows = [
        ("p1", "x", "a.jpg"),
        ("p1", "x", "b.jpg"),
        ("p2", "y", "a.jpg"),
        ("p1", "x", "c.jpg"),
        ("p1", "x", "b.jpg"),
    ]
    path = written(tmp_path / "p.csv", [dict(zip(("id", "caption", "image"), row, strict=True)) for row in rows])
    posts, counts = read(path, "id")
    assert [picture_id(post.id, post.media_index) for post in posts] == ["p1", "p1/1", "p2", "p1/2", "p1/1"]
    assert counts == RowCounts(rows=5)


def test_further_rows_of_a_carousel_may_leave_out_the_text(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"b")
    text = "id,caption,image,hashtags\np1,x,a.jpg,#one\np1,,b.jpg,\np2,,b.jpg,\n"
    posts, _ = read(saved(tmp_path / "p.csv", text.encode()), "id", "hashtags")
    assert [(post.id, post.media_index, post.caption, post.hashtags) for post in posts] == [
        ("p1", 0, "x", ["one"]),
        ("p1", 1, "x", ["one"]),
        ("p2", 0, None, None),
    ]


def test_rows_that_differ_in_hashtags_alone_are_named(tmp_path: Path) -> None:
    text = "id,caption,hashtags,image\n1,x,love,a.jpg\n1,x,food,a.jpg\n1,x,,a.jpg\n1,x,love,a.jpg\n"
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()), "id", "hashtags")
    assert [post.id for post in posts] == ["1", "p.csv:2", "1", "1"] and counts.shared_ids == 1


def test_posts_that_share_an_id_by_mistake_are_all_kept_and_named(tmp_path: Path) -> None:
    text = "id,caption,image\n1.78E+16,x,a.jpg\n1.78E+16,y,a.jpg\n1.78E+16,x,a.jpg\n1.78E+16,y,a.jpg\n"
    posts, counts = read(saved(tmp_path / "p.csv", text.encode()), "id")
    assert [(post.id, post.caption) for post in posts] == [
        ("17800000000000000", "x"),
        ("p.csv:2", "y"),
        ("17800000000000000", "x"),
        ("p.csv:4", "y"),
    ]
    assert counts == RowCounts(rows=4, shared_ids=2, shared_names=counts.shared_names)
    assert counts.shared_names == ["p.csv line 3: '17800000000000000'", "p.csv line 5: '17800000000000000'"]
    assert "2 rows with the id of an earlier row, but another text or other hashtags" in counts.warnings()[0]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("https://host.example/a.jpg?sig=secret", "https://host.example/a.jpg; addresses are not fetched"),
        ("S3://bucket/a.jpg", "S3://bucket/a.jpg; addresses are not fetched"),
        ("{'bytes': b'\\xff', 'path': None}", "is Python's text of a picture"),
        ("b'\\xff\\xd8'", "is Python's text of a picture"),
        ("data:image/png;base64,!", "is no picture in base64"),
        ("x" * 5001, "is neither a path nor base64"),
        ("data:image/svg+xml;utf8,<svg/>", "'data:image/svg+xml;utf8' is an SVG drawing, which has no pixels; save it"),
        ("data:image/svg+xml;base64,PHN2Zy8+", "is an SVG drawing"),
        (base64.b64encode(b"<svg>" * 20).decode(), "an SVG drawing, which has no pixels; save it as PNG"),
        ({"url": "https://host.example/a.jpg?sig=secret"}, "https://host.example/a.jpg; addresses are not fetched"),
        ({"path": None, "src": "//cdn.host.example/a.jpg"}, "//cdn.host.example/a.jpg; addresses are not fetched"),
        ("//cdn.host.example/a.jpg?sig=secret", "//cdn.host.example/a.jpg; addresses are not fetched"),
        ("hdfs://host/a.jpg", "hdfs://host/a.jpg; addresses are not fetched"),
        (["a.jpg", "b.jpg"], "a list of 2 pictures; give each picture a row of its own, with the same id and text"),
        ('["a.jpg", "b.jpg", "c.jpg"]', "a list of 3 pictures; give each"),
        ("['a.jpg', 'b.jpg']", "a list of 2 pictures"),
        ("a.jpg, b.png", "a list of 2 pictures"),
        ("a.jpg|b.jpg\nc.jpg", "a list of 3 pictures"),
        ({"alt": "dog"}, "an object without bytes or path (it has 'alt')"),
        (None, "(first: p.jsonl line 1: no value)"),
        ([], "(first: p.jsonl line 1: no value)"),
    ],
)
def test_a_picture_that_cannot_be_had_is_told_shortly(tmp_path: Path, value: object, told: str) -> None:
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": value}]))
    warning = counts.warnings()[0]
    assert posts[0].image is None and told in warning and "secret" not in warning and len(warning) < 250
    assert warning.startswith("1 rows without a readable file (first: p.jsonl line 1: ") and len(posts) == 1


@pytest.mark.parametrize("value", [["a.jpg"], [None, {"path": "a.jpg"}], '["a.jpg"]', {"url": "a.jpg"}, "['a.jpg']"])
def test_one_picture_in_a_list_or_object_is_read(tmp_path: Path, value: object) -> None:
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": value}]))
    assert posts[0].image == b"picture" and counts == RowCounts(rows=1)


PICTURES = {
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(range(256)),
    "bmp": b"BM" + bytes([250, 251]) + bytes(8) + bytes(range(256)),
    "tiff": b"II*\0" + bytes(range(256)),
    "big-endian tiff": b"MM\0*" + bytes(range(256)),
    "avif": b"\0\0\0\x1cftypavif" + bytes(range(256)),
    "heic": b"\0\0\0\x18ftypheic" + bytes(range(256)),
    "webp": b"RIFF\xff\xff\0\0WEBPVP8 " + bytes(range(256)),
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize(
    "form", ["plain", "for addresses", "in lines", "with blanks", "data", "DATA", "escaped", "bytes"]
)
def test_base64_of_any_kind_and_form_is_a_picture(tmp_path: Path, kind: str, form: str) -> None:
    text = base64.b64encode(PICTURES[kind]).decode()
    value: object = {
        "plain": text,
        "for addresses": base64.urlsafe_b64encode(PICTURES[kind]).decode().rstrip("="),
        "in lines": "\n " + base64.encodebytes(PICTURES[kind]).decode(),
        "with blanks": "  " + " ".join(text[at : at + 60] for at in range(0, len(text), 60)),
        "data": f" data:image/x;charset=utf-8;base64,{text}",
        "DATA": f"DATA:IMAGE/PNG;BASE64,{text[:50]}\n{text[50:]}",
        "escaped": "data:image/png;base64," + text.replace("+", "%2B").replace("/", "%2F"),
        "hex": "\\x" + PICTURES[kind].hex(),
        "cut": f"image/png;base64,{text}",
        "bytes": {"bytes": f"data:;base64,{text}", "path": "gone.jpg"},
    }[form]
    posts, counts = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": value}]))
    assert posts[0].image == PICTURES[kind] and counts == RowCounts(rows=1)


@examples(200)
@given(data=st.binary(min_size=50, max_size=300), start=st.sampled_from(sorted(PICTURES)), chance=st.randoms())
def test_base64_survives_any_breaks(data: bytes, start: str, chance: Any) -> None:
    data = PICTURES[start][:24] + data
    text = base64.b64encode(data).decode()
    for _ in range(3):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(["\n", "\r\n", " ", "\t"]) + text[at:]
    assert picture_of(text).data == data


@examples(300)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["bytes", "path", "url", "a"]), inner, max_size=3)
        ),
    )
)
def test_any_value_is_a_picture_or_path_or_has_a_fault_or_is_broken(value: object) -> None:
    with contextlib.suppress(BrokenRow):
        data, path, fault = picture_of(value)
        assert (data is None or len(data) > 0) and path != "" and (fault is None or (data is None and fault))


def test_a_small_picture_in_base64_is_no_path(tmp_path: Path) -> None:
    text = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0"
    posts, counts = read(written(tmp_path / "p.csv", [{"caption": "x", "image": text}]))
    assert posts[0].image is not None and posts[0].image.startswith(b"\xff\xd8\xff\xe0") and counts == RowCounts(rows=1)


@pytest.mark.parametrize("value", ["20190430120000", "201904301200", 20190430120000])
def test_dates_of_digits_alone_are_no_milliseconds(tmp_path: Path, value: object) -> None:
    posts, _ = read(written(tmp_path / "p.jsonl", [{"caption": "x", "image": "a.jpg", "date": value}]), "date")
    assert str(posts[0].date) == "2019-04-30 12:00:00+00:00"


def test_the_first_unread_date_is_named(tmp_path: Path) -> None:
    _, counts = read(written(tmp_path / "p.csv", [{"caption": "x", "image": "a.jpg", "date": "04/30/2019"}]), "date")
    assert counts.warnings()[0].endswith("(first: p.csv line 2: '04/30/2019')")
