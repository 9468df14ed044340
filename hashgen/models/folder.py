"""A trained model as a folder: all that is needed to use it, as safetensors and JSON."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, write_json
from hashgen.features.recipe import Recipe
from hashgen.models import Model, model_class
from hashgen.params.train import Train

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class About:
    """How a model was made: `model.json` of its folder.

    section: the training parameters. recipe: how the pictures that it learnt from were encoded, so that a new one is
    encoded alike. epoch: the epoch kept, from 1; val_f1: its validation F1; both None where there are no epochs.
    """

    section: Train
    recipe: Recipe
    epoch: int | None = None
    val_f1: float | None = None

    @classmethod
    def read(cls, folder: Path) -> "About":
        """Read `model.json` of a folder. Raises HashgenError when it is missing or of another version."""
        document = read_json(folder / "model.json", "train")
        try:
            section = Train.model_validate_json(json.dumps(document["train"]))
            return cls(section, Recipe.from_json(document["features"]), document["epoch"], document["val_f1"])
        except (KeyError, TypeError, pydantic.ValidationError) as error:
            raise _unfit(folder, error) from error

    def write(self, folder: Path) -> None:
        """Write `model.json` into an existing folder."""
        document = {"train": self.section.model_dump(mode="json"), "features": dataclasses.asdict(self.recipe)}
        write_json(folder / "model.json", document | {"epoch": self.epoch, "val_f1": self.val_f1}, exact=True)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model and how it was made."""

    model: Model
    about: About

    def save(self, folder: Path) -> None:
        """Write `model.json` and the model's own files into an existing folder."""
        self.about.write(folder)
        self.model.save(folder)

    @classmethod
    def load(cls, folder: Path, device: "torch.device") -> "Trained":
        """Read what `save` wrote. Raises HashgenError when a file is missing or does not fit."""
        about = About.read(folder)
        try:
            return cls(model_class(about.section.model).load(folder, about, device), about)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _unfit(folder, error) from error


def _unfit(folder: Path, error: Exception) -> HashgenError:
    """The error for a model folder that this version cannot read, and why."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return HashgenError(
        f"{folder}: made by another version of hashgen, or damaged ({reason}); run the stage train again", stage="train"
    )
