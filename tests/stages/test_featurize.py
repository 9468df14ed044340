import contextlib
import hashlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torchvision import models

from hashgen.base.errors import HashgenError
from hashgen.base.files import sha256_of_folder
from hashgen.corpus.posts import Post, write_shards
from hashgen.features.store import FeatureStore
from stages.featurize import main
from tests import ROOT
from tests.doubles.static_model import write_static_model

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "shard", "image_sha256", "caption")] + [("row", pa.int32())]
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of torch that wait for each other are slow where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(number: int) -> bytes:
    colours = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).resize((48, 40)).save(stream, "JPEG")
    return stream.getvalue()


def make_world(folder: Path, count: int, source: str = "sample", **changes: object) -> dict[str, Any]:
    """Arguments of the stage for a world of `count` posts and resnet18."""
    paths = {"posts": folder / "posts.parquet", "raw": folder / "raw", "params": folder / "params.yaml"}
    paths["raw"].mkdir(parents=True)
    data = [picture(number) for number in range(count)]
    write_shards((Post(id=f"p{i}", source=source, image=image) for i, image in enumerate(data)), paths["raw"])
    rows = [
        {
            "id": f"p{i}",
            "source": source,
            "shard": "posts-00000.parquet",
            "row": i,
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "caption": ("sea", "wood run", "")[i % 3],
        }
        for i, image in enumerate(data)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), paths["posts"])
    set_params(paths["params"], **changes)
    return paths | {"out": folder / "features", "home": folder / "home"}


def set_params(path: Path, **changes: object) -> None:
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = {"backbone": "resnet18", "weights": "random", "allow_random": False, "image_size": 32, "views": 1}
    document["featurize"].update(small | changes)
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)


def test_the_stage_writes_a_store_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world(tmp_path, 20)
    main(**world, device="cpu", workers=0)
    line = capsys.readouterr().out.strip()
    assert line.startswith("featurize: 20 pictures, 40 encoded, 0 already known, 512-d, ") and line.endswith(
        " pictures/s"
    )
    store = FeatureStore.open(world["out"])
    assert store.plain.shape == (20, 512) and store.views.shape == (20, 1, 512)
    assert np.isfinite(store.plain).all() and np.isfinite(store.views).all()
    recipe = store.recipe
    assert (recipe.weights, recipe.dim, recipe.views, recipe.file_sha256) == ("random", 512, 1, None)
    assert len(recipe.weights_sha256) == 64
    main(**world, device="cpu", workers=0)
    assert capsys.readouterr().out == "featurize: 20 pictures, 0 encoded, 40 already known, 512-d\n"


def test_random_weights_are_for_the_sample(tmp_path: Path) -> None:
    world = make_world(tmp_path, 3, source="folder", views=0)
    with pytest.raises(HashgenError, match=r"featurize\.weights.*featurize\.allow_random"):
        main(**world, device="cpu", workers=0)
    assert not world["out"].exists()
    set_params(world["params"], views=0, allow_random=True)
    main(**world, device="cpu", workers=0)
    assert FeatureStore.open(world["out"]).plain.shape == (3, 512)


