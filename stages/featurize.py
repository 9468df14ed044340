"""Stage featurize: encode pictures and captions of the kept posts with frozen encoders."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen.base.errors import HashgenError
from hashgen.commands import DeviceOption
from hashgen.features.encoding import (
    Pictures,
    digest_of_first,
    encode_captions,
    first_pictures,
    read_pictures,
    write_features,
)
from hashgen.features.posts import GRID_SIDE
from hashgen.params import read_section
from hashgen.params.featurize import Featurize
from stages.command import PARAMS, HomeOption, ParamsOption, done, input_path, run

if TYPE_CHECKING:
    import torch

    from hashgen.features.captions import CaptionEncoder


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    raw: Annotated[Path, typer.Option(help="Folder of the raw shards (stage scrape).")],
    out: Annotated[Path, typer.Option(help="Folder to write the features to.")],
    home: HomeOption,
    device: DeviceOption = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes (threads without a GPU) that decode pictures; 0 for none.",
            show_default="number of cores, at most 16",
        ),
    ] = None,
    params: ParamsOption = PARAMS,
) -> None:
    """Encode each picture, plain and in featurize.views augmented views; known pictures are not encoded again."""
    section = read_section(params, Featurize)
    pictures = read_pictures(posts)
    _refuse_random(section, pictures)

    from hashgen.base.devices import choose_device
    from hashgen.features.backbone import NAMED_WEIGHTS, load_encoder, recipe_of
    from hashgen.features.openvino_runtime import CALIBRATION_PICTURES

    weights = section.weights if section.weights in NAMED_WEIGHTS else input_path(section.weights)
    place, first = choose_device(device), partial(first_pictures, pictures, raw, CALIBRATION_PICTURES)
    encoder = load_encoder(section, weights, place, runtime=section.runtime, first_pictures=first)
    caption_encoder = _caption_encoder(section, place)
    calibration = digest_of_first(pictures, CALIBRATION_PICTURES) if section.precision == "int8" else None
    recipe = recipe_of(section, encoder, caption_encoder, calibration)
    sentences = encode_captions(posts, caption_encoder, home) if caption_encoder else None
    workers = min(os.cpu_count() or 1, 16) if workers is None else workers
    counts = write_features(
        pictures,
        raw,
        out,
        recipe,
        encoder,
        batch_size=encoder.batch_size,
        home=home,
        workers=workers,
        ahead=encoder.device.type != "cpu",
        preparation=encoder.preparation,
        sentences=sentences,
        encode_grid=encoder.grid if section.grid else None,
        check=encoder.check,
    )
    rate = f", {counts.encoded / counts.seconds:,.0f} pictures/s" if counts.encoded else ""
    known = f"{counts.encoded:,} encoded, {counts.remembered:,} already known"
    captions = f"; captions {caption_encoder.dim}-d" if caption_encoder else ""
    places = f"; {GRID_SIDE} x {GRID_SIDE} places" if section.grid else ""
    done("featurize", f"{len(pictures):,} pictures, {known}, {encoder.dim}-d{rate}{places}{captions}")


def _caption_encoder(section: Featurize, place: "torch.device") -> "CaptionEncoder | None":
    from hashgen.features.captions import load_caption_encoder

    if section.captions == "tfidf" or section.caption_weights is None:
        return None
    folder = input_path(section.caption_weights)
    return load_caption_encoder(section.captions, folder if folder.is_dir() else section.caption_weights, place)


def _refuse_random(section: Featurize, pictures: Pictures) -> None:
    """Random weights are enough for drawn pictures; on real ones their scores could be mistaken for a result."""
    if section.weights == "random" and not section.allow_random and pictures.sources != {"sample"}:
        raise HashgenError(
            "featurize.weights: random is only for the built-in sample; use imagenet-v1, imagenet-v2 or a file, "
            "or set featurize.allow_random: true"
        )


if __name__ == "__main__":
    run(main)
