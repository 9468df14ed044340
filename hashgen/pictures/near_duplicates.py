"""Pictures that look alike: all pairs of perceptual hashes within a few bits, without comparing all with all."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hashgen.pictures.perceptual_hash import HASH_BITS, HASH_INSETS

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_WORD = 64
# Members of larger buckets are compared all with all, at a tenth of the cost per pair.
_BUCKET = 256
# Up to this many hashes are compared all with all, at once.
_FEW = 4096
# Pairs compared at once, which stay in the processor's cache; and near ones found until they are united: the bounds on
# memory.
_PAIRS, _FOUND = 2**16, 2**20


def read_hashes(values: Iterable[str]) -> Hashes:
    """Perceptual hashes from hex digits (see `decode.Checked`), as words: (n, insets, HASH_BITS / 64)."""
    found = np.frombuffer(bytes.fromhex("".join(values)), ">u8")
    hashes: Hashes = found.astype(np.uint64).reshape(-1, len(HASH_INSETS), HASH_BITS // _WORD)
    return hashes


def first_alike(hashes: Hashes, bits: int) -> Rows:
    """For each hash the row of the first one that a chain of near ones leads to, its own row if none is near: (n,).

    hashes: (n, words). Near ones differ in at most `bits` bits (Hamming distance). Exact, by the pigeonhole
    principle: of bits / 2 + 1 bands there is one in which two near hashes differ in at most one bit, so only those
    that agree in a band but for one bit are compared. Where that leaves many together, all of those are compared.
    """
    if not len(hashes):
        return np.zeros(0, np.int64)
    distinct, first, place = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    # Numbered by first appearance, so that the smallest number of a chain is its first row.
    order = np.argsort(first)
    labels: Rows = np.arange(len(distinct))
    if bits:
        _link(distinct[order], labels, bits)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return np.asarray(first[order][labels[rank[place.ravel()]]], np.int64)


def _link(hashes: Hashes, labels: Rows, bits: int) -> None:
    """Unite all near ones; the hashes are distinct."""
    if len(hashes) <= _FEW:
        _compare_all(hashes, labels, np.arange(len(hashes)), bits)
        return
    crowded = np.zeros(len(hashes), bool)
    count = bits // 2 + 1
    bands = (range(_WORD * hashes.shape[1])[start::count] for start in range(count))
    row_bits = len(hashes).bit_length()
    rows = np.arange(len(hashes), dtype=np.uint64)
    for keys in (keys for band in bands for keys in _keys(hashes, band, _WORD - row_bits)):
        # A row behind each key: sorting numbers is several times as fast as sorting rows by them.
        keys <<= np.uint64(row_bits)
        keys |= rows
        keys.sort()
        order = (keys & np.uint64(2**row_bits - 1)).astype(np.int64)
        keys >>= np.uint64(row_bits)
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        sizes = np.diff(starts, append=len(order))
        crowded[order[np.repeat(sizes > _BUCKET, sizes)]] = True
        # As short numbers, since numpy sorts those by their digits, in a tenth of the time.
        small = np.where((sizes > 1) & (sizes <= _BUCKET), -sizes, 0).astype(np.int16)
        largest_first = np.argsort(np.repeat(small, sizes), kind="stable")
        kept = -np.sort(small[small < 0], kind="stable")
        _compare(hashes, labels, order[largest_first[: kept.sum(dtype=np.int64)]], kept, bits)
    _compare_all(hashes, labels, np.flatnonzero(crowded), bits)


def _keys(hashes: Hashes, band: Sequence[int], width: int) -> Iterator[Hashes]:
    """For each bit of the band a number of `width` bits for each hash (n,), equal where all others of them agree."""

    def placed(place: int) -> Hashes:
        # Bits beyond what a number holds are folded in: that may join buckets, never part one.
        word, bit = divmod(band[place], _WORD)
        found: Hashes = ((hashes[:, word] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(place % width)
        return found

    whole = functools.reduce(np.bitwise_xor, map(placed, range(len(band))))
    for place in range(len(band)):
        yield whole ^ placed(place)


def _compare(hashes: Hashes, labels: Rows, rows: Rows, sizes: npt.NDArray[np.int16], bits: int) -> None:
    """Unite the near ones of each bucket. rows: of one bucket after the other; sizes: of the buckets, descending."""
    ends = np.cumsum(sizes, dtype=np.int64)
    buckets = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    # Those of a bucket stand together, since most of the time would go to fetching them from everywhere.
    hashes = hashes.take(rows, axis=0)
    first = np.ascontiguousarray(hashes[:, 0])
    found = []
    for shift in range(1, int(sizes[0]) if len(sizes) else 0):
        # Each row and the one `shift` behind it. The buckets with pairs so far apart are the first ones.
        until = int(ends[np.searchsorted(-sizes, -shift, side="left") - 1]) - shift
        for low in range(0, until, _PAIRS):
            part = slice(low, min(low + _PAIRS, until))
            other = slice(part.start + shift, part.stop + shift)
            # Most pairs are too far apart in their first word already.
            left = low + np.flatnonzero(np.bitwise_count(first[part] ^ first[other]) <= bits)
            left = left[buckets[left] == buckets[left + shift]]
            left = left[_distance(hashes, left, left + shift) <= bits]
            if len(left):
                found.append((rows[left], rows[left + shift]))
            if sum(len(one) for one, _ in found) > _FOUND:
                _unite_all(labels, found)
                found = []
    _unite_all(labels, found)


def _distance(hashes: Hashes, one: Rows, other: Rows) -> npt.NDArray[np.uint16]:
    """In how many bits the hashes in these rows differ."""
    differing = np.bitwise_count(hashes.take(one, axis=0) ^ hashes.take(other, axis=0))
    found: npt.NDArray[np.uint16] = differing @ np.ones(hashes.shape[1], np.uint16)
    return found


def _compare_all(hashes: Hashes, labels: Rows, rows: Rows, bits: int) -> None:
    """Unite the near ones among `rows`, all compared with all."""
    signs = np.unpackbits(hashes[rows].view(np.uint8), axis=1).astype(np.float32) * 2 - 1  # (rows, bits of a hash)
    step = int(_PAIRS**0.5)
    for low in range(0, len(rows), step):
        for high in range(low, len(rows), step):
            # Of n signs that agree in all but d places the products sum to n - 2 d.
            found = signs[low : low + step] @ signs[high : high + step].T >= signs.shape[1] - 2 * bits
            one, other = np.nonzero(found)
            _unite(labels, rows[low + one], rows[high + other])


def _unite_all(labels: Rows, found: Sequence[tuple[Rows, Rows]]) -> None:
    if found:
        _unite(labels, *map(np.concatenate, zip(*found, strict=True)))


def _unite(labels: Rows, one: Rows, other: Rows) -> None:
    """Give the rows one[i] and other[i] the same label, the smallest of all that are linked."""
    low, high = labels[one], labels[other]
    while (differ := low != high).any():
        low, high = low[differ], high[differ]
        labels[np.maximum(low, high)] = np.minimum(low, high)
        while (labels[labels] != labels).any():
            labels[:] = labels[labels]
        low, high = labels[low], labels[high]
