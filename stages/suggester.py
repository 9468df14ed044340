"""Stage suggester: learn a second model beside that of the stage train; the better one makes the suggestions."""

from pathlib import Path
from typing import Annotated

import typer

from hashgen.base.files import atomic_folder
from hashgen.commands import DeviceOption
from hashgen.params import flatten, read_params, read_section, read_values
from hashgen.params.suggester import Suggester
from hashgen.params.train import Train
from stages.command import PARAMS, HomeOption, ParamsOption, done, run
from stages.train import learnt


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    vocab: Annotated[Path, typer.Option(help="Folder of the vocabularies (stage vocab).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    home: HomeOption,
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Train the model that suggester.model names, with its settings from the section train."""
    section = _section(params)
    learning = learnt(section, manifest, vocab, features, home, device, "suggester")
    with learning as (trained, posts), atomic_folder(out) as folder:
        trained.save(folder)
    done("suggester", f"{section.model} from {posts:,} posts")


def _section(params: Path) -> Train:
    section: Train = read_params(params).train.of(read_section(params, Suggester).model)
    used = section.chosen()
    del used["model"]
    read_values(params, list(flatten(used, "train.")))
    return section


if __name__ == "__main__":
    run(main)
