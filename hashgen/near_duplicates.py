"""Pictures that look alike: all pairs of perceptual hashes within a few bits, without comparing all with all."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hashgen.images import HASH_BITS

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

# Larger buckets are divided by further bits of the hash before their members are compared pair by pair.
_BUCKET = 2048


def first_alike(hashes: Hashes, bits: int) -> Rows:
    """For each hash the row of the first one that a chain of near ones leads to, its own row if none is near: (n,).

    hashes: (n,) 64-bit hashes. Near ones differ in at most `bits` bits (Hamming distance). Exact, by the pigeonhole
    principle: cut into bits + 1 bands, two near hashes agree in one band, so only those that share a band are
    compared. A band that many hashes share is cut again in the same way by the bits outside it.
    """
    distinct, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    # Numbered by first appearance, so that the smallest number of a chain is its first row.
    order = np.argsort(first)
    labels: Rows = np.arange(len(distinct))
    _link(distinct[order], labels, labels.copy(), range(HASH_BITS), bits)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return np.asarray(first[order][labels[rank[place.ravel()]]], np.int64)


def _link(hashes: Hashes, labels: Rows, rows: Rows, free: Sequence[int], bits: int) -> None:
    """Unite the near ones among `rows`, which differ in no bit but `free` ones."""
    if len(free) <= bits:
        _unite(labels, rows[:-1], rows[1:])
        return
    for band in (free[start :: bits + 1] for start in range(bits + 1)):
        keys = hashes[rows] & np.uint64(sum(1 << bit for bit in band))  # (rows,)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
        sizes = np.diff(starts, append=len(rows))
        small = np.repeat(sizes <= _BUCKET, sizes)
        _compare(hashes, labels, rows[order[small]], keys[order[small]], bits)
        rest = [bit for bit in free if bit not in band]
        for start, size in zip(starts[sizes > _BUCKET], sizes[sizes > _BUCKET], strict=True):
            bucket = rows[order[start : start + size]]
            if np.ptp(labels[bucket]):
                _link(hashes, labels, bucket, rest, bits)


def _compare(hashes: Hashes, labels: Rows, rows: Rows, keys: Hashes, bits: int) -> None:
    """Unite the near ones of each bucket; `rows` are sorted by their `keys`, and a bucket has one key."""
    found = hashes[rows]
    for shift in range(1, min(_BUCKET, len(rows))):
        same = keys[shift:] == keys[:-shift]
        if not same.any():
            return
        near = same & (np.bitwise_count(found[shift:] ^ found[:-shift]) <= bits)
        if near.any():
            _unite(labels, rows[:-shift][near], rows[shift:][near])


def _unite(labels: Rows, one: Rows, other: Rows) -> None:
    """Give the rows one[i] and other[i] the same label, the smallest of all that hang together."""
    low, high = labels[one], labels[other]
    while (differ := low != high).any():
        low, high = low[differ], high[differ]
        labels[np.maximum(low, high)] = np.minimum(low, high)
        while (labels[labels] != labels).any():
            labels[:] = labels[labels]
        low, high = labels[low], labels[high]
