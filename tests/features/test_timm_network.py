import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hashgen.base.errors import HashgenError
from hashgen.features.backbone import Encoder, load_encoder
from hashgen.features.network import Network
from hashgen.pictures.crops import Preparation, crops
from tests.doubles.settings import small_recipe
from tests.doubles.timm_double import SIZE, Tiny, make_timm

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of torch that wait for each other are slow where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", make_timm())


def load(weights: str | Path = "random", **changes: object) -> Encoder:
    return load_encoder(small_recipe(**({"backbone": "timm/tiny", "image_size": SIZE} | changes)), weights, CPU)


def fault(weights: str | Path = "random", **changes: object) -> str:
    with pytest.raises(HashgenError) as caught:
        load(weights, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(width: int = 90, height: int = 70) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def tiny_state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return dict(Tiny().state_dict())


@pytest.mark.usefixtures("timm")
def test_pictures_are_prepared_and_normalised_as_the_configuration_says(tmp_path: Path) -> None:
    save_file(tiny_state(), tmp_path / "tiny.safetensors")
    encoder = load(tmp_path / "tiny.safetensors")
    assert encoder.preparation == Preparation(0.8, "bicubic") and encoder.dim == 8
    pixels = crops(picture(), SIZE, [0], 1, encoder.preparation)
    resized = Image.open(io.BytesIO(picture())).resize((50 * 90 // 70, 50), Image.Resampling.BICUBIC)
    assert np.array_equal(pixels[0], np.asarray(resized.crop((12, 5, 12 + SIZE, 5 + SIZE))))
    channels = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    model = Tiny().eval()
    model.load_state_dict(tiny_state())
    with torch.inference_mode():
        expected = model((channels - 0.5) / torch.tensor([0.25, 0.5, 1.0]).view(1, 3, 1, 1)).numpy()
    np.testing.assert_allclose(encoder(pixels), expected, rtol=2e-3, atol=1e-3)


@pytest.mark.usefixtures("timm")
def test_an_empty_size_is_the_networks_own() -> None:
    assert load(image_size=None).size == SIZE and load(image_size=64).size == 64


@pytest.mark.usefixtures("timm")
def test_random_weights_come_from_the_seed() -> None:
    assert load().digest == load().digest == load(backbone="timm/tiny.tag").digest != load(seed=2).digest


def test_the_digest_goes_by_the_preparation_where_it_is_not_torchvisions() -> None:
    model = Tiny()
    own = Network(model, (), SIZE, mean=(0.5, 0.5, 0.5))
    other = Network(model, (), SIZE, preparation=Preparation(0.9, "bilinear"))
    assert Network(model, (), SIZE).extra() == Network(model, (), 64).extra() == ""
    assert len({own.extra(), other.extra(), ""}) == 3


@pytest.mark.usefixtures("timm")
def test_a_classifier_in_the_file_is_left_out(tmp_path: Path) -> None:
    save_file(tiny_state(), tmp_path / "headless.safetensors")
    save_file(tiny_state() | {"head.fc.weight": torch.zeros(5, 8)}, tmp_path / "whole.safetensors")
    whole, headless = load(tmp_path / "whole.safetensors"), load(tmp_path / "headless.safetensors")
    assert whole.digest == headless.digest == load(seed=3).digest
    save_file(tiny_state() | {"head.norm.weight": torch.zeros(5)}, tmp_path / "other.safetensors")
    assert "head.norm.weight is unknown" in fault(tmp_path / "other.safetensors")


@pytest.mark.usefixtures("timm")
def test_wrong_names_are_explained() -> None:
    assert fault(backbone="timm/tinny") == "featurize.backbone: timm has no 'tinny'; did you mean tiny, tiny.tag?"
    assert "timm has no ''" in fault(backbone="timm/")
    assert "use pretrained or a file" in fault("imagenet-v2")
    assert "use imagenet-v2 or a file" in fault("pretrained", backbone="resnet18")
    assert "no pretrained weights of tiny" in fault("pretrained")


def test_published_weights_come_from_the_cache_and_never_from_the_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setitem(sys.modules, "timm", make_timm("timm/tiny.tag"))
    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = fault("pretrained")
    assert message.startswith("featurize.weights: timm/tiny.tag is neither here nor in ")
    assert "hf download timm/tiny.tag model.safetensors;" in message
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--timm--tiny.tag"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(commit)
    save_file(tiny_state(), folder / "snapshots" / commit / "model.safetensors")
    assert load("pretrained").digest == load(seed=3).digest


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    message = fault()
    assert message.startswith("featurize.backbone: timm/tiny: needs a package")
    assert message.endswith('pip install "timm>=1.0.20"')


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "levit_128s"])
def test_features_are_those_of_timm(name: str) -> None:
    """Where timm is installed: by its own transform. One network whose batch norms fold, and two that are harder."""
    timm = pytest.importorskip("timm", reason="the extra hashgen[timm] is not installed")
    encoder = load(backbone=f"timm/{name}", image_size=None)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        expected = model(transform(Image.open(io.BytesIO(picture(300, 280))))[None]).numpy()
    features = encoder(crops(picture(300, 280), encoder.size, [0], 1, encoder.preparation))
    np.testing.assert_allclose(features, expected, rtol=1e-2, atol=2e-3 * np.abs(expected).max())
