"""The paper's model: a frozen picture encoder's features and a caption LSTM start a decoder LSTM."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from hashgen.features.posts import Inputs
from hashgen.models.sequence import SequenceModel
from hashgen.params.train import Lstm, Train
from hashgen.text.vocabulary import PAD_ID
from hashgen.training.network import SequenceNetwork, Sizes


class LstmNetwork(SequenceNetwork):
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
        self.caption_lstm = nn.LSTM(sizes.dimension, hidden, layers, batch_first=True)
        self.join = nn.Linear(2 * hidden, hidden)
        self.first_state = nn.Linear(hidden, 2 * layers * hidden)
        self.hashtag_embedding = nn.Embedding(sizes.hashtag_count, sizes.dimension, padding_idx=PAD_ID)
        self.decoder_lstm = nn.LSTM(sizes.dimension + hidden, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, sizes.hashtag_count)
        self.dropout = nn.Dropout(section.dropout)
        self.register_buffer("picture_mean", torch.zeros(1, hidden))
        self.register_buffer("caption_mean", torch.zeros(1, hidden))

    def picture_vector(self, picture: Tensor) -> Tensor:
        """Encode picture features (batch, feature) as (batch, hidden)."""
        unit = nn.functional.normalize(self.picture_norm(picture), dim=1)  # (batch, feature)
        return torch.tanh(self.picture_projection(unit))  # (batch, hidden)

    def caption_vector(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Encode captions (batch, words) of the given lengths (batch,) as (batch, hidden)."""
        embedded = self.dropout(self.word_embedding(words))  # (batch, words, dimension)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.caption_lstm(packed)
        return hidden[-1]  # type: ignore[no-any-return]  # (batch, hidden)

    def start(self, picture: Tensor, caption: Tensor) -> tuple[Tensor, ...]:
        """State before the first hashtag: joined vector (batch, hidden), hidden and cell (batch, layers, hidden)."""
        joined = self.dropout(torch.tanh(self.join(torch.cat([picture, caption], dim=1))))  # (batch, hidden)
        first = self.first_state(joined).view(len(joined), 2, self.layers, -1)  # (batch, 2, layers, hidden)
        return joined, torch.tanh(first[:, 0]), first[:, 1]

    def step(self, state: tuple[Tensor, ...], tokens: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Feed tokens (batch,); returns the logits (batch, hashtags) of what follows, and the next state."""
        joined, hidden, cell = state
        below = torch.cat([self.dropout(self.hashtag_embedding(tokens)), joined], dim=1)  # (batch, dimension + hidden)
        hiddens, cells = [], []
        # The same weights cell by cell: a call of the whole LSTM for one step costs ten times as much.
        for layer, weights in enumerate(self.decoder_lstm.all_weights):
            below, following = torch.lstm_cell(below, (hidden[:, layer], cell[:, layer]), *weights)
            hiddens.append(below)
            cells.append(following)
        logits = self.output(self.dropout(below))  # (batch, hashtags)
        return logits, (joined, torch.stack(hiddens, dim=1), torch.stack(cells, dim=1))

    def forward(self, state: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """Feed whole sequences (batch, steps) by teacher forcing; returns logits (batch, steps, hashtags)."""
        joined, hidden, cell = state
        embedded = self.dropout(self.hashtag_embedding(tokens))  # (batch, steps, dimension)
        beside = joined.unsqueeze(1).expand(-1, tokens.shape[1], -1)  # (batch, steps, hidden)
        # The LSTM keeps layers in dimension 0; our state keeps the batch there, so that a beam can reorder it.
        before = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        output, _ = self.decoder_lstm(torch.cat([embedded, beside], dim=2), before)
        return self.output(self.dropout(output))  # type: ignore[no-any-return]  # (batch, steps, hashtags)


class LstmModel(SequenceModel):
    """The paper's model (`train.lstm`)."""

    @classmethod
    def build(cls, sizes: Sizes, section: Train) -> LstmNetwork:
        """The network, its weights drawn from torch's random state."""
        assert section.lstm is not None
        return LstmNetwork(sizes, section.inputs, section.lstm)


MODEL = LstmModel
