import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen import Suggester
from hashgen.base.errors import HashgenError
from hashgen.suggesting import terminal
from hashgen.suggesting.options import Options
from hashgen.suggesting.requests import Request, answers, named, read_lines
from tests.doubles.model_folder import write_model_folder
from tests.properties import examples

WISHES: Mapping[str, Any] = {"ban": [], "explain": False, "max": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("requests"))


@pytest.fixture(scope="module")
def suggester(folder: Path) -> Suggester:
    return Suggester.load(folder, device="cpu")


def test_pictures_folders_and_caption_are_told_apart(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "c.HEIC"):
        (tmp_path / name).write_bytes(b"x")
    one, two = str(tmp_path / "a.png"), str(tmp_path / "b.JPG")
    assert named([one], None) == ([tmp_path / "a.png"], "")
    assert named([one, "slow sunday"], None) == ([tmp_path / "a.png"], "slow sunday")
    assert named([one, two, "-"], None) == ([tmp_path / "a.png", tmp_path / "b.JPG"], "-")
    assert named([str(tmp_path)], "sea") == ([tmp_path / "a.png", tmp_path / "b.JPG", tmp_path / "c.HEIC"], "sea")
    assert named([], "only words") == ([], "only words")
    assert named(["-"], None) == ([], "-")
    # Longer than the name of a file may be.
    assert named([one, "slow sunday " * 50], None) == ([tmp_path / "a.png"], "slow sunday " * 50)
    with pytest.raises(HashgenError, match=r"no such file; give the path of a picture, or a caption alone with --cap"):
        named(["slow sunday " * 50], None)
    # What is named like a picture is never taken for a caption.
    for arguments in ([one, "missing.jpg"], ["missing.jpg", "text"], ["missing.jpg"]):
        with pytest.raises(HashgenError, match=r"missing\.jpg: no such file; give the path of a picture$"):
            named(arguments, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HashgenError, match="empty: no pictures in this folder"):
        named([str(tmp_path / "empty")], None)


def test_lines_name_their_faults_and_go_on(tmp_path: Path) -> None:
    lines = [
        '{"picture": "a.jpg", "caption": "run", "max": 2, "id": 7}',
        "",
        "{broken",
        "[1]",
        '{"caption": "sea", "hashtags": ["old"], "error": "old", "tags": null, "n": NaN}',
    ]
    first, broken, array, last = read_lines(map(str.encode, lines), "posts.jsonl")
    assert first == Request("a.jpg", "run", {"picture": "a.jpg", "id": 7}, {"max": 2})
    assert str(broken).startswith("posts.jsonl, line 3: not valid JSON")
    assert str(array).startswith('posts.jsonl, line 4: not an object; write {"picture"')
    # What an answer holds, and what is null, is as if it were not there.
    assert last == Request(None, "sea", {"n": None}, {})


def test_lines_of_any_encoding_are_read_or_named() -> None:
    lines = [
        b'\xef\xbb\xbf{"caption": "caf\xc3\xa9"}\r\n',
        b"\r\n",
        b'{"caption": "caf\xe9"}\n',
        b'{"caption": "\xf0\x9f\x8c\x8a"}',
    ]
    first, latin, last = read_lines(lines, "x")
    assert first == Request(None, "café", {}, {}) and last == Request(None, "🌊", {}, {})
    assert str(latin).startswith("x, line 3: not valid JSON ('utf-8' codec can't decode byte 0xe9")


@given(st.text() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()).map(json.dumps))
@examples(200)
def test_any_line_is_a_request_or_an_error(line: str) -> None:
    found = list(read_lines([line.encode("utf-8", "surrogatepass")], "x"))
    assert len(found) == bool(line.encode("utf-8", "surrogatepass").strip())
    assert all(isinstance(one, Request | HashgenError) for one in found)


def test_a_picture_that_fails_is_answered_by_its_error_and_the_others_go_on(
    folder: Path, suggester: Suggester, tmp_path: Path
) -> None:
    picture = folder.parent / "picture.png"
    (tmp_path / "bad.jpg").write_text("<html>")
    asked: list[Request | HashgenError] = [
        *(Request(picture, "morning run", {"n": number}) for number in range(9)),
        Request(tmp_path / "bad.jpg", "x", {}),
        Request(tmp_path / "none.jpg", "x", {}),
        HashgenError("line 3: broken"),
        Request(picture, "x", {}, {"mix": "odd"}),
        Request(picture, "x", {}, {"min_confidence": "high"}),
        Request(None, "", {}),
        Request(5, "x", {"id": 1}),
        Request("a\0b", "x", {}),
        Request(None, ["x"], {}),
        Request(picture, "slow day", {}, {"max": 1}),
    ]
    found = list(answers(asked, suggester, {"max": 3}))
    assert [one for one, _ in found] == [None if isinstance(one, HashgenError) else one for one in asked]
    said = [answer for _, answer in found]
    assert all(not isinstance(answer, HashgenError) and len(answer) == 3 for answer in said[:9])
    messages = [str(answer) for answer in said[9:18]]
    assert "bad.jpg: not a readable picture" in messages[0] and "none.jpg: no such file" in messages[1]
    assert messages[2] == "line 3: broken" and "mix: no 'odd'" in messages[3]
    assert "min_confidence: 'high' is no probability" in messages[4]
    assert "neither a picture nor a caption: give one" in messages[5]
    assert "picture: cannot be of the type int" in messages[6] and r"a\x00b: no path; give" in messages[7]
    assert messages[8] == "caption: ['x'] is no text; give a text, or none"
    assert not isinstance(said[18], HashgenError) and len(said[18]) == 1


