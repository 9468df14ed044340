"""How alike posts are: cosines of centred vectors of their pictures, the words and the sentences of their captions."""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hashgen.features.posts import Blind, Inputs, Posts
from hashgen.text.words import tokenise
from hashgen.training import lookup
from hashgen.training.lookup import NONE, Lists, Postings

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.generic]]

# The name of all views together.
SUM = "sum"

# Vectors turned to float32 at once, similarities held at once, and posts that are looked up at once: bounds on memory.
# With four times as many similarities the nearest of 91,000 posts are found half as fast.
_BLOCK = 8192
_CELLS = 2**23
_LOOKED_UP = 64
# Words are compared by pieces of so many characters, so that "tomato" and "tomatoes" are alike.
_PIECE = 4
# The least squared length of a centred row of words: rounding errors would be all that a shorter one says.
_LEAST_SQUARE = 1e-4
# Of very many posts, those that each view proposes as the nearest, for each that is asked for.
_PROPOSED = 50


def blocks(total: int, size: int) -> Iterator[slice]:
    """`range(total)` in slices of at most `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def unit(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows (n, dim) of length 1 as float32; rows of zeros stay zeros."""
    wide = vectors.astype(np.float32)
    wide /= lengths(wide)[:, None]
    return wide


def lengths(vectors: Floats) -> Floats:
    """Lengths (n,) of rows (n, dim); 1 for rows of zeros."""
    found: Floats = np.linalg.norm(vectors, axis=1)
    found[found == 0] = 1
    return found


