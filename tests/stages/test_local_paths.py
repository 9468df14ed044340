"""A URI where a path of this machine belongs: one line that says so, for every option of every command."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from hashgen.base.errors import HashgenError
from hashgen.cli import app as hashgen
from hashgen.suggesting.suggester import Suggester
from stages.command import application, input_path
from tests import ROOT
from tests.stages.test_featurize import make_world

STAGES = list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"])
URI = "s3://bucket/some/key"
BOTH = ("filter", "featurize")  # stages that may read and write elsewhere, with Ray


def app_of(stage: str) -> typer.Typer:
    return application(importlib.import_module(f"stages.{stage}").main)


def paths_of(command: Any) -> Iterator[Any]:
    """The parameters of a command that are paths."""
    return (one for one in command.params if one.type.name in ("path", "place_of"))


def options_of_stages() -> list[tuple[str, str]]:
    commands = {stage: typer.main.get_command(app_of(stage)) for stage in STAGES}
    return [(stage, one.opts[0]) for stage, command in commands.items() for one in paths_of(command)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HASHGEN_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(("stage", "option"), options_of_stages())
def test_options_of_stages(stage: str, option: str) -> None:
    app = app_of(stage)
    paths = paths_of(typer.main.get_command(app))
    given = {one.opts[0]: "nothing" for one in paths if one.required} | {option: URI}
    result = CliRunner().invoke(app, [part for pair in given.items() for part in pair])
    assert isinstance(result.exception, HashgenError), result.output
    remedy = "set HASHGEN_ENGINE=ray" if stage in BOTH and option not in ("--home", "--params") else "copy it here"
    named = "" if option in ("--home", "--state") else f"{option} "
    assert str(result.exception).startswith(f"{named}{URI}: must be a path on this machine")
    assert remedy in str(result.exception)
    assert list(Path().iterdir()) == []


def options_of_hashgen() -> list[tuple[str, str]]:
    group: Any = typer.main.get_command(hashgen)
    found = [(name, one) for name, command in group.commands.items() for one in paths_of(command)]
    return [(name, one.opts[-1]) for name, one in found] + [
        ("suggest", "--batch"),
        ("suggest", "photo.jpg"),
        ("suggest", "--caption-weights"),
        ("doctor", "--caption-weights"),
    ]


@pytest.mark.parametrize(("name", "option"), options_of_hashgen())
def test_options_of_hashgen(name: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.cli._require_model", lambda folder: None)
    needed = {"delete": ["1"], "compare": ["a", "b"], "summary": [], "mine": ["posts"]}.get(name, [])
    if name == "suggest" and option not in ("--batch", "photo.jpg"):
        needed = ["--caption", "slow sunday"]
    if name == "summary":
        needed = [f"--{one}=x" for one in ("evaluate", "baselines", "report") if f"--{one}" != option]
    arguments = [URI] if not option.startswith("--") else [*needed, option, URI]
    result = CliRunner().invoke(hashgen, [name, *arguments])
    assert isinstance(result.exception, HashgenError), result.output
    assert f"{URI}: must be a path on this machine; only the stages filter and featurize" in str(result.exception)
    found = str(result.exception).partition(URI)[0].split()
    # Arguments have no name to give; folders of state can also come from the environment, without the option.
    unnamed = not option.startswith("--") or option in ("--home", "--state")
    assert found == ([] if unnamed else [option])
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", ["HASHGEN_HOME", "HASHGEN_SETS"])
def test_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "gs://bucket/home")
    result = CliRunner().invoke(hashgen, ["sets"] if name.endswith("SETS") else ["doctor"])
    assert isinstance(result.exception, HashgenError)
    assert "gs://bucket/home: must be a path on this machine" in str(result.exception)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("value", [URI, "gs://bucket/x", "hdfs://host:9000/x", "https://a.org/x.pth"])
def test_parameters(value: str, tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match=f"^{value}: must be a path on this machine"):
        input_path(value)
    world = make_world(tmp_path / "world", 2, weights=value)
    with pytest.raises(HashgenError, match=f"^{value}: must be a path on this machine"):
        importlib.import_module("stages.featurize").main(**world, device="cpu", workers=0)


def test_the_python_interface() -> None:
    with pytest.raises(HashgenError, match=f"^{URI}: must be a path on this machine"):
        Suggester.load(URI)


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", 2)
    main = importlib.import_module("stages.featurize").main
    with pytest.raises(HashgenError, match=r"^--engine spark: no such engine; choose local or ray$"):
        main(**world, device="cpu", engine="spark")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HashgenError, match=r"^--engine ray: needs a package .*: pip install .ray\[data\]"):
        main(**world, device="cpu", engine="ray")
