import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hashgen.base.errors import HashgenError
from hashgen.features.backbone import Encoder, load_encoder
from hashgen.pictures.crops import Preparation
from tests import ROOT
from tests.features.test_backbone import CPU, pixels, section

# Not imported here: the runtime itself must be what imports it first.
if importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None:
    pytest.skip("needs openvino and nncf", allow_module_level=True)


def first_pictures(size: int, preparation: Preparation) -> np.ndarray:
    return pixels(16, size)


def load(**changes: object) -> Encoder:
    wanted = section(runtime="openvino", **changes)
    return load_encoder(wanted, "random", CPU, runtime="openvino", first_pictures=first_pictures)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    wanted = section(image_size=64)
    encoder = load_encoder(wanted, "random", CPU)
    return encoder(pixels(8, 64)).astype(np.float32)


def test_features_are_those_of_torch(exact: np.ndarray) -> None:
    found = load(image_size=64)(pixels(8, 64)).astype(np.float32)
    np.testing.assert_allclose(found, exact, rtol=2e-3, atol=2e-3)
    half = load(image_size=64, precision="bfloat16")(pixels(8, 64)).astype(np.float32)
    assert np.linalg.norm(half - exact) < 0.05 * np.linalg.norm(exact)


def test_the_digest_names_the_weights_not_the_runtime() -> None:
    torchs = load_encoder(section(), "random", CPU)
    assert load().digest == torchs.digest


def test_a_grid_has_the_plain_features_as_its_mean() -> None:
    encoder = load(grid=True, image_size=224)
    places = encoder.grid(pixels(2, 224)).astype(np.float32)
    assert places.shape == (2, 49, 512)
    plain = encoder(pixels(2, 224)).astype(np.float32)
    np.testing.assert_allclose(places.mean(1), plain, rtol=0.02, atol=0.02)


@pytest.mark.slow
def test_integers_are_near_and_need_pictures(exact: np.ndarray) -> None:
    encoder = load(image_size=64, precision="int8")
    found = encoder(pixels(8, 64)).astype(np.float32)
    assert 1e-4 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.2
    encoder.check(pixels(8, 64))
    again = load(image_size=64, precision="int8")(pixels(8, 64))
    np.testing.assert_array_equal(again, encoder(pixels(8, 64)))


def test_features_far_from_float32_are_refused() -> None:
    class Other(nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pictures), 512)

    encoder = load()
    object.__setattr__(encoder, "model", Other())
    with pytest.raises(HashgenError, match=r"features of the first pictures differ by .* choose bfloat16"):
        encoder.check(pixels(4))


@pytest.mark.slow
def test_its_makers_are_not_told() -> None:
    code = """
import sys, torch
from hashgen.features.openvino_runtime import OpenvinoModel
from torch import nn
model = OpenvinoModel(nn.Conv2d(3, 2, 1), 8, "int8", lambda: torch.rand(8, 3, 8, 8))
assert model(torch.rand(8, 3, 8, 8)).shape == (8, 2, 8, 8)
print(sys.modules["openvino_telemetry"], "openvino_telemetry.backend" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "None False\n"), done.stderr


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HashgenError, match=r"featurize.runtime: openvino: needs .* pip install \"openvino>=2026.0\""):
        load()


def test_integers_need_the_runtime() -> None:
    with pytest.raises(HashgenError, match=r"int8 needs featurize.runtime: openvino"):
        load_encoder(section(precision="int8"), "random", CPU)
