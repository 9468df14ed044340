"""Models that write hashtag by hashtag: a network, its vocabularies, and how it decodes."""

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file

from hashgen.base.files import read_json, require, write_json
from hashgen.features.posts import GRID_SIDE, Blind, Features, Labelled, Posts
from hashgen.models import Data, Decoding, Model, Place, Ranking
from hashgen.params.train import Train
from hashgen.text.vocabulary import Vocabularies
from hashgen.training.about import About
from hashgen.training.dataset import Examples, batches, make_examples
from hashgen.training.decoding import decode, mixed_forcing, rank
from hashgen.training.history import Epoch, best_epoch
from hashgen.training.network import SequenceNetwork, Sizes, adopt, encode, initialise


class SequenceModel(Model):
    """A model whose network is a `SequenceNetwork`; a subclass says which (`build`).

    decoding: how it writes; greedy at first.
    """

    learns_together = True

    def __init__(self, network: SequenceNetwork, vocabularies: Vocabularies, section: Train) -> None:
        self.network = network
        self.vocabularies = vocabularies
        self.section = section
        self.decoding: Decoding = Decoding()

    @classmethod
    @abc.abstractmethod
    def build(cls, sizes: Sizes, section: Train) -> SequenceNetwork:
        """The network, its weights drawn from torch's random state."""

    @classmethod
    def make(cls, section: Train, sizes: Sizes) -> SequenceNetwork:
        """`build`, with the paper's initialisation."""
        network = cls.build(sizes, section)
        initialise(network)
        return network

    @classmethod
    def fit(cls, data: Data, section: Train, place: Place) -> Self:
        """Train by the paper's recipe and keep the best epoch (see `hashgen.training.fit.fit`)."""
        # Only here: what training needs besides, sacrebleu for one, a suggestion does not.
        from hashgen.training import fit

        train, val = (cls._examples(part, data.vocabularies, section) for part in (data.train, data.val))
        features = data.train.posts.features
        learnable = fit.Data(train.learnable(), val, cls.seen(features), data.vocabularies)
        sizes = sizes_of(data.vocabularies, features.dim, features.grid is not None, section.sentiment)
        network, history = fit.fit(
            learnable, section, lambda: cls.make(section, sizes), place.device, place.checkpoint, place.on_epoch
        )
        model = cls(network, data.vocabularies, section)
        model._take(history)
        return model

    @staticmethod
    def seen(features: Features) -> Features:
        """What the network sees of pictures as its `plain` and `views`."""
        return features

    def _take(self, history: Sequence[Epoch]) -> None:
        self.history = history
        self.epoch = best_epoch(history).epoch

    @staticmethod
    def _examples(labelled: Labelled, vocabularies: Vocabularies, section: Train) -> Examples:
        return make_examples(
            labelled.posts, vocabularies, section.caption_length, section.hashtag_length, labelled.hashtags
        )

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by their probability of being in the post (see `hashgen.training.decoding.rank`)."""
        tokens = self.vocabularies.hashtags.tokens
        length = self.section.hashtag_length
        found = rank(self.network, self._unlabelled(posts), self.seen(posts.features), length, depth, blind=blind)
        return [[(tokens[number], score) for number, score in ranking] for ranking in found]

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """Free-running hashtags, found as `decoding` says."""
        how = self.decoding
        numbers = decode(
            self.network,
            self._unlabelled(posts),
            self.seen(posts.features),
            self.section.hashtag_length,
            beam=how.beam if how.search == "beam" else 1,
            penalty=how.length_penalty,
            blind=blind,
        )
        return [self.vocabularies.hashtags.decode(sequence) for sequence in numbers]

    def _unlabelled(self, posts: Posts) -> Examples:
        return make_examples(posts, self.vocabularies, self.section.caption_length, self.section.hashtag_length)

    def write_forced(self, labelled: Labelled, seed: int) -> tuple[list[list[str]], list[list[str]]]:
        """What is written where true hashtags are fed in with the chance of training, and those hashtags.

        For the paper's protocol alone: repeats are allowed, and hashtags that the vocabulary lacks are in neither.
        """
        examples = self._examples(labelled, self.vocabularies, self.section)
        device = next(self.network.parameters()).device
        coins = torch.Generator(device).manual_seed(seed)
        hashtags = self.vocabularies.hashtags
        written: list[list[str]] = []
        self.network.eval()
        for batch in batches(examples, self.seen(labelled.posts.features), self.section.batch_size, device):
            with torch.inference_mode():
                state = encode(self.network, batch.picture, batch.words, batch.lengths, sentiment=batch.sentiment)
                logits = mixed_forcing(self.network, state, batch.inputs, self.section.teacher_forcing, coins)
            written += [hashtags.decode(row) for row in logits.argmax(2).tolist()]
        return written, [hashtags.decode(row) for row in examples.hashtags]

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, `decoding.json` and the vocabularies."""
        state = {name: tensor.contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        write_json(folder / "decoding.json", dataclasses.asdict(self.decoding), exact=True)
        self.vocabularies.save(folder)

    @classmethod
    def load(cls, folder: Path, about: About, device: torch.device) -> Self:
        """Read what `save` wrote, in evaluation mode."""
        vocabularies = Vocabularies.load(folder, "train")
        state = load_file(require(folder / "model.safetensors", "train"))
        with torch.device("meta"):
            network = cls.build(
                sizes_of(vocabularies, about.recipe.dim, about.recipe.grid, about.section.sentiment), about.section
            )
        adopt(network, state)
        model = cls(network.to(device).eval(), vocabularies, about.section)
        model.decoding = Decoding(**read_json(folder / "decoding.json", "train"))
        return model


def sizes_of(vocabularies: Vocabularies, feature: int, grid: bool = False, sentiment: bool = False) -> Sizes:
    """Sizes for a network on these vocabularies and picture features of length `feature`.

    grid: whether pictures have one. sentiment: whether that of captions is read.
    """
    words, dimension = vocabularies.word_vectors.shape
    return Sizes(
        feature,
        dimension,
        words,
        len(vocabularies.hashtags),
        cells=GRID_SIDE**2 if grid else 0,
        sentiment=2 if sentiment else 0,
    )
