"""The paper's encoder-decoder with attention: at each hashtag it looks again at the caption's words and the picture."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hashgen.features.posts import Inputs
from hashgen.models.sequence import SequenceModel
from hashgen.params.train import Attention, Train
from hashgen.text.vocabulary import PAD_ID
from hashgen.training.network import SequenceNetwork, Sizes


class AttentionNetwork(SequenceNetwork):
    """As the LSTM of the paper, but the decoder's output looks at what was read before it names a hashtag.

    Caption: the states of an LSTM, word by word. Picture: regions. Today they are made from the one pooled vector of a
    picture, a part of a linear layer each; a grid of features, one vector a place, would be a sequence of regions as
    well and need no other change (Kazemi & Elqursh 2017 attend over 14 x 14 places). Attention is over each of the two
    apart, by dot products, after the decoder's LSTM (Luong et al. 2015), so that a whole sequence is read at once.

    State, the batch first: joined vector (batch, hidden), regions (batch, regions, hidden), caption (batch, 1 + words,
    hidden), the decoder's hidden and cell (batch, layers, hidden).
    """

    def __init__(self, sizes: Sizes, inputs: Inputs, section: Attention) -> None:
        super().__init__()
        hidden, layers, regions = section.hidden, section.layers, section.regions
        self.inputs = inputs
        self.hashtag_count = sizes.hashtag_count
        self.layers = layers
        self.regions = regions
        self.picture_norm = nn.BatchNorm1d(sizes.feature, momentum=section.batch_norm_momentum)
        self.picture_projection = nn.Linear(sizes.feature, regions * hidden)
        self.word_embedding = nn.Embedding(sizes.word_count, sizes.dimension, padding_idx=PAD_ID)
        self.caption_lstm = nn.LSTM(sizes.dimension, hidden, layers, batch_first=True)
        self.join = nn.Linear(2 * hidden, hidden)
        self.first_state = nn.Linear(hidden, 2 * layers * hidden)
        self.hashtag_embedding = nn.Embedding(sizes.hashtag_count, sizes.dimension, padding_idx=PAD_ID)
        self.decoder_lstm = nn.LSTM(sizes.dimension + hidden, hidden, layers, batch_first=True)
        self.ask_picture = nn.Linear(hidden, hidden)
        self.ask_caption = nn.Linear(hidden, hidden)
        self.attend = nn.Linear(3 * hidden, hidden)
        self.output = nn.Linear(hidden, sizes.hashtag_count)
        self.dropout = nn.Dropout(section.dropout)
        self.register_buffer("picture_mean", torch.zeros(1, regions, hidden))
        self.register_buffer("caption_mean", torch.zeros(1, 1, hidden))

    def picture_vector(self, picture: Tensor) -> Tensor:
        """Encode picture features (batch, feature) as regions (batch, regions, hidden)."""
        unit = nn.functional.normalize(self.picture_norm(picture), dim=1)  # (batch, feature)
        return torch.tanh(self.picture_projection(unit)).view(len(picture), self.regions, -1)

    def caption_vector(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Encode captions (batch, words) of the given lengths (batch,) as (batch, 1 + words, hidden).

        First the whole caption (the last state), then a state a word. Padding is zero, which no state is.
        """
        embedded = self.dropout(self.word_embedding(words))  # (batch, words, dimension)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, (hidden, _) = self.caption_lstm(packed)
        return torch.cat([hidden[-1].unsqueeze(1), pad_packed_sequence(states, batch_first=True)[0]], dim=1)

    def gist(self, caption: Tensor) -> Tensor:
        """The whole caption (batch, 1, hidden) out of what `caption_vector` gives: a blind one has no words."""
        return caption[:, :1]

    def start(self, picture: Tensor, caption: Tensor) -> tuple[Tensor, ...]:
        """State before the first hashtag, from regions (batch, regions, hidden) and caption (batch, 1 + words, …)."""
        both = torch.cat([picture.mean(1), caption[:, 0]], dim=1)  # (batch, 2 * hidden)
        joined = self.dropout(torch.tanh(self.join(both)))  # (batch, hidden)
        first = self.first_state(joined).view(len(joined), 2, self.layers, -1)  # (batch, 2, layers, hidden)
        return joined, picture, caption, torch.tanh(first[:, 0]), first[:, 1]

    def step(self, state: tuple[Tensor, ...], tokens: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Feed tokens (batch,); returns the logits (batch, hashtags) of what follows, and the next state."""
        joined, picture, caption, hidden, cell = state
        below = torch.cat([self.dropout(self.hashtag_embedding(tokens)), joined], dim=1)  # (batch, dimension + hidden)
        hiddens, cells = [], []
        # The same weights cell by cell: a call of the whole LSTM for one step costs ten times as much.
        for layer, weights in enumerate(self.decoder_lstm.all_weights):
            below, following = torch.lstm_cell(below, (hidden[:, layer], cell[:, layer]), *weights)
            hiddens.append(below)
            cells.append(following)
        logits = self._name(below.unsqueeze(1), picture, caption).squeeze(1)  # (batch, hashtags)
        return logits, (joined, picture, caption, torch.stack(hiddens, dim=1), torch.stack(cells, dim=1))

    def forward(self, state: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """Feed whole sequences (batch, steps) by teacher forcing; returns logits (batch, steps, hashtags)."""
        joined, picture, caption, hidden, cell = state
        embedded = self.dropout(self.hashtag_embedding(tokens))  # (batch, steps, dimension)
        beside = joined.unsqueeze(1).expand(-1, tokens.shape[1], -1)  # (batch, steps, hidden)
        # The LSTM keeps layers in dimension 0; our state keeps the batch there, so that a beam can reorder it.
        before = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        output, _ = self.decoder_lstm(torch.cat([embedded, beside], dim=2), before)
        return self._name(output, picture, caption)

    def _name(self, output: Tensor, picture: Tensor, caption: Tensor) -> Tensor:
        """Logits (batch, steps, hashtags) of the decoder's output (batch, steps, hidden) and what it attends to."""
        there = caption.ne(0).any(2)  # (batch, 1 + words)
        # A caption that is not read at all is zero throughout: one place must be left to look at.
        there[:, 0] = True
        seen = scaled_dot_product_attention(self.ask_picture(output), picture, picture)  # (batch, steps, hidden)
        read = scaled_dot_product_attention(self.ask_caption(output), caption, caption, there.unsqueeze(1))
        attended = torch.tanh(self.attend(torch.cat([output, seen, read], dim=2)))  # (batch, steps, hidden)
        return self.output(self.dropout(attended))  # type: ignore[no-any-return]


class AttentionModel(SequenceModel):
    """The paper's model with attention (`train.attention`)."""

    @classmethod
    def build(cls, sizes: Sizes, section: Train) -> AttentionNetwork:
        """The network, its weights drawn from torch's random state."""
        assert section.attention is not None
        return AttentionNetwork(sizes, section.inputs, section.attention)


MODEL = AttentionModel
