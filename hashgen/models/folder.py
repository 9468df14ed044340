"""A trained model as a folder: all that is needed to use it, as safetensors and JSON."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import read_json, require, sha256_of_file, write_json
from hashgen.models import Model, model_class
from hashgen.training.about import About, unfit

if TYPE_CHECKING:
    import torch

_HASHES = "sha256.json"
_STANDING = "standing.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model and how it was made."""

    model: Model
    about: About

    def save(self, folder: Path) -> None:
        """Write `model.json`, the model's own files, and their SHA-256 in `sha256.json` into an existing folder."""
        self.about.write(folder)
        self.model.save(folder)
        seal(folder)

    @classmethod
    def load(cls, folder: Path, device: "torch.device") -> "Trained":
        """Read what `save` wrote. Raises HashgenError when a file is missing, has changed since or does not fit."""
        about = About.read(folder)
        _check(folder)
        try:
            return cls(model_class(about.section.model).load(folder, about, device), about)
        except HashgenError:
            raise
        except Exception as error:  # the parsers of damaged files raise nearly anything
            if type(error).__name__ == "OutOfMemoryError":  # of torch, which not every model needs
                raise HashgenError(
                    f"{folder}: does not fit into the memory of the GPU; free some of it, or use --device cpu"
                ) from error
            raise system_fault(error) or unfit(folder, error) from error


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a model stands against the best baseline: F1@5 of both on the validation posts."""

    model: str
    f1_at_5: float
    baseline: str
    baseline_f1_at_5: float

    def write(self, folder: Path) -> None:
        """Write `standing.json` into a model folder."""
        write_json(folder / _STANDING, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Standing | None":
        """Read what `write` wrote; None for a model that was never scored beside baselines."""
        if not (folder / _STANDING).exists():
            return None
        try:
            found = read_json(folder / _STANDING, "evaluate")
            return cls(
                str(found["model"]), found["f1_at_5"] + 0.0, str(found["baseline"]), found["baseline_f1_at_5"] + 0.0
            )
        except (KeyError, TypeError, ValueError) as error:
            raise unfit(folder, error) from error

    def warning(self) -> str | None:
        """What a user of the model should know; None for a model that is better than the baseline."""
        if self.f1_at_5 > self.baseline_f1_at_5:
            return None
        return (
            f"this model ({self.model}) is not better than a simple baseline ({self.baseline}) on its own validation "
            f"posts: F1@5 {self.f1_at_5:.3f} against {self.baseline_f1_at_5:.3f}"
        )


def seal(folder: Path) -> None:
    """Write the SHA-256 of all files of a model folder into its `sha256.json`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _HASHES)
    write_json(folder / _HASHES, {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})


def _check(folder: Path) -> None:
    """Raise HashgenError unless all files are those that were written."""
    hashes = read_json(folder / _HASHES, "train")
    if not isinstance(hashes, dict) or "model.json" not in hashes:
        raise unfit(folder, ValueError(f"{_HASHES} does not name its files"))
    for name, written in hashes.items():
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise unfit(folder, ValueError(f"{_HASHES} names a file elsewhere"))
        path = require(folder / path, "train")
        if not path.is_file() or sha256_of_file(path) != written:
            raise HashgenError(
                f"{path}: has changed since the model was saved; copy the folder again, or run the stage train again",
                stage="train",
            )
