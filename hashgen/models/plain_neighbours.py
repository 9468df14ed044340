"""Nearest neighbours: the hashtags of the training posts that are most like a post, by picture, caption or both."""

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from hashgen.base.files import read_json, require, write_json
from hashgen.features.posts import Blind, Features, Inputs, Labelled, Posts
from hashgen.models import Data, Model, Place, Ranking
from hashgen.models.habits import Habits, texts_by_post
from hashgen.text.words import tokenise
from hashgen.training.similarity import blocks, lengths, products, unit

if TYPE_CHECKING:
    import torch

    from hashgen.params.train import Train
    from hashgen.training.about import About

Similarities = npt.NDArray[np.float32]
Nearest = list[tuple[int, int]]  # (training post, weight), nearest first

# Similarities held at once, and picture features turned to float32 at once: the bound on memory.
_CELLS = 2**25
_BLOCK = 8192
# Similarities become whole numbers of this step, so that the last bits of the arithmetic separate no equals.
_STEP = 1e-6


class PlainNeighbours(Model):
    """The nearest training posts vote for their hashtags with their similarities; popular hashtags fill up.

    By picture: cosine of the plain features. By caption: cosine of TF-IDF over the caption's tokens, its vocabulary
    and weights from training captions. By both: the sum of the two after each has been standardised over the training
    posts (mean 0, deviation 1), since cosines of pictures may differ little where those of captions differ much.
    """

    def __init__(self, train: Labelled, inputs: Inputs, search: "PlainSearch") -> None:
        """search: among the training posts; several models may share one."""
        self.train = train
        self.inputs = inputs
        self.habits = Habits(train.hashtags)
        self.search = search

    @classmethod
    def fit(cls, data: Data, section: "Train", place: Place) -> Self:
        """Keep the training posts."""
        assert section.neighbours is not None
        return cls.of(data.train, section.inputs, section.neighbours.posts)

    @classmethod
    def of(cls, train: Labelled, inputs: Inputs, neighbours: int) -> Self:
        """A model with a search of its own; `neighbours` posts vote."""
        return cls(train, inputs, PlainSearch(train.posts, neighbours, (inputs,)))

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        """Hashtags by the sum of the similarities of the neighbours that have them; popular ones follow with 0."""
        return [vote(nearest, self.train.hashtags, self.habits, depth) for nearest in self.nearest(posts, blind)]

    def write(self, posts: Posts, blind: Blind | None = None) -> list[list[str]]:
        """The head of the ranking (see `Habits.write`)."""
        rankings = self.rank(posts, self.habits.length, blind)
        return [self.habits.write([hashtag for hashtag, _ in ranking]) for ranking in rankings]

    def nearest(self, posts: Posts, blind: Blind | None = None) -> list[Nearest]:
        """For each post the nearest training posts and their weights: similarities in millionths.

        A training post without similarity (<= 0) is no neighbour, so a post may have fewer than `neighbours`, even
        none; of equals the earlier row is nearer. Memory is bounded whatever the number of posts.
        """
        reads = self.inputs if blind is None else "caption" if blind == "image" else "image"
        if self.inputs not in ("both", reads):
            return [[] for _ in range(len(posts))]
        return self.search.nearest(posts, reads)

    def save(self, folder: Path) -> None:
        """Write `features.safetensors` and `posts.json`, the training posts."""
        plain = np.ascontiguousarray(self.train.posts.features.plain[self.train.posts.rows])
        save_file({"plain": plain}, folder / "features.safetensors")
        write_json(folder / "posts.json", {"captions": self.train.posts.captions, "hashtags": self.train.hashtags})

    @classmethod
    def load(cls, folder: Path, about: "About", device: "torch.device") -> Self:
        """Read what `save` wrote."""
        document = read_json(folder / "posts.json", "train")
        plain = load_file(require(folder / "features.safetensors", "train"))["plain"]
        captions, hashtags = document["captions"], texts_by_post(document["hashtags"])
        if not all(isinstance(caption, str) for caption in captions):
            raise ValueError("a caption is not a text")
        if plain.dtype != np.float16 or plain.shape != (len(captions), about.recipe.dim):
            raise ValueError("features.safetensors has other features than model.json and posts.json say")
        if len(captions) != len(hashtags):
            raise ValueError("captions and hashtags differ in number")
        features = Features(plain, np.empty((len(plain), 0, plain.shape[1]), np.float16))
        posts = Posts(features, np.arange(len(plain)), captions)
        section = about.section
        assert section.neighbours is not None
        return cls.of(Labelled(posts, hashtags), section.inputs, section.neighbours.posts)


MODEL = PlainNeighbours


