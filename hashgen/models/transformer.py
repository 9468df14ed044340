"""A transformer encoder over picture and caption together that scores all hashtags at once: hashtags have no order."""

import copy
import hashlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, require, write_json
from hashgen.base.progress import is_quiet, progress
from hashgen.features.posts import Blind, Features, Inputs, Labelled, Posts
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits
from hashgen.models.sequence import sizes_of
from hashgen.params.train import Train
from hashgen.params.train import Transformer as Settings
from hashgen.text.vocabulary import PAD_ID, SPECIALS, VECTOR_STD, Vocabularies
from hashgen.training.about import About
from hashgen.training.checkpoint import State, keep, resume
from hashgen.training.clipping import step_clipped
from hashgen.training.dataset import Batch, Examples, Padded, batches, make_examples, training_batches
from hashgen.training.history import Epoch, best_epoch
from hashgen.training.network import Sizes, adopt, beside

_BATCH = 256


class TransformerNetwork(nn.Module):
    """Picture and caption in, a logit for each hashtag out.

    The sequence is a learnt vector, the picture's regions and the caption's words, each word with a learnt position.
    Layers norm first (Xiong et al. 2020). What the learnt vector has become is compared with a vector for each hashtag,
    which starts from the vocabulary's. The regions are parts of a linear layer over the pooled picture features.
    """

    picture_mean: Tensor
    caption_mean: Tensor

    def __init__(self, sizes: Sizes, inputs: Inputs, settings: Settings, caption_length: int) -> None:
        super().__init__()
        width = settings.width
        self.inputs = inputs
        self.regions = settings.regions
        self.summary = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, caption_length, width) * 0.02)
        self.picture_norm = nn.BatchNorm1d(sizes.feature)
        self.picture_projection = nn.Linear(sizes.feature, settings.regions * width)
        # Regions start about as long as words do. By default they would be twenty times shorter, and a step of Adam
        # would turn them round. On the validation posts of real photos, means of three seeds: F1@5 .246 then and .250
        # so, F1 .302 and .310, F1@5 without the picture .195 and .228.
        nn.init.normal_(self.picture_projection.weight, std=VECTOR_STD)
        self.word_embedding = nn.Embedding(sizes.word_count, sizes.dimension, padding_idx=PAD_ID)
        self.word_projection = nn.Linear(sizes.dimension + sizes.sentiment, width)
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 4 * width, settings.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, settings.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.output = nn.Linear(width, sizes.dimension)
        self.hashtag_embedding = nn.Embedding(sizes.hashtag_count, sizes.dimension)
        self.hashtag_bias = nn.Parameter(torch.zeros(sizes.hashtag_count))
        self.dropout = nn.Dropout(settings.dropout)
        self.register_buffer("picture_mean", torch.zeros(1, settings.regions, width))
        self.register_buffer("caption_mean", torch.zeros(1, 1, width))

    def picture_regions(self, picture: Tensor) -> Tensor:
        """Encode picture features (batch, feature) as (batch, regions, width)."""
        normed = self.picture_norm(picture) / picture.shape[1] ** 0.5  # (batch, feature), of a length near 1
        return self.picture_projection(normed).view(len(picture), self.regions, -1)  # type: ignore[no-any-return]

    def caption_words(self, words: Tensor, sentiment: Tensor | None = None) -> Tensor:
        """Encode captions (batch, words) and their sentiment (batch, 2) as (batch, words, width), word by word."""
        embedded = beside(self.word_embedding(words), sentiment)
        return self.word_projection(embedded) + self.positions[:, : words.shape[1]]  # type: ignore[no-any-return]

    def forward(
        self, picture: Tensor, words: Tensor, blind: Blind | None = None, sentiment: Tensor | None = None
    ) -> Tensor:
        """Logits (batch, hashtags), specials left out, of pictures (batch, feature) and captions (batch, words).

        sentiment: (batch, 2), of the captions, for a network that reads it.

        An input that is not learnt, or to which it is blind, is replaced by its mean over the training posts: the mean
        of each region, or one word that is the mean of all (zeros until `remember_means`).
        """
        batch = len(words)
        if self.inputs == "caption" or blind == "image":
            regions = self.picture_mean.expand(batch, -1, -1)
        else:
            regions = self.picture_regions(picture)
        if self.inputs == "image" or blind == "caption":
            caption = self.caption_mean.expand(batch, -1, -1)
            padding = torch.zeros(batch, 1, dtype=torch.bool, device=words.device)
        else:
            caption, padding = self.caption_words(words, sentiment), words == PAD_ID
        sequence = torch.cat([self.summary.expand(batch, -1, -1), regions, caption], dim=1)  # (batch, places, width)
        padding = nn.functional.pad(padding, (sequence.shape[1] - padding.shape[1], 0))  # (batch, places)
        encoded = self.encoder(self.dropout(sequence), src_key_padding_mask=padding)[:, 0]  # (batch, width)
        logits = self.output(encoded) @ self.hashtag_embedding.weight.T + self.hashtag_bias
        return logits[:, len(SPECIALS) :]  # type: ignore[no-any-return]