class DenseView:
    """Vectors of known posts: of length 1, minus their mean, of length 1 again.

    Vectors of pictures all share a direction; without it, what is left tells one picture from another.
    """

    def __init__(self, mean: Floats, known: npt.NDArray[np.floating], lists: Lists | None = None) -> None:
        self._mean = mean
        # (train, dim), of length 1: values that float16 has, so that they can be kept as such, and very many are.
        self._known = known
        self._lists = lists

    def __len__(self) -> int:
        return len(self._known)

    @classmethod
    def fit(cls, vectors: npt.NDArray[np.floating], rows: npt.NDArray[np.int64]) -> Self:
        """Learn the mean of the vectors (n, dim) in `rows`, and keep them."""
        total = np.zeros(vectors.shape[1], np.float64)
        for block in blocks(len(rows), _BLOCK):
            total += unit(vectors[rows[block]]).sum(axis=0, dtype=np.float64)
        many = len(rows) > lookup.MOST_COMPARED
        known = np.empty((len(rows), vectors.shape[1]), np.float16 if many else np.float32)
        view = cls((total / len(rows)).astype(np.float32), known)
        for block in blocks(len(rows), _BLOCK):
            known[block] = view._centred(vectors[rows[block]]).astype(np.float16)
        if many:
            view._lists = Lists.fit(known)
        return view

    def over(self, vectors: npt.NDArray[np.floating]) -> Self:
        """A view of other known posts, vectors (n, dim), about the same mean."""
        return type(self)(self._mean, self._centred(vectors))

    def part(self, rows: npt.NDArray[np.int64]) -> Self:
        """A view of some of the known posts."""
        return type(self)(self._mean, self._known[rows].astype(np.float32))

    def similarities(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Cosines (n, train) in -1..1 of vectors (n, dim) and those that are known."""
        asked = self._centred(vectors)
        if self._known.dtype == np.float32:
            found: Floats = asked @ self._known.T
            return found
        return np.hstack(
            [asked @ self._known[block].astype(np.float32).T for block in blocks(len(self._known), _BLOCK)]
        )

    def candidates(self, vectors: npt.NDArray[np.floating], count: int) -> Rows:
        """Known posts (n, count) that may be the nearest of vectors (n, dim); `NONE` where there are fewer."""
        assert self._lists is not None
        return self._lists.candidates(self._centred(vectors), count)

    def similarities_at(self, vectors: npt.NDArray[np.floating], rows: Rows) -> Floats:
        """`similarities` (n, count) with the known posts in `rows` (n, count) alone."""
        asked = self._centred(vectors)
        found = [self._known[one].astype(np.float32) @ vector for vector, one in zip(asked, rows, strict=True)]
        return np.stack(found)

    def _centred(self, vectors: npt.NDArray[np.floating]) -> Floats:
        return unit(unit(vectors) - self._mean)

    def arrays(self) -> Arrays:
        """What `from_arrays` needs; known vectors as float16."""
        arrays: Arrays = {"mean": self._mean, "known": self._known.astype(np.float16)}
        if self._lists is not None:
            arrays["lists"] = self._lists.array()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """A view with the same similarities, up to the rounding of float16."""
        mean, known = arrays["mean"], arrays["known"]
        if known.dtype != np.float16 or mean.dtype != np.float32:
            raise ValueError("vectors of another type than was written")
        if known.ndim != 2 or mean.shape != known.shape[1:]:
            raise ValueError("vectors and their mean differ in length")
        if len(known) > lookup.MOST_COMPARED:
            return cls(mean.astype(np.float32), known.view(np.float16), Lists.from_array(arrays["lists"], known.shape))
        return cls(mean.astype(np.float32), known.astype(np.float32))


class WordView:
    """TF-IDF of pieces of captions' words, centred as `DenseView` does it, though the rows stay sparse.

    A piece is 4 characters of a word, a space before and after it included; a shorter word is one piece. Of a caption,
    a piece counts 1 + log(times); its inverse document frequency is log((1 + posts) / (1 + posts with it)) + 1, as
    scikit-learn has both (`char_wb`, `sublinear_tf`).
    """

    def __init__(self, pieces: Sequence[str], weights: Floats, known: "csr_array", mean: Floats | None = None) -> None:
        self.pieces = list(pieces)
        self.weights = weights  # (pieces,)
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}
        self._known = known  # (train, pieces), rows of length 1 or 0
        self._mean: Floats = np.asarray(known.mean(axis=0), np.float32).ravel() if mean is None else mean
        self._square = float(self._mean @ self._mean)
        self._shift, self._length = self._against_mean(known)

    def __len__(self) -> int:
        return int(self._known.shape[0])

    @classmethod
    def fit(cls, captions: Sequence[str]) -> Self:
        """Learn pieces and weights from captions, and keep their rows."""
        counts = Counter(piece for caption in captions for piece in set(_pieces(caption)))
        pieces = sorted(counts)
        met = np.array([counts[piece] for piece in pieces], np.float64)
        weights = (np.log((1 + len(captions)) / (1 + met)) + 1).astype(np.float32)
        return cls(pieces, weights, _rows(captions, {piece: number for number, piece in enumerate(pieces)}, weights))

    def over(self, captions: Sequence[str]) -> Self:
        """A view of other known captions, by the same pieces and weights and about the same mean."""
        return type(self)(self.pieces, self.weights, self.rows(captions), self._mean)

    def part(self, rows: Rows) -> Self:
        """A view of some of the known posts."""
        return type(self)(self.pieces, self.weights, self._known[rows], self._mean)

    def rows(self, captions: Sequence[str]) -> "csr_array":
        """TF-IDF (n, pieces), each row of length 1, or 0 where no piece is known."""
        return _rows(captions, self._ids, self.weights)

    def similarities(self, captions: Sequence[str]) -> Floats:
        """Cosines (n, train) of centred rows; 0 for a caption without a known piece."""
        asked = self.rows(captions)
        shift, length = self._against_mean(asked)
        found = products(asked, self._by_piece)
        found -= shift[:, None]
        found -= self._shift[None, :]
        found += self._square
        found /= length[:, None]
        found /= self._length[None, :]
        found[np.diff(asked.indptr) == 0] = 0
        return found

    def candidates(self, captions: Sequence[str], count: int) -> Rows:
        """Known posts (n, count) that may be the nearest of captions (n); `NONE` where there are fewer."""
        return self._postings.candidates(self.rows(captions), count)

    @functools.cached_property
    def _by_piece(self) -> "csr_array":
        """(pieces, train), made once: of many posts that takes longer than a product with it."""
        return self._known.T.tocsr()

    @functools.cached_property
    def _postings(self) -> Postings:
        return Postings(self._by_piece)

    def similarities_at(self, captions: Sequence[str], rows: Rows) -> Floats:
        """`similarities` (n, count) with the known posts in `rows` (n, count) alone."""
        asked = self.rows(captions)
        shift, length = self._against_mean(asked)
        shared = [(self._known[one] @ asked[[place]].T).toarray().ravel() for place, one in enumerate(rows)]
        found: Floats = np.stack(shared) - shift[:, None] - self._shift[rows] + np.float32(self._square)
        found /= length[:, None] * self._length[rows]
        found[np.diff(asked.indptr) == 0] = 0
        return found

    def _against_mean(self, rows: "csr_array") -> tuple[Floats, Floats]:
        """Products of rows with the mean row, and the lengths of the rows without it."""
        shift: Floats = np.asarray(rows @ self._mean, np.float32)
        squares = np.asarray(rows.multiply(rows).sum(axis=1), np.float32).ravel()
        return shift, np.sqrt(np.maximum(squares - 2 * shift + self._square, np.float32(_LEAST_SQUARE)))

    def arrays(self) -> Arrays:
        """What `from_arrays` needs besides the pieces."""
        known = self._known
        return {
            "weights": self.weights,
            "data": known.data,
            "indices": known.indices.astype(np.int32),
            "indptr": known.indptr.astype(np.int64),
        }

    @classmethod
    def from_arrays(cls, pieces: Sequence[str], arrays: Arrays) -> Self:
        """A view with the same similarities."""
        from scipy.sparse import csr_array

        shape = (len(arrays["indptr"]) - 1, len(pieces))
        known = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        known.check_format(full_check=True)
        if len(arrays["weights"]) != len(pieces):
            raise ValueError("pieces of words and their weights differ in number")
        return cls(pieces, arrays["weights"].astype(np.float32), known)


def products(asked: "csr_array", known: "csr_array") -> Floats:
    """The product (n, train), float32, of two matrices in compressed sparse rows, (n, words) and (words, train)."""
    found = np.empty((asked.shape[0], known.shape[1]), np.float32)
    # Row by row: a product of two sparse matrices takes six times as long.
    for place, (start, end) in enumerate(itertools.pairwise(asked.indptr)):
        found[place] = known[asked.indices[start:end]].T @ asked.data[start:end]
    return found


def _pieces(text: str) -> list[str]:
    return [piece for word in tokenise(text) for piece in _pieces_of(word)]


@functools.lru_cache(2**16)
def _pieces_of(word: str) -> tuple[str, ...]:
    padded = f" {word} "
    return tuple(padded[start : start + _PIECE] for start in range(max(1, len(padded) - _PIECE + 1)))


def _rows(captions: Sequence[str], ids: Mapping[str, int], weights: Floats) -> "csr_array":
    from scipy.sparse import csr_array

    data: list[Floats] = []
    indices: list[npt.NDArray[np.int32]] = []
    for caption in captions:
        counts = Counter(ids[piece] for piece in _pieces(caption) if piece in ids)
        numbers = np.array(sorted(counts), np.int32)
        row = (1 + np.log(np.array([counts[number] for number in numbers.tolist()], np.float32))) * weights[numbers]
        data.append(row / (np.linalg.norm(row) or 1))
        indices.append(numbers)
    ends = np.cumsum([0, *map(len, indices)])
    values = np.concatenate([*data, np.empty(0, np.float32)]), np.concatenate([*indices, np.empty(0, np.int32)])
    return csr_array((*values, ends), shape=(len(captions), len(ids)))


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

    @property
    def kernels(self) -> list[str]:
        """The names of the views and, of two or more, that of their sum; the last one is of all together."""
        return [*self.names, SUM] if len(self.names) > 1 else self.names

    def part(self, rows: Rows) -> Self:
        """Views of some of the known posts."""
        parts = (None if view is None else view.part(rows) for view in (self.picture, self.words, self.sentences))
        return type(self)(*parts)  # type: ignore[arg-type]

    def similarities(self, posts: Posts, blind: Blind | None = None) -> dict[str, Floats]:
        """Cosines (n, train) by view; zeros for what the model is blind to, as for posts that are like no other."""
        found: dict[str, Floats] = {}
        for name, (view, what) in self._seen(posts).items():
            blinded = _is_blind(name, blind)
            found[name] = np.zeros((len(what), len(view)), np.float32) if blinded else view.similarities(what)
        return found

    def _seen(self, posts: Posts) -> dict[str, tuple[Any, Any]]:
        """Each view, and what it sees of posts."""
        seen: dict[str, tuple[Any, Any]] = {}
        if self.picture is not None:
            seen["picture"] = self.picture, posts.features.plain[posts.rows]
        if self.words is not None:
            seen["words"] = self.words, posts.captions
        if self.sentences is not None:
            if posts.sentences is None:
                raise ValueError("posts without the sentence vectors that the model learnt with")
            seen["sentences"] = self.sentences, posts.sentences
        return seen

    def nearest(
        self,
        posts: Posts,
        counts: Mapping[str, int],
        blind: Blind | None = None,
        groups: tuple[Rows, Rows] | None = None,
    ) -> dict[str, "Near"]:
        """The nearest known posts by each of the `kernels` in `counts`: so many, or all where there are fewer.

        groups: of the posts (n,) and of the known ones (train,); those of a post's own group are not near. Exact up to
        `lookup.MOST_COMPARED` known posts. Of more, each view proposes `_PROPOSED` times as many, and those alone are
        compared; docs/models.md says how many of the nearest are found.
        """
        many = len(self) > lookup.MOST_COMPARED
        find = self._look_up if many else self._compare
        found: dict[str, list[Near]] = {}
        for block in blocks(len(posts), _LOOKED_UP if many else max(1, min(256, _CELLS // len(self)))):
            own = None if groups is None else (groups[0][block], groups[1])
            for name, near in find(take(posts, np.arange(block.start, block.stop)), counts, blind, own).items():
                found.setdefault(name, []).append(near)
        return {name: Near.joined(parts) for name, parts in found.items()}

    def _compare(
        self,
        posts: Posts,
        counts: Mapping[str, int],
        blind: Blind | None,
        groups: tuple[Rows, Rows] | None,
    ) -> dict[str, "Near"]:
        found = with_sum(self.similarities(posts, blind))
        if groups is not None:
            own = groups[0][:, None] == groups[1][None, :]
            for similarities in found.values():
                similarities[own] = -np.inf
        return {name: nearest(found[name], count) for name, count in counts.items()}

    def _look_up(
        self,
        posts: Posts,
        counts: Mapping[str, int],
        blind: Blind | None,
        groups: tuple[Rows, Rows] | None,
    ) -> dict[str, "Near"]:
        seen = self._seen(posts)
        reads = [pair for name, pair in seen.items() if not _is_blind(name, blind)]
        most = max(counts.values())
        proposed = [view.candidates(what, _PROPOSED * most) for view, what in reads]
        rows = np.hstack([np.full((len(posts), most), NONE), *proposed])
        rows.sort(axis=1)
        rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = NONE
        places = np.maximum(rows, 0)
        out = rows == NONE
        if groups is not None:
            out |= groups[0][:, None] == groups[1][places]
        found: dict[str, Floats] = {}
        for name, (view, what) in seen.items():
            found[name] = (
                np.zeros(rows.shape, np.float32) if _is_blind(name, blind) else view.similarities_at(what, places)
            )
        found, result = with_sum(found), {}
        for name, count in counts.items():
            found[name][out] = -np.inf
            near = nearest(found[name], count)
            result[name] = Near(np.take_along_axis(places, near.rows, axis=1), near.similarities)
        return result

    def __len__(self) -> int:
        return next(len(view) for view in (self.picture, self.words, self.sentences) if view is not None)

    def arrays(self) -> Arrays:
        """What `from_arrays` needs besides the pieces of words."""
        parts = {"picture": self.picture, "words": self.words, "sentences": self.sentences}
        return {f"{name}.{key}": array for name, part in parts.items() if part for key, array in part.arrays().items()}

    @classmethod
    def from_arrays(cls, pieces: Sequence[str] | None, arrays: Arrays, dim: int) -> Self:
        """Views with the same similarities. Raises KeyError or ValueError for arrays that are not such.

        pieces: of words; None where captions are not read. dim: of a picture's features.
        """
        if "picture.known" in arrays and arrays["picture.known"].shape[1:] != (dim,):
            raise ValueError(f"vectors of pictures that are not {dim} long")

        def part(name: str) -> Arrays:
            return part_of(arrays, f"{name}.")

        return cls(
            DenseView.from_arrays(part("picture")) if part("picture") else None,
            None if pieces is None else WordView.from_arrays(pieces, part("words")),
            DenseView.from_arrays(part("sentences")) if part("sentences") else None,
        )


def _is_blind(view: str, blind: Blind | None) -> bool:
    return blind is not None and (view == "picture") == (blind == "image")


def with_sum(kernels: dict[str, Floats]) -> dict[str, Floats]:
    """Kernels by view and, of two or more, their sum, which is the last."""
    # One after the other: stacked first, large ones would take their memory twice.
    return kernels | {SUM: functools.reduce(np.add, kernels.values())} if len(kernels) > 1 else kernels


@dataclasses.dataclass(frozen=True)
class Near:
    """The nearest known posts: rows and similarities (n, count), the nearest first, of equals the earlier row.

    Those with a similarity of 0 or less are no neighbours, only there to fill up.
    """

    rows: Rows
    similarities: Floats

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of some posts, then those of others."""
        return cls(np.concatenate([one.rows for one in parts]), np.concatenate([one.similarities for one in parts]))

    def first(self, count: int) -> Self:
        """The nearest `count`."""
        return type(self)(self.rows[:, :count], self.similarities[:, :count])

    def some(self, posts: slice) -> Self:
        """Those of some of the posts."""
        return type(self)(self.rows[posts], self.similarities[posts])


def nearest(similarities: Floats, count: int) -> Near:
    """The nearest `count` of (n, train), or all where there are fewer; of equals those of the first rows."""
    count = min(count, similarities.shape[1])
    last = np.partition(similarities, -count, axis=1)[:, -count]
    found = [_at_least(row, least, count) for row, least in zip(similarities, last, strict=True)]
    rows = np.array(found, np.int64).reshape(-1, count)
    values = np.take_along_axis(similarities, rows, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return Near(np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1))


def _at_least(similarities: Floats, least: np.float32, count: int) -> Rows:
    """The `count` rows of (train,) with the highest similarities, in their order. least: the lowest of these."""
    rows = np.flatnonzero(similarities >= least)
    if len(rows) > count:
        found = similarities[rows]
        above = found > least
        first = rows[~above][: count - int(above.sum())]
        rows = np.sort(np.concatenate([rows[above], first]))
    return rows


def votes(near: Near, power: float, hashtags: "csr_array") -> Floats:
    """Votes (n, hashtags) of the nearest posts, whose weights are their similarity to a power and add up to 1.

    hashtags: (train, hashtags), what the vote of a post for each counts, 0 for those that it does not have; where all
    count 1, votes are shares. A post without similarity (<= 0) does not vote.
    """
    from scipy.sparse import csr_array

    order = np.argsort(near.rows, axis=1, kind="stable")
    rows = np.take_along_axis(near.rows, order, axis=1)
    weights = np.maximum(np.take_along_axis(near.similarities, order, axis=1), 0) ** power
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-12))
    ends = np.arange(len(rows) + 1) * rows.shape[1]
    voting = csr_array((weights.ravel(), rows.ravel(), ends), shape=(len(rows), hashtags.shape[0]))
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
