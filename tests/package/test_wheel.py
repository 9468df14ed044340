"""The package as others get it: built as a wheel, installed elsewhere, used outside any clone."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

import hashgen
from hashgen.features.backbone import load_encoder, recipe_of
from hashgen.models import Place
from hashgen.models.folder import Trained
from hashgen.models.lstm import LstmModel
from hashgen.params.featurize import Featurize
from hashgen.training.about import About
from tests import ROOT
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_data
from tests.package.conftest import tracked


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed from the wheel."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(folder), str(wheel)], check=True)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: the tiny world's hashtags, pictures by a backbone with random weights."""
    folder = tmp_path_factory.mktemp("model")
    section = train_section(epochs=1)
    data = small_data(folder / "data", dim=512)
    trained = LstmModel.fit(data, section, Place(torch.device("cpu"), folder / "checkpoint.pt"))
    featurize = Featurize(
        backbone="resnet18",
        weights="random",
        allow_random=True,
        image_size=32,
        views=0,
        precision="float32",
        runtime="torch",
        seed=1,
        captions="tfidf",
        caption_weights=None,
        grid=False,
    )
    recipe = recipe_of(featurize, load_encoder(featurize, "random", torch.device("cpu")))
    (folder / "hashgen").mkdir()
    Trained(trained, About(section, recipe, trained.epoch, 0.5)).save(folder / "hashgen")
    Image.new("RGB", (40, 30), "teal").save(folder / "picture.png")
    return folder


def run(site: Path, cwd: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python with the installed package ahead of the clone that tests run in."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env, check=check, capture_output=True, text=True)


def test_the_wheel_holds_the_library_and_its_files_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"hashgen", f"hashgen-{hashgen.__version__}.dist-info"}
    kept = {name for name in tracked() if name.startswith("hashgen/")}
    assert {name for name in names if name.startswith("hashgen/")} == kept
    for name in ("py.typed", "report/templates/report.html", "sources/instagram/hashtags.txt", "suggesting/hidden.txt"):
        assert f"hashgen/{name}" in names


@pytest.mark.slow
def test_the_installed_command_writes_hashtags_outside_any_clone(site: Path, model: Path, tmp_path: Path) -> None:
    known = set(json.loads((model / "hashgen/hashtags.json").read_text())["tokens"])
    words = ["suggest", str(model / "picture.png"), "morning run done", "--model", str(model / "hashgen")]
    done = run(site, tmp_path, str(site / "bin/hashgen"), *words)
    hashtags = done.stdout.split()
    assert hashtags and all(tag[0] == "#" and tag[1:] in known for tag in hashtags)
    code = (
        "import sys, hashgen; from hashgen import Suggester\n"
        "print(hashgen.__file__); print(Suggester.load(sys.argv[1]).suggest(sys.argv[2], 'morning run done'))"
    )
    place, written = run(site, tmp_path, "-c", code, str(model / "hashgen"), str(model / "picture.png")).stdout.split(
        "\n"
    )[:2]
    assert Path(place).is_relative_to(site) and written.split() == hashtags


def test_versions_agree(site: Path, tmp_path: Path) -> None:
    newest = re.search(r"^## (?:\[)?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert newest is not None and cited is not None
    told = run(site, tmp_path, "-m", "hashgen", "--version").stdout.strip()
    assert newest[1] == cited[1].strip("\"'") == told == hashgen.__version__


def test_help_comes_without_torch(site: Path, tmp_path: Path) -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); sys.argv = ['hashgen', '--help']\n"
        "from hashgen.cli import main; main()"
    )
    assert run(site, tmp_path, "-c", code).stdout.split()[-1] == "False"
