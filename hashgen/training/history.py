"""The history of a training: losses and scores by epoch."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from hashgen.base.files import atomic_file


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of the history: losses (nats a token) and free-running scores (0..1, greedy) after an epoch.

    Training scores are taken on as many training posts as there are validation posts. train_loss is the mean over
    the epoch with the recipe's teacher forcing and augmented pictures, val_loss the same forcing on plain ones.
    The best epoch is chosen by val_f1_at_5, that of the ranking; models that write hashtag by hashtag rank at most
    500 validation posts for it.
    """

    epoch: int
    train_loss: float
    val_loss: float
    train_bleu4: float
    val_bleu4: float
    train_bleu1: float
    val_bleu1: float
    train_f1: float
    val_f1: float
    val_f1_at_5: float
    learning_rate: float


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the highest F1@5 on validation posts; of equals that with the highest F1, then the earliest."""
    return max(history, key=lambda epoch: (epoch.val_f1_at_5, epoch.val_f1))


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write the history as CSV, a line an epoch, atomically; only the head without epochs."""
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in dataclasses.fields(Epoch)])
        writer.writeheader()
        for epoch in history:
            writer.writerow({name: f"{value:.5g}" for name, value in dataclasses.asdict(epoch).items()})
