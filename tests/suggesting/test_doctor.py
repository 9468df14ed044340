import sys
from collections import namedtuple
from pathlib import Path

import pytest
import typer

from hashgen import cli
from hashgen.suggesting.doctor import Finding, examine
from tests.doubles.model_folder import write_model_folder

Usage = namedtuple("Usage", "total used free")


def findings(model: Path, home: Path) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in examine(model, home):
        found.setdefault(one.name, []).append(one)
    return found


def test_what_is_ready_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.suggesting.doctor.shutil.disk_usage", lambda _: Usage(0, 0, 6 * 10**9))
    found = findings(write_model_folder(tmp_path), tmp_path / "not/yet/there")
    assert all(one.ready is not False for each in found.values() for one in each)
    assert found["Python"][0].text.startswith(".".join(map(str, sys.version_info[:3])))
    assert found["torch"][0].text.split(",")[1].startswith(" device ")
    assert found["pipeline"][0].text.startswith("DVC ") and found["server"][0].text == "all packages"
    assert found["weights"][0].text == "resnet18, random"
    assert found["model"][0].text.endswith(", from 41 posts (tiny world)")
    assert "random weights" in found["model"][1].text and found["model"][1].ready is None
    assert found["disk"][0].text == f"6 GB free for {tmp_path / 'not/yet/there'}"


def test_what_is_missing_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.suggesting.doctor.shutil.disk_usage", lambda _: Usage(0, 0, 10**9))
    monkeypatch.setattr("hashgen.suggesting.doctor.shutil.which", lambda _: None)
    monkeypatch.setattr(
        "hashgen.suggesting.doctor.importlib.util.find_spec", lambda name: None if name == "fastapi" else object()
    )
    monkeypatch.setattr("hashgen.suggesting.doctor.sys.version_info", (3, 10, 4))
    found = findings(tmp_path / "none", tmp_path)
    missing = {name: each[0].remedy for name, each in found.items() if each[0].ready is False}
    assert missing == {
        "Python": "install Python 3.11, 3.12 or 3.13",
        "disk": "make room, or set HASHGEN_HOME",
        "model": "make repro, in a clone; or name a folder: --model FOLDER",
    }
    assert found["server"][0].text == "without fastapi" and "pip install '.[serve]'" in found["server"][0].remedy
    assert found["git"][0].remedy == "install git"


def test_outside_of_a_clone_git_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert findings(tmp_path, tmp_path)["git"][0].text.startswith("this folder is no clone")


def test_a_damaged_model_is_a_fault(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    (folder / "index.json").write_text("{}")
    found = findings(folder, tmp_path)["model"]
    assert [one.ready for one in found] == [False] and "has changed since the model was saved" in found[0].text


def test_the_command_prints_a_line_each_and_fails_when_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hashgen.suggesting.doctor.shutil.disk_usage", lambda _: Usage(0, 0, 6 * 10**9))
    with pytest.raises(typer.Exit) as ended:
        cli.doctor(tmp_path, tmp_path / "none")
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.exit_code == 1 and lines[0].startswith("ok      Python    3.")
    assert lines[-1].startswith("MISSING model     none in ") and "  →  make repro, in a clone" in lines[-1]
    cli.doctor(tmp_path, write_model_folder(tmp_path))
    assert "MISSING" not in capsys.readouterr().out
