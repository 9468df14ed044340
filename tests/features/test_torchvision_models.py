import subprocess
import sys

import pytest

CHECK = """
import sys
from hashgen.features.torchvision_models import models
assert not [name for name in sys.modules if name.startswith("torch._dynamo")], "the compiler was imported"
assert models.get_model("resnet18", weights=None) is not None
import torch._dynamo.utils
assert torch._dynamo.utils.is_compile_supported("cpu") in (True, False)
assert torch._dynamo.__file__
from torchvision.ops import roi_align
import torch
print(roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 1).item())
"""


@pytest.mark.slow
def test_the_compiler_is_not_imported_but_can_be() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr


def test_an_untried_release_is_imported_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from hashgen.features import torchvision_models

    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.1.0+cpu")
    before = sys.modules.get("torch._dynamo")
    with torchvision_models._without_compiler():
        assert sys.modules.get("torch._dynamo") is before
