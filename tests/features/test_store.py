import contextlib
import dataclasses
import io
import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hashgen.base.errors import HashgenError
from hashgen.base.files import sha256_of_folder
from hashgen.corpus.posts import Post, read_shard, shard_paths, write_shards
from hashgen.features.encoding import (
    Counts,
    Encode,
    Pictures,
    decode_plain,
    digest_of,
    first_plain,
    read_pictures,
    write_features,
)
from hashgen.features.memo import Memo
from hashgen.features.recipe import Recipe
from hashgen.features.store import FeatureStore, label
from hashgen.pictures.crops import TORCHVISION, crops

DIM, SIZE = 6, 32
RECIPE = Recipe("tiny", "random", "0" * 64, None, DIM, 2, SIZE, "float32", 1, 1)


class FakeEncoder:
    """Mean and deviation of each channel; counts what it is given."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.batches: list[int] = []
        self.dies_after = dies_after

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        if self.dies_after is not None and len(self.batches) >= self.dies_after:
            raise KeyboardInterrupt
        self.batches.append(len(pixels))
        return np.concatenate([pixels.mean((1, 2)), pixels.std((1, 2))], axis=1).astype(np.float16)


def picture(number: int) -> bytes:
    colours = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).resize((50, 40)).save(stream, "JPEG")
    return stream.getvalue()


def make_world(folder: Path, numbers: list[int]) -> tuple[Pictures, Path]:
    """Raw shards of four posts; post i shows the picture `numbers[i]`."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    write_shards((Post(id=f"p{i}", source="sample", image=picture(n)) for i, n in enumerate(numbers)), raw, 4)
    rows = [(shard.name, row, record) for shard in shard_paths(raw) for row, record in read_shard(shard)]
    ids, sha256 = ([str(record[name]) for _, _, record in rows] for name in ("id", "sha256"))
    return Pictures(
        ids, [shard for shard, _, _ in rows], [row for _, row, _ in rows], sha256, frozenset({"sample"})
    ), raw


def part(pictures: Pictures, keep: list[int]) -> Pictures:
    ids, shards, sha256 = ([texts[i] for i in keep] for texts in (pictures.ids, pictures.shards, pictures.sha256))
    return Pictures(ids, shards, [pictures.rows[i] for i in keep], sha256, pictures.sources)


Run = Callable[..., Counts]


@pytest.fixture
def world(tmp_path: Path) -> tuple[Pictures, Run]:
    pictures, raw = make_world(tmp_path, list(range(10)))

    def run(
        pictures: Pictures = pictures,
        encode: Encode | None = None,
        recipe: Recipe = RECIPE,
        out: str = "out",
        home: str = "home",
        workers: int = 0,
        ahead: bool = True,
        check: Callable[[np.ndarray], None] = lambda _: None,
    ) -> Counts:
        return write_features(
            pictures,
            raw,
            tmp_path / out,
            recipe,
            encode or FakeEncoder(),
            batch_size=4,
            home=tmp_path / home,
            workers=workers,
            ahead=ahead,
            check=check,
        )

    return pictures, run


