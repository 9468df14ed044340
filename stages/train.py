"""Stage train: learn to write hashtags from picture features and captions."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_folder, sha256_of_file, sha256_of_folder
from hashgen.commands import DeviceOption
from hashgen.corpus.manifest import SPLITS
from hashgen.params import read_section, require_unchanged
from hashgen.params.train import Train
from stages.command import PARAMS, HomeOption, ParamsOption, done, run

if TYPE_CHECKING:
    from hashgen.features.recipe import Recipe
    from hashgen.models import Data, Model
    from hashgen.models.folder import Trained
    from hashgen.training.history import Epoch


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
    from hashgen.training.history import write_history
    from hashgen.training.ranks import here

    section = read_section(params, Train)
    with learnt(section, manifest, vocab, features, home, device, "train") as (trained, posts):
        if here().leads:
            with atomic_folder(out) as folder:
                trained.save(folder)
            write_history(history, trained.model.history)
    done("train", _summary(trained.model, section, posts))


@contextlib.contextmanager
def learnt(
    section: Train, manifest: Path, vocab: Path, features: Path, home: Path, device: str, stage: str
) -> "Iterator[tuple[Trained, int]]":
    """A model trained on the training posts, and how many these are; its checkpoint goes when the block has ended.

    torchrun starts several processes, of which each trains the model and the first alone writes files.
    """
    from hashgen.base.devices import choose_device
    from hashgen.base.locks import locked
    from hashgen.models import Place, model_class
    from hashgen.models.folder import Trained
    from hashgen.training.about import About
    from hashgen.training.ranks import together

    torch_device, kind = choose_device(device), model_class(section.model)
    data, recipe = _open(manifest, vocab, features, section)
    checkpoint = home / "checkpoints" / f"{_key(section, torch_device.type, manifest, vocab, features)}.pt"
    with together(torch_device.type) as ranks, locked(checkpoint, stage) if ranks.leads else contextlib.nullcontext():
        if ranks.count > 1 and not kind.learns_together:
            raise HashgenError(f"train.model: {section.model} learns in one process: start the stage without torchrun")
        model = kind.fit(data, section, Place(torch_device, checkpoint, _print_epoch))
        best = _best(model)
        yield (
            Trained(model, About(section, recipe, model.epoch, None if best is None else best.val_f1_at_5)),
            len(data.train),
        )
        require_unchanged()  # before the checkpoint goes: whoever undoes an edit need not train again
        if ranks.leads:
            for file in checkpoint.parent.glob(f"{checkpoint.stem}*.pt"):  # those of an ensemble's members too
                file.unlink()


def _open(manifest: Path, vocab: Path, features: Path, section: Train) -> "tuple[Data, Recipe]":
    from hashgen.features.store import FeatureStore, read_labelled
    from hashgen.models import Data
    from hashgen.text.vocabulary import Vocabularies

    vocabularies, store = Vocabularies.load(vocab), FeatureStore.open(features)
    train, val = (read_labelled(manifest, split, store, section.sentiment) for split in SPLITS[:2])
    counts = [sum(bool(vocabularies.hashtags.encode_known(tags)) for tags in part.hashtags) for part in (train, val)]
    if counts[0] < 2 or not counts[1]:
        raise HashgenError(
            f"{manifest}: too few posts have a hashtag in the vocabulary (training {counts[0]}, "
            f"validation {counts[1]}); lower vocab.min_hashtag_count or add more posts"
        )
    return Data(train, val, vocabularies), store.recipe


def _key(section: Train, device: str, manifest: Path, vocab: Path, features: Path) -> str:
    """Name of the checkpoint: all that the result depends on. Other code starts over rather than resume."""
    import torch

    parts = [
        json.dumps(section.chosen()),
        device,
        torch.__version__,
        sha256_of_folder(vocab),
        sha256_of_folder(features),
    ]
    parts += [sha256_of_file(manifest / f"{split}.parquet") for split in SPLITS[:2]]
    code = dict.fromkeys(file for model in (section.model, *section.members()) for file in training_code(model))
    parts += [sha256_of_file(file) for file in code]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


# The files of the library, besides those of the model, that decide what a training gives. A change of any other file
# neither discards a half-trained checkpoint nor makes the stage stale.
TRAINING_CODE = (
    "corpus/manifest.py",
    "corpus/tables.py",
    "features/posts.py",
    "features/recipe.py",
    "features/store.py",
    "metrics/calibration.py",
    "metrics/ranked.py",
    "metrics/written.py",
    "models/__init__.py",
    "models/folder.py",
    "models/habits.py",
    "models/sequence.py",
    "text/sentiment.py",
    "text/vocabulary.py",
    "text/words.py",
    "training/about.py",
    "training/checkpoint.py",
    "training/clipping.py",
    "training/dataset.py",
    "training/decoding.py",
    "training/encoder_decoder.py",
    "training/fit.py",
    "training/hashtag_words.py",
    "training/history.py",
    "training/lookup.py",
    "training/network.py",
    "training/perceptron.py",
    "training/ranks.py",
    "training/recording.py",
    "training/similarity.py",
    "training/trees.py",
)


def training_code(model: str) -> list[Path]:
    """`TRAINING_CODE` and the file of the model."""
    library = Path(__file__).parent.parent / "hashgen"
    return [library / name for name in (*TRAINING_CODE, f"models/{model}.py")]


def _best(model: "Model") -> "Epoch | None":
    return next((epoch for epoch in model.history if epoch.epoch == model.epoch), None)


def _summary(model: "Model", section: Train, posts: int) -> str:
    best = _best(model)
    if best is None:
        return f"{section.model} from {posts:,} posts"
    scores = f"val F1@5 {best.val_f1_at_5:.3f}, F1 {best.val_f1:.3f}, BLEU-4 {best.val_bleu4:.3f}"
    return f"{len(model.history)} epochs, best {best.epoch}: {scores}"


def _print_epoch(epoch: "Epoch") -> None:
    scores = f"F1@5 {epoch.val_f1_at_5:.3f}, F1 {epoch.val_f1:.3f}, BLEU-4 {epoch.val_bleu4:.3f}"
    done(f"train: epoch {epoch.epoch}", f"loss {epoch.train_loss:.3f}; validation {epoch.val_loss:.3f}, {scores}")


if __name__ == "__main__":
    run(main)
