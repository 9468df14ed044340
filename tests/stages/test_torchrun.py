"""The stage train under torchrun: one set of files, goes on after a kill, and ends that say why."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from tests import ROOT
from tests.doubles.small_world import small_manifest, small_vocabularies, write_features

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the stage reads, and parameters of a training of two epochs."""
    parts = {"train": small_manifest(42, "t"), "val": small_manifest(12, "v")}
    write_features(tmp_path / "features", pd.concat(parts.values(), ignore_index=True))
    (tmp_path / "manifest").mkdir()
    for split, part in parts.items():
        part.to_parquet(tmp_path / "manifest" / f"{split}.parquet")
    (tmp_path / "vocab").mkdir()
    small_vocabularies(parts["train"]).save(tmp_path / "vocab")
    write_params(tmp_path, {"epochs": 2})
    return tmp_path


def write_params(folder: Path, changes: dict[str, object]) -> None:
    yaml = YAML()
    document = yaml.load(ROOT / "params.yaml")
    document["train"] |= {"batch_size": 8, "epochs": 2} | changes
    document["train"]["lstm"]["hidden"] = 16
    yaml.dump(document, folder / "params.yaml")


def train(folder: Path, out: str, processes: int = 1) -> "subprocess.CompletedProcess[str]":
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    options = ["--manifest", "manifest", "--vocab", "vocab", "--features", "features", "--params", "params.yaml"]
    files = ["--out", out, "--history", f"{out}.csv", "--home", "home", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, *torchrun, "-m", "stages.train", *options, *files],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_processes_write_the_model_that_one_writes(folder: Path) -> None:
    assert train(folder, "alone").returncode == 0
    said = train(folder, "both", 2)
    assert said.returncode == 0, said.stderr
    assert [line.split(" ")[1:3] for line in said.stdout.splitlines()] == [
        ["epoch", "1:"],
        ["epoch", "2:"],
        ["2", "epochs,"],
    ]
    alone, both = (load_file(folder / name / "model.safetensors") for name in ("alone", "both"))
    for name, tensor in alone.items():
        torch.testing.assert_close(both[name], tensor, rtol=0, atol=1e-3, msg=name)
    history, same = (pd.read_csv(folder / f"{name}.csv") for name in ("alone", "both"))
    pd.testing.assert_frame_equal(history, same, rtol=1e-3)
    assert not list((folder / "home/checkpoints").glob("*.pt"))


def test_other_models_learn_in_one_process(folder: Path) -> None:
    write_params(folder, {"model": "neighbours"})
    said = train(folder, "both", 2)
    assert said.returncode != 0 and not (folder / "both").exists()
    assert "error: train.model: neighbours learns in one process: start the stage without torchrun\n" in said.stderr


def test_an_error_of_the_leader_alone_ends_all_in_one_line(folder: Path) -> None:
    (folder / "home").write_text("a file where the folder of checkpoints should go")
    said = train(folder, "both", 2)
    assert said.returncode != 0
    assert "error: " in said.stderr and "home" in said.stderr
    assert 'File "' + str(ROOT / "stages") not in said.stderr
