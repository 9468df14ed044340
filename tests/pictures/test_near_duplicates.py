"""Near hashes against brute force, and a hundred thousand of them at once, evenly spread and not."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.pictures import near_duplicates
from hashgen.pictures.near_duplicates import Hashes, first_alike, read_hashes
from tests.properties import examples


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


def words(values: list[int]) -> Hashes:
    return read_hashes(f"{value:064x}" * 3 for value in values)[:, 0]


# Hashes of few bits, anywhere among the 256, are near one another often.
few_bits = st.lists(st.integers(0, 255), max_size=9).map(lambda places: sum({1 << place for place in places}))
hashes = st.lists(few_bits | st.integers(0, 2**256 - 1) | st.integers(0, 300), max_size=40)


@pytest.mark.parametrize(
    ("few", "bucket", "at_once"),
    [
        pytest.param(0, 3, 100, marks=pytest.mark.slow),
        pytest.param(0, 256, 3, marks=pytest.mark.slow),
        (4096, 256, 100),
    ],
)
@examples(100)
@given(values=hashes, bits=st.integers(0, 30))
def test_chains_are_those_of_brute_force(few: int, bucket: int, at_once: int, values: list[int], bits: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_FEW", few)
        patch.setattr(near_duplicates, "_BUCKET", bucket)
        patch.setattr(near_duplicates, "_PAIRS", at_once)
        patch.setattr(near_duplicates, "_FOUND", at_once // 3)
        assert first_alike(words(values), bits).tolist() == brute_force(values, bits)


@given(one=st.integers(0, 2**256 - 1), other=st.integers(0, 2**256 - 1))
def test_hashes_are_read_inset_by_inset(one: int, other: int) -> None:
    found = read_hashes([f"{one:064x}{other:064x}{0:064x}", "f" * 192])
    assert found.shape == (2, 3, 4)
    assert [int("".join(f"{word:016x}" for word in inset), 16) for inset in found[0]] == [one, other, 0]


@pytest.mark.parametrize("few", [pytest.param(0, marks=pytest.mark.slow), 4096])
def test_the_threshold_is_exact(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_FEW", few)
    for bits in range(65):
        apart = words([0, ((1 << bits) - 1) << 70])
        assert first_alike(apart, bits).tolist() == [0, 0]
        if bits:
            assert first_alike(apart, bits - 1).tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "uneven", "all in one chain"])
def test_many_hashes(kind: str) -> None:
    """Compared one by one these would be 200 million pairs and more."""
    chance = np.random.default_rng(1)
    count = 100_000 if kind == "even" else 20_000
    base = chance.integers(0, 2**64, (count, 4), dtype=np.uint64)
    if kind == "uneven":
        drawn = chance.random((count, 256)) < chance.beta(1, 1, 256)
        base = np.packbits(drawn, axis=1).view(">u8").astype(np.uint64)
    if kind == "all in one chain":
        base = np.zeros((2**14, 4), np.uint64)
        base[:, 2] = chance.permutation(np.arange(2**14, dtype=np.uint64)) << np.uint64(9)
    # Near copies of the first hundred, each 24 bits away.
    flips = np.zeros((100, 256), bool)
    for row in flips:
        row[chance.choice(256, 24, replace=False)] = True
    copies = base[:100] ^ np.packbits(flips, axis=1).view(">u8").astype(np.uint64)
    first = first_alike(np.concatenate([base, copies]), 24)
    assert (first[-100:] == first[:100]).all() and (first <= np.arange(len(first))).all()
    if kind == "even":
        assert (first[:-100] == np.arange(len(base))).all()
    if kind == "all in one chain":
        assert set(first.tolist()) == {0}


def test_no_hash_is_no_group() -> None:
    assert first_alike(words([]), 24).tolist() == []


def test_neither_torch_nor_scipy_is_needed() -> None:
    code = "import sys, hashgen.pictures.near_duplicates; sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
