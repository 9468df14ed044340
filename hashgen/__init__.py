"""hashgen: hashtags for a photo and its caption.

`from hashgen import Suggester` writes hashtags with a trained model. For the rest see ARCHITECTURE.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashgen.suggesting.suggester import Suggester

__all__ = ["Suggester", "__version__"]
__version__ = "0.2.0"

# Imported when first asked for: torch takes seconds, and a stage that reads text needs none of it.
_LAZY = {"Suggester": "hashgen.suggesting.suggester"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'hashgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