def test_the_store_gives_what_was_encoded(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    pictures, run = world
    encoder = FakeEncoder()
    counts = run(encode=encoder)
    assert (counts.encoded, counts.remembered) == (30, 0)
    assert encoder.batches == [4] * 8  # always whole batches, the last one filled up
    store = FeatureStore.open(tmp_path / "out")
    assert store.dim == DIM and store.plain.shape == (10, DIM) and store.views.shape == (10, 2, DIM)
    assert store.plain.dtype == store.views.dtype == np.float16 and isinstance(store.plain, np.memmap)
    assert store.ids == pictures.ids and store.rows(["p7", "p0"]).tolist() == [7, 0]
    assert store.recipe.backbone == "tiny" and store.recipe.views == 2
    expected = FakeEncoder()(crops(picture(7), SIZE, [0, 1, 2], 1))
    assert np.array_equal(store.plain[7], expected[0]) and np.array_equal(store.views[7], expected[1:])


def test_the_store_is_the_same_however_decoded(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    first = sha256_of_folder(tmp_path / "out")
    for ahead, workers in ((True, 2), (False, 0), (False, 3)):
        encoder, name = FakeEncoder(), f"{ahead}{workers}"
        assert run(encode=encoder, out=name, home=f"home-{name}", ahead=ahead, workers=workers).encoded == 30
        assert encoder.batches == [4] * 8
        assert sha256_of_folder(tmp_path / name) == first


@pytest.mark.parametrize("ahead", [True, False])
def test_the_first_pictures_are_checked_before_any_is_encoded(
    world: tuple[Pictures, Run], tmp_path: Path, ahead: bool
) -> None:
    _, run = world
    seen: list[int] = []

    def refuse(pixels: np.ndarray) -> None:
        seen.append(len(pixels))
        raise HashgenError("featurize.precision: too far from float32")

    encoder = FakeEncoder()
    with pytest.raises(HashgenError, match="too far"):
        run(encode=encoder, ahead=ahead, check=refuse)
    assert (seen, encoder.batches) == ([4], []) and not (tmp_path / "out").exists()
    run(encode=encoder, ahead=ahead, check=lambda pixels: seen.append(len(pixels)))
    assert seen == [4, 4] and len(encoder.batches) == 8


def test_the_first_pictures_are_distinct_and_plain(tmp_path: Path) -> None:
    pictures, raw = make_world(tmp_path, [0, 1, 0, 2, 3])
    found = decode_plain(first_plain(pictures, 3), raw, SIZE, TORCHVISION)
    expected = [crops(picture(number), SIZE, [0], 1)[0] for number in (0, 1, 2)]
    assert np.array_equal(found, np.stack(expected))
    three, four = (digest_of(first_plain(pictures, count)) for count in (3, 4))
    assert three == digest_of(first_plain(part(pictures, [0, 1, 3]), 3)) != four
    assert four == digest_of(first_plain(pictures, 64))  # there are no more


def test_a_second_run_encodes_nothing(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    first = sha256_of_folder(tmp_path / "out")
    counts = run(encode=FakeEncoder(dies_after=0))
    assert (counts.encoded, counts.remembered) == (0, 30)
    assert sha256_of_folder(tmp_path / "out") == first


def test_a_changed_filter_encodes_only_unseen_pictures(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    pictures, run = world
    run(part(pictures, [0, 2, 5]))
    counts = run(part(pictures, [0, 2, 3, 9]))
    assert (counts.encoded, counts.remembered) == (6, 6)
    run(part(pictures, [0, 2, 3, 9]), out="fresh", home="other")
    assert sha256_of_folder(tmp_path / "out") == sha256_of_folder(tmp_path / "fresh")


def test_more_views_encode_only_those_and_other_recipes_all(world: tuple[Pictures, Run]) -> None:
    _, run = world
    assert run(recipe=dataclasses.replace(RECIPE, views=0)).encoded == 10
    assert run(recipe=dataclasses.replace(RECIPE, views=1)).encoded == 10
    assert run().encoded == 10
    assert run(recipe=dataclasses.replace(RECIPE, views=0)).encoded == 0
    assert run(recipe=dataclasses.replace(RECIPE, weights="./same-weights.pth", file_sha256="1")).encoded == 0
    for change in ({"seed": 2}, {"image_size": 33}, {"precision": "bfloat16"}, {"weights_sha256": "1" * 64}):
        assert run(recipe=dataclasses.replace(RECIPE, **change)).encoded == 30


def test_no_views_leave_an_empty_array(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run(recipe=dataclasses.replace(RECIPE, views=0))
    assert FeatureStore.open(tmp_path / "out").views.shape == (10, 0, DIM)


def test_the_same_picture_under_two_posts_is_encoded_once(tmp_path: Path) -> None:
    pictures, raw = make_world(tmp_path, [1, 2, 1, 3, 2, 1])
    counts = write_features(
        pictures, raw, tmp_path / "out", RECIPE, FakeEncoder(), batch_size=4, home=tmp_path / "home", workers=0
    )
    assert (counts.encoded, counts.remembered) == (9, 0)
    plain = FeatureStore.open(tmp_path / "out").plain
    assert np.array_equal(plain[0], plain[2]) and np.array_equal(plain[1], plain[4])
    assert not np.array_equal(plain[0], plain[1])


@pytest.mark.parametrize("batches", range(8))
def test_an_interrupted_run_goes_on(world: tuple[Pictures, Run], tmp_path: Path, batches: int) -> None:
    _, run = world
    with pytest.raises(KeyboardInterrupt):
        run(encode=FakeEncoder(dies_after=batches))
    assert not (tmp_path / "out").exists()
    counts = run()
    assert counts.remembered == min(30, 4 * batches)
    run(out="fresh", home="other")
    assert sha256_of_folder(tmp_path / "out") == sha256_of_folder(tmp_path / "fresh")


def test_a_kill_while_writing_out_leaves_no_half_output(
    world: tuple[Pictures, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = world
    run()
    before = sha256_of_folder(tmp_path / "out")
    for name in ("np.lib.format.write_array_header_1_0", "pq.write_table", "write_json"):

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"hashgen.features.encoding.{name}", die)
            run()
        assert sha256_of_folder(tmp_path / "out") == before
    assert not list(tmp_path.glob(".out*"))


def memo_of(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "home" / "features").glob("*.sqlite")
    return path


@pytest.mark.parametrize("damage", ["garbage", "header", "cut", "page", "value", "bit", "kind", "layout"])
def test_a_damaged_memo_is_set_aside_and_built_anew(
    world: tuple[Pictures, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    _, run = world
    run()
    before = sha256_of_folder(tmp_path / "out")
    path = memo_of(tmp_path)
    content = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif damage == "header":
        path.write_bytes(b"X" * 50 + content[50:])
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "page":
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif damage == "bit":
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            feature = database.execute("SELECT feature FROM features WHERE view = 1").fetchone()[0]
            flipped = bytes([feature[0] ^ 1]) + feature[1:]
            database.execute("UPDATE features SET feature = ? WHERE feature = ?", (flipped, feature))
    else:
        changes = {
            "value": "UPDATE features SET feature = x'00'",
            "kind": "UPDATE features SET feature = 'text'",
            "layout": "ALTER TABLE features RENAME COLUMN feature TO features",
        }
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(changes[damage])
    assert run().encoded == 30
    assert "renamed to" in capsys.readouterr().err
    assert path.with_suffix(".damaged").exists()
    assert sha256_of_folder(tmp_path / "out") == before
    assert run().encoded == 0


def test_a_damaged_memo_never_gives_other_features(
    world: tuple[Pictures, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = world
    run()
    before, path = sha256_of_folder(tmp_path / "out"), memo_of(tmp_path)
    content, rng = path.read_bytes(), random.Random(4)
    for number in range(100):
        place = rng.randrange(len(content))
        flipped = content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
        path.write_bytes(flipped if number % 4 else content[:place])
        run()
        assert sha256_of_folder(tmp_path / "out") == before
    assert "renamed to" in capsys.readouterr().err


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_a_memo_on_a_full_disk(
    world: tuple[Pictures, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _, run = world

    def put(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(HashgenError, match="the disk is full; free some") as raised:
        patch.setattr(Memo, "put", put)
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=0))
        run()
    assert raised.value.exit_code == 8 and str(memo_of(tmp_path)) in str(raised.value)
    assert run().encoded == 30


def test_a_disk_that_is_full_while_features_are_written(
    world: tuple[Pictures, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = world

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(HashgenError, match="out: the disk is full") as raised:
        patch.setattr("hashgen.features.encoding._write_header", full)
        run()
    assert raised.value.exit_code == 8
    assert not list(tmp_path.glob("*out*"))
    assert run().encoded == 0


def test_the_arrays_are_as_numpy_writes_them(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    for name in ("plain.npy", "views.npy"):
        path = tmp_path / "out" / name
        np.save(tmp_path / name, np.load(path))
        assert path.read_bytes() == (tmp_path / name).read_bytes()


def test_a_memo_that_cannot_be_written_is_named(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(HashgenError, match="--home"):
        run()
    (tmp_path / "home").unlink()
    run()
    path = memo_of(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(HashgenError, match="--home"):
        run()


def test_two_runs_at_once_encode_each_picture_once(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    encoders = [FakeEncoder(), FakeEncoder()]
    threads = [
        threading.Thread(target=run, kwargs={"encode": encoder, "out": f"out{number}"})
        for number, encoder in enumerate(encoders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(encoder.batches) for encoder in encoders) == [0, 8]
    assert sha256_of_folder(tmp_path / "out0") == sha256_of_folder(tmp_path / "out1")


@pytest.mark.slow
def test_worker_processes_change_no_byte(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    run(out="parallel", home="other", workers=2)
    assert sha256_of_folder(tmp_path / "out") == sha256_of_folder(tmp_path / "parallel")


def test_raw_that_changed_behind_the_filter_is_named(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    pictures, run = world
    swapped = Pictures(pictures.ids, pictures.shards, pictures.rows, pictures.sha256[::-1], pictures.sources)
    with pytest.raises(HashgenError, match=r"posts-00000.parquet row 0.*run the stage filter again"):
        run(swapped)
    longer = Pictures(["p"], ["posts-00000.parquet"], [99], ["0" * 64], pictures.sources)
    with pytest.raises(HashgenError, match="run the stage filter again"):
        run(longer)
    with pytest.raises(HashgenError, match="scrape"):
        run(Pictures(["p"], ["posts-00077.parquet"], [0], ["0" * 64], pictures.sources))


def test_the_store_holds_the_vectors_of_the_captions(tmp_path: Path) -> None:
    pictures, raw = make_world(tmp_path, [1, 2, 3, 4])
    recipe = dataclasses.replace(
        RECIPE, captions="model2vec", caption_weights="some/model", caption_sha256="2" * 64, caption_dim=3
    )
    vectors = np.arange(12, dtype=np.float16).reshape(4, 3)
    options = {"batch_size": 4, "home": tmp_path / "home", "workers": 0}
    write_features(pictures, raw, tmp_path / "out", recipe, FakeEncoder(), sentences=vectors, **options)  # type: ignore[arg-type]
    store = FeatureStore.open(tmp_path / "out")
    assert store.recipe == recipe and isinstance(store.sentences, np.memmap)
    np.testing.assert_array_equal(store.sentences, vectors)
    manifest = pd.DataFrame({"id": ["p2", "p0"], "caption": ["c", "a"], "hashtags": [["x"], ["y"]]})
    sentences = label(manifest, store).posts.sentences
    assert sentences is not None and sentences.dtype == np.float32
    np.testing.assert_array_equal(sentences, vectors[[2, 0]])
    # The same pictures with another caption encoder, or none, are remembered.
    assert write_features(pictures, raw, tmp_path / "out", RECIPE, FakeEncoder(), **options).encoded == 0  # type: ignore[arg-type]
    assert not (tmp_path / "out/captions.npy").exists()
    plain = FeatureStore.open(tmp_path / "out")
    assert plain.sentences is None and label(manifest, plain).posts.sentences is None


@pytest.mark.parametrize("damage", ["absent", "rubbish", "rows", "dim"])
def test_damaged_vectors_of_captions_are_named(tmp_path: Path, damage: str) -> None:
    pictures, raw = make_world(tmp_path, [1, 2])
    recipe = dataclasses.replace(RECIPE, captions="model2vec", caption_sha256="2" * 64, caption_dim=3)
    vectors = np.zeros((3 if damage == "rows" else 2, 4 if damage == "dim" else 3), np.float16)
    options = {"batch_size": 4, "home": tmp_path / "home", "workers": 0}
    write_features(pictures, raw, tmp_path / "out", recipe, FakeEncoder(), sentences=vectors, **options)  # type: ignore[arg-type]
    if damage == "absent":
        (tmp_path / "out/captions.npy").unlink()
    elif damage == "rubbish":
        (tmp_path / "out/captions.npy").write_bytes(b"rubbish")
    with pytest.raises(HashgenError, match="featurize"):
        FeatureStore.open(tmp_path / "out")


def test_features_from_before_caption_encoders_still_load(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    path = tmp_path / "out/features.json"
    document = {key: value for key, value in json.loads(path.read_text()).items() if not key.startswith("caption")}
    assert len(document) == 10
    path.write_text(json.dumps(document))
    assert FeatureStore.open(tmp_path / "out").recipe == RECIPE


def test_a_damaged_store_is_named(world: tuple[Pictures, Run], tmp_path: Path) -> None:
    _, run = world
    run()
    with pytest.raises(HashgenError, match=r"p77; run the stage featurize again"):
        FeatureStore.open(tmp_path / "out").rows(["p1", "p77"])
    with pytest.raises(HashgenError, match="featurize"):
        FeatureStore.open(tmp_path / "absent")
    for name in ("plain.npy", "views.npy", "ids.parquet", "features.json"):
        path = tmp_path / "out" / name
        content = path.read_bytes()
        for damaged in (b"", b"rubbish", content[: len(content) // 2]):
            path.write_bytes(damaged)
            with pytest.raises(HashgenError, match="featurize"):
                FeatureStore.open(tmp_path / "out")
        path.unlink()
        with pytest.raises(HashgenError, match="featurize"):
            FeatureStore.open(tmp_path / "out")
        path.write_bytes(content)
    plain = np.load(tmp_path / "out" / "plain.npy")
    for other in (plain.astype(">f2"), plain.view(np.int16), plain[:, :-1], plain[:, :, None]):
        np.save(tmp_path / "out" / "plain.npy", other)
        with pytest.raises(HashgenError, match=r"not those that features\.json describes"):
            FeatureStore.open(tmp_path / "out")
    np.save(tmp_path / "out" / "plain.npy", np.zeros((3, DIM), np.float16))
    with pytest.raises(HashgenError, match="different lengths"):
        FeatureStore.open(tmp_path / "out")


def test_posts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    with pytest.raises(HashgenError, match="filter"):
        read_pictures(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(HashgenError, match="filter"):
        read_pictures(path)
    names = ["id", "shard", "image_sha256", "source"]
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in names}), path)
    with pytest.raises(HashgenError, match="filter"):
        read_pictures(path)
    schema = pa.schema([(name, pa.string()) for name in names] + [("row", pa.int32())])
    pq.write_table(schema.empty_table(), path)
    with pytest.raises(HashgenError, match="no posts"):
        read_pictures(path)


def test_the_memo_replaces_and_reads_back(tmp_path: Path) -> None:
    with contextlib.closing(Memo(tmp_path / "memo.sqlite", 2)) as memo:
        values = np.array([[1, 2], [3, 4]], np.float16)
        memo.put([("aa", 0), ("aa", 1)], values)
        memo.put([("aa", 1)], values[:1])
        assert memo.views("aa") == {0, 1} and memo.views("bb") == set()
        assert memo.get("aa", 1).tolist() == [[1, 2], [1, 2]]
        with pytest.raises(sqlite3.DatabaseError, match="incomplete"):
            memo.get("aa", 2)


class FakeGrid(FakeEncoder):
    """49 places a picture: its mean and deviation, plus the number of the place."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        whole = super().__call__(pixels)
        return (whole[:, None] + np.arange(49, dtype=np.float16)[None, :, None]).astype(np.float16)


def test_a_grid_stands_beside_the_features_and_both_are_remembered(tmp_path: Path) -> None:
    pictures, raw = make_world(tmp_path, [1, 2, 1, 3])
    options = {"batch_size": 4, "home": tmp_path / "home", "workers": 0}
    recipe = dataclasses.replace(RECIPE, grid=True)

    def run(grid: FakeGrid | None, out: str) -> Counts:
        known = recipe if grid is not None else RECIPE
        return write_features(pictures, raw, tmp_path / out, known, FakeEncoder(), encode_grid=grid, **options)  # type: ignore[arg-type]

    assert run(None, "plain").encoded == 9
    grid = FakeGrid()
    counts = run(grid, "grid")
    # Features that are known are not encoded again: only the plain views of three pictures, for their places.
    assert (counts.encoded, counts.remembered) == (3, 9) and grid.batches == [4]
    store = FeatureStore.open(tmp_path / "grid")
    assert isinstance(store.grid, np.memmap) and store.grid.shape == (4, 49, DIM) and store.grid.dtype == np.float16
    assert np.array_equal(store.grid[:, 0], store.plain) and np.array_equal(store.grid[0], store.grid[2])
    assert np.array_equal(store.grid[1, 5], store.plain[1] + np.float16(5))
    assert run(FakeGrid(dies_after=0), "again").encoded == 0
    assert sha256_of_folder(tmp_path / "again") == sha256_of_folder(tmp_path / "grid")
    # Without a grid no byte is another, and nothing speaks of one.
    run(None, "without")
    assert sha256_of_folder(tmp_path / "without") == sha256_of_folder(tmp_path / "plain")
    assert "grid" not in (tmp_path / "without" / "features.json").read_text()
    assert FeatureStore.open(tmp_path / "without").grid is None


@pytest.mark.parametrize("damage", ["absent", "rubbish", "cells", "type"])
def test_a_damaged_grid_is_named(tmp_path: Path, damage: str) -> None:
    pictures, raw = make_world(tmp_path, [1, 2])
    options = {"batch_size": 4, "home": tmp_path / "home", "workers": 0}
    recipe = dataclasses.replace(RECIPE, grid=True)
    write_features(pictures, raw, tmp_path / "out", recipe, FakeEncoder(), encode_grid=FakeGrid(), **options)  # type: ignore[arg-type]
    path = tmp_path / "out" / "grid.npy"
    if damage == "absent":
        path.unlink()
    elif damage == "rubbish":
        path.write_bytes(b"rubbish")
    elif damage == "cells":
        np.save(path, np.zeros((2, 36, DIM), np.float16))
    else:
        np.save(path, np.zeros((2, 49, DIM), np.float32))
    with pytest.raises(HashgenError, match="run the stage featurize again"):
        FeatureStore.open(tmp_path / "out")


def test_a_kill_between_features_and_grid_goes_on(tmp_path: Path) -> None:
    pictures, raw = make_world(tmp_path, [1, 2])
    options = {"batch_size": 4, "home": tmp_path / "home", "workers": 0}
    recipe = dataclasses.replace(RECIPE, grid=True)
    with pytest.raises(KeyboardInterrupt):
        write_features(
            pictures,
            raw,
            tmp_path / "out",
            recipe,
            FakeEncoder(),
            encode_grid=FakeGrid(dies_after=0),
            **options,  # type: ignore[arg-type]
        )
    assert not (tmp_path / "out").exists()
    counts = write_features(pictures, raw, tmp_path / "out", recipe, FakeEncoder(), encode_grid=FakeGrid(), **options)  # type: ignore[arg-type]
    assert (counts.encoded, counts.remembered) == (2, 6)


def test_sentiment_is_read_where_models_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(captions: list[str]) -> np.ndarray:
        return np.array([[len(caption), 0.5] for caption in captions], np.float32)

    monkeypatch.setattr("hashgen.features.store.sentiments", fake)
    pictures, raw = make_world(tmp_path, [1, 2])
    write_features(
        pictures, raw, tmp_path / "out", RECIPE, FakeEncoder(), batch_size=4, home=tmp_path / "home", workers=0
    )
    store = FeatureStore.open(tmp_path / "out")
    manifest = pd.DataFrame({"id": ["p1", "p0"], "caption": ["ccc", "a"], "hashtags": [["x"], ["y"]]})
    assert label(manifest, store).posts.sentiment is None
    posts = label(manifest, store, sentiment=True).posts
    assert posts.sentiment is not None and posts.sentiment.tolist() == [[3, 0.5], [1, 0.5]]
    paired = posts.pair([0, 1, 1], [1, 1, 0]).sentiment
    assert paired is not None and paired.tolist() == [[1, 0.5], [1, 0.5], [3, 0.5]]
