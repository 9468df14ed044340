"""Encoding the pictures and captions that the memo does not know yet, and writing the feature store."""

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hashgen.base.errors import HashgenError
from hashgen.base.files import write_json
from hashgen.base.places import Place, output_folder, present
from hashgen.base.progress import progress
from hashgen.base.workers import map_between, map_pixels
from hashgen.corpus.posts import read_picture_bytes
from hashgen.corpus.tables import POSTS_SCHEMA, read_table
from hashgen.features.memo import MEMO_VERSION, Key, Memo, with_memo
from hashgen.features.posts import GRID_SIDE
from hashgen.features.recipe import Recipe
from hashgen.pictures.crops import TORCHVISION, TRANSFORM_VERSION, Preparation, crops
from hashgen.pictures.decode import BadPicture

if TYPE_CHECKING:
    from hashgen.features.captions import CaptionEncoder

Pixels = npt.NDArray[np.uint8]
Encode = Callable[[Pixels], npt.NDArray[np.float16]]
Decoder = tuple[int, bool]  # workers, and whether they work ahead
Picture = tuple[str, bytes | None, list[Key]]  # its place, for messages; its bytes; the views to encode
Missing = dict[tuple[str, int], list[Key]]  # by shard and row, in their order: the views of a picture to encode
# Pictures that wait decoded, for each worker, are the bound on memory, whatever the number of posts: a thread has this
# many, a process as many jobs, each of views that fill a slot of shared memory.
_AHEAD = 16
_JOBS, _VIEWS = 2, 8
# Captions that a kill may lose.
_CAPTIONS = 256


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


def read_pictures(posts: Place) -> Pictures:
    """Read which pictures posts.parquet keeps. Raises HashgenError when it is missing, broken or empty."""
    columns = ["id", "shard", "row", "image_sha256"]
    table = read_table(posts, "filter", POSTS_SCHEMA, [*columns, "source"])
    if not table.num_rows:
        raise HashgenError(f"{posts}: no posts; relax filter.* or add more posts, then run the stage filter again")
    ids, shards, rows, sha256 = (table.column(name).to_pylist() for name in columns)
    return Pictures(ids, shards, rows, sha256, frozenset(table.column("source").unique().to_pylist()))


def encode_captions(posts: Place, encoder: "CaptionEncoder", home: Path) -> npt.NDArray[np.float16]:
    """Vectors (n, dim) of the captions in posts.parquet, in its order; only those are encoded that the memo lacks.

    A kill loses the captions in hand. Raises HashgenError when the file is broken, or the memo cannot be written.
    """
    captions: list[str] = read_table(posts, "filter", POSTS_SCHEMA, ["caption"]).column("caption").to_pylist()
    keys = [hashlib.sha256(caption.encode()).hexdigest() for caption in captions]

    def work(memo: Memo) -> npt.NDArray[np.float16]:
        missing = [key for key in dict.fromkeys(keys) if not memo.views(key)]
        text = dict(zip(keys, captions, strict=True))
        left = progress(iter(missing), total=len(missing), unit="captions", label="featurize")
        while batch := list(itertools.islice(left, _CAPTIONS)):
            memo.put([(key, 0) for key in batch], encoder([text[key] for key in batch]))
        return np.concatenate([memo.get(key, 0) for key in keys])

    return with_memo(home / "features" / f"captions-{encoder.digest[:16]}-{MEMO_VERSION}.sqlite", encoder.dim, work)


@dataclasses.dataclass(frozen=True)
class Counts:
    """What `write_features` did: views encoded, views found in the memo, seconds spent encoding."""

    encoded: int
    remembered: int
    seconds: float

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.encoded + other.encoded, self.remembered + other.remembered, self.seconds + other.seconds)


@dataclasses.dataclass(frozen=True)
class Sought:
    """Features that a memo must hold before a store is written.

    name: of the memo, for what made them. dim: length of one. views: besides the plain one. grid: whether they are the
    places of pictures, or pictures as a whole.
    """

    name: str
    dim: int
    views: int
    grid: bool


