"""How alike posts are: cosines of centred vectors of their pictures, caption words and caption sentences."""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from hashgen.features.posts import Blind, Inputs, Posts
from hashgen.text.words import tokenise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

# The name of all views together.
SUM = "sum"

# Vectors turned to float32 at once: the bound on memory.
_BLOCK = 8192


def blocks(total: int, size: int) -> Iterator[slice]:
    """`range(total)` in slices of at most `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def unit(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows (n, dim) of length 1 as float32; rows of zeros stay zeros."""
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    wide /= lengths
    return wide


class DenseView:
    """Vectors of known posts: of length 1, minus their mean, of length 1 again.

    Vectors of pictures all share a direction; without it, what is left tells one picture from another.
    """

    def __init__(self, mean: Floats, known: Floats) -> None:
        self._mean = mean
        self._known = known  # (train, dim), of length 1; as float16 has them, so that they can be kept as such

    @classmethod
    def fit(cls, vectors: npt.NDArray[np.floating], rows: npt.NDArray[np.int64]) -> Self:
        """Learn the mean of the vectors (n, dim) in `rows`, and keep them."""
        total = np.zeros(vectors.shape[1], np.float64)
        for block in blocks(len(rows), _BLOCK):
            total += unit(vectors[rows[block]]).sum(axis=0, dtype=np.float64)
        view = cls((total / len(rows)).astype(np.float32), np.empty((len(rows), vectors.shape[1]), np.float32))
        for block in blocks(len(rows), _BLOCK):
            view._known[block] = view._centred(vectors[rows[block]]).astype(np.float16)
        return view

    def over(self, vectors: npt.NDArray[np.floating]) -> Self:
        """A view of other known posts, vectors (n, dim), about the same mean."""
        return type(self)(self._mean, self._centred(vectors))

    def similarities(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Cosines (n, train) in -1..1 of vectors (n, dim) and those that are known."""
        asked = self._centred(vectors)
        return asked @ self._known.T

    def _centred(self, vectors: npt.NDArray[np.floating]) -> Floats:
        return unit(unit(vectors) - self._mean)

    def arrays(self) -> Arrays:
        """What `from_arrays` needs; known vectors as float16."""
        return {"mean": self._mean, "known": self._known.astype(np.float16)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """A view with the same similarities, up to the rounding of float16."""
        mean, known = arrays["mean"], arrays["known"]
        if known.dtype != np.float16 or mean.dtype != np.float32:
            raise ValueError("vectors of another type than was written")
        if known.ndim != 2 or mean.shape != known.shape[1:]:
            raise ValueError("vectors and their mean differ in length")
        return cls(mean.astype(np.float32), known.astype(np.float32))


class WordView:
    """TF-IDF of captions' words, centred as `DenseView` does it, though the rows stay sparse.

    The inverse document frequency is log((1 + posts) / (1 + posts with the word)) + 1, as scikit-learn has it.
    """

    def __init__(self, words: Sequence[str], weights: Floats, known: "csr_array", mean: Floats | None = None) -> None:
        self.words = list(words)
        self.weights = weights  # (words,)
        self._ids = {word: number for number, word in enumerate(self.words)}
        self._known = known  # (train, words), rows of length 1 or 0
        self._mean: Floats = np.asarray(known.mean(axis=0), np.float32).ravel() if mean is None else mean
        self._square = float(self._mean @ self._mean)
        self._shift, self._length = self._against_mean(known)

    @classmethod
    def fit(cls, captions: Sequence[str]) -> Self:
        """Learn words and weights from captions, and keep their rows."""
        tokens = [tokenise(caption) for caption in captions]
        counts = Counter(word for one in tokens for word in set(one))
        words = sorted(counts)
        met = np.array([counts[word] for word in words], np.float64)
        weights = (np.log((1 + len(captions)) / (1 + met)) + 1).astype(np.float32)
        return cls(words, weights, _rows(tokens, {word: number for number, word in enumerate(words)}, weights))

    def over(self, captions: Sequence[str]) -> Self:
        """A view of other known captions, by the same words and weights and about the same mean."""
        return type(self)(self.words, self.weights, self.rows(captions), self._mean)

    def rows(self, captions: Sequence[str]) -> "csr_array":
        """TF-IDF (n, words), each row of length 1, or 0 where no word is known."""
        return _rows([tokenise(caption) for caption in captions], self._ids, self.weights)

    def similarities(self, captions: Sequence[str]) -> Floats:
        """Cosines (n, train) of centred rows; 0 for a caption without a known word."""
        asked = self.rows(captions)
        shift, length = self._against_mean(asked)
        found: Floats = (asked @ self._known.T).toarray()  # (n, train)
        found -= shift[:, None]
        found -= self._shift[None, :]
        found += self._square
        found /= length[:, None]
        found /= self._length[None, :]
        found[np.diff(asked.indptr) == 0] = 0
        return found

    def _against_mean(self, rows: "csr_array") -> tuple[Floats, Floats]:
        """Products of rows with the mean row, and the lengths of the rows without it."""
        shift: Floats = np.asarray(rows @ self._mean, np.float32)
        squares = np.asarray(rows.multiply(rows).sum(axis=1), np.float32).ravel()
        return shift, np.sqrt(np.maximum(squares - 2 * shift + self._square, np.float32(1e-6)))

    def arrays(self) -> Arrays:
        """What `from_arrays` needs besides the words."""
        known = self._known
        return {
            "weights": self.weights,
            "data": known.data,
            "indices": known.indices.astype(np.int32),
            "indptr": known.indptr.astype(np.int64),
        }

    @classmethod
    def from_arrays(cls, words: Sequence[str], arrays: Arrays) -> Self:
        """A view with the same similarities."""
        from scipy.sparse import csr_array

        shape = (len(arrays["indptr"]) - 1, len(words))
        known = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        known.check_format(full_check=True)
        if len(arrays["weights"]) != len(words):
            raise ValueError("words and their weights differ in number")
        return cls(words, arrays["weights"].astype(np.float32), known)


def _rows(tokens: Sequence[Sequence[str]], ids: Mapping[str, int], weights: Floats) -> "csr_array":
    from scipy.sparse import csr_array

    data: list[float] = []
    indices: list[int] = []
    ends = [0]
    for one in tokens:
        counts = Counter(ids[word] for word in one if word in ids)
        numbers = sorted(counts)
        row = np.array([counts[number] for number in numbers], np.float32) * weights[numbers]
        data += (row / (np.linalg.norm(row) or 1)).tolist()
        indices += numbers
        ends.append(len(indices))
    shape = (len(tokens), len(ids))
    values = (np.array(data, np.float32), np.array(indices, np.int32), np.array(ends, np.int64))
    return csr_array(values, shape=shape)


class Views:
    """The views of what a model reads: `picture`, `words` and, if posts have them, `sentences`."""

    def __init__(self, picture: DenseView | None, words: WordView | None, sentences: DenseView | None) -> None:
        self.picture = picture
        self.words = words
        self.sentences = sentences

    @classmethod
    def fit(cls, posts: Posts, inputs: Inputs) -> Self:
        """Learn from training posts."""
        picture = None if inputs == "caption" else DenseView.fit(posts.features.plain, posts.rows)
        if inputs == "image":
            return cls(picture, None, None)
        sentences = None
        if posts.sentences is not None:
            sentences = DenseView.fit(posts.sentences, np.arange(len(posts)))
        return cls(picture, WordView.fit(posts.captions), sentences)

    def over(self, posts: Posts) -> Self:
        """Views of other known posts, as these see them."""
        sentences = None
        if self.sentences is not None and posts.sentences is not None:
            sentences = self.sentences.over(posts.sentences)
        return type(self)(
            None if self.picture is None else self.picture.over(posts.features.plain[posts.rows]),
            None if self.words is None else self.words.over(posts.captions),
            sentences,
        )

    @property
    def names(self) -> list[str]:
        """The names of the views there are, in a fixed order."""
        named = {"picture": self.picture, "words": self.words, "sentences": self.sentences}
        return [name for name, view in named.items() if view is not None]

    def similarities(self, posts: Posts, blind: Blind | None = None) -> dict[str, Floats]:
        """Cosines (n, train) by view; zeros for what the model is blind to, as for posts that are like no other."""
        found: dict[str, Floats] = {}
        if self.picture is not None:
            found["picture"] = self.picture.similarities(posts.features.plain[posts.rows])
        if self.words is not None:
            found["words"] = self.words.similarities(posts.captions)
        if self.sentences is not None:
            if posts.sentences is None:
                raise ValueError("posts without the sentence vectors that the model learnt with")
            found["sentences"] = self.sentences.similarities(posts.sentences)
        for name in found:
            if blind is not None and (name == "picture") == (blind == "image"):
                found[name] = np.zeros_like(found[name])
        return found

    def arrays(self) -> Arrays:
        """What `from_arrays` needs besides the words."""
        parts = {"picture": self.picture, "words": self.words, "sentences": self.sentences}
        return {f"{name}.{key}": array for name, part in parts.items() if part for key, array in part.arrays().items()}

    @classmethod
    def from_arrays(cls, words: Sequence[str] | None, arrays: Arrays, dim: int) -> Self:
        """Views with the same similarities. Raises KeyError or ValueError for arrays that are not such.

        dim: of a picture's features.
        """
        if "picture.known" in arrays and arrays["picture.known"].shape[1:] != (dim,):
            raise ValueError(f"vectors of pictures that are not {dim} long")

        def part(name: str) -> Arrays:
            return part_of(arrays, f"{name}.")

        return cls(
            DenseView.from_arrays(part("picture")) if part("picture") else None,
            None if words is None else WordView.from_arrays(words, part("words")),
            DenseView.from_arrays(part("sentences")) if part("sentences") else None,
        )


def with_sum(kernels: dict[str, Floats]) -> dict[str, Floats]:
    """Kernels by view and, of two or more, their sum, which is the last."""
    # One after the other: stacked first, large ones would take their memory twice.
    return kernels | {SUM: functools.reduce(np.add, kernels.values())} if len(kernels) > 1 else kernels


def votes(similarities: Floats, posts: int, power: float, hashtags: "csr_array") -> Floats:
    """Shares of the votes (n, hashtags) of the nearest `posts` of (n, train), weighted by similarity to a power.

    hashtags: (train, hashtags), 1 where a post has one. A post without similarity (<= 0) does not vote.
    """
    from scipy.sparse import csr_array

    count = min(posts, similarities.shape[1])
    nearest = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    nearest.sort(axis=1)
    weights = np.maximum(np.take_along_axis(similarities, nearest, axis=1), 0) ** power
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-12))
    ends = np.arange(len(nearest) + 1) * count
    voting = csr_array((weights.ravel(), nearest.ravel(), ends), shape=similarities.shape)
    found: Floats = (voting @ hashtags).toarray()
    return found


def flags(rows: Sequence[Sequence[int]], columns: int) -> "csr_array":
    """A sparse matrix with 1 at the given columns of each row."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *map(len, rows)])
    indices = np.array([number for row in rows for number in sorted(row)], np.int32)
    return csr_array((np.ones(len(indices), np.float32), indices, ends), shape=(len(rows), columns))


def arrays_of(matrix: "csr_array") -> Arrays:
    """What `flags_of` needs besides the number of columns."""
    return {"indices": matrix.indices.astype(np.int32), "indptr": matrix.indptr.astype(np.int64)}


def flags_of(arrays: Arrays, columns: int) -> "csr_array":
    """The matrix of `flags`. Raises KeyError or ValueError for arrays that are none."""
    from scipy.sparse import csr_array

    indices, ends = arrays["indices"], arrays["indptr"]
    if indices.dtype != np.int32 or ends.dtype != np.int64:
        raise ValueError("a matrix of other numbers than was written")
    matrix = csr_array((np.ones(len(indices), np.float32), indices, ends), shape=(len(ends) - 1, columns))
    matrix.check_format(full_check=True)
    return matrix


def take(posts: Posts, rows: npt.NDArray[np.int64]) -> Posts:
    """The posts at some places."""
    return posts.pair(rows.tolist(), rows.tolist())


def part_of(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
