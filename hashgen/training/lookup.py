"""Candidates for the nearest among very many known posts, found without comparing a post with all of them."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hashgen.base.optional import optional

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# Above so many known posts candidates are looked up. Comparing one post with 700,000 takes 62 ms.
MOST_COMPARED = 200_000
# The places of candidates that there are not.
NONE = -1
# Inverted lists: so many times the square root of the posts, and the share of them that is read for each post.
_LISTS = 4
_READ = 1 / 12
# Vectors that teach each list its centre.
_LEARNT_FROM = 40
# Pieces of words in more than this share of the posts are looked up only for captions without rarer ones.
_FREQUENT = 0.01
_BLOCK = 8192


class Lists:
    """Vectors in inverted lists (`faiss.IndexIVFScalarQuantizer`, 8 bits a number): those near one centre together."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def fit(cls, known: npt.NDArray[np.floating]) -> Self:
        """Learn centres from a part of the vectors (n, dim), drawn by a fixed seed, and sort in all.

        Raises HashgenError when faiss is not installed.
        """
        faiss = _faiss()
        dim = known.shape[1]
        lists = int(_LISTS * len(known) ** 0.5)
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        learnt = min(len(known), _LEARNT_FROM * lists)
        drawn = np.sort(np.random.default_rng(0).permutation(len(known))[:learnt])
        index.train(known[drawn].astype(np.float32))
        for start in range(0, len(known), _BLOCK):
            index.add(known[start : start + _BLOCK].astype(np.float32))
        return cls(index)

    def candidates(self, asked: Floats, count: int) -> Rows:
        """Rows (n, count) of known vectors near those asked for (n, dim); `NONE` where fewer are found."""
        self._index.nprobe = max(1, int(_READ * self._index.nlist))
        rows: Rows = self._index.search(asked, count)[1]
        return rows

    def array(self) -> npt.NDArray[np.uint8]:
        """What `from_array` needs."""
        found: npt.NDArray[np.uint8] = _faiss().serialize_index(self._index)
        return found

    @classmethod
    def from_array(cls, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> Self:
        """The same lists. Raises ValueError for an array that is none of vectors of this shape."""
        try:
            index = _faiss().deserialize_index(array)
        except RuntimeError as error:
            raise ValueError("an index that cannot be read") from error
        if (index.ntotal, index.d) != shape:
            raise ValueError("an index of other vectors")
        return cls(index)


def _faiss() -> Any:
    return optional("faiss", f"more than {MOST_COMPARED:,} training posts")


class Postings:
    """For each piece of a word the known captions that have it."""

    def __init__(self, known: "csr_array") -> None:
        """known: (pieces, posts), the weight of each piece in each post."""
        frequent = np.diff(known.indptr) > _FREQUENT * known.shape[1]
        self._rare = (~frequent).astype(np.float32)
        self._posts = known

    def candidates(self, asked: "csr_array", count: int) -> Rows:
        """Rows (n, count) of known captions that share pieces with those asked for (n, pieces); `NONE` for no more."""
        found = np.full((asked.shape[0], count), NONE, np.int64)
        rare = asked.multiply(self._rare[None, :]).tocsr()
        rare.eliminate_zeros()
        for place in range(asked.shape[0]):
            row = rare[[place]] if rare.indptr[place] < rare.indptr[place + 1] else asked[[place]]
            shared = row @ self._posts  # (1, posts), sparse
            best = np.arange(shared.nnz)
            if len(best) > count:
                best = np.argpartition(-shared.data, count - 1)[:count]
            found[place, : len(best)] = shared.indices[best]
        return found
