"""Damaged files of models, checkpoints, features and weights: the same results or one error, whatever the bytes are."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from hashgen.base.errors import HashgenError
from hashgen.base.files import sha256_of_file, write_json
from hashgen.features.backbone import _read_file
from hashgen.features.store import FeatureStore
from hashgen.models import Data, Decoding, Place, model_class
from hashgen.models.folder import Trained
from hashgen.params.train import Train
from hashgen.text.vocabulary import Glove, Vocabularies
from hashgen.training.about import About
from hashgen.training.history import Epoch
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data, small_examples, small_manifest, train_network, write_features

CPU = torch.device("cpu")
MODELS = tuple(name for name in get_args(Train.model_fields["model"].annotation) if name != "ensemble")


def damages(content: bytes, number: int, seed: int) -> Iterator[bytes]:
    """The content with a flipped bit, with some random bytes, cut, doubled, or nothing but random bytes."""
    rng = random.Random(seed)
    for _ in range(number):
        place, kind = rng.randrange(len(content)), rng.randrange(8)
        if kind < 4:
            flipped = content[place] ^ (1 << rng.randrange(8))
            yield content[:place] + bytes([flipped]) + content[place + 1 :]
        elif kind < 6:
            yield content[:place] + rng.randbytes(rng.randrange(1, 9)) + content[place + 4 :]
        elif kind == 6:
            yield content[:place]
        else:
            yield rng.randbytes(rng.randrange(200))


def sweep(path: Path, read: Callable[[], Any], number: int = 200) -> int:
    """Damage a file in many ways; returns how often that was said. Else what is read is what was read before."""
    content, whole, said = path.read_bytes(), read(), 0
    for damaged in damages(content, number, seed=7):
        path.write_bytes(damaged)
        try:
            assert read() == whole
        except HashgenError as error:
            said += 1
            text = str(error)
            assert str(path.parent) in text and "; " in text and "\n" not in text
    path.write_bytes(content)
    assert read() == whole
    return said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    section = train_section(model=request.param, epochs=1)
    trained = model_class(request.param).fit(data, section, Place(CPU, folder / "c.pt"))
    (folder / "model").mkdir()
    Trained(trained, About(section, small_recipe(), trained.epoch, 0.5)).save(folder / "model")
    return folder / "model"


def test_a_damaged_model_never_says_something_else(model: Path, data: Data) -> None:
    posts = data.val.posts.pair([0, 1], [0, 1])

    def read() -> object:
        loaded = Trained.load(model, CPU)
        return loaded.about, loaded.model.write(posts), loaded.model.rank(posts, 3)

    for path in sorted(model.iterdir()):
        assert sweep(path, read, 60) == 60, path.name


def signed(model: Path) -> None:
    """Make a folder as if it had been saved as it is."""
    files = [path for path in model.iterdir() if path.name != "sha256.json"]
    write_json(model / "sha256.json", {path.name: sha256_of_file(path) for path in files})


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("train.lstm.hidden", value) for value in (10**12, 16384, -1, 0, 1.5, "32", None, float("nan"), [1])],
        ("train.lstm.layers", 8),
        # Weights of such a size would take all memory, were it asked for before they are read.
        ("train.attention.hidden", 16384),
        ("train.transformer.width", 16384),
        ("train.classifier.hidden", 16384),
        ("train.ranker.classifier.hidden", 16384),
        ("train.caption_length", 10**12),
        ("train.hashtag_length", -3),
        ("train.model", "gpt"),
        ("train.model", None),
        ("train", [1]),
        ("features", None),
        *[("features.dim", value) for value in (10**12, 2**20, -8, "8", float("inf"), 9)],
        ("features.image_size", 10**9),
        ("features.precision", "int1"),
        ("features.extra", 1),
        ("epoch", "first"),
        ("epoch", -1),
        ("val_f1_at_5", float("nan")),
        ("val_f1_at_5", 2.0),
    ],
)
def test_absurd_numbers_are_refused_before_they_are_used(copy: Path, key: str, value: object) -> None:
    document = json.loads((copy / "model.json").read_text())
    *parents, last = key.split(".")
    if parents[1:] and parents[1] != document["train"]["model"]:
        pytest.skip("of another model")
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value
    (copy / "model.json").write_text(json.dumps(document))
    signed(copy)
    with pytest.raises(HashgenError, match="run the stage train again") as raised:
        Trained.load(copy, CPU)
    assert str(copy) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"train": 1}', "[" * 100_000, "1" * 5000, '{"tokens": "abcd", "counts": [1]}']
)
def test_any_json_in_place_of_a_file_is_one_error(copy: Path, text: str) -> None:
    for path in sorted(copy.glob("*.json")):
        if path.name == "tokenizer.json":
            continue  # for other programs: nothing here reads it
        content = path.read_bytes()
        path.write_text(text)
        if path.name != "sha256.json":
            signed(copy)
        with pytest.raises(HashgenError, match="run the stage train again"):
            Trained.load(copy, CPU)
        path.write_bytes(content)
        signed(copy)
    Trained.load(copy, CPU)


@pytest.mark.parametrize("change", ["shape", "type", "missing", "empty"])
def test_tensors_that_do_not_fit_are_refused(copy: Path, change: str) -> None:
    for path in sorted(copy.glob("*.safetensors")):
        content = path.read_bytes()
        tensors = {name: torch.from_numpy(value) for name, value in load_file(path).items()}
        name = next(name for name in sorted(tensors) if tensors[name].dtype != torch.int32)
        if change == "shape":
            tensors[name] = torch.zeros(3, 3, 3)
        elif change == "type":
            tensors[name] = tensors[name].to(torch.int32)
        else:
            tensors = {} if change == "empty" else {key: value for key, value in tensors.items() if key != name}
        save_file(tensors, path)
        signed(copy)
        with pytest.raises(HashgenError, match="run the stage train again"):
            Trained.load(copy, CPU)
        path.write_bytes(content)


@pytest.mark.parametrize("names", [{"model.json": "0"}, {"../../x": "0", "model.json": "0"}, {"/dev/zero": 1}, [], {}])
def test_a_record_of_hashes_that_is_none(copy: Path, names: object) -> None:
    (copy / "sha256.json").write_text(json.dumps(names))
    with pytest.raises(HashgenError, match=r"run the stage train again|the stage train creates it"):
        Trained.load(copy, CPU)


@pytest.mark.parametrize("changes", [{"beam": 10**9}, {"beam": "5"}, {"search": []}, {"length_penalty": float("inf")}])
def test_absurd_decoding(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Decoding(**changes)


def test_a_card_without_memory_is_not_a_damaged_model(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    kind = model_class(json.loads((copy / "model.json").read_text())["train"]["model"])
    monkeypatch.setattr(kind, "load", full)
    with pytest.raises(HashgenError, match=r"does not fit into the memory of the GPU; .*--device cpu"):
        Trained.load(copy, CPU)


def test_a_damaged_vocabulary(data: Data, tmp_path: Path) -> None:
    data.vocabularies.save(tmp_path)

    def read() -> object:
        found = Vocabularies.load(tmp_path)
        return found.words, found.hashtags, found.word_vectors.shape, found.hashtag_vectors.shape

    said = sweep(tmp_path / "vectors.safetensors", read)
    assert said > 40
    for name in ("words.json", "hashtags.json"):
        path = tmp_path / name
        content = path.read_bytes()
        for damaged in damages(content, 200, seed=3):
            path.write_bytes(damaged)
            try:
                found = Vocabularies.load(tmp_path)
                assert len(found.words) == len(found.word_vectors)  # another letter is another word
            except HashgenError as error:
                assert "run the stage vocab again" in str(error) and str(tmp_path) in str(error)
        path.write_bytes(content)


def test_vectors_that_are_no_numbers(data: Data, tmp_path: Path) -> None:
    data.vocabularies.word_vectors[5, 0], kept = np.nan, data.vocabularies.word_vectors[5, 0]
    data.vocabularies.save(tmp_path)
    data.vocabularies.word_vectors[5, 0] = kept
    with pytest.raises(HashgenError, match="values that are not numbers"):
        Vocabularies.load(tmp_path)


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "1e39", "x"])
def test_a_word_vector_that_is_no_number(tmp_path: Path, value: str) -> None:
    (tmp_path / "glove.txt").write_text(f"love 1 {value}\n")
    with pytest.raises(HashgenError, match="'love' is not numeric; download the file again"):
        Glove.open(tmp_path / "glove.txt", 2).vectors(["love"])


def test_damaged_word_vectors(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"word{number} {number}.5 -0.25 1e-2\n" for number in range(30)))
    for damaged in damages(path.read_bytes(), 300, seed=5):
        path.write_bytes(damaged)
        try:
            glove = Glove.open(path, 3)
            found = glove.vectors(list(glove.offsets))
            assert all(vector.shape == (3,) and np.isfinite(vector).all() for vector in found.values())
        except HashgenError as error:
            assert str(path) in str(error) and "; " in str(error)
    path.write_bytes(bytes(10**6))  # a line without end
    with pytest.raises(HashgenError, match=r"line 1: .*use another file"):
        Glove.open(path, 3)


def test_a_damaged_feature_store(tmp_path: Path) -> None:
    write_features(tmp_path / "f", small_manifest(6))

    def read() -> object:
        store = FeatureStore.open(tmp_path / "f")
        return store.plain.shape, store.views.shape, store.plain.dtype, store.recipe.dim, len(store.ids)

    for name in ("plain.npy", "views.npy", "ids.parquet"):
        assert sweep(tmp_path / "f" / name, read) > 40
    for damaged in damages((tmp_path / "f/features.json").read_bytes(), 200, seed=2):
        (tmp_path / "f/features.json").write_bytes(damaged)
        try:
            read()  # another seed or name cannot be told from the true one here: the model knows its own
        except HashgenError as error:
            assert "run the stage featurize again" in str(error)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("old", [False, True])
def test_damaged_weights(tmp_path: Path, suffix: str, old: bool) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {"conv1.weight": torch.ones(2, 2), "bn1.bias": torch.zeros(3)}
    if suffix == ".pth":
        torch.save(state, path, _use_new_zipfile_serialization=not old)
    else:
        save_file(state, path)
    said = 0
    for damaged in damages(path.read_bytes(), 300, seed=11):
        path.write_bytes(damaged)
        try:
            assert all(isinstance(value, torch.Tensor) for value in _read_file(path).values())
        except HashgenError as error:
            said += 1
            assert str(error).startswith(f"featurize.weights: {path} ") and "; " in str(error)
    assert said > 100


def test_a_damaged_checkpoint_is_never_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = train_section(epochs=1)
    data = small_examples(tmp_path, section, train=8, val=4)
    path = tmp_path / "checkpoint.pt"
    whole, history = train_network(data, section, path)
    content = path.read_bytes()
    told: list[Epoch] = []
    for number, damaged in enumerate(damages(content, 200, seed=1), start=1):
        path.write_bytes(damaged)
        again, same_history = train_network(data, section, path, told.append)
        (line,) = capsys.readouterr().err.splitlines()
        assert re.fullmatch(rf"warning: {path} is damaged \(.+\); training from the start", line)
        assert len(told) == number and same_history == history
        assert all(torch.equal(one, whole.state_dict()[name]) for name, one in again.state_dict().items())
        assert path.read_bytes() == content
    train_network(data, section, path, told.append)
    assert len(told) == 200


def test_a_checkpoint_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = train_section(epochs=2)
    data = small_examples(tmp_path, section, train=8, val=4)
    path = tmp_path / "checkpoint.pt"
    written: list[Path] = []

    def replace(self: Path, target: Path) -> None:
        written.append(target)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        self.rename(target)

    with monkeypatch.context() as patch, pytest.raises(HashgenError, match="the disk is full") as raised:
        patch.setattr(Path, "replace", replace)
        train_network(data, section, path)
    assert raised.value.exit_code == 8 and str(path) in str(raised.value)
    told: list[Epoch] = []
    train_network(data, section, path, told.append)
    assert [epoch.epoch for epoch in told] == [2]
