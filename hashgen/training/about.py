"""How a model was made: what stands in its folder beside it."""

import dataclasses
from pathlib import Path

import pydantic

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, write_json
from hashgen.features.recipe import Recipe
from hashgen.params.fields import Positive, Share
from hashgen.params.train import Train


@dataclasses.dataclass(frozen=True)
class About:
    """How a model was made: `model.json` of its folder.

    section: the training parameters. recipe: how the pictures that it learnt from were encoded, so that a new one is
    encoded alike. epoch: the epoch kept, from 1; val_f1_at_5: its F1@5 on validation posts; both None where
    there are no epochs.
    """

    section: Train
    recipe: Recipe
    epoch: int | None = None
    val_f1_at_5: float | None = None

    @classmethod
    def read(cls, folder: Path) -> "About":
        """Read `model.json` of a folder. Raises HashgenError when it is missing, damaged or of another version."""
        document = read_json(folder / "model.json", "train")
        try:
            section = Train.of_chosen(document["train"])
            result = _RESULT.validate_python((document["epoch"], document["val_f1_at_5"]), strict=True)
            return cls(section, Recipe.from_json(document["features"]), *result)
        except (KeyError, TypeError, ValueError) as error:
            raise unfit(folder, error) from error

    def write(self, folder: Path) -> None:
        """Write `model.json` into an existing folder."""
        document = {"train": self.section.chosen(), "features": self.recipe.to_json()}
        write_json(folder / "model.json", document | {"epoch": self.epoch, "val_f1_at_5": self.val_f1_at_5}, exact=True)


# The epoch kept and its F1@5 on validation posts.
_RESULT = pydantic.TypeAdapter(tuple[Positive | None, Share | None])


def unfit(folder: Path, error: Exception) -> HashgenError:
    """The error for a model folder that this version cannot read, and why."""
    if isinstance(error, pydantic.ValidationError):
        fault = error.errors()[0]
        reason = f"{'.'.join(map(str, fault['loc'])) or 'a value'}: {fault['msg']}"
    else:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    return HashgenError(
        f"{folder}: made by another version of hashgen, or damaged ({reason}); run the stage train again", stage="train"
    )
