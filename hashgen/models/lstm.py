"""The paper's model: a frozen picture encoder's features and a caption LSTM start a decoder LSTM."""

import torch
from torch import Tensor, nn

from hashgen.features.posts import Inputs
from hashgen.models.sequence import SequenceModel
from hashgen.params.train import Lstm, Train
from hashgen.text.vocabulary import PAD_ID
from hashgen.training.encoder_decoder import EncoderDecoder
from hashgen.training.network import ALL, ALL_KEPT, Kept, Sizes, drop


class LstmNetwork(EncoderDecoder):
    """Picture and caption in, hashtags out (Tambwekar & Dharur 2019, sections 3 and 4).

    Picture: pooled features, batch norm, a projection. Caption: embeddings and an LSTM, its last hidden state. Both
    are joined by one layer into a vector that sets the decoder's first state and stands beside each of its inputs.

    Ours, since the paper does not say: how the two are joined, the tanh after each layer, dropout, and scaling the
    normed features to length 1 (as Kazemi & Elqursh 2017 do). Without the last, one step of Adam over 2,048
    correlated features saturates the projection, and the caption is never learnt.
    """

    def __init__(self, sizes: Sizes, inputs: Inputs, section: Lstm) -> None:
        super().__init__()
        hidden, layers = section.hidden, section.layers
        self.inputs = inputs
        self.hashtag_count = sizes.hashtag_count
        self.layers = layers
        self.picture_norm = nn.BatchNorm1d(sizes.feature, momentum=section.batch_norm_momentum)
        self.picture_projection = nn.Linear(sizes.feature, hidden)
        self.word_embedding = nn.Embedding(sizes.word_count, sizes.dimension, padding_idx=PAD_ID)
        self.caption_lstm = nn.LSTM(sizes.dimension + sizes.sentiment, hidden, layers, batch_first=True)
        self.join = nn.Linear(2 * hidden, hidden)
        self.first_state = nn.Linear(hidden, 2 * layers * hidden)
        self.hashtag_embedding = nn.Embedding(sizes.hashtag_count, sizes.dimension, padding_idx=PAD_ID)
        self.decoder_lstm = nn.LSTM(sizes.dimension + hidden, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, sizes.hashtag_count)
        self.dropout = section.dropout
        self.register_buffer("picture_mean", torch.zeros(1, hidden))
        self.register_buffer("caption_mean", torch.zeros(1, hidden))

    def picture_vector(self, picture: Tensor, rows: slice = ALL) -> Tensor:
        """Encode picture features (batch, feature) as (rows, hidden)."""
        unit = nn.functional.normalize(self.picture_norm(picture)[rows], dim=1)  # (rows, feature)
        return torch.tanh(self.picture_projection(unit))  # (rows, hidden)

    def caption_vector(
        self, words: Tensor, lengths: Tensor, sentiment: Tensor | None = None, kept: Kept = ALL_KEPT
    ) -> Tensor:
        """Encode captions (batch, words) of the given lengths (batch,) and sentiment (batch, 2) as (batch, hidden)."""
        return self.read(words, lengths, sentiment, kept)[1]

    def start(self, picture: Tensor, caption: Tensor, kept: Kept = ALL_KEPT) -> tuple[Tensor, ...]:
        """State before the first hashtag: joined vector (batch, hidden), and what `begin` makes of it."""
        joined = torch.tanh(self.join(torch.cat([picture, caption], dim=1)))  # (batch, hidden)
        joined = drop(joined, kept.joined)
        return joined, *self.begin(joined)

    def step(
        self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Feed tokens (batch,); returns the logits (batch, hashtags) of what follows, and the next state."""
        joined, given, hidden, cell = state
        output, hidden, cell = self.advance(given, hidden, cell, tokens, kept.hashtags)
        return self.output(drop(output, kept.output)), (joined, given, hidden, cell)

    def forward(self, state: tuple[Tensor, ...], tokens: Tensor, kept: Kept = ALL_KEPT) -> Tensor:
        """Feed whole sequences (batch, steps) by teacher forcing; returns logits (batch, steps, hashtags)."""
        joined, _, hidden, cell = state
        output = self.advance_through(joined, hidden, cell, tokens, kept.hashtags)  # (batch, steps, hidden)
        return self.output(drop(output, kept.output))  # type: ignore[no-any-return]


class LstmModel(SequenceModel):
    """The paper's model (`train.lstm`)."""

    @classmethod
    def build(cls, sizes: Sizes, section: Train) -> LstmNetwork:
        """The network, its weights drawn from torch's random state."""
        assert section.lstm is not None
        return LstmNetwork(sizes, section.inputs, section.lstm)


MODEL = LstmModel
