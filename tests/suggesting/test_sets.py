from pathlib import Path

import pytest

from hashgen import cli
from hashgen.base.errors import HashgenError
from hashgen.suggesting import terminal
from hashgen.suggesting.options import hidden_hashtags
from hashgen.suggesting.platforms import PLATFORMS, platform_of
from hashgen.suggesting.sets import HashtagSet, delete_set, read_sets, save_set


def test_sets_are_saved_used_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "config" / "sets.json"
    assert read_sets(file) == {}
    save_set(file, "bakery", HashtagSet(["#Sourdough", "homemade"], ["foodporn"]))
    save_set(file, "brand", HashtagSet(["tiger"]))
    assert read_sets(file)["bakery"] == HashtagSet(["sourdough", "homemade"], ["foodporn"])
    wishes = terminal.of_sets(["bakery", "brand"], file, {"ban": ["love"]})
    assert wishes == {"add": ["sourdough", "homemade", "tiger"], "ban": ["love", "foodporn"]}
    delete_set(file, "bakery")
    assert list(read_sets(file)) == ["brand"]
    with pytest.raises(HashgenError, match=r"no set 'bakery' \(there are: brand\); save one: hashgen sets save bakery"):
        terminal.of_sets(["bakery"], file, {"ban": []})
    with pytest.raises(HashgenError, match="add: 'two words' is no hashtag"):
        save_set(file, "x", HashtagSet(["two words"]))
    assert list(read_sets(file)) == ["brand"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": {"add": "text"}}', '{"a": {"other": []}}', "\xff"])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sets.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(HashgenError, match=r"sets\.json: does not hold saved sets"):
        save_set(file, "x", HashtagSet(["a"]))
    assert file.read_bytes() == content.encode("latin-1")


def test_the_command_lists_saves_and_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sets.json"
    cli.sets("save", "bakery", "sourdough, #bread", "foodporn", file)
    assert capsys.readouterr().out == f"bakery: add #sourdough #bread; keep off #foodporn\nsets: {file}\n"
    cli.sets("delete", "bakery", file=file)
    assert capsys.readouterr().out == f"sets: {file}\n"
    for wrong in (("save", ""), ("save", "x"), ("remove", "x"), ("list", "x")):
        with pytest.raises(HashgenError, match=r"sets: write hashgen sets, hashgen sets save NAME"):
            cli.sets(*wrong, file=file)


def test_platforms_have_limits_dates_and_sources() -> None:
    assert platform_of(" Instagram ").limit == 5 and platform_of("threads").limit == 1
    for name, platform in PLATFORMS.items():
        assert platform.name == name and platform.source and platform.label
        assert platform.limit is None or 1 <= platform.limit <= 100
    with pytest.raises(HashgenError, match="platform: no 'myspace'; use one of instagram, threads, tiktok"):
        platform_of("myspace")


def test_the_built_in_list_of_hidden_hashtags_is_dated_and_can_be_replaced(tmp_path: Path) -> None:
    assert "tagsforlikes" in hidden_hashtags() and "love" not in hidden_hashtags()
    (tmp_path / "none.txt").write_text("")
    assert hidden_hashtags(tmp_path / "none.txt") == frozenset()
    with pytest.raises(HashgenError, match=r"gone\.txt: cannot be read \(No such file or directory\)"):
        hidden_hashtags(tmp_path / "gone.txt")
    (tmp_path / "bad.txt").write_text("two words\n")
    with pytest.raises(HashgenError, match=r"bad\.txt: 'two words' is no hashtag"):
        hidden_hashtags(tmp_path / "bad.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(HashgenError, match=r"latin\.txt: cannot be read \(not UTF-8\)"):
        hidden_hashtags(tmp_path / "latin.txt")
