"""Training a network that writes hashtag by hashtag: the paper's recipe, by epochs, resumable after a kill."""

import copy
import dataclasses
import functools
import hashlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from hashgen.base.errors import HashgenError
from hashgen.base.progress import is_quiet, progress
from hashgen.features.posts import Features, spaced
from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.written import written_scores
from hashgen.params.train import Train
from hashgen.text.vocabulary import PAD_ID, Vocabularies
from hashgen.training.checkpoint import State, keep, resume
from hashgen.training.clipping import step_clipped
from hashgen.training.dataset import Batch, Examples, Padded, batches, training_batches
from hashgen.training.decoding import decode, mixed_forcing, rank
from hashgen.training.history import Epoch, best_epoch
from hashgen.training.network import SequenceNetwork, encode
from hashgen.training.ranks import ALONE, Ranks, here
from hashgen.training.recording import WIDTH, RecordedSteps, cuda_recorder

# With so many posts a mean F1@5 is known to about 0.02 (95 %). To rank those of the sample takes a fifth of an epoch;
# with more hashtags it takes longer, of very many posts the share is less.
_MOST_RANKED = 500

_State = State[SequenceNetwork, CosineAnnealingWarmRestarts]


@dataclasses.dataclass(frozen=True)
class Data:
    """What a network learns from: training and validation posts as numbers, features and vocabularies."""

    train: Examples
    val: Examples
    features: Features
    vocabularies: Vocabularies

    @functools.cached_property
    def padded(self) -> Padded:
        """The training posts, to cut batches from."""
        return Padded(self.train, self.features)


def fit(
    data: Data,
    section: Train,
    build: Callable[[], SequenceNetwork],
    device: torch.device,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[SequenceNetwork, list[Epoch]]:
    """Train a network; returns the one of the best epoch by validation F1@5, and the history.

    build: makes the network, initialised from torch's random state; it is called once or twice, after seeding.
    Each finished epoch is kept in `checkpoint` (atomically); a run that finds the file resumes there and, on the
    same machine, ends with the same network as one that was never interrupted (on a GPU but for rounding): every epoch
    draws its randomness from `train.seed` and its own number. The caller removes the file once the network is safe.

    Several processes (see `hashgen.training.ranks`) share each batch, and end with the network that one would end with,
    but for the order in which numbers are added. The first alone scores, keeps the checkpoint and calls `on_epoch`.
    """
    ranks = here()
    state = _begin(data, section, build, device)
    kept = ranks.told(checkpoint.read_bytes() if ranks.leads and checkpoint.exists() else None)
    if kept is not None:
        state = resume(state, kept, checkpoint) or _begin(data, section, build, device)
        if state.history and not is_quiet():
            print(f"train: resumes after epoch {len(state.history)} of an interrupted run", file=sys.stderr)
    training = _Training(data, section, device, ranks, state, torch.Generator(device))
    for number in range(len(state.history) + 1, section.epochs + 1):
        if _stalled(state.history, section.patience):
            break
        epoch = training.run_epoch(number)
        state.history.append(epoch)
        if state.best_epoch is epoch:
            state.best = copy.deepcopy(state.network.state_dict())
        if ranks.leads:
            keep(state, checkpoint)
            on_epoch(epoch)
    state.network.load_state_dict(state.best)
    remember_means(state.network, data, device)
    return state.network, state.history


def _begin(data: Data, section: Train, build: Callable[[], SequenceNetwork], device: torch.device) -> _State:
    torch.manual_seed(section.seed)
    network = build()
    start_embeddings(network, data.vocabularies)
    network.to(device)
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=section.learning_rate,
        weight_decay=section.weight_decay,
        capturable=device.type == "cuda",  # by a recording
        fused=True,
    )
    schedule = CosineAnnealingWarmRestarts(
        optimiser, section.restart_epochs, section.restart_factor, eta_min=section.min_learning_rate
    )
    return State(network, optimiser, schedule, [], copy.deepcopy(network.state_dict()))


