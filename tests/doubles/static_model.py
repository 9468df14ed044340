"""A tiny model of model2vec, written as its own package writes one."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

WORDS = ("[UNK]", "sea", "wood", "run", "rest", "love")
# One row a word, in their order.
VECTORS = np.array([[9, 9, 9], [3, 0, 0], [0, 4, 0], [0, 0, 1], [1, 1, 0], [-1, 0, 2]], np.float32)


def write_static_model(
    folder: Path, *, normalise: bool = False, tensors: dict[str, np.ndarray] | None = None, **config: object
) -> Path:
    """Write the folder and return it. tensors: others than `VECTORS` alone. config: more entries of config.json."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(tensors or {"embeddings": VECTORS}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"normalize": normalise} | config))
    return folder
