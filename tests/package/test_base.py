"""The base dependencies are what suggesting takes: no package less, no package more."""

import dataclasses
import functools
import os
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from hashgen.features.backbone import load_encoder
from hashgen.models import Place, model_class
from hashgen.models.folder import Trained
from hashgen.training.about import About
from tests import ROOT
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data

pytestmark = pytest.mark.slow

BASE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
MODELS = ("lstm", "attention", "transformer", "classifier", "neighbours", "ranker")
# Makes top-level modules as missing as if they were not installed, then runs the rest of the arguments as `hashgen`.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

missing = set(sys.argv[1].split(","))

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
sys.argv = ["hashgen", *sys.argv[2:]]
from hashgen.cli import main
main()
"""


@dataclasses.dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel in it and this one's other packages, and an empty folder to work in."""

    python: Path
    folder: Path

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment (its name) or Python with arguments (from `-c`)."""
        first = [self.python.parent / command[0]] if not str(command[0]).startswith("-") else [self.python, command[0]]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*map(str, first), *map(str, command[1:])],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def without(self, modules: set[str], *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run `hashgen` as if these modules were not installed."""
        return self.run("-c", WITHOUT, ",".join(sorted(modules)), *arguments)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root, folder = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    python = root / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # A folder in a .pth file is searched, but the .pth files in it are not read: the clone stays unknown.
    (place,) = root.glob("lib/python*/site-packages")
    (place / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python, folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder of each kind, whose pictures a real backbone encodes, with random weights."""
    place, folder = torch.device("cpu"), tmp_path_factory.mktemp("models")
    encoder = load_encoder(small_recipe(backbone="resnet18"), "random", place)
    recipe = small_recipe(backbone="resnet18", dim=encoder.dim, weights_sha256=encoder.digest)
    data = small_data(folder / "data", dim=encoder.dim)
    for name in MODELS:
        section = train_section(model=name, epochs=1)
        model = model_class(name).fit(data, section, Place(place, folder / f"{name}.pt"))
        (folder / name).mkdir()
        Trained(model, About(section, recipe, model.epoch)).save(folder / name)
    return {name: folder / name for name in MODELS}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("name", MODELS)
def test_the_base_is_enough_to_suggest(installed: Installed, models: dict[str, Path], picture: Path, name: str) -> None:
    done = installed.without(beyond_the_base(), "suggest", picture, "morning run done", "--model", models[name])
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & {"#sea", "#wood", "#run", "#love", "#searun", "#woodrun"}


def test_nothing_in_the_base_is_left_over(installed: Installed, models: dict[str, Path], picture: Path) -> None:
    code = WITHOUT.replace("\nmain()", "\nimport atexit; atexit.register(lambda: print(*sys.modules))\nmain()")
    used: set[str] = set()
    for model in models.values():
        done = installed.run("-c", code, "", "suggest", picture, "morning run done", "--model", model)
        used |= {module.partition(".")[0] for module in done.stdout.split()}
    homes = metadata.packages_distributions()
    loaded = {canonicalize_name(home) for module in used for home in homes.get(module, [])}
    assert {canonicalize_name(Requirement(line).name) for line in BASE} <= loaded


@pytest.mark.parametrize("command", [("compare", ".", "HEAD"), ("delete", "1")])
def test_a_command_of_the_pipeline_says_what_it_lacks(installed: Installed, command: tuple[str, ...]) -> None:
    done = installed.without(beyond_the_base(), *command)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"error: hashgen {command[0]}: needs the package ")
    assert done.stderr.endswith("; install the pipeline, in a clone of hashgen: pip install '.[pipeline]'\n")
    assert done.stderr.count("\n") == 1


@functools.cache
def beyond_the_base() -> set[str]:
    """Top-level modules here that an installation of the base alone would not have."""
    known = _reached(BASE) | {"hashgen", "pip", "setuptools"}
    homes = metadata.packages_distributions()
    found = {name for name, places in homes.items() if not known & {canonicalize_name(place) for place in places}}
    assert {"dvc", "pandas", "pyarrow", "sacrebleu", "wordfreq"} <= found
    return found


def _reached(lines: list[str]) -> set[str]:
    """The distributions that requirements bring, at any remove."""
    reached: set[str] = set()
    waiting = [(Requirement(line), "") for line in lines]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        reached.add(name)
        for asked in ("", *requirement.extras):
            if (name, asked) not in seen:
                seen.add((name, asked))
                waiting += [(Requirement(line), asked) for line in metadata.requires(name) or []]
    return reached