def start_embeddings(network: SequenceNetwork, vocabularies: Vocabularies) -> None:
    """Start word and hashtag embeddings from the vocabulary's vectors; they are trained from there."""
    with torch.no_grad():
        network.word_embedding.weight.copy_(torch.from_numpy(vocabularies.word_vectors))
        network.hashtag_embedding.weight.copy_(torch.from_numpy(vocabularies.hashtag_vectors))


def _stalled(history: list[Epoch], patience: int | None) -> bool:
    if patience is None or not history:
        return False
    return history[-1].epoch - best_epoch(history).epoch >= patience


@dataclasses.dataclass(frozen=True)
class _Training:
    """What all epochs of a training share."""

    data: Data
    section: Train
    device: torch.device
    ranks: Ranks
    state: _State
    coins: torch.Generator

    def run_epoch(self, number: int) -> Epoch:
        """Learn from all training posts, then score; number: from 1."""
        seed = int.from_bytes(hashlib.sha256(f"{self.section.seed} {number}".encode()).digest()[:4], "big")
        torch.manual_seed(seed)  # dropout
        rng = np.random.default_rng(seed)
        self.coins.manual_seed(seed)
        train_loss = self.learn(number, rng)
        scored = self._score(number, train_loss, rng) if self.ranks.leads else None
        return self.ranks.told(scored)  # type: ignore[return-value]

    def learn(self, number: int, rng: np.random.Generator) -> float:
        """One pass over the training posts; returns the mean loss a batch."""
        self.state.network.train()
        size, width = self.section.batch_size, WIDTH if self.device.type == "cuda" else 1
        steps = -(-len(self.data.train) // size)
        losses = []
        shuffled = training_batches(self.data.padded, size, self.device, rng, width)
        label = f"train: epoch {number} of {self.section.epochs}"
        for done, batch in enumerate(progress(shuffled, total=steps, unit="batches", label=label)):
            self.state.schedule.step(number - 1 + done / steps)
            losses.append(self._step(batch))
        mean = float(self.ranks.mean(torch.stack(losses)).mean())
        if not math.isfinite(mean):
            raise HashgenError(f"train: the loss of epoch {number} is {mean}; lower train.learning_rate")
        return mean

    @functools.cached_property
    def _step(self) -> Callable[[Batch], Tensor]:
        """What learns from a batch and returns its loss."""
        network, optimiser, clip_norm, coins = (
            self.state.network,
            self.state.optimiser,
            self.section.clip_norm,
            self.coins,
        )
        loss = self.ranks.parallel(
            _Loss(network, self.section.teacher_forcing, self.ranks), uses_all=network.inputs == "both"
        )

        def plain(batch: Batch) -> Tensor:
            optimiser.zero_grad(set_to_none=True)
            mean_loss: Tensor = loss(batch, coins)
            torch.autograd.backward(mean_loss)
            step_clipped(optimiser, clip_norm)
            return mean_loss.detach()

        if self.device.type != "cuda" or self.ranks.count > 1:
            return plain
        return RecordedSteps(lambda batch: loss(batch, coins), optimiser, clip_norm, cuda_recorder(coins))

    def _score(self, number: int, train_loss: float, rng: np.random.Generator) -> Epoch:
        data, network, length = self.data, self.state.network, self.section.hashtag_length
        sample = data.train.take(np.sort(rng.permutation(len(data.train))[: len(data.val)]))
        train, val = (free_running_scores(network, part, data, length) for part in (sample, data.val))
        return Epoch(
            number,
            train_loss,
            validation_loss(network, data, self.section, self.device, self.coins),
            train["bleu4"],
            val["bleu4"],
            train["bleu1"],
            val["bleu1"],
            train["f1"],
            val["f1"],
            ranking_score(network, data, length),
            self.state.optimiser.param_groups[0]["lr"],
        )


class _Loss(nn.Module):
    """`batch_loss` as a module, which is what DistributedDataParallel takes."""

    def __init__(self, network: SequenceNetwork, ratio: float, ranks: Ranks) -> None:
        super().__init__()
        self.network = network
        self.ratio = ratio
        self.ranks = ranks

    def forward(self, batch: Batch, coins: torch.Generator) -> Tensor:
        return batch_loss(self.network, batch, self.ratio, coins, self.ranks)


def batch_loss(
    network: SequenceNetwork, batch: Batch, ratio: float, coins: torch.Generator, ranks: Ranks = ALONE
) -> Tensor:
    """Mean cross-entropy a target token (hashtags and END), in nats, under teacher forcing of the given ratio.

    Where several processes share the batch, each gives the sum over its own posts, scaled so that the mean over the
    processes is the mean over all tokens of the batch. All draw the same dropout and coins, for the whole batch.
    """
    rows = ranks.rows(len(batch))
    if rows.start == rows.stop:  # fewer posts than processes: one that does not count, so that all take part
        rows = slice(0, 1)
        targets = torch.full_like(batch.targets[rows], PAD_ID)
    else:
        targets = batch.targets[rows]
    kept = network.draw(len(batch), batch.words.shape[1], batch.inputs.shape[1])
    kept = kept.of(rows)
    sentiment = None if batch.sentiment is None else batch.sentiment[rows]
    state = encode(
        network, batch.picture, batch.words[rows], batch.lengths[rows], sentiment=sentiment, kept=kept, rows=rows
    )
    logits = mixed_forcing(network, state, batch.inputs, ratio, coins, kept, rows)  # (rows, steps, hashtags)
    total = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD_ID, reduction="sum")
    return total / (batch.targets != PAD_ID).sum() * ranks.count


