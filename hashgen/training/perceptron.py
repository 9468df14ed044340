"""A perceptron that says yes or no for each hashtag at once, from a picture and the words of its caption."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json, require, write_json
from hashgen.base.progress import progress
from hashgen.features.posts import Blind, Inputs, Labelled, Posts
from hashgen.params.train import Classifier as Settings
from hashgen.text.words import tokenise
from hashgen.training.network import adopt
from hashgen.training.similarity import unit

if TYPE_CHECKING:
    from hashgen.training.about import About

# Pictures are scaled to about this length: that of a caption's words, of which there are a dozen. Otherwise a thousand
# features of a picture drown them, and the words are learnt ten times as slowly.
_LENGTH = 4.0
_BLOCK = 1024
_LEAST_DEVIATION = 1e-3
# Very many posts are learnt in minutes on two cores: from their most frequent words, in fewer epochs.
MOST_WORDS = 10_000
MOST_STEPS = 6_000
# More posts than this are learnt in batches so many times as large, in as many fewer steps, and without the words that
# no caption of a batch has: a fraction of the time.
MANY = 20_000
_LARGER = 4
# Of the one-cycle schedule (Smith & Topin 2018): the share of steps in which the rate rises.
_WARM_UP = 0.3

Floats = npt.NDArray[np.float32]


class Perceptron(nn.Module):
    """Two hidden layers over a picture and a caption.

    Picture: each feature minus its training mean, over its deviation, scaled together to length `_LENGTH`. Caption: 1
    for each known word that it holds, its sentence vector, if there is one, at the same length, and its sentiment, if
    that is read. What the network is blind to is replaced by its mean over the training posts.
    """

    picture_mean: Tensor
    picture_scale: Tensor
    text_mean: Tensor

    def __init__(self, feature: int, text: int, hashtags: int, settings: Settings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.layers = nn.Sequential(
            nn.Dropout(settings.input_dropout),
            nn.Linear(feature + text, hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(hidden, hashtags),
        )
        self.register_buffer("picture_mean", torch.zeros(feature))
        self.register_buffer("picture_scale", torch.ones(feature))
        self.register_buffer("text_mean", torch.zeros(text))

    def forward(self, picture: Tensor, text: Tensor, columns: Tensor | None = None) -> Tensor:
        """Logits (batch, hashtags) of pictures (batch, feature) and texts (batch, text).

        columns: of the texts, those that `text` has, if not all; the others are 0.
        """
        scaled = (picture - self.picture_mean) * self.picture_scale
        both = torch.cat([scaled, text], dim=1)
        if columns is None:
            return self.layers(both)  # type: ignore[no-any-return]
        drop, first, feature = self.layers[0], self.layers[1], picture.shape[1]
        assert isinstance(first, nn.Linear)
        used = torch.cat([torch.arange(feature, device=columns.device), feature + columns])
        hidden = nn.functional.linear(drop(both), first.weight.index_select(1, used), first.bias)
        return self.layers[2:](hidden)  # type: ignore[no-any-return]


class Classifier:
    """A `Perceptron` with its words and hashtags.

    hashtags: those that it knows. words: those that it reads.
    """

    def __init__(self, network: Perceptron, words: list[str], hashtags: list[str], inputs: Inputs) -> None:
        self.network = network
        self.words = words
        self.hashtags = hashtags
        self.inputs = inputs
        self._ids = {word: number for number, word in enumerate(words)}

    @classmethod
    def learn(
        cls,
        train: Labelled,
        hashtags: Sequence[str],
        settings: Settings,
        inputs: Inputs,
        seed: int,
        device: torch.device,
        label: str,
    ) -> Self:
        """Train on posts to tell these hashtags, for the epochs given; the rate falls to 0, so that none is chosen.

        Words of two or more posts are read, at most `MOST_WORDS`. There are fewer epochs, but one at least, where they
        would take more than `MOST_STEPS`; of more posts than `MANY` in batches `_LARGER` times as large. label: of the
        progress. Raises HashgenError when the loss is no number.
        """
        counts = Counter(word for caption in train.posts.captions for word in set(tokenise(caption)))
        met = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
        words = sorted(met[:MOST_WORDS])
        torch.manual_seed(seed)
        beside = sum(part.shape[1] for part in (train.posts.sentences, train.posts.sentiment) if part is not None)
        network = Perceptron(train.posts.features.dim, len(words) + beside, len(hashtags), settings)
        model = cls(network.to(device), words, list(hashtags), inputs)
        model._measure(train.posts)
        model._train(train, settings, seed, label)
        return model

    def _measure(self, posts: Posts) -> None:
        """Set means and deviations by the training posts."""
        plain, rows = posts.features.plain, posts.rows
        total = np.zeros((2, plain.shape[1]))
        for start in range(0, len(rows), _BLOCK):
            part = plain[rows[start : start + _BLOCK]].astype(np.float64)
            total += part.sum(axis=0), (part**2).sum(axis=0)
        mean, square = total / len(rows)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        network = self.network
        scale = _LENGTH / math.sqrt(len(mean)) / np.maximum(deviation, _LEAST_DEVIATION)
        network.picture_mean.copy_(torch.from_numpy(mean))
        network.picture_scale.copy_(torch.from_numpy(scale))
        texts = np.zeros(len(network.text_mean))
        for start in range(0, len(posts), _BLOCK):
            texts += self._texts(posts, np.arange(start, min(start + _BLOCK, len(posts)))).sum(axis=0)
        network.text_mean.copy_(torch.from_numpy(texts / len(posts)))

    def _train(self, train: Labelled, settings: Settings, seed: int, label: str) -> None:
        network, posts = self.network, train.posts
        rng = np.random.default_rng(seed)
        many = len(posts) > MANY
        size, most = settings.batch_size, MOST_STEPS
        if many:
            size, most = _LARGER * size, most // _LARGER
        steps = -(-len(posts) // size)
        epochs = max(1, min(settings.epochs, most // steps))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=epochs * steps, pct_start=_WARM_UP
        )
        network.train()
        for _ in progress(range(epochs), total=epochs, unit="epochs", label=label):
            order = rng.permutation(len(posts))
            views = rng.integers(posts.features.views.shape[1] + 1, size=len(posts))
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                if many and self.inputs != "image":
                    logits = self._logits_by_words(posts, batch, views[batch])
                else:
                    logits = network(*self._inputs(posts, batch, views[batch]))
                targets = torch.from_numpy(self._targets([train.hashtags[post] for post in batch])).to(logits.device)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
        if not math.isfinite(float(loss.detach())):
            raise HashgenError("train: the loss is no number; lower the learning_rate of the classifier")
        network.eval()

    def _inputs(
        self, posts: Posts, which: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Pictures and words of posts; view 0 is the plain picture. An input that is not learnt is its mean."""
        words = torch.from_numpy(self._texts(posts, which)).to(self.network.picture_mean.device)
        return self._without(self._pictures(posts, which, views), words, None)

    def _pictures(self, posts: Posts, which: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> Tensor:
        rows = posts.rows[which]
        pictures = posts.features.plain[rows].astype(np.float32)
        for place in np.flatnonzero(views):
            pictures[place] = posts.features.views[rows[place], views[place] - 1]
        return torch.from_numpy(pictures).to(self.network.picture_mean.device)

    def _logits_by_words(self, posts: Posts, which: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> Tensor:
        """Logits of posts whose captions are read; words that none of them has are left out."""
        picture = self._pictures(posts, which, views)
        texts = self._texts(posts, which)
        columns = np.flatnonzero(texts.any(axis=0))
        text = torch.from_numpy(texts[:, columns]).to(picture.device)
        logits: Tensor = self.network(
            self._without(picture, text, None)[0], text, torch.from_numpy(columns).to(picture.device)
        )
        return logits

    def _without(self, picture: Tensor, words: Tensor, blind: Blind | None) -> tuple[Tensor, Tensor]:
        if blind == "image" or self.inputs == "caption":
            picture = self.network.picture_mean.expand_as(picture)
        if blind == "caption" or self.inputs == "image":
            words = self.network.text_mean.expand_as(words)
        return picture, words

    def _texts(self, posts: Posts, which: npt.NDArray[np.int64]) -> Floats:
        """1 for each known word of each caption; then sentence vector and sentiment, if there are such: (n, text)."""
        words = np.zeros((len(which), len(self.words)), np.float32)
        for row, post in enumerate(which):
            words[row, [self._ids[word] for word in tokenise(posts.captions[post]) if word in self._ids]] = 1
        parts = [words]
        if posts.sentences is not None:
            parts.append(_LENGTH * unit(posts.sentences[which]))
        if posts.sentiment is not None:
            parts.append(posts.sentiment[which])
        found = np.concatenate(parts, axis=1)
        if found.shape[1] != len(self.network.text_mean):
            raise ValueError("posts with other sentence vectors or sentiments than the model learnt with")
        return found

    def _targets(self, hashtags: Sequence[Sequence[str]]) -> Floats:
        numbers = {hashtag: number for number, hashtag in enumerate(self.hashtags)}
        found = np.zeros((len(hashtags), len(self.hashtags)), np.float32)
        for row, one in enumerate(hashtags):
            found[row, [numbers[hashtag] for hashtag in one if hashtag in numbers]] = 1
        return found

    @torch.inference_mode()
    def log_odds(self, posts: Posts, blind: Blind | None = None) -> Floats:
        """Log-odds (n, hashtags) that each hashtag is in each post."""
        found = np.empty((len(posts), len(self.hashtags)), np.float32)
        for start in range(0, len(posts), _BLOCK):
            which = np.arange(start, min(start + _BLOCK, len(posts)))
            picture, words = self._inputs(posts, which, np.zeros(len(which), np.int64))
            picture, words = self._without(picture, words, blind)
            found[which] = self.network(picture, words).cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write `classifier.safetensors` and `classifier.json`: weights, words and hashtags."""
        state = {name: tensor.contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / "classifier.safetensors")
        known = {"words": self.words, "hashtags": self.hashtags}
        write_json(folder / "classifier.json", known, exact=True)

    @classmethod
    def read(cls, folder: Path, settings: Settings, about: "About", device: torch.device) -> Self:
        """Read what `save` wrote, in evaluation mode. Raises any Exception when it does not fit `about`."""
        known = read_json(folder / "classifier.json", "train")
        words, hashtags = known["words"], known["hashtags"]
        state = load_file(require(folder / "classifier.safetensors", "train"))
        beside = (about.recipe.caption_dim or 0) + (2 if about.section.sentiment else 0)
        with torch.device("meta"):
            network = Perceptron(about.recipe.dim, len(words) + beside, len(hashtags), settings)
        adopt(network, state)
        return cls(network.to(device).eval(), words, hashtags, about.section.inputs)
