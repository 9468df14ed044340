"""A model folder of the tiny world as the stage evaluate writes it, with a real backbone of random weights."""

from pathlib import Path

import torch
from PIL import Image

from hashgen.features.backbone import load_encoder
from hashgen.features.captions import load_caption_encoder
from hashgen.models import Place, model_class
from hashgen.models.folder import Trained, seal
from hashgen.suggesting.index import Index
from hashgen.training.about import About
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.doubles.static_model import write_static_model

_CPU = torch.device("cpu")


def write_model_folder(root: Path, model: str = "neighbours", captions: bool = False) -> Path:
    """Write `root/model`, `root/picture.png` and, if captions are encoded, `root/static`; returns the first."""
    encoder = load_encoder(small_recipe(backbone="resnet18"), "random", _CPU)
    known: dict[str, object] = {}
    if captions:
        static = load_caption_encoder("model2vec", write_static_model(root / "static"), _CPU)
        known = {
            "captions": "model2vec",
            "caption_weights": str(root / "static"),
            "caption_sha256": static.digest,
            "caption_dim": static.dim,
        }
    recipe = small_recipe(backbone="resnet18", dim=encoder.dim, weights_sha256=encoder.digest, **known)
    section = train_section(model=model)
    data = small_data(root / "data", dim=encoder.dim)
    fitted = model_class(model).fit(data, section, Place(_CPU, root / "checkpoint.pt"))
    folder = root / "model"
    folder.mkdir()
    Trained(fitted, About(section, recipe)).save(folder)
    ids = [f"t{number}" for number in range(len(data.train))]
    Index.of(fitted, ids, data.train, data.val, "tiny world").save(folder, fitted)
    seal(folder)
    Image.new("RGB", (40, 30), "teal").save(root / "picture.png")
    return folder
