"""Training: the paper's recipe, one epoch at a time, resumable after a kill."""

import copy
import csv
import dataclasses
import hashlib
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file
from hashgen.base.progress import is_quiet, progress
from hashgen.features.store import FeatureStore
from hashgen.models import HashtagModel, encode
from hashgen.params.train import Train
from hashgen.scoring.figures import scores
from hashgen.text.vocabulary import PAD_ID, Vocabularies
from hashgen.training.dataset import Batch, Examples, batches, training_batches
from hashgen.training.decoding import decode, mixed_forcing
from hashgen.training.trained import build_model, sizes_of


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of the history: losses (nats a token) and free-running scores (0..1, greedy) after an epoch.

    Training scores are taken on as many training posts as there are validation posts. train_loss is the mean over
    the epoch with the recipe's teacher forcing and augmented pictures, val_loss the same forcing on plain ones.
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
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Data:
    """What a model learns from: training and validation posts, features and vocabularies."""

    train: Examples
    val: Examples
    features: FeatureStore
    vocabularies: Vocabularies


@dataclasses.dataclass
class _State:
    """All that a run needs to go on: model, optimiser, schedule, history and the best weights so far."""

    model: HashtagModel
    optimiser: torch.optim.Adam
    schedule: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts
    history: list[Epoch]
    best: dict[str, Tensor]

    @property
    def best_epoch(self) -> Epoch:
        return max(self.history, key=lambda epoch: epoch.val_f1)


def fit(
    data: Data,
    section: Train,
    device: torch.device,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[HashtagModel, list[Epoch]]:
    """Train a model; returns the one of the best epoch by free-running validation F1, and the history.

    Each finished epoch is kept in `checkpoint` (atomically); a run that finds the file goes on from there and, on the
    same machine, ends with the same model as one that was never interrupted: every epoch draws its randomness from
    `train.seed` and its own number. The caller removes the file once the model is safe.
    """
    state = _begin(data, section, device)
    if checkpoint.exists():
        state = _resume(state, checkpoint) or _begin(data, section, device)
        if state.history and not is_quiet():
            print(f"train: goes on after epoch {len(state.history)} of an interrupted run", file=sys.stderr)
    for number in range(len(state.history) + 1, section.epochs + 1):
        if _stalled(state.history, section.patience):
            break
        epoch = _run_epoch(state, data, section, number, device)
        state.history.append(epoch)
        if state.best_epoch is epoch:
            state.best = copy.deepcopy(state.model.state_dict())
        _keep(state, checkpoint)
        on_epoch(epoch)
    state.model.load_state_dict(state.best)
    remember_means(state.model, data, device)
    return state.model, state.history


def _begin(data: Data, section: Train, device: torch.device) -> _State:
    torch.manual_seed(section.seed)
    model = build_model(section, sizes_of(data.vocabularies, data.features.dim))
    start_embeddings(model, data.vocabularies)
    model.to(device)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=section.learning_rate, weight_decay=section.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimiser, section.restart_epochs, section.restart_factor, eta_min=section.min_learning_rate
    )
    return _State(model, optimiser, schedule, [], copy.deepcopy(model.state_dict()))


def start_embeddings(model: HashtagModel, vocabularies: Vocabularies) -> None:
    """Start a model's word and hashtag embeddings from the vocabulary's vectors; they are trained on."""
    with torch.no_grad():
        model.word_embedding.weight.copy_(torch.from_numpy(vocabularies.word_vectors))
        model.hashtag_embedding.weight.copy_(torch.from_numpy(vocabularies.hashtag_vectors))


def _stalled(history: list[Epoch], patience: int | None) -> bool:
    if patience is None or not history:
        return False
    best = max(history, key=lambda epoch: epoch.val_f1)
    return history[-1].epoch - best.epoch >= patience


def _run_epoch(state: _State, data: Data, section: Train, number: int, device: torch.device) -> Epoch:
    seed = int.from_bytes(hashlib.sha256(f"{section.seed} {number}".encode()).digest()[:4], "big")
    torch.manual_seed(seed)  # dropout
    rng = np.random.default_rng(seed)
    coins = torch.Generator().manual_seed(seed)
    train_loss = _train_epoch(state, data, section, number, device, rng, coins)
    sample = data.train.take(np.sort(rng.permutation(len(data.train))[: len(data.val)]))
    train, val = (free_running_scores(state.model, part, data, section.hashtag_length) for part in (sample, data.val))
    return Epoch(
        number,
        train_loss,
        validation_loss(state.model, data, section, device, coins),
        train["bleu4"],
        val["bleu4"],
        train["bleu1"],
        val["bleu1"],
        train["f1"],
        val["f1"],
        state.optimiser.param_groups[0]["lr"],
    )


