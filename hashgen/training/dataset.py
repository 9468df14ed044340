"""Manifest, features and vocabularies, turned into batches."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashgen.base.devices import on_device
from hashgen.features.posts import Features, Posts
from hashgen.text.vocabulary import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID, Vocabularies
from hashgen.text.words import tokenise


@dataclasses.dataclass(frozen=True)
class Examples:
    """Posts as numbers: one entry a post in each list.

    rows: (n,) int64, the post's row in the features. words: numbers of the caption's words, at least one.
    hashtags: numbers of the hashtags that the vocabulary knows, without BEGIN and END; may be empty.
    targets: all true hashtags, also those that the vocabulary does not know: what scores are taken against.
    sentiment: (n, 2) float32, of the captions; None where models do not read it.
    """

    rows: npt.NDArray[np.int64]
    words: list[list[int]]
    hashtags: list[list[int]]
    targets: list[list[str]]
    sentiment: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: npt.NDArray[np.int64]) -> "Examples":
        """The examples at `indices`, in that order."""
        words, hashtags, targets = ([part[i] for i in indices] for part in (self.words, self.hashtags, self.targets))
        sentiment = None if self.sentiment is None else self.sentiment[indices]
        return Examples(self.rows[indices], words, hashtags, targets, sentiment)

    def learnable(self) -> "Examples":
        """The examples with at least one hashtag that the vocabulary knows."""
        return self.take(np.array([i for i, hashtags in enumerate(self.hashtags) if hashtags], dtype=np.int64))


def make_examples(
    posts: Posts,
    vocabularies: Vocabularies,
    caption_length: int,
    hashtag_length: int,
    hashtags: list[list[str]] | None = None,
) -> Examples:
    """Encode posts; captions and hashtags are cut to the lengths given. hashtags: the true ones, where known."""
    words = [encode_caption(caption, vocabularies, caption_length) for caption in posts.captions]
    targets = [[] for _ in posts.captions] if hashtags is None else hashtags
    known = [vocabularies.hashtags.encode_known(target)[:hashtag_length] for target in targets]
    return Examples(posts.rows, words, known, targets, posts.sentiment)


def encode_caption(caption: str, vocabularies: Vocabularies, length: int) -> list[int]:
    """Numbers of a caption's first `length` words; a caption without any word is one unknown word."""
    return vocabularies.words.encode(tokenise(caption)[:length]) or [UNKNOWN_ID]


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch of posts as tensors on one device.

    picture: (batch, features) float32, or (batch, cells, features) for a network that looks at places. words: (batch,
    words) int64, padded with PAD. lengths: (batch,) int64, of the captions. inputs: (batch, steps) int64, BEGIN and the
    hashtags. targets: (batch, steps) int64, the hashtags and END, padded with PAD. steps is at most the hashtag length
    + 1. sentiment: (batch, 2) float32, or None.
    """

    picture: Tensor
    words: Tensor
    lengths: Tensor
    inputs: Tensor
    targets: Tensor
    sentiment: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def tensors(self) -> list[Tensor]:
        """All that are there, in their order."""
        parts = (self.picture, self.words, self.lengths, self.inputs, self.targets, self.sentiment)
        return [part for part in parts if part is not None]


class Padded:
    """Examples and their pictures as arrays, padded to the longest once, from which batches are cut."""

    def __init__(self, examples: Examples, features: Features) -> None:
        self.examples = examples
        self.features = features
        self.words, self.lengths = _pad(examples.words)
        self.inputs, self.steps = _pad([[BEGIN_ID, *hashtags] for hashtags in examples.hashtags])
        self.targets, _ = _pad([[*hashtags, END_ID] for hashtags in examples.hashtags])

    def __len__(self) -> int:
        return len(self.examples)

    def batch(
        self,
        chosen: npt.NDArray[np.int64],
        device: torch.device,
        views: npt.NDArray[np.int64] | None = None,
        multiple: int = 1,
    ) -> Batch:
        """The posts at `chosen`, no wider than the longest of them; with these views of the pictures, or plain ones.

        views: (batch,), -1 is the plain one. multiple: widths are rounded up to one of it, as far as any post is wide.
        """
        rows = self.examples.rows[chosen]
        picture = np.array(self.features.plain[rows])  # (batch, features), or (batch, cells, features)
        if views is not None:
            augmented = views >= 0
            picture[augmented] = self.features.views[rows[augmented], views[augmented]]
        words, steps = (-(-part[chosen].max() // multiple) * multiple for part in (self.lengths, self.steps))
        sentiment = self.examples.sentiment
        arrays = (
            picture.astype(np.float32),
            self.words[chosen, :words],
            self.lengths[chosen],
            self.inputs[chosen, :steps],
            self.targets[chosen, :steps],
            *(() if sentiment is None else (sentiment[chosen],)),
        )
        return Batch(*(on_device(torch.from_numpy(array), device) for array in arrays))


def _pad(rows: list[list[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows (n, longest) padded with PAD, and their lengths (n,)."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded = np.full((len(rows), lengths.max(initial=0)), PAD_ID, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded, lengths


def batches(examples: Examples, features: Features, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Batches in order with the plain view of each picture: for validation and scoring."""
    padded = Padded(examples, features)
    for start in range(0, len(padded), batch_size):
        yield padded.batch(np.arange(start, min(start + batch_size, len(padded))), device)


def training_batches(
    examples: Padded, batch_size: int, device: torch.device, rng: np.random.Generator, multiple: int = 1
) -> Iterator[Batch]:
    """Batches of one epoch: shuffled, each picture by one of its views (the plain one among them) drawn each time.

    A remainder of one post joins the batch before it: batch norm cannot train on a single post. multiple: as in
    `Padded.batch`.
    """
    order = rng.permutation(len(examples))
    view = rng.integers(-1, examples.features.views.shape[1], len(examples))  # -1 is the plain view
    bounds = [*range(0, len(examples), batch_size), len(examples)]
    if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
        del bounds[-2]
    for start, stop in itertools.pairwise(bounds):
        chosen = order[start:stop]
        yield examples.batch(chosen, device, view[chosen], multiple)
