"""Encoding the pictures that the memo does not know yet, and writing the feature store."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import atomic_folder, require, write_json
from hashgen.base.locks import locked
from hashgen.base.progress import progress
from hashgen.base.workers import map_in_order
from hashgen.corpus.posts import read_picture_bytes
from hashgen.corpus.tables import POSTS_SCHEMA, read_table
from hashgen.features.memo import MEMO_VERSION, Key, Memo, is_damage, set_aside
from hashgen.features.recipe import Recipe
from hashgen.pictures.crops import TRANSFORM_VERSION, crops
from hashgen.pictures.decode import BadPicture

Pixels = npt.NDArray[np.uint8]
Encode = Callable[[Pixels], npt.NDArray[np.float16]]
Picture = tuple[str, bytes | None, list[Key]]  # its place, for messages; its bytes; the views to encode
# Pictures that wait decoded, for each worker: the bound on memory, whatever the number of posts.
_AHEAD = 16


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of the kept posts, in the order of posts.parquet: one entry a post in each list."""

    ids: list[str]
    shards: list[str]
    rows: list[int]
    sha256: list[str]
    sources: frozenset[str]

    def __len__(self) -> int:
        return len(self.ids)


def read_pictures(posts: Path) -> Pictures:
    """Read which pictures posts.parquet keeps. Raises HashgenError when it is missing, broken or empty."""
    columns = ["id", "shard", "row", "image_sha256"]
    table = read_table(posts, "filter", POSTS_SCHEMA, [*columns, "source"])
    if not table.num_rows:
        raise HashgenError(f"{posts}: no posts; relax filter.* or add more posts, then run the stage filter again")
    ids, shards, rows, sha256 = (table.column(name).to_pylist() for name in columns)
    return Pictures(ids, shards, rows, sha256, frozenset(table.column("source").unique().to_pylist()))


@dataclasses.dataclass(frozen=True)
class Counts:
    """What `write_features` did: views encoded, views found in the memo, seconds spent encoding."""

    encoded: int
    remembered: int
    seconds: float


def write_features(
    pictures: Pictures,
    raw: Path,
    out: Path,
    recipe: Recipe,
    encode: Encode,
    *,
    batch_size: int,
    home: Path,
    workers: int,
) -> Counts:
    """Encode the pictures that the memo below `home` does not know yet, then write the folder `out` as a whole.

    encode: 8-bit pictures (batch, size, size, 3) to (batch, dim); always called with `batch_size` of them, so that a
    feature does not depend on its neighbours. workers: processes that decode; 0 decodes in this one. A kill loses the
    batch in hand; a damaged memo is renamed and rebuilt. Processes that share a memo take turns.
    Raises HashgenError when a raw picture is not the one that the filter saw, or when the memo cannot be written.
    """
    path = home / "features" / f"{recipe.backbone}-{memo_digest(recipe)[:16]}.sqlite"

    def run() -> Counts:
        with contextlib.closing(Memo(path, recipe.dim)) as memo:
            counts = _encode_missing(pictures, raw, recipe, encode, memo, batch_size, workers)
            _export(pictures, memo, recipe, out)
        return counts

    with locked(path, "featurize"):
        try:
            return run()
        except sqlite3.Error as error:
            if not is_damage(error):
                # Where SQLite cannot make room for its index, it says no more than "disk I/O error".
                full = shutil.disk_usage(path.parent).free < 2**20
                raise system_fault(OSError(errno.ENOSPC, "") if full else error, path) or HashgenError(
                    f"{path}: the feature memo cannot be used ({error}); free some space, or choose another folder "
                    "with --home"
                ) from error
            aside = set_aside(path)
            print(f"featurize: {path} is damaged ({error}); renamed to {aside.name}; encoding again", file=sys.stderr)
            return run()


