"""Runs side by side: scores, parameters that differ, and runs found in git."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.report.comparison import compare, render_comparison
from hashgen.report.runs import write_comparison
from hashgen.report.settings import Run, differing_params
from tests.doubles.findings import metrics
from tests.report.test_report import Outline, text_of


def scored(f1: float) -> dict[str, Any]:
    known = metrics()["evaluate"]
    for split in ("val", "test"):
        known[split]["both"]["f1"] = f1
    return known


def history(last: float = 0.5) -> pd.DataFrame:
    columns = ("train_loss", "val_loss", "train_bleu4", "val_bleu4", "train_bleu1", "val_bleu1", "val_f1")
    return pd.DataFrame({"epoch": [1, 2], **{name: [0.25, last] for name in columns}})


def a_run(name: str, evaluate: dict[str, Any], params: dict[str, Any], last: float = 0.5) -> Run:
    return Run(name, evaluate, params, str(params.get("split")), history(last))


def page_of(runs: list[Run]) -> str:
    return render_comparison(compare(runs))


def test_scores_and_differing_parameters_stand_in_the_page() -> None:
    runs = [
        a_run("one", scored(0.431), {"train": {"lstm": {"hidden": 300}, "patience": None}, "split": {"seed": 1}}),
        a_run(
            "<two> $x$", scored(0.287), {"train": {"lstm": {"hidden": 256}, "patience": 3}, "split": {"seed": 1}}, 0.6
        ),
    ]
    page = page_of(runs)
    assert page_of(runs) == page and "<two>" not in page and "<script" not in page
    text = text_of(page)
    assert "0.431" in text and "0.287" in text and "train.lstm.hidden 300 256" in text and "patience null 3" in text
    assert "split.seed" not in text and "Not the same posts" not in text
    outline = Outline(page)
    labels = [svg["aria-label"] or "" for svg in outline.all("svg")]
    assert len(labels) == 6 and all("one 0." in label for label in labels)
    assert "F1, validation, by epoch; last values: one 0.500; <two> $x$ 0.600." in labels


def test_runs_on_other_posts_are_warned_of() -> None:
    page = page_of([a_run("a", scored(0.1), {"split": {"seed": 1}}), a_run("b", scored(0.1), {"split": {"seed": 2}})])
    assert "Not the same posts" in page and "(<code>split.seed</code>)" in page
    other = dataclasses.replace(a_run("c", scored(0.1), {}), posts="x")
    page = page_of([a_run("a", scored(0.1), {}), other])
    assert "the splits of these runs differ, so" in page


def test_parameters_that_a_run_lacks_and_those_of_the_report() -> None:
    runs = [
        a_run("a", {}, {"x": {"y": True}, "report": {"cards": 1}}),
        a_run("b", {}, {"x": {}, "report": {"cards": 2}}),
    ]
    assert differing_params(runs) == {"x.y": ["true", "–"]}


@pytest.mark.parametrize("broken", [{}, {"val": {}}, {"val": {"both": {"f1": 0.5}}}, {"val": {"both": 3}}])
def test_scores_of_another_version_name_the_run(broken: dict[str, Any]) -> None:
    with pytest.raises(HashgenError, match="old: its scores are from another version"):
        page_of([a_run("new", scored(0.1), {}), a_run("old", broken, {})])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with an empty first commit, a run tagged `base`, and an experiment `wide` beside it."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "empty")
    git("tag", "empty")
    write_run(tmp_path, 0.431, 300)
    commit_all("base")
    git("tag", "base")
    write_run(tmp_path, 0.287, 512)
    commit_all("wide")
    git("update-ref", "refs/exps/ab/cdef/wide", "HEAD")
    git("reset", "-q", "--hard", "base")
    write_run(tmp_path, 0.159, 77)
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def commit_all(message: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", message)


def write_run(root: Path, f1: float, hidden: int) -> None:
    (root / "metrics").mkdir(exist_ok=True)
    (root / "plots").mkdir(exist_ok=True)
    (root / "metrics/evaluate.json").write_text(json.dumps(scored(f1)))
    history(f1).to_csv(root / "plots/history.csv", index=False)
    stages = {
        "split": {"outs": [{"path": "data/manifest", "md5": "ab"}], "params": {"params.yaml": {"split": {"seed": 1}}}},
        "train": {
            "outs": [{"path": "model", "md5": f"{hidden:x}"}],
            "params": {"params.yaml": {"train.epochs": 3, "train.lstm": {"hidden": hidden}}},
        },
        "evaluate": {"deps": [{"path": "model", "md5": f"{hidden:x}"}, {"path": "code.py", "md5": "c"}]},
    }
    with (root / "dvc.lock").open("w") as stream:
        YAML().dump({"schema": "2.0", "stages": stages}, stream)


def run_compare(*runs: str) -> str:
    out = Path("comparison.html")
    write_comparison(runs, Path("metrics/evaluate.json"), Path("plots/history.csv"), Path("dvc.lock"), out)
    return out.read_text()


def test_commits_experiments_and_the_present_are_found(repository: Path) -> None:
    text = text_of(run_compare("base", "wide", "."))
    base, wide = (
        subprocess.run(["git", "rev-parse", name], capture_output=True, text=True).stdout[:7]
        for name in ("base", "refs/exps/ab/cdef/wide")
    )
    assert "train.lstm.hidden 300 512 77" in text and f"base ({base}) · wide ({wide}) · here" in text
    assert "Not the same posts" not in text and f" {base} · here" in text_of(run_compare(base[:5], "."))
    assert "0.431" in text and "0.287" in text and "0.159" in text


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (["."], "only one run"),
        (["base", "base"], "the same run twice"),
        ([".", "workspace"], "the same run twice"),
        ([".", "nowhere"], "nowhere: no such commit"),
        ([".", "--all"], "--all: no such commit"),
        ([".", "empty"], "empty: has no metrics/evaluate.json"),
        (["base", "two"], "two: 2 experiments have this name"),
    ],
)
def test_runs_that_are_not_there(repository: Path, runs: list[str], message: str) -> None:
    git("update-ref", "refs/exps/ab/cdef/two", "base")
    git("update-ref", "refs/exps/12/3456/two", "empty")
    with pytest.raises(HashgenError, match=message) as caught:
        run_compare(*runs)
    assert "\n" not in str(caught.value) and not Path("comparison.html").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics/evaluate.json", "{", "cannot be read"),
        ("metrics/evaluate.json", "[1]", "not a mapping"),
        ("dvc.lock", "a: [", "cannot be read"),
        ("dvc.lock", "stages: {split: {outs: []}}", "does not record a complete run"),
        ("plots/history.csv", "epoch,val_f1\n1,2\n", "cannot be read"),
    ],
)
def test_broken_files_of_a_run(repository: Path, name: str, text: str, message: str) -> None:
    (repository / name).write_text(text)
    with pytest.raises(HashgenError, match=rf"{Path(name).name}.*{message}|{message}"):
        run_compare("base", ".")


def test_a_run_that_did_not_end(repository: Path) -> None:
    lock = (repository / "dvc.lock").read_text()
    (repository / "dvc.lock").write_text(lock.replace("md5: 4d", "md5: ff", 1))
    with pytest.raises(HashgenError, match=r"\.: its dvc\.lock records a run that did not finish"):
        run_compare("base", ".")


def test_a_place_without_a_run(repository: Path) -> None:
    (repository / "dvc.lock").unlink()
    with pytest.raises(HashgenError, match=r"dvc\.lock: cannot be read"):
        run_compare("base", "workspace")
