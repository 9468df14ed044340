"""How a caption feels: negative, neutral, positive."""

import functools
from collections.abc import Callable
from typing import NamedTuple

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
    polarity = _polarity()(caption)
    return Sentiment(max(0.0, -polarity), 1.0 - abs(polarity), max(0.0, polarity))


@functools.cache
def _polarity() -> Callable[[str], float]:
    analyser = optional("textblob.sentiments", "train.sentiment").PatternAnalyzer()
    return lambda caption: float(analyser.analyze(caption).polarity)
