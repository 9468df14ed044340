"""Backbones of timm (`featurize.backbone: timm/NAME`), built as timm's own configuration says."""

import difflib
from pathlib import Path

import torch
from torch import nn

from hashgen.base.errors import HashgenError
from hashgen.base.optional import cached_model, optional
from hashgen.features.network import Network
from hashgen.pictures.crops import Preparation

PREFIX = "timm/"


def build_timm(name: str, size: int | None, seed: int) -> Network:
    """A network of timm without its classifier, pooled, weights drawn from `seed`.

    name: without `PREFIX`; may end in .TAG, which chooses among published weights. size: pixels; None for timm's own.
    Normalisation, crop and resampling are timm's for these weights; the crop is always the centre. Raises HashgenError
    when timm is not installed or knows no such network.
    """
    timm = optional("timm", f"featurize.backbone: {PREFIX}{name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        except RuntimeError as error:
            known = timm.list_models() + timm.list_pretrained()
            near = ", ".join(difflib.get_close_matches(name, known, n=5, cutoff=0.5)) or "resnet50"
            raise HashgenError(f"featurize.backbone: timm has no {name!r}; did you mean {near}?") from error
    config = model.pretrained_cfg
    assert isinstance(config, dict)
    heads = config["classifier"]
    side: int = size or config["input_size"][-1]
    red, green, blue = map(float, config["mean"])
    deviation = tuple(map(float, config["std"]))
    return Network(
        model,
        tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads or [])),
        side,
        (red, green, blue),
        (deviation[0], deviation[1], deviation[2]),
        # timm rounds the resized side down.
        Preparation(side / int(side / config["crop_pct"]), config["interpolation"]),
    )


def published_timm(name: str) -> Path:
    """The file of timm's published weights in the local cache of Hugging Face.

    Raises HashgenError that says which command downloads it, or that there are none.
    """
    config = optional("timm", f"featurize.backbone: {PREFIX}{name}").get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise HashgenError(f"featurize.weights: timm has no pretrained weights of {name}; use a file or random")
    return cached_model(config.hf_hub_id, "featurize.weights", config.hf_hub_filename or "model.safetensors")