@torch.inference_mode()
def validation_loss(
    network: SequenceNetwork, data: Data, section: Train, device: torch.device, coins: torch.Generator
) -> float:
    """Mean loss a batch on the validation posts, plain pictures, in evaluation mode."""
    network.eval()
    known = batches(data.val.learnable(), data.features, section.batch_size, device)
    losses = [batch_loss(network, batch, section.teacher_forcing, coins) for batch in known]
    return float(torch.stack(losses).mean())


def free_running_scores(network: SequenceNetwork, examples: Examples, data: Data, length: int) -> dict[str, float]:
    """Scores of greedy decoding against all true hashtags of the examples, without intervals."""
    written = decode(network, examples, data.features, length)
    return written_scores([data.vocabularies.hashtags.decode(sequence) for sequence in written], examples.targets)


def ranking_score(network: SequenceNetwork, data: Data, length: int) -> float:
    """F1@5 of the ranking of the validation posts, of very many `_MOST_RANKED` at even distances."""
    asked = data.val.take(spaced(len(data.val), _MOST_RANKED))
    tokens = data.vocabularies.hashtags.tokens
    rankings = [[tokens[number] for number, _ in one] for one in rank(network, asked, data.features, length, 5)]
    return float(ranked_figures(rankings, asked.targets)["f1_at_5"].mean())


@torch.inference_mode()
def remember_means(network: SequenceNetwork, data: Data, device: torch.device) -> None:
    """Set `picture_mean` and `caption_mean` to the mean encoded vectors of the training posts.

    They stand in for an input when the network is scored blind to it.
    """
    network.eval()
    pictures, captions = torch.zeros_like(network.picture_mean), torch.zeros_like(network.caption_mean)
    for batch in batches(data.train, data.features, 256, device):
        pictures += network.picture_vector(batch.picture).sum(0)
        captions += network.gist(network.caption_vector(batch.words, batch.lengths, batch.sentiment)).sum(0)
    if network.inputs != "caption":
        network.picture_mean.copy_(pictures / len(data.train))
    if network.inputs != "image":
        network.caption_mean.copy_(captions / len(data.train))
