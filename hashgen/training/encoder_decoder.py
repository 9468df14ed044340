"""What the paper's network and that with attention share: an LSTM that reads a caption, another that writes."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from hashgen.training.network import SequenceNetwork, beside


class EncoderDecoder(SequenceNetwork):
    """A caption LSTM and a decoder LSTM; a subclass makes the layers and says what is joined and named."""

    layers: int
    caption_lstm: nn.LSTM
    first_state: nn.Linear
    decoder_lstm: nn.LSTM
    dropout: nn.Dropout

    def read(self, words: Tensor, lengths: Tensor, sentiment: Tensor | None) -> tuple[PackedSequence, Tensor]:
        """Captions (batch, words) of the given lengths: the state after each word, and the last (batch, hidden)."""
        embedded = beside(self.dropout(self.word_embedding(words)), sentiment)  # (batch, words, dimension)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, (hidden, _) = self.caption_lstm(packed)
        return states, hidden[-1]

    def begin(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's first hidden and cell (batch, layers, hidden) from the joined vector (batch, hidden)."""
        first = self.first_state(joined).view(len(joined), 2, self.layers, -1)  # (batch, 2, layers, hidden)
        return torch.tanh(first[:, 0]), first[:, 1]

    def advance(self, joined: Tensor, hidden: Tensor, cell: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feed tokens (batch,): the decoder's output (batch, hidden), its next hidden and cell."""
        below = torch.cat([self.dropout(self.hashtag_embedding(tokens)), joined], dim=1)  # (batch, dimension + hidden)
        hiddens, cells = [], []
        # The same weights cell by cell: a call of the whole LSTM for one step costs ten times as much.
        for layer, weights in enumerate(self.decoder_lstm.all_weights):
            below, following = torch.lstm_cell(below, (hidden[:, layer], cell[:, layer]), *weights)
            hiddens.append(below)
            cells.append(following)
        return below, torch.stack(hiddens, dim=1), torch.stack(cells, dim=1)

    def advance_through(self, joined: Tensor, hidden: Tensor, cell: Tensor, tokens: Tensor) -> Tensor:
        """Feed whole sequences (batch, steps): the decoder's outputs (batch, steps, hidden)."""
        embedded = beside(self.dropout(self.hashtag_embedding(tokens)), joined)  # (batch, steps, dimension + hidden)
        # The LSTM keeps layers in dimension 0; our state keeps the batch there, so that a beam can reorder it.
        before = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        output, _ = self.decoder_lstm(embedded, before)
        return output  # type: ignore[no-any-return]
