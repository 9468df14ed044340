"""`torchvision.models`, imported in a tenth of a second instead of a whole one."""

import contextlib
import importlib.metadata
import sys
import types
from collections.abc import Iterator

# The first release that nobody has tried this with; it is imported as it is.
_UNTRIED = (0, 30)


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Let torchvision import without torch's compiler, of which its regions of interest want one function.

    That import is a third of the time to a first suggestion. The function says whether the compiler may be used; here
    it says no. Afterwards the compiler can be imported as ever.
    """
    release = tuple(map(int, importlib.metadata.version("torchvision").split(".")[:2]))
    if release >= _UNTRIED or "torch._dynamo" in sys.modules or "torchvision" in sys.modules:
        yield
        return
    compiler, utils = types.ModuleType("torch._dynamo"), types.ModuleType("torch._dynamo.utils")
    utils.is_compile_supported = lambda _: False  # type: ignore[attr-defined]
    stand_ins = {"torch._dynamo": compiler, "torch._dynamo.utils": utils}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


with _without_compiler():
    from torchvision import models as models
