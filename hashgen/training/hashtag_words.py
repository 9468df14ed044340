"""The words that hashtags are made of, held against those of captions: what can be copied."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from hashgen.text.words import segment, tokenise, word_costs
from hashgen.training.similarity import Floats, flags


class HashtagWords:
    """words: those of each hashtag."""

    def __init__(self, words: Sequence[list[str]]) -> None:
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(sorted({word for one in words for word in one}))}
        self._matrix = flags([[self._ids[word] for word in set(one)] for one in words], len(self._ids))
        self._counts = np.maximum(np.diff(self._matrix.indptr), 1).astype(np.float32)

    @classmethod
    def of(cls, hashtags: Sequence[str]) -> Self:
        """Split hashtags into words (see `segment`)."""
        costs = word_costs("large")
        return cls([segment(hashtag, costs) for hashtag in hashtags])

    def shares(self, captions: Sequence[str]) -> Floats:
        """Which share of each hashtag's words stands in each caption: (n, hashtags), 0..1."""
        tokens = [[self._ids[word] for word in set(tokenise(one)) if word in self._ids] for one in captions]
        shares: Floats = (flags(tokens, len(self._ids)) @ self._matrix.T).toarray() / self._counts
        return shares
