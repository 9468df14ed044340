"""Parameters that are edited after they were read: what was used must still stand in the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hashgen.base.errors import HashgenError
from hashgen.params import read_section, read_values, require_unchanged, watching
from hashgen.params.filter import Filter
from hashgen.params.scrape import Scrape
from hashgen.params.split import Split
from hashgen.params.train import Train
from tests import ROOT

TEXT = (ROOT / "params.yaml").read_text()


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def replaced(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_decay: 1.0e-4", "weight_decay: 2.0e-4", "train.weight_decay changed from 0.0001 to 0.0002"),
        ("    hidden: 300", "    hidden: 8", "train.lstm.hidden changed from 300 to 8"),
        ("    hidden: 300", "", "train.lstm.hidden changed from 300 to null"),
        ("  model: lstm", "  model: neighbours", 'train.model changed from "lstm" to "neighbours"'),
        ("  model: lstm", "  model: {}", 'train.model changed from "lstm" to {}'),
        ("  epochs: 20", "  epochs: &a [*a]", "changed from 20 to .not a plain value"),
        ("train:", "trian:", " and 16 more while the stage ran"),
        ("scrape:", "scrape: [", "not valid YAML .*: edited while the stage ran; then run it again"),
    ],
)
def test_an_edit_of_what_was_used_fails(params: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(HashgenError, match=said) as raised, watching():
        read_section(params, Train)
        params.write_text(replaced(old, new))
    assert raised.value.stage == "train" and raised.value.exit_code == 1
    assert str(raised.value).startswith(str(params)) and "\n" not in str(raised.value)
    assert "run it again" in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weight_decay: 1.0e-4", "weight_decay: 0.0001  # the same"),
        ("    posts: 20 ", "    posts: 99 "),
        ("    posts: 3000", "    posts: -3"),
        ("split:", "split: 1\nother:"),
        ("", ""),
    ],
)
def test_another_edit_does_not_matter(params: Path, old: str, new: str) -> None:
    with watching():
        read_section(params, Train)
        params.write_text(replaced(old, new))


def test_only_the_chosen_source_matters(params: Path) -> None:
    with watching():
        assert read_section(params, Scrape).source == "sample"
        params.write_text(replaced("  instaloader: ", "  other: "))
    params.write_text(TEXT)
    with pytest.raises(HashgenError, match=r"scrape\.sample\.posts changed from 3000 to 10"), watching():
        read_section(params, Scrape)
        params.write_text(replaced("    posts: 3000", "    posts: 10"))


def test_values_of_other_sections_count_by_their_names(params: Path) -> None:
    keys = ["filter.languages", "split.seed"]
    with watching():
        assert read_values(params, keys)["filter.languages"] == ("en",)
        params.write_text(replaced("emoji: drop", "emoji: keep"))
    params.write_text(TEXT)
    with (
        pytest.raises(HashgenError, match=r'filter\.languages changed from \["en"\] to \["de"\]') as raised,
        watching(),
    ):
        read_section(params, Split)
        read_values(params, keys)
        params.write_text(replaced("languages: [en]", "languages: [de]"))
    assert raised.value.stage == "split"


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [missing, folder])
def test_a_file_that_is_gone_fails(params: Path, change: Callable[[Path], None]) -> None:
    with pytest.raises(HashgenError, match="edited while the stage ran; then run it again"), watching():
        read_section(params, Filter)
        change(params)


def test_an_error_of_the_stage_comes_first_and_nothing_is_watched_outside(params: Path) -> None:
    with pytest.raises(ZeroDivisionError), watching():
        read_section(params, Filter)
        params.write_text("{")
        raise ZeroDivisionError
    params.write_text(TEXT)
    read_section(params, Filter)
    params.write_text("{")
    require_unchanged()
    with watching():
        pass


def test_what_is_read_twice_must_be_the_same_twice(params: Path) -> None:
    with pytest.raises(HashgenError, match=r"filter\.emoji changed"), watching():
        read_section(params, Filter)
        params.write_text(replaced("emoji: drop", "emoji: keep"))
        read_section(params, Filter)