def memo_digest(recipe: Recipe) -> str:
    """Hex SHA-256 that names the memo: of what changes a feature; how many views are kept does not."""
    key = dataclasses.asdict(recipe) | {"transform_version": TRANSFORM_VERSION, "memo_version": MEMO_VERSION}
    for name in ("weights", "file_sha256", "views"):
        del key[name]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _encode_missing(
    pictures: Pictures, raw: Path, recipe: Recipe, encode: Encode, memo: Memo, batch_size: int, workers: int
) -> Counts:
    wanted = range(1 + recipe.views)
    # One place for each distinct picture, in the order of the raw shards.
    places = dict(sorted(zip(zip(pictures.shards, pictures.rows, strict=True), pictures.sha256, strict=True)))
    place_of = {sha: place for place, sha in reversed(places.items())}
    missing: dict[tuple[str, int], list[Key]] = {}
    for place, sha in places.items():
        if place_of[sha] == place and (unseen := sorted(set(wanted) - memo.views(sha))):
            missing[place] = [(sha, view) for view in unseen]
    total = sum(map(len, missing.values()))
    start = time.monotonic()
    if total:
        decoded = _decoded(_read(missing, raw), recipe.image_size, recipe.seed, workers)
        shown = progress(decoded, total=total, unit="pictures", label="featurize")
        for keys, pixels in _batches(shown, batch_size):
            memo.put(keys, encode(pixels)[: len(keys)])
    return Counts(total, len(place_of) * len(wanted) - total, time.monotonic() - start)


def _read(missing: dict[tuple[str, int], list[Key]], raw: Path) -> Iterator[Picture]:
    """(place for messages, bytes, views to encode) of each picture, in the order of the raw shards."""
    rows: dict[str, list[int]] = {}
    for shard, row in missing:
        rows.setdefault(shard, []).append(row)
    for shard, wanted in rows.items():
        found = 0
        for row, data in read_picture_bytes(require(raw / shard, "scrape"), wanted):
            found += 1
            yield f"{raw / shard} row {row}", data, missing[shard, row]
        if found < len(wanted):
            raise HashgenError(
                f"{raw / shard}: has fewer rows than when the filter ran; run the stage filter again", stage="filter"
            )


def _decoded(jobs: Iterable[Picture], size: int, seed: int, workers: int) -> Iterator[tuple[Key, Pixels]]:
    """Each view with its pixels (size, size, 3), in the order of `jobs`, decoded ahead by `workers` processes."""
    prepare = partial(_prepare, size=size, seed=seed)
    for (_, _, keys), pixels in map_in_order(prepare, jobs, workers=workers, ahead=_AHEAD, stage="featurize"):
        yield from zip(keys, pixels, strict=True)


def _prepare(picture: Picture, size: int, seed: int) -> Pixels:
    """Views (len(keys), size, size, 3) of one picture; runs in a worker."""
    place, data, keys = picture
    try:
        if data is None or hashlib.sha256(data).hexdigest() != keys[0][0]:
            raise BadPicture("changed")
        return crops(data, size, [view for _, view in keys], seed)
    except BadPicture as error:
        raise HashgenError(
            f"{place}: the picture has changed since the filter ran ({error}); run the stage filter again",
            stage="filter",
        ) from error


def _batches(decoded: Iterable[tuple[Key, Pixels]], size: int) -> Iterator[tuple[list[Key], Pixels]]:
    """Group views; the pixels (size, …) of the last group are filled up with black pictures."""
    keys: list[Key] = []
    batch: Pixels | None = None
    for key, pixels in decoded:
        if batch is None:
            batch = np.zeros((size, *pixels.shape), np.uint8)
        batch[len(keys)] = pixels
        keys.append(key)
        if len(keys) == size:
            yield keys, batch
            keys, batch = [], None
    if batch is not None:
        yield keys, batch


def _export(pictures: Pictures, memo: Memo, recipe: Recipe, out: Path) -> None:
    n, views, dim = len(pictures), recipe.views, recipe.dim
    with atomic_folder(out) as folder:
        # Ordinary writes, which fail on a full disk. Memory-mapped ones kill the process there, without a word.
        with (folder / "plain.npy").open("wb") as plain, (folder / "views.npy").open("wb") as augmented:
            _write_header(plain, (n, dim))
            _write_header(augmented, (n, views, dim))
            for sha in pictures.sha256:
                features = memo.get(sha, views)  # (1 + views, dim)
                plain.write(features[0].tobytes())
                augmented.write(features[1:].tobytes())
        ids = pa.table({"id": pa.array(pictures.ids, pa.string())})
        pq.write_table(ids, folder / "ids.parquet", compression="zstd")
        write_json(folder / "features.json", dataclasses.asdict(recipe))


def _write_header(stream: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy file of float16 in C order, with these dimensions."""
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