class PlainSearch:
    """The nearest of some posts, by picture, by caption or by both (`ways`): asked for one, all are found at once."""

    def __init__(self, train: Posts, neighbours: int, ways: Sequence[Inputs]) -> None:
        self._train = train
        self._neighbours = neighbours
        self._ways = ways
        self._last: tuple[Posts, dict[Inputs, list[Nearest]]] | None = None

    def nearest(self, posts: Posts, way: Inputs) -> list[Nearest]:
        """See `PlainNeighbours.nearest`."""
        # `rank` and `write` ask for the same posts one after the other.
        if self._last is None or self._last[0] is not posts or way not in self._last[1]:
            self._last = posts, self._find(posts, self._ways if way in self._ways else (way,))
        return self._last[1][way]

    def _find(self, posts: Posts, ways: Sequence[Inputs]) -> dict[Inputs, list[Nearest]]:
        found: dict[Inputs, list[Nearest]] = {way: [] for way in ways}
        for chunk in blocks(len(posts), max(1, _CELLS // len(self._train))):
            similarities: dict[Inputs, Similarities] = {}
            if {"both", "image"} & set(ways):
                similarities["image"] = self._by_picture(posts, chunk)
            if {"both", "caption"} & set(ways):
                similarities["caption"] = self._by_caption(posts, chunk)
            if "both" in ways:
                similarities["both"] = _standardised(similarities["image"]) + _standardised(similarities["caption"])
            for way in ways:
                found[way] += [_nearest(row, self._neighbours) for row in similarities[way]]
        return found

    def _by_picture(self, posts: Posts, chunk: slice) -> Similarities:
        asked = unit(posts.features.plain[posts.rows[chunk]])
        known, rows = self._train.features.plain, self._train.rows
        similarities = np.empty((len(asked), len(rows)), np.float32)
        for block in blocks(len(rows), _BLOCK):
            similarities[:, block] = asked @ known[rows[block]].astype(np.float32).T
        similarities /= self._lengths
        return similarities

    @functools.cached_property
    def _lengths(self) -> npt.NDArray[np.float32]:
        """Lengths (train,) of the known pictures' features; kept, since every chunk needs them."""
        known, rows = self._train.features.plain, self._train.rows
        found = [lengths(known[rows[block]].astype(np.float32)) for block in blocks(len(rows), _BLOCK)]
        return np.concatenate(found)

    def _by_caption(self, posts: Posts, chunk: slice) -> Similarities:
        if self._tfidf is None:
            return np.zeros((chunk.stop - chunk.start, len(self._train)), np.float32)
        vectoriser, by_token = self._tfidf
        return products(vectoriser.transform(posts.captions[chunk]), by_token)

    @functools.cached_property
    def _tfidf(self) -> tuple[Any, Any] | None:
        """Vectoriser, and sparse columns (tokens, train) of length 1, or 0; None if no training caption has a token."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        if not any(map(tokenise, self._train.captions)):
            return None
        vectoriser = TfidfVectorizer(analyzer=tokenise, dtype=np.float32)
        return vectoriser, vectoriser.fit_transform(self._train.captions).T.tocsr()


def vote(nearest: Nearest, hashtags: Sequence[Sequence[str]], habits: Habits, depth: int) -> Ranking:
    """Hashtags by the sum of their weights, equals by frequency, then popular ones with 0, `depth` in all.

    hashtags: those of each training post.
    """
    votes: Counter[str] = Counter()
    for row, weight in nearest:
        votes.update(dict.fromkeys(hashtags[row], weight))
    ranking = sorted(votes, key=lambda hashtag: (-votes[hashtag], habits.popular[hashtag]))
    return [(hashtag, votes[hashtag] * _STEP) for hashtag in habits.fill(ranking, depth)]


def _standardised(similarities: Similarities) -> Similarities:
    """Rows (posts, train) with mean 0 and deviation 1; 0 where all are (nearly) equal."""
    centred: Similarities = similarities - similarities.mean(axis=1, keepdims=True)
    deviation = np.linalg.norm(centred, axis=1, keepdims=True) / np.sqrt(np.float32(centred.shape[1]))
    # In place, as blocks are large.
    centred *= np.where(deviation > _STEP, 1 / np.maximum(deviation, _STEP), np.float32(0))
    return centred


def _nearest(similarities: Similarities, neighbours: int) -> Nearest:
    """(row, weight) of the most similar of (train,), nearest first; of equals the first row."""
    count = min(neighbours, len(similarities))
    last = np.partition(similarities, -count)[-count]
    # Few come near; only these are made whole numbers.
    rows = np.flatnonzero(similarities >= last - 2 * _STEP)
    weights = np.rint(similarities[rows] / _STEP).astype(np.int64)
    order = np.argsort(-weights, kind="stable")[:neighbours]
    order = order[weights[order] > 0]
    return list(zip(rows[order].tolist(), weights[order].tolist(), strict=True))
