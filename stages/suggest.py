"""Hashtags for one picture and caption from the trained model; run by hand, no stage of the pipeline."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hashgen.base.errors import HashgenError
from hashgen.params import read_section
from hashgen.params.evaluate import Evaluate
from stages.command import PARAMS, DeviceOption, ParamsOption, input_path, run


def main(
    image: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG, WebP, GIF or TIFF.")],
    caption: Annotated[str, typer.Option(help="The caption as you would post it.")] = "",
    model: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")] = Path("models/hashgen"),
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Print hashtags for a picture and its caption, in the order that the model writes them."""
    if not image.is_file():
        raise HashgenError(f"{image}: {'no file' if image.exists() else 'no such file'}; name a picture")
    # Only now, as torch takes seconds to import.
    from hashgen.base.devices import choose_device
    from hashgen.suggester import Suggester

    suggester = Suggester.load(model, choose_device(device), input_path)
    if suggester.trained.features["weights"] == "random":
        print("warning: this model's backbone has random weights: it knows drawn pictures at best", file=sys.stderr)
    section = read_section(params, Evaluate)
    beam = section.beam if section.decoding == "beam" else 1
    try:
        hashtags = suggester.suggest(image.read_bytes(), caption, beam, section.length_penalty)
    except HashgenError as error:
        raise HashgenError(f"{image}: {error}") from error
    print(" ".join(f"#{hashtag}" for hashtag in hashtags))


if __name__ == "__main__":
    run(main)
