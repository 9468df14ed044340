"""JSON files of instaloader: damage in every form, what is missing and may not be asked for, and arbitrary content."""

import contextlib
import json
import lzma
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.sources.instaloader.records import MAX_JSON, read_record
from hashgen.sources.rows.values import BrokenRow, RowCounts
from tests.doubles.instaloader_world import World
from tests.properties import examples


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def structure(**changes: Any) -> dict[str, Any]:
    """The JSON of a post; a change to ... leaves a key out."""
    node = World().post("CODE") | changes
    node = {key: value for key, value in node.items() if value is not ...}
    return {"node": node, "instaloader": {"version": "4.16", "node_type": "Post"}}


def broken(path: Path) -> str:
    with pytest.raises(BrokenRow) as caught:
        read_record(path, RowCounts())
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (json.dumps(structure()).encode()[:-40], "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe\0", "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b" " * (MAX_JSON + 1), "16 MiB"),
        (b"[]", "not written by instaloader"),
        (b'"node"', "not written by instaloader"),
        (b"7", "lacks data that every post has"),
        (b"null", "lacks data that every post has"),
        (b'{"graphql": {"shortcode_media": {}}}', "not written by instaloader"),
        (b'{"shortcode": "CODE"}', "not written by instaloader"),
        (b'{"shortcode": "CODE", "__typename": "GraphImage"}', "lacks data that every post has"),  # instaloader 3
        (b'{"shortcode": "CODE", "__typename": ["GraphImage"]}', "not written by instaloader"),
        (b'{"shortcode": "CODE", "category": "instagram", "post_id": "1"}', "it seems, by gallery-dl"),
        (b'{"post_shortcode": "CODE", "category": "instagram", "typename": "GraphImage"}', "it seems, by gallery-dl"),
        (b'{"id": "CODE", "extractor": "Instagram", "_type": "video"}', "it seems, by yt-dlp"),
        (b"{}", "needs JSON as instaloader 4 writes it"),
    ],
)
def test_files_that_are_no_json_of_a_post(tmp_path: Path, data: bytes, reason: str) -> None:
    for name, content in (("a.json", data), ("a.json.xz", lzma.compress(data))):
        (tmp_path / name).write_bytes(content)
        assert reason in broken(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shortcode": ...}, "lacks data that every post has"),
        ({"shortcode": 7}, "no shortcode"),
        ({"shortcode": "../x"}, "no shortcode"),
        ({"shortcode": ""}, "no shortcode"),
        ({"__typename": ...}, "lacks data that only Instagram has"),
        ({"__typename": "GraphStoryImage"}, "unknown type"),
        ({"__typename": "GraphSidecar"}, "does not list the pictures of its carousel"),
        ({"__typename": "GraphSidecar", "edge_sidecar_to_children": {}}, "does not list the pictures"),
        ({"__typename": "GraphSidecar", "edge_sidecar_to_children": {"edges": []}}, "empty carousel"),
        ({"__typename": "GraphSidecar", "edge_sidecar_to_children": {"edges": [{}]}}, "lacks data that every post has"),
        ({"__typename": ["x"]}, "unknown type"),
        ({"is_video": ...}, "lacks data that every post has"),
        ({"edge_media_to_caption": {"edges": [{"node": {"text": 7}}]}}, "caption is not text"),
    ],
)
def test_posts_that_lack_something(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(structure(**changes)))
    assert reason in broken(tmp_path / "a.json")


def test_instaloader_3_wrote_the_node_alone(tmp_path: Path) -> None:
    whole = structure(taken_at_timestamp=..., date=1546336800)
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    record = read_record(tmp_path / "whole.json", RowCounts())
    assert record is not None and record.shortcode == "CODE" and record.date is not None
    named_anew = whole["node"] | {"__typename": "XDTGraphImage"}
    named_of_old = {"code" if key == "shortcode" else key: value for key, value in whole["node"].items()}
    for value in (whole["node"], {"node": whole["node"]}, named_anew, named_of_old):
        (tmp_path / "alone.json").write_text(json.dumps(value))
        assert read_record(tmp_path / "alone.json", RowCounts()) == record


def test_damaged_xz(tmp_path: Path) -> None:
    data = lzma.compress(json.dumps(structure()).encode())
    path = tmp_path / "a.json.xz"
    for content, reason in [
        (b"", "truncated"),
        (data[:-20], "truncated"),
        (b"PK" + data, "damaged xz"),
        (data[:30] + b"\0\0\0\0" + data[34:], "damaged xz"),
        (json.dumps(structure()).encode(), "damaged xz"),
    ]:
        path.write_bytes(content)
        assert reason in broken(path)


def test_an_xz_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json.xz"
    path.write_bytes(lzma.compress(b" " * (8 * MAX_JSON), preset=1))
    assert path.stat().st_size < MAX_JSON // 10
    assert "unpacks to over 16 MiB" in broken(path)
    greedy = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**28}]
    path.write_bytes(lzma.compress(json.dumps(structure()).encode(), filters=greedy))
    assert "damaged xz" in broken(path)


@pytest.mark.parametrize(
    ("changes", "unread"),
    [
        ({"taken_at_timestamp": "some day"}, 1),
        ({"taken_at_timestamp": 1e300}, 1),
        ({"taken_at_timestamp": float("nan")}, 1),
        ({"taken_at_timestamp": ...}, 0),
        ({"taken_at_timestamp": ..., "date": 1546336800.0}, 0),
    ],
)
def test_dates(tmp_path: Path, changes: dict[str, Any], unread: int) -> None:
    (tmp_path / "a.json").write_text(json.dumps(structure(**changes)))
    counts = RowCounts()
    record = read_record(tmp_path / "a.json", counts)
    assert record is not None and (record.date is not None) == ("date" in changes) and counts.unread_dates == unread


@pytest.mark.parametrize("owner", [..., None, {}, [], {"username": "planted_user"}, {"id": ["x"]}])
def test_an_unknown_owner_costs_nothing(tmp_path: Path, owner: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(structure(owner=owner)))
    record = read_record(tmp_path / "a.json", RowCounts())
    assert record is not None and record.owner is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from([*structure()["node"], "iphone_struct", "carousel_media", "image_versions2", "node", "edges"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))


@examples(300)
@given(changes=st.dictionaries(keys, values, max_size=5), is_carousel=st.booleans())
def test_any_json_gives_a_record_or_a_broken_row(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], is_carousel: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    children = {"edge_sidecar_to_children": {"edges": [{"node": {"is_video": False}}]}, "__typename": "GraphSidecar"}
    path.write_text(json.dumps(structure(**(children if is_carousel else {}) | changes)))
    try:
        record = read_record(path, RowCounts())
    except BrokenRow:
        return
    assert record is not None and record.media


@examples(200)
@given(values)
def test_any_json_at_all_gives_a_record_none_or_a_broken_row(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    for document in (value, {"node": value}, {"instaloader": value, "node": value}):
        path.write_text(json.dumps(document))
        with contextlib.suppress(BrokenRow):
            record = read_record(path, RowCounts(), [False, True])
            assert record is None or record.media
