"""A trained model as a folder: safetensors and JSON, all that is needed to write hashtags."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pydantic
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, require, write_json
from hashgen.models import HashtagModel, Sizes, initialise
from hashgen.models.lstm import LstmModel
from hashgen.params.train import Train
from hashgen.text.vocabulary import Vocabularies


def build_model(section: Train, sizes: Sizes) -> HashtagModel:
    """The model that `train.model` names, initialised from torch's random state (`train.lstm` has its own numbers)."""
    model = LstmModel(sizes, section.inputs, section.lstm)
    initialise(model)
    return model


def sizes_of(vocabularies: Vocabularies, feature: int) -> Sizes:
    """Sizes for a model on these vocabularies and picture features of length `feature`."""
    words, dimension = vocabularies.word_vectors.shape
    return Sizes(feature, dimension, words, len(vocabularies.hashtags))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model with all that belongs to it.

    section: the training parameters. features: `features.json` of the store that it learnt from (backbone, weights,
    picture size), so that a new picture is encoded alike. epoch: the epoch kept, from 1. score: its validation score.
    """

    model: HashtagModel
    vocabularies: Vocabularies
    section: Train
    features: dict[str, Any]
    epoch: int
    score: float

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json and the vocabularies into an existing folder."""
        state = {name: tensor.contiguous().cpu() for name, tensor in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        self.vocabularies.save(folder)
        document = {
            "train": self.section.model_dump(mode="json"),
            "features": self.features,
            "epoch": self.epoch,
            "val_f1": self.score,
        }
        write_json(folder / "model.json", document, exact=True)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Trained":
        """Read what `save` wrote, in evaluation mode. Raises HashgenError when a file is missing or does not fit."""
        document = read_json(folder / "model.json", "train")
        vocabularies = Vocabularies.load(folder)
        path = require(folder / "model.safetensors", "train")
        try:
            section = Train.model_validate_json(json.dumps(document["train"]))
            model = build_model(section, sizes_of(vocabularies, document["features"]["dim"]))
            model.load_state_dict(load_file(path))
        except (KeyError, TypeError, RuntimeError, SafetensorError, pydantic.ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise HashgenError(
                f"{folder}: not a model of this version ({reason}); run the stage train again"
            ) from error
        model.to(device).eval()
        return cls(model, vocabularies, section, document["features"], document["epoch"], document["val_f1"])
