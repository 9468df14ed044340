"""The wheel, which several modules install."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


def tracked() -> list[str]:
    """The files of the clone that git tracks or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    for name in tracked():
        if name.startswith(("hashgen/", "stages/")) or name in ("pyproject.toml", "README.md", "LICENSE"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(folder), str(copy)], check=True)
    (built,) = folder.glob("hashgen-*.whl")
    return built
