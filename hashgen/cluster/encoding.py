"""The stage featurize over a cluster: each worker reads, decodes and encodes the pictures of some row groups."""

import bisect
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hashgen.base.errors import HashgenError
from hashgen.base.places import Place, everywhere
from hashgen.base.progress import progress
from hashgen.cluster.parts import parts_beside
from hashgen.cluster.session import over_cluster
from hashgen.corpus.posts import row_groups
from hashgen.features.encoding import (
    Counts,
    Missing,
    Pictures,
    Sought,
    decode_plain,
    decode_views,
    encode_views,
    flattened,
    memo_digest,
    missing_views,
    write_store,
)
from hashgen.features.memo import Key, Memo
from hashgen.features.recipe import Recipe
from hashgen.params.featurize import Featurize

Encoded = tuple[list[Key], npt.NDArray[np.float16]]
# A file of the memo is written when it has so many views, or when the first of them has waited so long: a kill loses
# these and what the workers have in hand.
_VIEWS = 4096
_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker must know: where the raw shards are, and which encoder to load.

    weights: a name, or a file that is at the same path on every machine. recipe: what the features must be made by;
    a worker with other weights or code stops the stage. first: plain views of the first pictures, which the encoder is
    checked with and may be calibrated by.
    """

    raw: Place
    section: Featurize
    weights: str | Path
    device: str
    recipe: Recipe
    first: Missing


def write_features_over_cluster(
    pictures: Pictures,
    task: Task,
    out: Place,
    *,
    home: Path,
    workers: int | None,
    sentences: npt.NDArray[np.float16] | None,
) -> Counts:
    """`hashgen.features.encoding.write_features` with the workers of a cluster: the same folder, byte by byte.

    What is encoded is kept twice: as Parquet files in the folder `out`.memo, from which any machine goes on, and in the
    memo below `home`, from which this one writes `out`. A kill loses some seconds of work (`_SECONDS`). Raises
    HashgenError as `write_features` and `over_cluster`.
    """
    task = dataclasses.replace(task, raw=everywhere(task.raw))

    def fill(memo: Memo, sought: Sought) -> Counts:
        missing, distinct = missing_views(pictures, memo, sought.views)
        start, count = time.monotonic(), 0
        if missing:
            parts = parts_beside(out, sought.name, sought.dim)
            for keys, features in parts.read({key for views in missing.values() for key in views}):
                memo.put(keys, features)
            missing, _ = missing_views(pictures, memo, sought.views)
            count = sum(map(len, missing.values()))
            jobs = _jobs(missing, task.raw)
            make = partial(_encoding, task, grid=sought.grid)
            done = over_cluster(make, jobs, stage="featurize", ordered=False, workers=workers, device=task.device)
            for keys, features in _gathered(progress(_views(done), total=count, unit="pictures", label="featurize")):
                parts.write(keys, features)
                memo.put(keys, features)
        return Counts(count, distinct * (1 + sought.views) - count, time.monotonic() - start)

    return write_store(pictures, out, task.recipe, fill, home=home, sentences=sentences)


def _jobs(missing: Missing, raw: Place) -> list[Missing]:
    """The missing views, those of one row group together, as a worker reads a row group as a whole."""
    starts: dict[str, list[int]] = {}
    for group in row_groups(raw):
        starts.setdefault(group.shard.name, []).append(group.start)
    jobs: dict[tuple[str, int], Missing] = {}
    for shard, row in missing:
        # A shard that is gone, or rows that it lost, are the worker's to tell of.
        number = bisect.bisect_right(starts.get(shard, []), row)
        jobs.setdefault((shard, number), {})[shard, row] = missing[shard, row]
    return list(jobs.values())


def _encoding(task: Task, grid: bool) -> Callable[[Missing], Iterable[Encoded]]:
    """Load the encoder, once for each worker; what encodes the views of a job."""
    from hashgen.base.devices import choose_device
    from hashgen.features.backbone import load_encoder, recipe_of

    place, decode_first = choose_device(task.device), partial(decode_plain, task.first, task.raw)
    runtime = task.section.runtime
    encoder = load_encoder(task.section, task.weights, place, runtime=runtime, first_pictures=decode_first)
    calibration = task.recipe.calibration_sha256
    if memo_digest(recipe_of(task.section, encoder, calibration_sha256=calibration)) != memo_digest(task.recipe):
        raise HashgenError(
            f"featurize.weights: {task.section.weights} is not the same on all machines of the cluster, or hashgen is "
            "not; copy one file of weights to all, and install the same version"
        )
    encode = flattened(encoder.grid) if grid else encoder
    encoder.check(decode_first(encoder.size, encoder.preparation)[: encoder.batch_size])
    on_gpu = encoder.device.type != "cpu"

    def work(missing: Missing) -> Iterator[Encoded]:
        decoded = decode_views(missing, task.raw, task.recipe, encoder.preparation, (0, on_gpu))
        return encode_views(decoded, encode, encoder.batch_size, lambda _: None, ahead=on_gpu)

    return work


def _views(done: Iterable[Encoded]) -> Iterator[tuple[Key, npt.NDArray[np.float16]]]:
    for keys, features in done:
        yield from zip(keys, features, strict=True)


def _gathered(views: Iterable[tuple[Key, npt.NDArray[np.float16]]]) -> Iterator[Encoded]:
    """Views in portions that are worth a file each."""
    keys: list[Key] = []
    rows: list[npt.NDArray[np.float16]] = []
    start = 0.0
    for key, row in views:
        start = start if keys else time.monotonic()
        keys.append(key)
        rows.append(row)
        if len(keys) == _VIEWS or time.monotonic() - start > _SECONDS:
            yield keys, np.stack(rows)
            keys, rows = [], []
    if keys:
        yield keys, np.stack(rows)
