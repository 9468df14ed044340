"""Networks that write hashtag by hashtag: what training, decoding and scoring ask of one."""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashgen.features.posts import Blind, Inputs


def adopt(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Make the tensors of a file those of a network on the device meta, which has memory for none.

    So loading takes no more memory than the file is large, whatever sizes the settings name. Raises KeyError,
    RuntimeError or ValueError when names, shapes or types of numbers are others than the network's.
    """
    if any(state[name].dtype != tensor.dtype for name, tensor in network.state_dict().items()):
        raise ValueError("weights of another type of numbers than the network's")
    network.load_state_dict(state, assign=True)


ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a model must know of its data: lengths of vectors and vocabularies.

    feature, dimension: lengths of picture features, and of word and hashtag embeddings. word_count, hashtag_count:
    sizes of the vocabularies, specials included. cells: places of a picture's grid; 0 without one. sentiment: numbers
    that stand beside each word of a caption; 0 where its sentiment is not read.
    """

    feature: int
    dimension: int
    word_count: int
    hashtag_count: int
    cells: int = 0
    sentiment: int = 0


@dataclasses.dataclass(frozen=True)
class Kept:
    """What dropout leaves of a batch: factors of 0 where it drops a number, else of 1 / (1 - dropout).

    They are drawn once a batch, so that all passes over it drop the same numbers. words: (batch, words, dimension).
    joined: (batch, hidden). hashtags: (batch, steps, dimension). output: (batch, steps, hidden). None of them where
    nothing is dropped.
    """

    words: Tensor | None = None
    joined: Tensor | None = None
    hashtags: Tensor | None = None
    output: Tensor | None = None

    def of(self, rows: slice) -> "Kept":
        """Those of some posts of the batch."""
        parts = (self.words, self.joined, self.hashtags, self.output)
        return Kept(*(part if part is None else part[rows] for part in parts))

    def at(self, step: int) -> "Kept":
        """Those of one step: its hashtags (batch, dimension) and output (batch, hidden)."""
        both = (self.hashtags, self.output)
        return Kept(None, None, *(part if part is None else part[:, step] for part in both))


ALL_KEPT = Kept()


def keep_factors(shapes: Sequence[tuple[int, ...]], dropout: float, device: torch.device) -> list[Tensor]:
    """Factors for each shape (see `Kept`), drawn from torch's random state.

    16 random bits a number are enough, and drawn several times as fast as what `nn.Dropout` draws; so the chance of
    dropping is rounded to 1/65536.
    """
    sizes = [math.prod(shape) for shape in shapes]
    bits = torch.empty(-(-sum(sizes) // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
    dropped = min(round(dropout * 2**16), 2**16 - 1)
    factors = (bits.view(torch.int16)[: sum(sizes)] >= dropped - 2**15) * (2**16 / (2**16 - dropped))
    return [part.view(shape) for part, shape in zip(torch.split(factors, sizes), shapes, strict=True)]


def drop(numbers: Tensor, factors: Tensor | None) -> Tensor:
    """Numbers under dropout; themselves where there is none."""
    return numbers if factors is None else numbers * factors


class SequenceNetwork(nn.Module):
    """A network that encodes a post and then writes its hashtags one after the other.

    It encodes a post once (`picture_vector`, `caption_vector`, `start`) and then writes hashtag by hashtag
    (`step`). Its state is any tuple of tensors whose dimension 0 is the batch, so that a beam can be reordered.
    What it makes of a picture or a caption may have more dimensions than (batch, hidden): regions, or words.
    """

    inputs: Inputs
    hashtag_count: int  # size of the hashtag vocabulary, specials included
    word_embedding: nn.Embedding
    hashtag_embedding: nn.Embedding
    picture_mean: Tensor
    caption_mean: Tensor

    def draw(self, batch: int, words: int, steps: int) -> Kept:
        """What dropout leaves of a batch of so many posts, of so many words and steps: in evaluation mode all."""
        raise NotImplementedError

    def picture_vector(self, picture: Tensor, rows: slice = ALL) -> Tensor:
        """Encode picture features (batch, feature) as (rows, hidden).

        rows: the posts that are wanted; batch norm is over all of the batch.
        """
        raise NotImplementedError

    def caption_vector(
        self, words: Tensor, lengths: Tensor, sentiment: Tensor | None = None, kept: Kept = ALL_KEPT
    ) -> Tensor:
        """Encode captions (batch, words) of the given lengths (batch,) and sentiment (batch, 2) as (batch, hidden)."""
        raise NotImplementedError

    def gist(self, caption: Tensor) -> Tensor:
        """What the mean is taken of: an encoded caption itself, unless its shape depends on the number of words."""
        return caption

    def start(self, picture: Tensor, caption: Tensor, kept: Kept = ALL_KEPT) -> tuple[Tensor, ...]:
        """State before the first hashtag, from both vectors (batch, hidden)."""
        raise NotImplementedError

    def step(
        self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Feed tokens (batch,); returns the logits (batch, hashtags) of what follows, and the next state.

        kept: of this step.
        """
        raise NotImplementedError

    def forward(self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT) -> Tensor:
        """Feed whole sequences (batch, steps) by teacher forcing; returns logits (batch, steps, hashtags)."""
        raise NotImplementedError


def beside(sequence: Tensor, vector: Tensor | None) -> Tensor:
    """A sequence (batch, steps, …) with the same vector (batch, …) behind each of its steps; itself without one."""
    if vector is None:
        return sequence
    return torch.cat([sequence, vector.unsqueeze(1).expand(-1, sequence.shape[1], -1)], dim=2)


def encode(
    network: SequenceNetwork,
    picture: Tensor,
    words: Tensor,
    lengths: Tensor,
    blind: Blind | None = None,
    sentiment: Tensor | None = None,
    kept: Kept = ALL_KEPT,
    rows: slice = ALL,
) -> tuple[Tensor, ...]:
    """State of a batch before its first hashtag.

    rows: the posts that the words, and all that follows, are of: `picture` is of the whole batch, for batch norm.
    An input that the network does not use, or is blind to, is replaced by its mean over the training posts
    (`picture_mean`, `caption_mean`; zeros until `remember_means`).
    """
    batch = len(lengths)
    if network.inputs == "caption" or blind == "image":
        picture = network.picture_mean.expand(batch, *network.picture_mean.shape[1:])  # (batch, hidden)
    else:
        picture = network.picture_vector(picture, rows)  # (batch, hidden)
    if network.inputs == "image" or blind == "caption":
        caption = network.caption_mean.expand(batch, *network.caption_mean.shape[1:])  # (batch, hidden)
    else:
        caption = network.caption_vector(words, lengths, sentiment, kept)  # (batch, hidden)
    return network.start(picture, caption, kept)


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights (Glorot & Bengio 2010) and zero biases for linear and LSTM layers (the paper's recipe)."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.LSTM):
            for name, parameter in module.named_parameters():
                if "weight" in name:
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)
