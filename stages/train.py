"""Stage train: learn to write hashtags from picture features and captions."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_folder, sha256_of_file, sha256_of_folder
from hashgen.params import read_section
from hashgen.params.train import Train
from stages.command import PARAMS, DeviceOption, HomeOption, ParamsOption, done, run

if TYPE_CHECKING:
    from hashgen.training.fit import Data, Epoch


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    vocab: Annotated[Path, typer.Option(help="Folder of the vocabularies (stage vocab).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    history: Annotated[Path, typer.Option(help="CSV file for the losses and scores of each epoch.")],
    home: HomeOption,
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Train the model that train.model names and keep its best epoch."""
    from hashgen.base.devices import choose_device
    from hashgen.base.locks import locked
    from hashgen.training.fit import fit, write_history
    from hashgen.training.trained import Trained

    section = read_section(params, Train)
    place = choose_device(device)
    data = _open(manifest, vocab, features, section)
    checkpoint = home / "checkpoints" / f"{_key(section, place.type, manifest, vocab, features)}.pt"
    with locked(checkpoint, "train"):
        model, epochs = fit(data, section, place, checkpoint, _print_epoch)
        best = max(epochs, key=lambda epoch: epoch.val_f1)
        with atomic_folder(out) as folder:
            Trained(model, data.vocabularies, section, data.features.meta, best.epoch, best.val_f1).save(folder)
        write_history(history, epochs)
        checkpoint.unlink()
    done("train", f"{len(epochs)} epochs, best {best.epoch}: val F1 {best.val_f1:.3f}, BLEU-4 {best.val_bleu4:.3f}")


def _open(manifest: Path, vocab: Path, features: Path, section: Train) -> "Data":
    from hashgen.corpus.manifest import read_manifest
    from hashgen.features.store import FeatureStore
    from hashgen.text.vocabulary import Vocabularies
    from hashgen.training.dataset import make_examples
    from hashgen.training.fit import Data

    vocabularies, store = Vocabularies.load(vocab), FeatureStore(features)
    train, val = (
        make_examples(
            read_manifest(manifest, split), vocabularies, store, section.caption_length, section.hashtag_length
        )
        for split in ("train", "val")
    )
    if len(train.learnable()) < 2 or not len(val.learnable()):
        raise HashgenError(
            f"{manifest}: too few posts with a hashtag of the vocabulary (training {len(train.learnable())}, "
            f"validation {len(val.learnable())}); lower vocab.min_hashtag_count or bring more posts"
        )
    return Data(train.learnable(), val, store, vocabularies)


def _key(section: Train, device: str, manifest: Path, vocab: Path, features: Path) -> str:
    """Name of the checkpoint: all that the result depends on. Other code begins anew rather than go on."""
    import torch

    parts = [section.model_dump_json(), device, torch.__version__, sha256_of_folder(vocab), sha256_of_folder(features)]
    parts += [sha256_of_file(manifest / f"{split}.parquet") for split in ("train", "val")]
    library = Path(__file__).parent.parent / "hashgen"
    parts += [sha256_of_file(file) for file in sorted(library.rglob("*.py"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _print_epoch(epoch: "Epoch") -> None:
    scores = f"F1 {epoch.val_f1:.3f}, BLEU-4 {epoch.val_bleu4:.3f}"
    done(f"train: epoch {epoch.epoch}", f"loss {epoch.train_loss:.3f}; validation {epoch.val_loss:.3f}, {scores}")


if __name__ == "__main__":
    run(main)
