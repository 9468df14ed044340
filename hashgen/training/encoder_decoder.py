"""What the paper's network and that with attention share: an LSTM that reads a caption, another that writes."""

import torch
from torch import Tensor, nn

from hashgen.training.network import ALL_KEPT, Kept, SequenceNetwork, beside, drop, keep_factors


class EncoderDecoder(SequenceNetwork):
    """A caption LSTM and a decoder LSTM; a subclass makes the layers and says what is joined and named."""

    layers: int
    caption_lstm: nn.LSTM
    first_state: nn.Linear
    decoder_lstm: nn.LSTM
    dropout: float

    def draw(self, batch: int, words: int, steps: int) -> Kept:
        """What dropout leaves of a batch of so many posts, of so many words and steps: in evaluation mode all."""
        if not self.training or not self.dropout:
            return ALL_KEPT
        dimension, hidden = self.word_embedding.embedding_dim, self.decoder_lstm.hidden_size
        shapes = (batch, words, dimension), (batch, hidden), (batch, steps, dimension), (batch, steps, hidden)
        return Kept(*keep_factors(shapes, self.dropout, self.word_embedding.weight.device))

    def read(self, words: Tensor, lengths: Tensor, sentiment: Tensor | None, kept: Kept) -> tuple[Tensor, Tensor]:
        """Captions (batch, words) of the given lengths (batch,): the states after each word, and those after the last.

        The first are (batch, words, hidden), zero for padding; the second (batch, hidden). The LSTM reads the padding
        too, which it does faster than it leaves it out, and which no state of a word depends on.
        """
        embedded = drop(self.word_embedding(words), kept.words)  # (batch, words, dimension)
        states, _ = self.caption_lstm(beside(embedded, sentiment))  # (batch, words, hidden)
        last = states[torch.arange(len(words), device=words.device), lengths - 1]
        there = torch.arange(words.shape[1], device=words.device) < lengths.unsqueeze(1)  # (batch, words)
        return states * there.unsqueeze(2), last

    def begin(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's first hidden and cell (batch, layers, hidden) from the joined vector (batch, hidden)."""
        first = self.first_state(joined).view(len(joined), 2, self.layers, -1)  # (batch, 2, layers, hidden)
        return torch.tanh(first[:, 0]), first[:, 1]

    def advance(
        self, joined: Tensor, hidden: Tensor, cell: Tensor, tokens: Tensor, factors: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Feed tokens (batch,): the decoder's output (batch, hidden), its next hidden and cell.

        factors: (batch, dimension), of dropout.
        """
        below = torch.cat([drop(self.hashtag_embedding(tokens), factors), joined], dim=1)  # (batch, dimension + hidden)
        hiddens, cells = [], []
        # The same weights cell by cell: a call of the whole LSTM for one step costs ten times as much.
        for layer, weights in enumerate(self.decoder_lstm.all_weights):
            below, following = torch.lstm_cell(below, (hidden[:, layer], cell[:, layer]), *weights)
            hiddens.append(below)
            cells.append(following)
        return below, torch.stack(hiddens, dim=1), torch.stack(cells, dim=1)

    def advance_through(
        self, joined: Tensor, hidden: Tensor, cell: Tensor, tokens: Tensor, factors: Tensor | None
    ) -> Tensor:
        """Feed whole sequences (batch, steps): the decoder's outputs (batch, steps, hidden).

        factors: (batch, steps, dimension), of dropout.
        """
        embedded = beside(drop(self.hashtag_embedding(tokens), factors), joined)  # (batch, steps, dimension + hidden)
        # The LSTM keeps layers in dimension 0; our state keeps the batch there, so that a beam can reorder it.
        before = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        output, _ = self.decoder_lstm(embedded, before)
        return output  # type: ignore[no-any-return]
