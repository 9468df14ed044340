import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.features.captions import CaptionEncoder, load_caption_encoder
from hashgen.features.encoding import encode_captions
from tests.doubles.static_model import VECTORS, WORDS, write_static_model
from tests.properties import examples

CPU = torch.device("cpu")


def load(folder: str | Path, kind: str = "model2vec") -> CaptionEncoder:
    return load_caption_encoder(kind, folder, CPU)


def fault(folder: str | Path, kind: str = "model2vec") -> str:
    with pytest.raises(HashgenError) as caught:
        load(folder, kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_vector_is_the_mean_of_the_known_words(tmp_path: Path) -> None:
    encoder = load(write_static_model(tmp_path / "model"))
    vectors = encoder(["Sea", "sea wood", "love what love run", "", "nothing known"])
    assert encoder.dim == 3 and vectors.dtype == np.float16
    expected = [[3, 0, 0], [1.5, 2, 0], [-2 / 3, 0, 5 / 3], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(vectors, np.array(expected, np.float16))


def test_a_model_that_normalises_gives_unit_vectors(tmp_path: Path) -> None:
    vectors = load(write_static_model(tmp_path / "model", normalise=True))(["sea", "sea wood", ""])
    np.testing.assert_array_equal(vectors, np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 0]], np.float16))


def test_a_smaller_table_shares_vectors_and_weighs_words(tmp_path: Path) -> None:
    tensors = {
        "embeddings": np.array([[1, 0], [0, 1]], np.float32),
        "mapping": np.array([0, 0, 0, 1, 1, 1]),
        "weights": np.array([9, 1, 2, 3, 4, 5], np.float32),
    }
    vectors = load(write_static_model(tmp_path / "model", tensors=tensors))(["sea", "wood", "rest", "wood love"])
    np.testing.assert_array_equal(vectors, np.array([[1, 0], [2, 0], [0, 4], [1, 2.5]], np.float16))


def test_a_caption_is_read_up_to_the_longest_length(tmp_path: Path) -> None:
    encoder = load(write_static_model(tmp_path / "model", max_length=2))
    assert encoder(["sea wood run run run"]).tolist() == [[1.5, 2, 0]]
    assert load(write_static_model(tmp_path / "model", max_length=None))(["sea " * 600 + "wood " * 600])[0][1] == 2


@examples(50)
@given(st.lists(st.lists(st.sampled_from([*WORDS[1:], "other"]), max_size=6).map(" ".join), max_size=5))
def test_a_vector_does_not_depend_on_its_neighbours(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str]
) -> None:
    encoder = load(write_static_model(tmp_path_factory.getbasetemp() / "static"))
    together = encoder(captions)
    assert together.shape == (len(captions), 3)
    for vector, caption in zip(together, captions, strict=True):
        assert np.array_equal(vector, encoder([caption])[0])


def test_vectors_are_those_of_model2vec(tmp_path: Path) -> None:
    """Against the package itself, where it is installed."""
    library = pytest.importorskip("model2vec", reason="model2vec is not installed; nothing else needs it")
    captions = ["sea wood", "Love, love the SEA!", "", "unknown", "run " * 700 + "sea"]
    for normalise in (False, True):
        folder = write_static_model(tmp_path / "model", normalise=normalise)
        expected = library.StaticModel.from_pretrained(folder).encode(captions)
        np.testing.assert_allclose(load(folder)(captions), expected, atol=1e-3)


def test_the_digest_goes_by_what_decides_a_vector(tmp_path: Path) -> None:
    first = load(write_static_model(tmp_path / "a")).digest
    (tmp_path / "a/README.md").write_text("words")
    assert load(tmp_path / "a").digest == load(write_static_model(tmp_path / "b")).digest == first
    assert load(write_static_model(tmp_path / "b", normalise=True)).digest != first
    assert load(write_static_model(tmp_path / "b", tensors={"embeddings": VECTORS + 1})).digest != first


