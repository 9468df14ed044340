"""Manifest, features and vocabularies, turned into batches."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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
    words) int64, padded with PAD. lengths: (batch,) int64 on the CPU (what packing asks for). inputs: (batch, steps)
    int64, BEGIN and the hashtags. targets: (batch, steps) int64, the hashtags and END, padded with PAD. steps is at
    most the hashtag length + 1. sentiment: (batch, 2) float32, or None.
    """

    picture: Tensor
    words: Tensor
    lengths: Tensor
    inputs: Tensor
    targets: Tensor
    sentiment: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)


def make_batch(examples: Examples, picture: npt.NDArray[np.float16], device: torch.device) -> Batch:
    """Pad examples to tensors; `picture` is as `Batch` has it, one row an example."""
    inputs = _pad([[BEGIN_ID, *hashtags] for hashtags in examples.hashtags])  # (batch, steps)
    targets = _pad([[*hashtags, END_ID] for hashtags in examples.hashtags])  # (batch, steps)
    return Batch(
        torch.from_numpy(picture.astype(np.float32)).to(device),
        _pad(examples.words).to(device),
        torch.tensor([len(words) for words in examples.words]),
        inputs.to(device),
        targets.to(device),
        None if examples.sentiment is None else torch.from_numpy(examples.sentiment).to(device),
    )


def _pad(rows: list[list[int]]) -> Tensor:
    width = max(len(row) for row in rows)
    padded = np.full((len(rows), width), PAD_ID, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return torch.from_numpy(padded)


def batches(examples: Examples, features: Features, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Batches in order with the plain view of each picture: for validation and scoring."""
    for start in range(0, len(examples), batch_size):
        part = examples.take(np.arange(start, min(start + batch_size, len(examples))))
        yield make_batch(part, features.plain[part.rows], device)


def training_batches(
    examples: Examples, features: Features, batch_size: int, device: torch.device, rng: np.random.Generator
) -> Iterator[Batch]:
    """Batches of one epoch: shuffled, each picture by one of its views (the plain one among them) drawn each time.

    A remainder of one post joins the batch before it: batch norm cannot train on a single post.
    """
    order = rng.permutation(len(examples))
    view = rng.integers(-1, features.views.shape[1], len(examples))  # -1 is the plain view
    bounds = [*range(0, len(examples), batch_size), len(examples)]
    if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
        del bounds[-2]
    for start, stop in itertools.pairwise(bounds):
        chosen = order[start:stop]
        part = examples.take(chosen)
        picture = np.array(features.plain[part.rows])  # (batch, features), or (batch, cells, features)
        augmented = view[chosen] >= 0
        picture[augmented] = features.views[part.rows[augmented], view[chosen][augmented]]
        yield make_batch(part, picture, device)
