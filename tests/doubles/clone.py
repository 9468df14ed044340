"""A clone of the repository in which commands run as a user types them, with small parameters."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests import ROOT

SMALL = {
    "scrape": {"sample": {"posts": 220, "image_size": 64}},
    "vocab": {"min_hashtag_count": 2, "dimension": 16},
    "featurize": {"backbone": "resnet18", "image_size": 64},
    "baselines": {"bootstrap": 20},
    "train": {"epochs": 2, "lstm": {"hidden": 32}},
    "evaluate": {"bootstrap": 20, "beam": 2},
    "report": {"cards": 1},
}


def merge(params: dict[str, object], changes: dict[str, object]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(params[key], value)  # type: ignore[arg-type]
        else:
            params[key] = value


class Clone:
    """A fresh clone below `folder`, with small parameters and a store of its own; or the one that is there."""

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
        if not self.root.exists():
            self._make()

    def _make(self) -> None:
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


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


# As if the environment were set up: the tests' own is on the path. Without the lines that make adds inside of make.
MAKE = ["make", "--no-print-directory", "-o", ".venv/.installed"]


def copy_of_run(factory: pytest.TempPathFactory, name: str) -> Clone:
    """A copy of a clone in which `make repro` ran and was committed.

    The run is made once for all processes that run tests. What it printed is in `said.txt` beside the clone.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    run = shared / "run"
    with FileLock(shared / "run.lock"):
        if not (run / "said.txt").exists():
            shutil.rmtree(run, ignore_errors=True)
            clone = Clone(run)
            said = clone.run(*MAKE, "repro")
            clone.commit("run")
            (run / "said.txt").write_text(said)
    folder = factory.mktemp(name)
    shutil.copytree(run, folder, symlinks=True, dirs_exist_ok=True)
    return Clone(folder)
