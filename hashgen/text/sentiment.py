"""How a caption feels: negative, neutral, positive."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hashgen.base.optional import optional


class Sentiment(NamedTuple):
    """Shares of the three, each 0..1; together they make 1."""

    negative: float
    neutral: float
    positive: float


@functools.cache
def sentiment(caption: str) -> Sentiment:
    """The sentiment of a cleaned caption, by TextBlob's lexicon of English words; it needs no network.

    Its polarity p, -1..1, is the mean over the caption's words that the lexicon knows, negations turned round:
    the negative share is -p or the positive one p, what is left is neutral. A caption without such words is neutral.
    Raises HashgenError when TextBlob is not installed.
    """
    polarity, _ = _analyse()(caption)
    return Sentiment(max(0.0, -polarity), 1.0 - abs(polarity), max(0.0, polarity))


def sentiments(captions: Sequence[str]) -> npt.NDArray[np.float32]:
    """What models read of captions, (n, 2): polarity, -1..1, and subjectivity, 0..1, by the same lexicon.

    Both are 0 for a caption without a word of the lexicon. Raises HashgenError as `sentiment`.
    """
    analyse = _analyse()
    return np.array([analyse(caption) for caption in captions], np.float32).reshape(-1, 2)


@functools.cache
def _analyse() -> Callable[[str], tuple[float, float]]:
    analyser = optional("textblob.sentiments", "train.sentiment").PatternAnalyzer()

    def analyse(caption: str) -> tuple[float, float]:
        found = analyser.analyze(caption)
        return float(found.polarity), float(found.subjectivity)

    return analyse