Fill = Callable[[Memo, Sought], Counts]


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
    ahead: bool = True,
    preparation: Preparation = TORCHVISION,
    sentences: npt.NDArray[np.float16] | None = None,
    encode_grid: Encode | None = None,
    check: Callable[[Pixels], None] = lambda _: None,
) -> Counts:
    """Encode the pictures that the memo below `home` does not know yet, then write the folder `out` as a whole.

    encode: 8-bit pictures (batch, size, size, 3), resized by `preparation`, to (batch, dim); always called with
    `batch_size` of them, so that a feature does not depend on its neighbours. sentences: (n, recipe.caption_dim), the
    vectors of the captions, None if the recipe has none. encode_grid: pictures to their places (batch, cells, dim),
    None if the recipe has no grid; for these the plain views go through the network once more, so that features which
    are remembered stay so. check: called with the first pictures (at most `batch_size`) before any is encoded; raises
    if their features would be no good.

    ahead: whether `workers` processes decode while batches are encoded (0: this one does, then), which suits a GPU; or
    as many threads between batches, which suits an encoder that itself keeps every core busy.

    A kill loses the batch in hand, or two where they are encoded ahead; a damaged memo is renamed and rebuilt.
    Processes that share a memo take turns.
    Raises HashgenError when a raw picture is not the one that the filter saw, or when the memo cannot be written.
    """

    decoder = (workers, ahead)

    def fill(memo: Memo, sought: Sought) -> Counts:
        missing, distinct = missing_views(pictures, memo, sought.views)
        start, count = time.monotonic(), sum(map(len, missing.values()))
        decoded = decode_views(missing, raw, recipe, preparation, decoder)
        shown = progress(decoded, total=count, unit="pictures", label="featurize")
        encoder = flattened(encode_grid) if sought.grid else encode
        checked = (lambda _: None) if sought.grid else check
        for keys, features in encode_views(shown, encoder, batch_size, checked, ahead=ahead):
            memo.put(keys, features)
        return Counts(count, distinct * (1 + sought.views) - count, time.monotonic() - start)

    return write_store(pictures, out, recipe, fill, home=home, sentences=sentences)


def write_store(
    pictures: Pictures,
    out: Place,
    recipe: Recipe,
    fill: Fill,
    *,
    home: Path,
    sentences: npt.NDArray[np.float16] | None,
) -> Counts:
    """Write the folder `out` as a whole from the memo below `home`, after `fill` has put there what it lacks.

    fill: called for the pictures, and once more for their grids if the recipe has one. sentences: as in
    `write_features`.
    """
    memos, cells = home / "features", GRID_SIDE**2 * recipe.dim
    name = f"{recipe.backbone.replace('/', '-')}-{memo_digest(recipe)[:16]}"
    with output_folder(out, "features.json", memos) as folder:

        def plain(memo: Memo) -> Counts:
            counts = fill(memo, Sought(name, recipe.dim, recipe.views, grid=False))
            _export(pictures, memo, recipe, folder)
            return counts

        def grid(memo: Memo) -> Counts:
            counts = fill(memo, Sought(f"{name}-grid", cells, 0, grid=True))
            _export_grid(pictures, memo, recipe, folder)
            return counts

        counts = with_memo(memos / f"{name}.sqlite", recipe.dim, plain)
        if recipe.grid:
            counts += with_memo(memos / f"{name}-grid.sqlite", cells, grid)
        if sentences is not None:
            np.save(folder / "captions.npy", sentences)
        ids = pa.table({"id": pa.array(pictures.ids, pa.string())})
        pq.write_table(ids, folder / "ids.parquet", compression="zstd")
        write_json(folder / "features.json", recipe.to_json())
    return counts


def flattened(encode_grid: Encode | None) -> Encode:
    """Places (batch, cells, dim) as one row a picture, as a memo keeps them."""
    assert encode_grid is not None, "a recipe with a grid needs what encodes it"
    return lambda pixels: encode_grid(pixels).reshape(len(pixels), -1)


