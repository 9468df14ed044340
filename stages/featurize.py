"""Stage featurize: encode pictures and captions of the kept posts with frozen encoders."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen.base.errors import HashgenError
from hashgen.commands import DeviceOption
from hashgen.features.encoding import (
    Counts,
    Missing,
    Pictures,
    decode_plain,
    digest_of,
    encode_captions,
    first_plain,
    read_pictures,
    write_features,
)
from hashgen.features.posts import GRID_SIDE
from hashgen.params import read_section
from hashgen.params.featurize import Featurize
from stages.command import (
    PARAMS,
    EngineOption,
    HomeOption,
    ParamsOption,
    Place,
    done,
    input_path,
    is_ray,
    place_option,
    run,
)

if TYPE_CHECKING:
    import torch

    from hashgen.features.backbone import Encoder
    from hashgen.features.captions import CaptionEncoder


def main(
    posts: Annotated[Place, place_option("Parquet file of the kept posts (stage filter).")],
    raw: Annotated[Place, place_option("Folder of the raw shards (stage scrape).")],
    out: Annotated[Place, place_option("Folder to write the features to.")],
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
    engine: EngineOption = "local",
    params: ParamsOption = PARAMS,
) -> None:
    """Encode each picture, plain and in featurize.views augmented views; known pictures are not encoded again."""
    on_ray = is_ray(engine, posts=posts, raw=raw, out=out)
    section = read_section(params, Featurize)
    pictures = read_pictures(posts)
    _refuse_random(section, pictures)

    from hashgen.base.devices import choose_device
    from hashgen.features.backbone import recipe_of
    from hashgen.features.openvino_runtime import CALIBRATION_PICTURES

    # With Ray this machine needs no GPU: it loads the encoder only to say what makes the features, in any precision.
    place = choose_device("cpu" if on_ray else device)
    loaded = section.model_copy(update={"precision": "float32", "runtime": "torch"}) if on_ray else section
    first = first_plain(pictures, CALIBRATION_PICTURES)
    encoder, captions = _encoder(loaded, place, first, raw), _caption_encoder(section, place)
    recipe = recipe_of(section, encoder, captions, digest_of(first) if section.precision == "int8" else None)
    sentences = encode_captions(posts, captions, home) if captions else None
    if on_ray:
        from hashgen.cluster.encoding import Task, write_features_over_cluster

        task = Task(raw, section, _weights(section), device, recipe, first)
        counts = write_features_over_cluster(pictures, task, out, home=home, workers=workers, sentences=sentences)
    else:
        assert isinstance(raw, Path) and isinstance(out, Path)
        counts = write_features(
            pictures,
            raw,
            out,
            recipe,
            encoder,
            batch_size=encoder.batch_size,
            home=home,
            workers=min(os.cpu_count() or 1, 16) if workers is None else workers,
            ahead=encoder.device.type != "cpu",
            preparation=encoder.preparation,
            sentences=sentences,
            encode_grid=encoder.grid if section.grid else None,
            check=encoder.check,
        )
    done("featurize", f"{len(pictures):,} pictures, {_summary(counts, encoder, captions, section)}")


def _summary(counts: Counts, encoder: "Encoder", captions: "CaptionEncoder | None", section: Featurize) -> str:
    rate = f", {counts.encoded / counts.seconds:,.0f} pictures/s" if counts.encoded else ""
    places = f"; {GRID_SIDE} x {GRID_SIDE} places" if section.grid else ""
    sentences = f"; captions {captions.dim}-d" if captions else ""
    return f"{counts.encoded:,} encoded, {counts.remembered:,} already known, {encoder.dim}-d{rate}{places}{sentences}"


def _weights(section: Featurize) -> str | Path:
    from hashgen.features.backbone import NAMED_WEIGHTS

    return section.weights if section.weights in NAMED_WEIGHTS else input_path(section.weights)


def _encoder(section: Featurize, place: "torch.device", first: Missing, raw: Place) -> "Encoder":
    from hashgen.features.backbone import load_encoder

    first_pictures = partial(decode_plain, first, raw)
    return load_encoder(section, _weights(section), place, runtime=section.runtime, first_pictures=first_pictures)


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