def _train_epoch(
    state: _State,
    data: Data,
    section: Train,
    number: int,
    device: torch.device,
    rng: np.random.Generator,
    coins: torch.Generator,
) -> float:
    """One pass over the training posts; returns the mean loss a batch."""
    state.model.train()
    steps = -(-len(data.train) // section.batch_size)
    losses = []
    shuffled = training_batches(data.train, data.features, section.batch_size, device, rng)
    label = f"train: epoch {number} of {section.epochs}"
    for step, batch in enumerate(progress(shuffled, total=steps, unit="batches", label=label)):
        state.schedule.step(number - 1 + step / steps)
        state.optimiser.zero_grad(set_to_none=True)
        loss = batch_loss(state.model, batch, section.teacher_forcing, coins)
        loss.backward()  # type: ignore[no-untyped-call]
        if section.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), section.clip_norm)
        state.optimiser.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        raise HashgenError(f"train: the loss of epoch {number} is {mean}; lower train.learning_rate")
    return mean


def batch_loss(model: HashtagModel, batch: Batch, ratio: float, coins: torch.Generator) -> Tensor:
    """Mean cross-entropy a target token (hashtags and END), in nats, under teacher forcing of the given ratio."""
    state = encode(model, batch.image, batch.words, batch.lengths)
    logits = mixed_forcing(model, state, batch.inputs, ratio, coins)  # (batch, steps, hashtags)
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PAD_ID)


@torch.inference_mode()
def validation_loss(
    model: HashtagModel, data: Data, section: Train, device: torch.device, coins: torch.Generator
) -> float:
    """Mean loss a batch on the validation posts, plain pictures, in evaluation mode."""
    model.eval()
    known = batches(data.val.learnable(), data.features, section.batch_size, device)
    losses = [batch_loss(model, batch, section.teacher_forcing, coins) for batch in known]
    return float(torch.stack(losses).mean())


def free_running_scores(model: HashtagModel, examples: Examples, data: Data, length: int) -> dict[str, Any]:
    """Scores of greedy decoding against all true hashtags of the examples, without intervals."""
    written = decode(model, examples, data.features, length)
    return scores([data.vocabularies.hashtags.decode(sequence) for sequence in written], examples.targets)


@torch.inference_mode()
def remember_means(model: HashtagModel, data: Data, device: torch.device) -> None:
    """Set `picture_mean` and `caption_mean` to the mean encoded vectors of the training posts.

    They stand in for an input when the model is scored blind to it.
    """
    model.eval()
    pictures, captions = torch.zeros_like(model.picture_mean), torch.zeros_like(model.caption_mean)
    for batch in batches(data.train, data.features, 256, device):
        pictures += model.picture_vector(batch.image).sum(0)
        captions += model.caption_vector(batch.words, batch.lengths).sum(0)
    if model.inputs != "caption":
        model.picture_mean.copy_(pictures / len(data.train))
    if model.inputs != "image":
        model.caption_mean.copy_(captions / len(data.train))


def _keep(state: _State, checkpoint: Path) -> None:
    document = {
        "model": state.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "history": [dataclasses.asdict(epoch) for epoch in state.history],
        "best": state.best,
    }
    with atomic_file(checkpoint) as partial:
        torch.save(document, partial)


def _resume(state: _State, checkpoint: Path) -> _State | None:
    """The state as the checkpoint has it; None for a damaged one, which is removed."""
    device = next(state.model.parameters()).device
    try:
        document = torch.load(checkpoint, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        print(f"train: {checkpoint} is damaged ({type(error).__name__}); training anew", file=sys.stderr)
        checkpoint.unlink()
        return None
    state.model.load_state_dict(document["model"])
    state.optimiser.load_state_dict(document["optimiser"])
    state.schedule.load_state_dict(document["schedule"])
    state.history = [Epoch(**epoch) for epoch in document["history"]]
    state.best = document["best"]
    return state


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write the history as CSV, a line an epoch, atomically."""
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in dataclasses.fields(Epoch)])
        writer.writeheader()
        for epoch in history:
            writer.writerow({name: f"{value:.5g}" for name, value in dataclasses.asdict(epoch).items()})