def test_vectors_too_large_are_an_error(tmp_path: Path) -> None:
    for value in (1e5, float("nan")):
        tensors = {"embeddings": np.full((len(WORDS), 2), value, np.float32)}
        encoder = load(write_static_model(tmp_path / "model", tensors=tensors))
        with pytest.raises(HashgenError, match=r"featurize\.caption_weights: .*float16"):
            encoder(["sea"])


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_folders_are_named(tmp_path: Path, name: str) -> None:
    path = write_static_model(tmp_path / "model") / name
    content = path.read_bytes()
    for damaged in (b"", b"rubbish", b"[]", b'{"max_length": "x", "model": 1}', content[: len(content) // 2]):
        path.write_bytes(damaged)
        assert fault(tmp_path / "model").startswith(f"featurize.caption_weights: {tmp_path / 'model'} ")
    path.unlink()
    assert name in fault(tmp_path / "model")


def test_vectors_that_do_not_fit_the_words_are_named(tmp_path: Path) -> None:
    assert "5 vectors for 6 tokens" in fault(write_static_model(tmp_path, tensors={"embeddings": VECTORS[:5]}))
    assert "embeddings" in fault(write_static_model(tmp_path, tensors={"other": VECTORS}))
    flat = fault(write_static_model(tmp_path, tensors={"embeddings": VECTORS[:, 0]}))
    assert "featurize.caption_weights" in flat


def test_a_model_that_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    for name in ("minishlab/no-such-model", "../models/none", "a name/with/slashes", "none"):
        message = fault(name)
        assert message.startswith(f"featurize.caption_weights: {name} is neither here nor in ")
        assert f"hf download {name};" in message and f"hf download {name} --local-dir FOLDER" in message
    assert "no such folder" in fault(tmp_path / "none", "sentence-transformers")


def test_a_model_in_the_cache_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--model"
    write_static_model(repository / "snapshots/0123456789abcdef0123456789abcdef01234567")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0123456789abcdef0123456789abcdef01234567")
    assert load("some/model")(["sea"]).tolist() == [[3, 0, 0]]


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    (tmp_path / "modules.json").write_text("[]")
    message = fault(tmp_path, "sentence-transformers")
    assert message.startswith("featurize.captions: sentence-transformers: needs a package")
    assert message.endswith('pip install "sentence-transformers>=5.0"')


def test_a_model_of_sentence_transformers_is_read_from_its_folder(tmp_path: Path) -> None:
    """A static embedding: the smallest that the package can save."""
    library = pytest.importorskip(
        "sentence_transformers", reason="the extra hashgen[sentence-transformers] is not installed"
    )
    from tokenizers import Tokenizer

    modules = pytest.importorskip("sentence_transformers.models")
    tokenizer = Tokenizer.from_file(str(write_static_model(tmp_path / "static") / "tokenizer.json"))
    embedding = modules.StaticEmbedding(tokenizer, embedding_weights=VECTORS)
    library.SentenceTransformer(modules=[embedding], device="cpu").save(str(tmp_path / "model"))
    encoder = load(tmp_path / "model", "sentence-transformers")
    assert encoder.dim == 3
    np.testing.assert_array_equal(encoder(["sea wood", "run"]), np.array([[1.5, 2, 0], [0, 0, 1]], np.float16))
    assert load(tmp_path / "model", "sentence-transformers").digest == encoder.digest


class Counting:
    """Three values of each caption; counts what it is given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def __call__(self, captions: object) -> np.ndarray:
        texts = list(captions)  # type: ignore[call-overload]
        self.given += texts
        return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32)


def write_posts(path: Path, captions: list[str]) -> Path:
    pq.write_table(pa.table({"caption": pa.array(captions, pa.string())}), path)
    return path


def test_captions_are_encoded_once_and_remembered(tmp_path: Path) -> None:
    counting = Counting()
    encoder = CaptionEncoder(counting, 3, "0" * 64)
    posts = write_posts(tmp_path / "posts.parquet", ["a sea", "wood", "a sea", ""])
    vectors = encode_captions(posts, encoder, tmp_path / "home")
    assert vectors.tolist() == [[5, 2, 1], [4, 0, 1], [5, 2, 1], [0, 0, 1]] and vectors.dtype == np.float16
    assert counting.given == ["a sea", "wood", ""]
    write_posts(posts, ["new", "wood"])
    assert encode_captions(posts, encoder, tmp_path / "home").tolist() == [[3, 0, 1], [4, 0, 1]]
    assert counting.given[3:] == ["new"]
    encode_captions(posts, CaptionEncoder(counting, 3, "1" * 64), tmp_path / "home")
    assert counting.given[4:] == ["new", "wood"]  # another encoder remembers apart


def test_a_damaged_memo_of_captions_is_built_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = CaptionEncoder(Counting(), 3, "0" * 64)
    posts = write_posts(tmp_path / "posts.parquet", [f"caption {number}" for number in range(600)])
    before = encode_captions(posts, encoder, tmp_path / "home")
    (memo,) = (tmp_path / "home/features").glob("captions-*.sqlite")
    memo.write_bytes(b"no database at all" * 100)
    assert np.array_equal(encode_captions(posts, encoder, tmp_path / "home"), before)
    assert "renamed to" in capsys.readouterr().err


def test_captions_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    posts = tmp_path / "posts.parquet"
    posts.write_bytes(json.dumps({}).encode())
    with pytest.raises(HashgenError, match="filter"):
        encode_captions(posts, CaptionEncoder(Counting(), 3, "0" * 64), tmp_path / "home")