def memo_digest(recipe: Recipe) -> str:
    """Hex SHA-256 that names the memo: of what changes a feature; how many views are kept does not."""
    key = dataclasses.asdict(recipe) | {"transform_version": TRANSFORM_VERSION, "memo_version": MEMO_VERSION}
    captions = ("captions", "caption_weights", "caption_sha256", "caption_dim")
    for name in ("weights", "file_sha256", "views", "grid", *captions):
        del key[name]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def missing_views(pictures: Pictures, memo: Memo, views: int) -> tuple[Missing, int]:
    """The views that the memo lacks, and how many distinct pictures there are. views: besides the plain one."""
    distinct = _distinct(pictures)
    missing: Missing = {}
    for place, sha in distinct.items():
        if unseen := sorted(set(range(1 + views)) - memo.views(sha)):
            missing[place] = [(sha, view) for view in unseen]
    return missing, len(distinct)


def decode_views(
    missing: Missing, raw: Place, recipe: Recipe, preparation: Preparation, decoder: Decoder
) -> Iterator[tuple[Key, Pixels]]:
    """Each missing view with its pixels (size, size, 3). decoder: as in `write_features`."""
    if missing:
        prepare = partial(_prepare, size=recipe.image_size, seed=recipe.seed, preparation=preparation)
        workers, ahead = decoder
        pictures = _read(missing, raw)
        yield from _decoded_ahead(pictures, prepare, workers, recipe) if ahead else _decoded(pictures, prepare, workers)


def _distinct(pictures: Pictures) -> dict[tuple[str, int], str]:
    """One place (shard, row) for each distinct picture, with its SHA-256, in the order of the raw shards."""
    places = dict(sorted(zip(zip(pictures.shards, pictures.rows, strict=True), pictures.sha256, strict=True)))
    place_of = {sha: place for place, sha in reversed(places.items())}
    return {place: sha for place, sha in places.items() if place_of[sha] == place}


def first_plain(pictures: Pictures, count: int) -> Missing:
    """The plain views of the first `count` distinct pictures, in the order of the raw shards."""
    return {place: [(sha, 0)] for place, sha in itertools.islice(_distinct(pictures).items(), count)}


def decode_plain(views: Missing, raw: Place, size: int, preparation: Preparation) -> Pixels:
    """The pixels (n, size, size, 3) of plain views. Raises HashgenError as `write_features`."""
    return np.concatenate([_prepare(job, size, 0, preparation) for job in _read(views, raw)])


def digest_of(views: Missing) -> str:
    """Hex SHA-256 of which pictures these are, in their order."""
    return hashlib.sha256(" ".join(keys[0][0] for keys in views.values()).encode()).hexdigest()


def _read(missing: Missing, raw: Place) -> Iterator[Picture]:
    """(place for messages, bytes, views to encode) of each picture, in the order of the raw shards."""
    rows: dict[str, list[int]] = {}
    for shard, row in missing:
        rows.setdefault(shard, []).append(row)
    for shard, wanted in rows.items():
        found = 0
        for row, data in read_picture_bytes(present(raw / shard, "scrape"), wanted):
            found += 1
            yield f"{raw / shard} row {row}", data, missing[shard, row]
        if found < len(wanted):
            raise HashgenError(
                f"{raw / shard}: has fewer rows than when the filter ran; run the stage filter again", stage="filter"
            )


def _decoded(
    pictures: Iterable[Picture], prepare: Callable[[Picture], Pixels], threads: int
) -> Iterator[tuple[Key, Pixels]]:
    """Each view with its pixels (size, size, 3), in the order of the pictures, decoded between batches."""
    for (_, _, keys), pixels in map_between(prepare, pictures, threads=threads, chunk=_AHEAD):
        yield from zip(keys, pixels, strict=True)


