"""The paper's encoder-decoder with attention: at each hashtag it looks again at the caption's words and the picture."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from hashgen.features.posts import Features, Inputs
from hashgen.models.sequence import SequenceModel
from hashgen.params.train import Attention, Train
from hashgen.text.vocabulary import PAD_ID
from hashgen.training.encoder_decoder import EncoderDecoder
from hashgen.training.network import ALL, ALL_KEPT, Kept, Sizes, drop


class AttentionNetwork(EncoderDecoder):
    """As the LSTM of the paper, but the decoder's output looks at what was read before it names a hashtag.

    Caption: the states of an LSTM, word by word. Picture: regions. With a grid of features they are its places, one
    vector each (Kazemi & Elqursh 2017 attend over 14 x 14 places); without one, parts of a linear layer over the
    pooled vector of the picture. Attention is over each of the two apart, by dot products, after the decoder's LSTM
    (Luong et al. 2015), so that a whole sequence is read at once.

    State, the batch first: joined vector (batch, hidden), regions (batch, regions, hidden), caption (batch, 1 + words,
    hidden), and what `begin` makes of the joined vector.
    """

    def __init__(self, sizes: Sizes, inputs: Inputs, section: Attention) -> None:
        super().__init__()
        hidden, layers, regions = section.hidden, section.layers, sizes.cells or section.regions
        self.inputs = inputs
        self.hashtag_count = sizes.hashtag_count
        self.layers = layers
        self.regions = regions
        self.picture_norm = nn.BatchNorm1d(sizes.feature, momentum=section.batch_norm_momentum)
        self.picture_projection = nn.Linear(sizes.feature, hidden if sizes.cells else regions * hidden)
        self.word_embedding = nn.Embedding(sizes.word_count, sizes.dimension, padding_idx=PAD_ID)
        self.caption_lstm = nn.LSTM(sizes.dimension + sizes.sentiment, hidden, layers, batch_first=True)
        self.join = nn.Linear(2 * hidden, hidden)
        self.first_state = nn.Linear(hidden, 2 * layers * hidden)
        self.hashtag_embedding = nn.Embedding(sizes.hashtag_count, sizes.dimension, padding_idx=PAD_ID)
        self.decoder_lstm = nn.LSTM(sizes.dimension + hidden, hidden, layers, batch_first=True)
        self.ask_picture = nn.Linear(hidden, hidden)
        self.ask_caption = nn.Linear(hidden, hidden)
        self.attend = nn.Linear(3 * hidden, hidden)
        self.output = nn.Linear(hidden, sizes.hashtag_count)
        self.dropout = section.dropout
        self.register_buffer("picture_mean", torch.zeros(1, regions, hidden))
        self.register_buffer("caption_mean", torch.zeros(1, 1, hidden))

    def picture_vector(self, picture: Tensor, rows: slice = ALL) -> Tensor:
        """Encode picture features (batch, feature), or a grid (batch, cells, feature), as (rows, regions, hidden)."""
        normed = self.picture_norm(picture.flatten(0, -2)).view(picture.shape)[rows]
        regions = torch.tanh(self.picture_projection(nn.functional.normalize(normed, dim=-1)))
        return regions.view(len(normed), self.regions, -1)

    def caption_vector(
        self, words: Tensor, lengths: Tensor, sentiment: Tensor | None = None, kept: Kept = ALL_KEPT
    ) -> Tensor:
        """Encode captions (batch, words) of the given lengths and sentiment (batch, 2) as (batch, 1 + words, hidden).

        First the whole caption (the last state), then a state a word. Padding is zero, which no state is.
        """
        states, last = self.read(words, lengths, sentiment, kept)
        return torch.cat([last.unsqueeze(1), states], dim=1)

    def gist(self, caption: Tensor) -> Tensor:
        """The whole caption (batch, 1, hidden) out of what `caption_vector` gives: a blind one has no words."""
        return caption[:, :1]

    def start(self, picture: Tensor, caption: Tensor, kept: Kept = ALL_KEPT) -> tuple[Tensor, ...]:
        """State before the first hashtag, from regions (batch, regions, hidden) and caption (batch, 1 + words, …)."""
        both = torch.cat([picture.mean(1), caption[:, 0]], dim=1)  # (batch, 2 * hidden)
        joined = drop(torch.tanh(self.join(both)), kept.joined)  # (batch, hidden)
        return joined, picture, caption, *self.begin(joined)

    def step(
        self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Feed tokens (batch,); returns the logits (batch, hashtags) of what follows, and the next state."""
        joined, picture, caption, given, hidden, cell = state
        output, hidden, cell = self.advance(given, hidden, cell, tokens, kept.hashtags)
        factors = kept.output if kept.output is None else kept.output.unsqueeze(1)
        logits = self._name(output.unsqueeze(1), picture, caption, factors).squeeze(1)  # (batch, hashtags)
        return logits, (joined, picture, caption, given, hidden, cell)

    def forward(self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT) -> Tensor:
        """Feed whole sequences (batch, steps) by teacher forcing; returns logits (batch, steps, hashtags)."""
        joined, picture, caption, _, hidden, cell = state
        output = self.advance_through(joined, hidden, cell, tokens, kept.hashtags)
        return self._name(output, picture, caption, kept.output)

    def _name(self, output: Tensor, picture: Tensor, caption: Tensor, factors: Tensor | None) -> Tensor:
        """Logits (batch, steps, hashtags) of the decoder's output (batch, steps, hidden) and what it attends to."""
        there = caption.ne(0).any(2)  # (batch, 1 + words)
        # A caption that is not read at all is zero throughout: one place must be left to look at.
        there[:, 0] = True
        seen = scaled_dot_product_attention(self.ask_picture(output), picture, picture)  # (batch, steps, hidden)
        read = scaled_dot_product_attention(self.ask_caption(output), caption, caption, there.unsqueeze(1))
        attended = torch.tanh(self.attend(torch.cat([output, seen, read], dim=2)))  # (batch, steps, hidden)
        return self.output(drop(attended, factors))  # type: ignore[no-any-return]


class AttentionModel(SequenceModel):
    """The paper's model with attention (`train.attention`)."""

    @classmethod
    def build(cls, sizes: Sizes, section: Train) -> AttentionNetwork:
        """The network, its weights drawn from torch's random state."""
        assert section.attention is not None
        return AttentionNetwork(sizes, section.inputs, section.attention)

    @staticmethod
    def seen(features: Features) -> Features:
        """The grid of the pictures where there is one: it has no augmented views."""
        if features.grid is None:
            return features
        return Features(features.grid, np.empty((len(features.grid), 0, *features.grid.shape[1:]), np.float16))


MODEL = AttentionModel
