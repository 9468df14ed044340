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

    def begin(self, joined: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `advance` needs of the joined vector (batch, hidden): the same at each step, first hidden, first cell.

        The first is what the vector gives to the gates of the decoder's first layer, with the biases: (batch, 4 *
        hidden). Hidden and cell: (batch, layers, hidden).
        """
        first = self.first_state(joined).view(len(joined), 2, self.layers, -1)  # (batch, 2, layers, hidden)
        weight, _, bias, other_bias = self.decoder_lstm.all_weights[0]
        given = nn.functional.linear(joined, weight[:, self.hashtag_embedding.embedding_dim :], bias + other_bias)
        return given, torch.tanh(first[:, 0]), first[:, 1]

    def advance(
        self, given: Tensor, hidden: Tensor, cell: Tensor, tokens: Tensor, factors: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Feed tokens (batch,): the decoder's output (batch, hidden), its next hidden and cell.

        given: see `begin`. factors: (batch, dimension), of dropout.
        """
        # Cell by cell: a call of the whole LSTM for one step costs ten times as much.
        first, *others = self.decoder_lstm.all_weights
        weight = first[0][:, : self.hashtag_embedding.embedding_dim].t()
        if factors is None and len(tokens) > self.hashtag_count:  # each hashtag once costs less than each post
            gates = (self.hashtag_embedding.weight @ weight)[tokens].add_(given)  # (batch, 4 * hidden)
        else:
            gates = torch.addmm(given, drop(self.hashtag_embedding(tokens), factors), weight)
        below, following = _cell(gates.addmm_(hidden[:, 0], first[1].t()), cell[:, 0])
        hiddens, cells = [below], [following]
        for layer, (weight, recurrent, bias, other_bias) in enumerate(others, start=1):
            gates = nn.functional.linear(below, weight, bias + other_bias)
            below, following = _cell(gates.addmm_(hidden[:, layer], recurrent.t()), cell[:, layer])
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


def _cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden and cell (batch, hidden) of an LSTM layer; gates: (batch, 4 * hidden), in the order of torch."""
    let_in, keep, _, let_out = gates.sigmoid().chunk(4, dim=1)
    following = torch.addcmul(keep * cell, let_in, gates.chunk(4, dim=1)[2].tanh())
    return let_out * following.tanh(), following