def test_a_file_of_weights_is_recorded_without_its_place(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(models.resnet18(weights=None).state_dict(), weights)
    world = make_world(tmp_path, 3, source="folder", weights=str(weights), views=0)
    main(**world, device="cpu", workers=0)
    recipe = FeatureStore.open(world["out"]).recipe
    assert recipe.weights == str(weights)  # as params name it
    assert recipe.file_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_captions_are_encoded_beside_the_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_static_model(tmp_path / "model")
    world = make_world(tmp_path, 5, views=0, captions="model2vec", caption_weights=str(model))
    main(**world, device="cpu", workers=0)
    assert capsys.readouterr().out.strip().endswith(" pictures/s; captions 3-d")
    store = FeatureStore.open(world["out"])
    expected = [[3, 0, 0], [0, 2, 0.5], [0, 0, 0], [3, 0, 0], [0, 2, 0.5]]
    assert store.sentences is not None and store.sentences.tolist() == expected
    recipe = store.recipe
    assert (recipe.captions, recipe.caption_weights, recipe.caption_dim) == ("model2vec", str(model), 3)
    first = sha256_of_folder(world["out"])
    main(**world, device="cpu", workers=0)
    assert sha256_of_folder(world["out"]) == first
    # A name that tfidf does not use is not written down.
    set_params(world["params"], views=0, captions="tfidf", caption_weights=str(model))
    main(**world, device="cpu", workers=0)
    assert FeatureStore.open(world["out"]).recipe.caption_weights is None


def test_a_grid_of_places_is_kept_beside_the_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world(tmp_path, 3, image_size=64)
    main(**world, device="cpu", workers=0)
    plain = {path.name: path.read_bytes() for path in world["out"].iterdir()}
    set_params(world["params"], image_size=64, grid=True)
    capsys.readouterr()
    main(**world, device="cpu", workers=0)
    line = capsys.readouterr().out.strip()
    assert line.startswith("featurize: 3 pictures, 3 encoded, 6 already known, 512-d, ")
    assert line.endswith(" pictures/s; 7 x 7 places")
    store = FeatureStore.open(world["out"])
    assert store.grid is not None and store.grid.shape == (3, 49, 512)
    np.testing.assert_allclose(store.grid.astype(float).mean(1), store.plain, rtol=0.02, atol=0.02)  # bfloat16
    assert all((world["out"] / name).read_bytes() == plain[name] for name in ("plain.npy", "views.npy", "ids.parquet"))
    set_params(world["params"], image_size=64)
    main(**world, device="cpu", workers=0)
    assert {path.name: path.read_bytes() for path in world["out"].iterdir()} == plain


def test_a_backbone_without_a_grid_is_named_before_anything_is_encoded(tmp_path: Path) -> None:
    world = make_world(tmp_path, 3, image_size=32, grid=True)
    with pytest.raises(
        HashgenError, match=r"^featurize\.grid: resnet18 has no map of places for pictures of 32 pixels"
    ):
        main(**world, device="cpu", workers=0)
    assert not world["out"].exists()


def test_an_empty_size_is_written_down_as_what_it_was(tmp_path: Path) -> None:
    world = make_world(tmp_path, 1, views=0, image_size=None)
    main(**world, device="cpu", workers=0)
    assert FeatureStore.open(world["out"]).recipe.image_size == 224


@pytest.mark.parametrize(
    ("changes", "device", "key"),
    [
        ({"backbone": "resnet51"}, "cpu", r"featurize\.backbone"),
        ({"precision": "float16"}, "cpu", r"featurize\.precision"),
        ({"weights": "absent.pth"}, "cpu", r"featurize\.weights"),
        ({"captions": "model2vec"}, "cpu", r"caption_weights must name a model"),
        ({"captions": "model2vec", "caption_weights": "no/model"}, "cpu", r"featurize\.caption_weights"),
        ({"captions": "bert"}, "cpu", r"featurize\.captions"),
        ({}, "tpu", "--device"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, changes: dict[str, Any], device: str, key: str) -> None:
    world = make_world(tmp_path, 2, **changes)
    with pytest.raises(HashgenError, match=key):
        main(**world, device=device, workers=0)


def test_cuda_is_asked_for_in_vain_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(HashgenError, match="--device"):
        main(**make_world(tmp_path, 2), device="cuda", workers=0)


def command(world: dict[str, Path], **changes: Path) -> list[str]:
    options = [part for name, path in (world | changes).items() for part in (f"--{name}", str(path))]
    return [sys.executable, "-m", "stages.featurize", *options, "--device", "cpu", "--workers", "1"]


def encoded(home: Path) -> int:
    """Features in the memo, read beside the process that writes them."""
    for path in (home / "features").glob("*.sqlite"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as database:
            return int(database.execute("SELECT count(*) FROM features").fetchone()[0])
    return 0


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    world = make_world(tmp_path, 150, image_size=96)
    killed = subprocess.Popen(command(world), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while killed.poll() is None and encoded(world["home"]) < 24:
            time.sleep(0.005)
        assert killed.poll() is None, "ended before it could be killed"
        os.kill(killed.pid, signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
    remembered = encoded(world["home"])
    assert 24 <= remembered < 300 and not world["out"].exists()
    again = subprocess.run(command(world), cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{300 - remembered:,} encoded, {remembered:,} already known" in again.stdout
    whole, home = tmp_path / "whole", tmp_path / "other"
    subprocess.run(command(world, out=whole, home=home), cwd=ROOT, capture_output=True, check=True)
    assert sha256_of_folder(world["out"]) == sha256_of_folder(whole)
