"""docs/experiments.md and the README's commands on a run, typed in their order in a fresh clone, small."""

import io
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from hashgen.report.summary import NEXT
from tests import ROOT
from tests.doubles.clone import MAKE, Clone, copy_of_run, stages_run
from tests.pipeline.test_readme import commands

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = copy_of_run(tmp_path_factory, "cookbook")
    yield clone
    clone.run("dvc", "queue", "stop", "--kill")  # where a test has failed, work may go on in the background


def type_in(clone: Clone, line: str) -> str:
    """Run a line as it stands in a document. What starts in the background is waited for, as its output is read."""
    return clone.run(*shlex.split(line))


def section(title: str) -> list[str]:
    """The commands under a heading of docs/experiments.md."""
    text = (ROOT / "docs/experiments.md").read_text()
    found = [part for part in text.split("\n## ") if part.startswith(title)]
    assert len(found) == 1
    return commands(found[0])


def experiments(clone: Clone) -> set[str]:
    return set(clone.run("dvc", "exp", "list", "--all-commits", "--name-only").split())


def test_make_repro_runs_every_stage_and_ends_with_what_to_try_next(clone: Clone) -> None:
    said = (clone.root.parent / "said.txt").read_text()
    assert len(stages_run(said)) == 10
    assert said.splitlines()[-len(NEXT) :] == [f"  {command}" for command in NEXT]
    assert "report: reports/report.html" in said


def test_make_repro_can_be_quiet(clone: Clone) -> None:
    assert clone.run(*MAKE, "Q=1", "repro").startswith("Scores on ")


def test_the_cookbook_in_its_order(clone: Clone) -> None:
    for line in section("One variant"):
        type_in(clone, line)
    assert experiments(clone) >= {"narrow", "blind"}
    assert clone.run("git", "status", "--porcelain") == ""
    for line in section("A grid in the queue"):
        type_in(clone, line)
    assert experiments(clone) >= {"grid-1", "grid-2"} and not experiments(clone) & {"grid-3", "grid-4"}
    for line in section("Seeds"):
        type_in(clone, line)
    assert experiments(clone) >= {"seed-1", "seed-2", "seed-3"}
    compared = [type_in(clone, line) for line in section("Compare")]
    assert any("seed-2" in output and "lstm.val.f1_at_5" in output for output in compared)
    assert (clone.root / "reports/comparison.html").read_text().count("seed-2") > 0
    for line in section("Keep"):
        type_in(clone, line)
    assert "hidden: 256" in clone.run("git", "show", "HEAD:params.yaml")
    assert "blind-model" in clone.run("git", "branch")
    assert "by-hand" in experiments(clone)
    for line in section("Throw away"):
        type_in(clone, line)
    assert experiments(clone) == set()
    assert "up to date" in clone.run("dvc", "status")


def test_the_cookbook_has_no_other_sections_with_commands() -> None:
    titles = ("One variant", "A grid in the queue", "Seeds", "Compare", "Keep", "Throw away")
    text = (ROOT / "docs/experiments.md").read_text()
    assert [line for title in titles for line in section(title)] == commands(text)


def test_suggest_as_the_readme_has_it(clone: Clone) -> None:
    posts = pd.read_parquet(clone.root / "data/posts.parquet").iloc[0]
    raw = pd.read_parquet(clone.root / "data/raw" / posts["shard"]).iloc[posts["row"]]
    Image.open(io.BytesIO(raw["image"]["bytes"])).save(clone.root.parent / "photo.jpg")
    line = next(line for line in commands((ROOT / "README.md").read_text()) if line.startswith("hashgen suggest"))
    output = type_in(clone, line.replace("photo.jpg", str(Path(clone.root.parent, "photo.jpg"))))
    *warnings, hashtags = output.splitlines()
    assert any("random weights" in warning for warning in warnings) and hashtags.startswith("#")


def test_what_arrived_later_enters(clone: Clone) -> None:
    lines = commands((ROOT / "README.md").read_text())
    place = lines.index("dvc repro -f -s scrape")
    assert stages_run(type_in(clone, lines[place])) == ["scrape"]
    assert lines[place + 1] == "dvc repro"
    type_in(clone, lines[place + 1])
    assert "up to date" in clone.run("dvc", "status")
