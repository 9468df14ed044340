"""Frozen caption encoders: a caption in, one vector out."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.optional import cached_model, optional
from hashgen.features.network import digest_of_tensors

# Part of the digest of every encoder: raise it whenever the same files would yield other vectors.
_VERSION = 1
_KEY = "featurize.caption_weights"
_LONGEST = 512  # tokens of a caption that model2vec reads unless a model says otherwise

Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class CaptionEncoder:
    """A frozen encoder of captions.

    encode: captions to vectors (n, dim) float32; a vector depends on its caption alone. digest: hex SHA-256 of all that
    decides a vector besides the caption.
    """

    encode: Callable[[Sequence[str]], Vectors]
    dim: int
    digest: str

    def __call__(self, captions: Sequence[str]) -> npt.NDArray[np.float16]:
        """Vectors (n, dim) of captions. Raises HashgenError when one is too large for float16."""
        with np.errstate(over="ignore"):
            vectors = self.encode(captions).astype(np.float16)
        if not np.isfinite(vectors).all():
            raise HashgenError(f"{_KEY}: this encoder gives vectors too large for float16; use another")
        return vectors


def load_caption_encoder(kind: str, weights: str | Path, device: torch.device) -> CaptionEncoder:
    """Load an encoder of kind model2vec or sentence-transformers.

    weights: a folder, or the name of a model in the local cache of Hugging Face; the network is never tried. Raises
    HashgenError that says what is missing and where to get it.
    """
    folder = weights if isinstance(weights, Path) else cached_model(weights, _KEY)
    try:
        return _static(folder) if kind == "model2vec" else _transformer(folder, device)
    except HashgenError:
        raise
    except Exception as error:  # the parsers of damaged files raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise system_fault(error) or HashgenError(
            f"{_KEY}: {folder} cannot be read as a model of {kind} ({reason}); name the folder of one, with all its "
            "files, or set featurize.captions to its kind"
        ) from error


def _static(folder: Path) -> CaptionEncoder:
    """A model of model2vec: the mean of its vectors of a caption's tokens, as `model2vec.StaticModel.encode` takes it.

    Read here and not by that package: so every install can use one, and these are a few lines.
    """
    files = [folder / name for name in ("config.json", "tokenizer.json", "model.safetensors")]
    config = json.loads(files[0].read_text(encoding="utf-8"))
    tokenizer, unknown = _tokenizer(files[1].read_text(encoding="utf-8"), config.get("max_length", _LONGEST))
    tensors = load_file(files[2])
    # Models with a smaller table share vectors between tokens (`mapping`), and weigh each token by itself.
    table = tensors["embeddings"].astype(np.float32)
    vectors = table[tensors["mapping"]] if "mapping" in tensors else table  # (tokens, dim)
    if len(vectors) != tokenizer.get_vocab_size():
        raise ValueError(f"{len(vectors)} vectors for {tokenizer.get_vocab_size()} tokens")
    if "weights" in tensors:
        vectors *= tensors["weights"].astype(np.float32)[:, None]
    normalise = bool(config.get("normalize"))

    def encode(captions: Sequence[str]) -> Vectors:
        means = np.zeros((len(captions), vectors.shape[1]), np.float32)
        for mean, tokens in zip(means, tokenizer.encode_batch(list(captions), add_special_tokens=False), strict=True):
            if known := [token for token in tokens.ids if token != unknown]:
                mean[:] = vectors[known].mean(axis=0)
        if normalise:
            means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-32
        return means

    digest = hashlib.sha256(f"model2vec {_VERSION}\n".encode())
    for file in files:
        digest.update(file.read_bytes())
    return CaptionEncoder(encode, vectors.shape[1], digest.hexdigest())


def _tokenizer(text: str, longest: int | None) -> tuple[Tokenizer, int | None]:
    """The tokenizer in tokenizer.json, and the number of its token for all that it does not know."""
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    if longest is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(longest)
    model: dict[str, Any] = json.loads(text)["model"]
    name = model.get("unk_token")
    return tokenizer, model.get("unk_id") if name is None else tokenizer.token_to_id(name)


# The files of a folder that decide what a model of sentence-transformers makes of its weights.
_SETTINGS = ("modules.json", "config.json", "sentence_bert_config.json", "tokenizer.json")


def _transformer(folder: Path, device: torch.device) -> CaptionEncoder:
    if not folder.is_dir():
        raise ValueError("no such folder")
    library = optional("sentence_transformers", "featurize.captions: sentence-transformers")
    # A bar for reading, which takes a second, would stand between the stage's own lines.
    optional("transformers.utils.logging", "featurize.captions: sentence-transformers").disable_progress_bar()
    model = library.SentenceTransformer(str(folder), device=str(device), local_files_only=True)
    model.eval().requires_grad_(False)

    def encode(captions: Sequence[str]) -> Vectors:
        # One by one: padding to the longest of a batch would change the last bits. Captions are short, so that threads
        # would wait for each other: on two busy cores one was 18 times as fast as two.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            vectors: Vectors = model.encode(list(captions), batch_size=1, show_progress_bar=False).astype(np.float32)
        finally:
            torch.set_num_threads(threads)
        return vectors

    digest = digest_of_tensors(model)
    digest.update(f"sentence-transformers {_VERSION}\n".encode())
    for file in sorted(file for name in _SETTINGS for file in folder.rglob(name)):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return CaptionEncoder(encode, encode([""]).shape[1], digest.hexdigest())