def test_json_lines_go_in_and_out(
    folder: Path, suggester: Suggester, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(folder.parent / "picture.png")
    lines = [
        {"id": 1, "picture": picture, "caption": "run"},
        {"id": 2, "picture": "none.jpg"},
        {"caption": "sea", "max": 1, "id": "\udcff"},
        {"id": 4, "caption": 5},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    asked = terminal.requests([], None, str(tmp_path / "in.jsonl"))
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(errors="backslashreplace")
    assert terminal.print_answers(asked, suggester, WISHES, "json") == 2
    said = capsys.readouterr()
    one, two, three, four = map(json.loads, said.out.splitlines())
    assert (one["id"], one["picture"], len(one["hashtags"])) == (1, picture, 3) and one["warnings"]
    assert two["id"] == 2 and two["error"].startswith("none.jpg: no such file") and "hashtags" not in two
    assert len(three["hashtags"]) == 1 and three["id"] == "\udcff"
    assert four == {"id": 4, "error": "caption: 5 is no text; give a text, or none"}
    assert said.err == "error: 2 of 4 could not be answered\n"


def test_standard_input_gives_lines_or_a_caption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def given(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    given(b'{"caption": "sea"}\n')
    assert list(terminal.requests([], None, "-")) == [Request(None, "sea", {}, {})]
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    given(b"slow sunday\n")
    assert terminal.requests([str(tmp_path / "a.png"), "-"], None, None) == [
        Request(tmp_path / "a.png", "slow sunday\n", {}, {})
    ]
    with pytest.raises(HashgenError, match="--batch: its lines name pictures"):
        terminal.requests(["a.png"], None, "x.jsonl")
    with pytest.raises(HashgenError, match=r"x\.jsonl: no such file; give JSON Lines"):
        list(terminal.requests([], None, "x.jsonl"))
    given(b"caf\xe9")
    with pytest.raises(HashgenError, match="standard input: not UTF-8; give the caption as UTF-8"):
        terminal.requests(["-"], None, None)
    with pytest.raises(HashgenError, match=r"no such file; give JSON Lines"):
        list(terminal.requests([], None, str(tmp_path)))
    with pytest.raises(HashgenError, match="nothing to suggest for"):
        terminal.requests([], None, None)


def test_text_has_a_name_for_each_of_several_pictures(
    folder: Path, suggester: Suggester, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = folder.parent / "picture.png"
    (tmp_path / "bad.jpg").write_text("<html>")
    asked = terminal.requests([str(picture), str(tmp_path / "bad.jpg"), "morning run"], None, None)
    assert terminal.print_answers(asked, suggester, WISHES, "text") == 1
    said = capsys.readouterr()
    name, hashtags = said.out.strip().split("\t")
    assert name == str(picture) and all(one.startswith("#") for one in hashtags.split())
    assert said.err.count("random weights") == 1 and "error: " in said.err and "1 of 2 could not" in said.err
    assert terminal.print_answers(asked[:1] if isinstance(asked, list) else [], suggester, WISHES, "plain") == 0
    said = capsys.readouterr()
    assert said.out.strip() == hashtags and said.err == ""


def test_a_single_picture_that_fails_is_an_error(suggester: Suggester, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("<html>")
    asked = terminal.requests([str(tmp_path / "bad.jpg")], None, None)
    with pytest.raises(HashgenError, match="not a readable picture"):
        terminal.print_answers(asked, suggester, WISHES, "text")


def test_reasons_are_one_line_each(folder: Path, suggester: Suggester, capsys: pytest.CaptureFixture[str]) -> None:
    asked = terminal.requests([str(folder.parent / "picture.png"), "run slow"], None, None)
    terminal.print_answers(asked, suggester, {**WISHES, "explain": True, "max": 9}, "text")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "words: run; stands in the caption; picture " in lines["#run"] and "21 posts" in lines["#run"]
    assert "; like t" in lines["#run"] and "stands in the caption" not in lines["#love"]


def test_hashtags_are_listed_as_people_do() -> None:
    assert terminal.split(" #a,b  c#d, ") == ["a", "b", "c", "d"] and terminal.split("") == []
    assert Options(tags=terminal.split("#Sea, Sun")).tags == ("sea", "sun")
