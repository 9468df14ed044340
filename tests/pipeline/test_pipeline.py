"""The whole pipeline by DVC on a small sample, in a copy of the repository: what a user types."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests import ROOT

pytestmark = pytest.mark.slow

SMALL = {
    "scrape": {"sample": {"posts": 220, "image_size": 64}},
    "vocab": {"min_hashtag_count": 2, "dimension": 16},
    "featurize": {"backbone": "resnet18", "image_size": 64},
    "baselines": {"bootstrap": 20},
    "train": {"epochs": 2, "lstm": {"hidden": 32}},
    "evaluate": {"bootstrap": 20, "beam": 2},
    "report": {"cards": 1},
}

FOLDER = ["-S", "scrape.source=folder", "-S", "scrape.folder.path=../photos"]


def merge(params: dict[str, object], changes: dict[str, object]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(params[key], value)  # type: ignore[arg-type]
        else:
            params[key] = value


class Clone:
    """A fresh clone with small parameters and a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        # Tests may run under make themselves, whose flags are not those of a user's own.
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self.env = outer | {
            "HASHGEN_HOME": str(folder / "home"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
        }  # fmt: skip
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
        )
        for name in files.stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        yaml = YAML()
        params = yaml.load(self.root / "params.yaml")
        merge(params, SMALL)
        yaml.dump(params, self.root / "params.yaml")
        self.run("git", "init", "-q")
        self.commit("small")

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("pipeline"))
    clone.run("dvc", "repro")
    clone.commit("run")
    yield clone


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_repro_makes_everything_and_a_second_one_runs_nothing(clone: Clone) -> None:
    evaluated = clone.json("metrics/evaluate.json")
    for split in ("val", "test"):
        assert {"both", "no_image", "no_caption", "ceiling", "paper_protocol"} <= evaluated[split].keys()
        assert 0 <= evaluated[split]["both"]["bleu4"] <= 1
    assert evaluated["audit"]["dirty_kept"] == evaluated["audit"]["clean_lost"] == 0
    assert evaluated["audit"]["dirty"] > 0
    baselines = clone.json("metrics/baselines.json")
    assert {"popularity", "knn_image", "knn_caption", "knn_both", "seeds"} == baselines["test"].keys()
    page = (clone.root / "reports/report.html").read_text()
    assert "<svg" in page and "data:image/jpeg;base64," in page and "<script" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    predictions = pd.read_parquet(clone.root / "data/predictions.parquet")
    tests = pd.read_parquet(clone.root / "data/manifest/test.parquet")
    assert set(predictions[predictions["split"] == "test"]["id"]) == set(tests["id"])
    assert "up to date" in clone.run("dvc", "repro")


def test_no_hashtag_stands_in_the_captions_that_go_in(clone: Clone) -> None:
    posts = pd.read_parquet(clone.root / "data/posts.parquet")
    assert not posts["caption"].str.contains("#").any()
    assert (posts["hashtags"].str.len() > 0).all()


def test_an_experiment_on_training_runs_training_and_what_follows(clone: Clone) -> None:
    output = clone.run("dvc", "exp", "run", "-S", "train.lstm.hidden=24")
    assert stages_run(output) == ["train", "evaluate", "report"]
    diff = clone.run("dvc", "metrics", "diff")
    assert "val.f1" in diff and len(diff.splitlines()) <= 20
    assert "train.lstm.hidden" in clone.run("dvc", "params", "diff")
    assert "hidden" in clone.run("dvc", "exp", "show", "--csv", "--no-pager")
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout", "-q")


def test_an_experiment_in_another_folder_finds_relative_paths_and_the_memo(clone: Clone) -> None:
    folder = clone.root.parent / "photos"
    folder.mkdir()
    posts = pd.read_parquet(clone.root / "data/raw/posts-00000.parquet")
    posts = posts[posts["caption"].notna() & posts["image"].map(lambda image: bool(image and image["bytes"]))]
    with (folder / "metadata.jsonl").open("w") as stream:
        for number, (_, row) in enumerate(posts.iterrows()):
            (folder / f"{number}.jpg").write_bytes(row["image"]["bytes"])
            stream.write(json.dumps({"file_name": f"{number}.jpg", "text": row["caption"]}) + "\n")
    output = clone.run(
        "dvc", "exp", "run", "--temp", "-n", "photos", *FOLDER, "-S", "featurize.allow_random=true",
    )  # fmt: skip
    assert "scrape" in stages_run(output) and "report" in stages_run(output)
    # The same pictures under the same weights: only those that the sample's filter dropped are new.
    found = re.search(r"([\d,]+) pictures, ([\d,]+) encoded", output)
    assert found and int(found[2]) < int(found[1]) / 10
    assert "photos" in clone.run("dvc", "exp", "show", "--csv", "--no-pager")
    assert clone.run("git", "status", "--porcelain") == ""


def test_plots_show_and_diff(clone: Clone) -> None:
    assert "index.html" in clone.run("dvc", "plots", "show")
    assert "index.html" in clone.run("dvc", "plots", "diff", "HEAD")


def test_random_weights_are_refused_on_real_posts(clone: Clone) -> None:
    output = clone.run("dvc", "exp", "run", "--temp", *FOLDER, check=False)
    assert "featurize.allow_random" in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("train.epochs=0", "train.epochs"),
        ("split.shares=[1,2]", "split.shares"),
        ("train.batchsize=3", "train.batchsize"),
        ("scrape.source=nowhere", "scrape"),
        ("train.model=nothing", "train"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_lost(clone: Clone, change: str, named: str) -> None:
    output = clone.run("dvc", "exp", "run", "--temp", "-S", change, check=False)
    assert named in output and "Traceback" not in output
    assert clone.run("git", "status", "--porcelain") == ""
