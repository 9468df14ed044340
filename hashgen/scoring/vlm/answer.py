"""The hashtags in the answer of a language model, however it lays them out."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hashgen.text.captions import hashtags_of, normalise, normalise_hashtags, strip_emoji

# A piece of more words is a sentence, not a hashtag in words ("golden hour").
_MOST_WORDS = 3

# Some leave out where the thought begins, some break off within it.
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"(?:```|~~~)(?:\w*(?=\n)|json\b|text\b)?")
_NUMBER = re.compile(r"(?:^|(?<=\s))(?:[(\[]?\d{1,3}[.):\]]+(?!\d)|#\d{1,3}(?=\s))", re.MULTILINE)
_BULLET = re.compile(r"\s*[-*+•·]\s+")
_LABEL = re.compile(r"[^:,]{0,60}:(?=[\s*]|\Z)")
_COMMA = re.compile(r"[,;、|]")
_FRAME = " \t*_`\"'[]()"


def read_answer(text: str) -> list[str]:
    """The hashtags of an answer in the form of `hashtags_of`, each once, in its order; [] if it holds none.

    Understood are lines and commas, with `#` or without, numbers, bullets, quotes, labels and code fences around them,
    and JSON with lists. Where any hashtag has its `#`, the text around is no hashtag. Sentences hold none, nor does
    what a model thinks before it answers.
    """
    text = _FENCE.sub("", _THOUGHT.sub("", text)).strip()
    return normalise_hashtags(piece for value in _values(text) for piece in _pieces(value))


def _pieces(text: str) -> list[str]:
    """The hashtags of a text with `#`; without one, what stands in its lines, words of a piece written together."""
    if tagged := hashtags_of(text):
        return tagged
    lines = _NUMBER.sub("\n", normalise(strip_emoji(text))).split("\n")
    return [re.sub(r"[\s-]+", "", piece) for line in lines for piece in _pieces_of_line(line)]


def _pieces_of_line(line: str) -> list[str]:
    """The pieces of a line between commas; none if it is prose."""
    for before in (_BULLET, _LABEL):
        if found := before.match(line):
            line = line[found.end() :]
    line = line.strip(_FRAME)
    pieces = [piece.strip(_FRAME) for piece in _COMMA.split(line.rstrip("."))]
    is_sentence = line.endswith(("!", "?", ":")) or (line.endswith(".") and len(pieces) < 3)
    if is_sentence or any(len(piece.split()) > _MOST_WORDS for piece in pieces):
        return []
    return pieces


def _values(text: str) -> list[str]:
    """The strings in an answer that is JSON, or holds a JSON list or object in other text; else the text itself."""
    for opening, closing in (("", ""), ("[", "]"), ("{", "}")):
        start, end = text.find(opening), text.rfind(closing)
        try:
            document = json.loads(text[start : end + 1] if opening else text)
            if isinstance(document, list | dict) and (found := list(_strings(document))):
                return found
        except (ValueError, RecursionError):
            continue
    return [text]


def _strings(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list | dict):
        for value in document.values() if isinstance(document, dict) else document:
            yield from _strings(value)
