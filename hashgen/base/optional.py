"""What not every user has: packages of the extras, and models in the local cache of Hugging Face."""

import importlib
from pathlib import Path
from types import ModuleType

import huggingface_hub
from huggingface_hub.constants import HF_HUB_CACHE

from hashgen.base.errors import HashgenError

# The lower bounds of the extras in pyproject.toml.
_PACKAGES = {
    "faiss": "faiss-cpu>=1.11",
    "nncf": "nncf>=3.0",
    "openvino": "openvino>=2026.0",
    "ray": "ray[data]>=2.60",
    "sentence_transformers": "sentence-transformers>=5.0",
    "textblob": "textblob>=0.19",
    "timm": "timm>=1.0.20",
}


def optional(module: str, key: str) -> ModuleType:
    """Import a module of an extra. Raises HashgenError that names the parameter `key` and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = _PACKAGES[module.partition(".")[0]]
        raise HashgenError(f'{key}: needs a package that is not here: pip install "{package}"') from error


def cached_model(name: str, key: str, file: str | None = None) -> Path:
    """The folder of a model in the local cache of Hugging Face, or one `file` of it; the network is never tried.

    Raises HashgenError that names the parameter `key` and the command that downloads the model.
    """
    try:
        if file is None:
            return Path(huggingface_hub.snapshot_download(name, local_files_only=True))
        return Path(huggingface_hub.hf_hub_download(name, file, local_files_only=True))
    except (OSError, ValueError) as error:  # not in the cache, or no name that a model can have
        download = " ".join(["hf download", name, *([] if file is None else [file])])
        raise HashgenError(
            f"{key}: {name} is neither here nor in {HF_HUB_CACHE}; run once with internet: {download}; "
            f"or elsewhere: {download} --local-dir FOLDER, and name what that wrote"
        ) from error