def _decoded_ahead(
    pictures: Iterable[Picture], prepare: Callable[[Picture], Pixels], workers: int, recipe: Recipe
) -> Iterator[tuple[Key, Pixels]]:
    """Each view with its pixels, good until the next, in the order of the pictures, decoded beside the encoder."""
    most = max(_VIEWS, 1 + recipe.views)
    size = most * recipe.image_size**2 * 3
    jobs = _jobs(pictures, most)
    decoded = map_pixels(
        partial(_prepare_all, prepare), jobs, workers=workers, ahead=_JOBS, most=size, stage="featurize"
    )
    for job, pixels in decoded:
        yield from zip(itertools.chain.from_iterable(keys for _, _, keys in job), pixels, strict=True)


def _jobs(pictures: Iterable[Picture], most: int) -> Iterator[list[Picture]]:
    """Pictures in groups of at most so many views."""
    job: list[Picture] = []
    views = 0
    for picture in pictures:
        if job and views + len(picture[2]) > most:
            yield job
            job, views = [], 0
        job.append(picture)
        views += len(picture[2])
    if job:
        yield job


def _prepare_all(prepare: Callable[[Picture], Pixels], job: list[Picture]) -> Pixels:
    """Views (views, size, size, 3) of some pictures; runs in a worker."""
    return np.concatenate([prepare(picture) for picture in job])


def _prepare(picture: Picture, size: int, seed: int, preparation: Preparation) -> Pixels:
    """Views (len(keys), size, size, 3) of one picture; runs in a worker."""
    place, data, keys = picture
    try:
        if data is None or hashlib.sha256(data).hexdigest() != keys[0][0]:
            raise BadPicture("changed")
        return crops(data, size, [view for _, view in keys], seed, preparation)
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


def encode_views(
    decoded: Iterable[tuple[Key, Pixels]],
    encode: Encode,
    batch_size: int,
    check: Callable[[Pixels], None],
    *,
    ahead: bool,
) -> Iterator[tuple[list[Key], npt.NDArray[np.float16]]]:
    """Features (views, dim) of decoded views, a batch at a time.

    check: called with the first pictures. ahead: gather a batch, and store another's features, while one is encoded.
    """
    batches = _batches(decoded, batch_size)
    for keys, pixels in itertools.islice(batches, 1):
        check(pixels)  # the whole batch, filled up: another size may be another network
        yield keys, encode(pixels)[: len(keys)]
    if not ahead:
        yield from ((keys, encode(pixels)[: len(keys)]) for keys, pixels in batches)
        return
    with ThreadPoolExecutor(1) as gpu:
        waiting: tuple[list[Key], Future[npt.NDArray[np.float16]]] | None = None
        for keys, pixels in batches:
            started = gpu.submit(encode, pixels)
            if waiting is not None:
                yield waiting[0], waiting[1].result()[: len(waiting[0])]
            waiting = keys, started
        if waiting is not None:
            yield waiting[0], waiting[1].result()[: len(waiting[0])]


def _export(pictures: Pictures, memo: Memo, recipe: Recipe, folder: Path) -> None:
    n, views, dim = len(pictures), recipe.views, recipe.dim
    # Ordinary writes, which fail on a full disk. Memory-mapped ones kill the process there, without a word.
    with (folder / "plain.npy").open("wb") as plain, (folder / "views.npy").open("wb") as augmented:
        _write_header(plain, (n, dim))
        _write_header(augmented, (n, views, dim))
        for sha in pictures.sha256:
            features = memo.get(sha, views)  # (1 + views, dim)
            plain.write(features[0].tobytes())
            augmented.write(features[1:].tobytes())


def _export_grid(pictures: Pictures, memo: Memo, recipe: Recipe, folder: Path) -> None:
    with (folder / "grid.npy").open("wb") as stream:
        _write_header(stream, (len(pictures), GRID_SIDE**2, recipe.dim))
        for sha in pictures.sha256:
            stream.write(memo.get(sha, 0).tobytes())


def _write_header(stream: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy file of float16 in C order, with these dimensions."""
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
