"""Near hashes against brute force, and a hundred thousand of them at once, evenly spread and not."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashgen import near_duplicates
from hashgen.near_duplicates import first_alike


def brute_force(hashes: list[int], bits: int) -> list[int]:
    labels = list(range(len(hashes)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(hashes):
            for j, other in enumerate(hashes):
                if (one ^ other).bit_count() <= bits and labels[i] != labels[j]:
                    labels[i] = labels[j] = min(labels[i], labels[j])
                    changed = True
    return labels


# Hashes of few bits, anywhere among the 64, are near one another often.
few_bits = st.lists(st.integers(0, 63), max_size=7).map(lambda places: sum({1 << place for place in places}))
hashes = st.lists(few_bits | st.integers(0, 2**64 - 1) | st.integers(0, 300), max_size=40)


@pytest.mark.parametrize("bucket", [10, 2048])
@settings(deadline=None, max_examples=100)
@given(values=hashes, bits=st.integers(0, 10))
def test_chains_are_those_of_brute_force(bucket: int, values: list[int], bits: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_BUCKET", bucket)
        assert first_alike(np.array(values, np.uint64), bits).tolist() == brute_force(values, bits)


def test_the_threshold_is_exact() -> None:
    for bits in range(11):
        apart = np.array([0, (1 << bits) - 1, (1 << bits + 40) - (1 << 30)], np.uint64)
        assert first_alike(apart[:2], bits).tolist() == [0, 0]
        if bits:
            assert first_alike(apart[:2], bits - 1).tolist() == [0, 1]


def planted(base: npt.NDArray[np.uint64], chance: np.random.Generator) -> tuple[npt.NDArray[np.uint64], list[int]]:
    """`base` and near copies of its first hundred, four bits away."""
    places = [chance.choice(64, 4, replace=False) for _ in range(100)]
    flips = np.array([sum(1 << int(bit) for bit in four) for four in places], np.uint64)
    return np.concatenate([base, base[:100] ^ flips]), list(range(100))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "half the bits fixed", "few values a band", "all in one chain"])
def test_a_hundred_thousand_hashes(kind: str) -> None:
    """Compared one by one these would be 8.4 billion pairs."""
    chance = np.random.default_rng(1)
    base = chance.integers(0, 2**64, 130_000, dtype=np.uint64)
    if kind == "half the bits fixed":
        base &= np.uint64(0x5555555555555555)
    if kind == "few values a band":
        values, base = base[:50], np.zeros_like(base)
        for start in range(5):
            band = np.uint64(sum(1 << bit for bit in range(start, 64, 5)))
            base |= values[chance.integers(0, 50, len(base))] & band
    if kind == "all in one chain":
        base = chance.permutation(np.arange(2**17, dtype=np.uint64))
    found, expected = planted(base, chance)
    first = first_alike(found, 4)
    assert (first[-100:] == first[expected]).all() and (first <= np.arange(len(first))).all()
    if kind == "even":
        assert (first[:-100] == np.arange(len(base))).all()
    if kind == "all in one chain":
        assert set(first.tolist()) == {0}


def test_no_hash_is_no_group() -> None:
    assert first_alike(np.array([], np.uint64), 4).tolist() == []


def test_neither_torch_nor_imagehash_is_needed() -> None:
    code = "import sys, hashgen.near_duplicates; sys.exit(bool({'torch', 'imagehash', 'scipy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