def set_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy a post, in nats, with a target of 1/k for each of its k hashtags (Mahajan et al. 2018).

    logits: (batch, hashtags), specials left out. targets: (batch, steps), hashtag numbers; specials do not count. In
    whatever order a post's hashtags stand, the loss is the same.
    """
    count = logits.shape[1] + len(SPECIALS)
    true = torch.zeros(len(targets), count, device=logits.device).scatter_(1, targets, 1.0)[:, len(SPECIALS) :]
    return nn.functional.cross_entropy(logits, true / true.sum(1, keepdim=True))


class TransformerModel(Model):
    """Softmax over all hashtags, learnt without their order (`train.transformer`); writes by people's habits."""

    def __init__(self, network: TransformerNetwork, vocabularies: Vocabularies, section: Train, habits: Habits) -> None:
        self.network = network
        self.vocabularies = vocabularies
        self.section = section
        self.habits = habits

    @classmethod
    def build(cls, sizes: Sizes, section: Train) -> TransformerNetwork:
        """The network, its weights drawn from torch's random state."""
        assert section.transformer is not None
        return TransformerNetwork(sizes, section.inputs, section.transformer, section.caption_length)

    @classmethod
    def fit(cls, data: Data, section: Train, place: Place) -> Self:
        """Train by AdamW with a cosine schedule; keep the epoch with the best F1@5 on validation posts.

        What is written is the head of the ranking, so that F1 is the ranking's at a post's usual number of hashtags.
        Resumable after a kill, like `hashgen.training.fit.fit`.
        """
        torch.manual_seed(section.seed)
        sizes = sizes_of(data.vocabularies, data.train.posts.features.dim, sentiment=section.sentiment)
        network = cls.build(sizes, section)
        with torch.no_grad():
            network.word_embedding.weight.copy_(torch.from_numpy(data.vocabularies.word_vectors))
            network.hashtag_embedding.weight.copy_(torch.from_numpy(data.vocabularies.hashtag_vectors))
        model = cls(network.to(place.device), data.vocabularies, section, Habits(data.train.hashtags))
        model.history = _Training(model, data, place).run()
        model.epoch = best_epoch(model.history).epoch
        return model

    def examples(self, posts: Posts, hashtags: list[list[str]] | None = None) -> Examples:
        """Posts as numbers; no hashtag is cut off, since that would go by their order."""
        length = len(self.vocabularies.hashtags)
        return make_examples(posts, self.vocabularies, self.section.caption_length, length, hashtags)

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by the softmax: the share of each among the hashtags that the post is expected to have."""
        return self.ranked(self.examples(posts), posts.features, depth, blind)

    @torch.inference_mode()
    def ranked(self, examples: Examples, features: Features, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """`rank` of posts as numbers; the network is left in evaluation mode."""
        self.network.eval()
        tokens = self.vocabularies.hashtags.tokens[len(SPECIALS) :]
        rankings: list[Ranking] = []
        for batch in batches(examples, features, _BATCH, self.network.summary.device):
            logits = self.network(batch.picture, batch.words, blind, batch.sentiment)
            shares = logits.softmax(1)  # (batch, hashtags)
            best = shares.sort(dim=1, descending=True, stable=True)
            for numbers, scores in zip(best.indices[:, :depth].tolist(), best.values[:, :depth].tolist(), strict=True):
                rankings.append([(tokens[number], score) for number, score in zip(numbers, scores, strict=True)])
        return rankings

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """The head of the ranking (see `Habits.write`)."""
        return self.written(self.rank(posts, self.habits.length, blind))

    def written(self, rankings: Sequence[Ranking]) -> list[list[str]]:
        """What is written where these are the rankings."""
        return [self.habits.write([hashtag for hashtag, _ in ranking]) for ranking in rankings]

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, `habits.json` and the vocabularies."""
        state = {name: tensor.contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        write_json(folder / "habits.json", self.habits.to_json(), exact=True)
        self.vocabularies.save(folder)

    @classmethod
    def load(cls, folder: Path, about: About, device: torch.device) -> Self:
        """Read what `save` wrote, in evaluation mode."""
        vocabularies = Vocabularies.load(folder, "train")
        habits = Habits.from_json(read_json(folder / "habits.json", "train"))
        state = load_file(require(folder / "model.safetensors", "train"))
        sizes = sizes_of(vocabularies, about.recipe.dim, sentiment=about.section.sentiment)
        with torch.device("meta"):
            network = cls.build(sizes, about.section)
        adopt(network, state)
        return cls(network.to(device).eval(), vocabularies, about.section, habits)


MODEL = TransformerModel


class _Training:
    """A training of a model: epochs, their scores, and a checkpoint after each."""

    def __init__(self, model: TransformerModel, data: Data, place: Place) -> None:
        assert model.section.transformer is not None
        self.model = model
        self.section = model.section
        self.settings = model.section.transformer
        self.place = place
        self.features = data.train.posts.features
        self.train = self._examples(data.train).learnable()
        self.padded = Padded(self.train, self.features)
        self.val = self._examples(data.val)
        self.steps = -(-len(self.train) // self.section.batch_size)

    def _examples(self, labelled: Labelled) -> Examples:
        return self.model.examples(labelled.posts, labelled.hashtags)

    def run(self) -> list[Epoch]:
        """Train, and leave the network of the best epoch in the model; returns the history."""
        first = self._begin()
        checkpoint = self.place.checkpoint
        state = resume(first, checkpoint.read_bytes(), checkpoint) if checkpoint.exists() else None
        if state is None:
            state = first
        elif not is_quiet():
            print(f"train: resumes after epoch {len(state.history)} of an interrupted run", file=sys.stderr)
        patience = self.section.patience
        for number in range(len(state.history) + 1, self.section.epochs + 1):
            if patience is not None and state.history and number - 1 - state.best_epoch.epoch >= patience:
                break
            epoch = self._run_epoch(state, number)
            state.history.append(epoch)
            if state.best_epoch is epoch:
                state.best = copy.deepcopy(state.network.state_dict())
            keep(state, self.place.checkpoint)
            self.place.on_epoch(epoch)
        state.network.load_state_dict(state.best)
        self._remember_means(state.network)
        return state.history

    def _begin(self) -> State[TransformerNetwork, LambdaLR]:
        network, settings = self.model.network, self.settings
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        return State(network, optimiser, LambdaLR(optimiser, self._rate), [], copy.deepcopy(network.state_dict()))

    def _rate(self, step: int) -> float:
        """Learning rate of a step, as a share of the highest: up in a line, then down along a cosine to 0."""
        last = self.section.epochs * self.steps
        rising = self.settings.warm_up * last
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1.0, last - rising)))) / 2

    def _run_epoch(self, state: State[TransformerNetwork, LambdaLR], number: int) -> Epoch:
        # Only here: what training needs besides, sacrebleu for one, a suggestion does not.
        from hashgen.metrics.ranked import ranked_figures
        from hashgen.metrics.written import written_scores

        seed = int.from_bytes(hashlib.sha256(f"{self.section.seed} {number}".encode()).digest()[:4], "big")
        torch.manual_seed(seed)  # dropout
        rng = np.random.default_rng(seed)
        train_loss = self._train_epoch(state, number, rng)
        rate = state.schedule.get_last_lr()[0]
        sample = self.train.take(np.sort(rng.permutation(len(self.train))[: len(self.val)]))
        rankings = [self._ranked(part) for part in (sample, self.val)]
        train, val = (
            written_scores(self.model.written(found), part.targets)
            for found, part in zip(rankings, (sample, self.val), strict=True)
        )
        ranked = ranked_figures([[hashtag for hashtag, _ in one] for one in rankings[1]], self.val.targets)
        losses = train_loss, self._validation_loss()
        bleus = train["bleu4"], val["bleu4"], train["bleu1"], val["bleu1"]
        return Epoch(number, *losses, *bleus, train["f1"], val["f1"], float(ranked["f1_at_5"].mean()), float(rate))

    def _ranked(self, examples: Examples) -> list[Ranking]:
        return self.model.ranked(examples, self.features, max(5, self.model.habits.length))

    def _train_epoch(self, state: State[TransformerNetwork, LambdaLR], number: int, rng: np.random.Generator) -> float:
        """One pass over the training posts; returns the mean loss a batch."""
        network = state.network.train()
        shuffled = training_batches(self.padded, self.section.batch_size, self.place.device, rng)
        label = f"train: epoch {number} of {self.section.epochs}"
        losses = []
        for batch in progress(shuffled, total=self.steps, unit="batches", label=label):
            state.optimiser.zero_grad(set_to_none=True)
            loss = _batch_loss(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            step_clipped(state.optimiser, self.section.clip_norm)
            state.schedule.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise HashgenError(f"train: the loss of epoch {number} is {mean}; lower train.transformer.learning_rate")
        return mean

    @torch.inference_mode()
    def _validation_loss(self) -> float:
        """Mean loss a batch on the validation posts, plain pictures, in evaluation mode."""
        known = batches(self.val.learnable(), self.features, self.section.batch_size, self.place.device)
        return float(torch.stack([_batch_loss(self.model.network.eval(), batch) for batch in known]).mean())

    @torch.inference_mode()
    def _remember_means(self, network: TransformerNetwork) -> None:
        """Set `picture_mean` and `caption_mean`: each region's mean over the training posts, and that of all words."""
        network.eval()
        pictures, words, count = torch.zeros_like(network.picture_mean), torch.zeros_like(network.caption_mean), 0
        for batch in batches(self.train, self.features, _BATCH, self.place.device):
            pictures += network.picture_regions(batch.picture).sum(0)
            there = batch.words != PAD_ID
            words += network.caption_words(batch.words, batch.sentiment)[there].sum(0)
            count += int(there.sum())
        if network.inputs != "caption":
            network.picture_mean.copy_(pictures / len(self.train))
        if network.inputs != "image":
            network.caption_mean.copy_(words / count)


def _batch_loss(network: TransformerNetwork, batch: Batch) -> Tensor:
    return set_loss(network(batch.picture, batch.words, sentiment=batch.sentiment), batch.targets)
