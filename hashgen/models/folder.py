"""A trained model as a folder: all that is needed to use it, as safetensors and JSON."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hashgen.models import Model, model_class
from hashgen.training.about import About, unfit

if TYPE_CHECKING:
    import torch


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
            raise unfit(folder, error) from error
