import hashlib
import io
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models, transforms

from hashgen.base.errors import HashgenError
from hashgen.features.backbone import Encoder, _folded, _map_model, backbones, load_encoder
from hashgen.features.network import Network
from hashgen.params.featurize import Featurize
from hashgen.pictures.crops import crops

CPU = torch.device("cpu")
SECTION = Featurize(
    backbone="resnet18",
    weights="random",
    allow_random=True,
    image_size=32,
    views=0,
    precision="float32",
    runtime="torch",
    seed=1,
    captions="tfidf",
    caption_weights=None,
    grid=False,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of torch that wait for each other are slow where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def section(**changes: object) -> Featurize:
    return SECTION.model_copy(update=changes)


def load(weights: str | Path = "random", **changes: object) -> Encoder:
    return load_encoder(section(**changes), weights, CPU)


def pixels(count: int = 4, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def fault(weights: str | Path = "random", **changes: object) -> str:
    with pytest.raises(HashgenError) as caught:
        load(weights, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# One of each way in which torchvision's models end: fc, classifier, head, heads; pooling inside, before, or not at all.
@pytest.mark.parametrize(
    ("backbone", "size", "dim"),
    [
        ("resnet18", 32, 512),
        ("regnet_y_400mf", 32, 440),
        ("densenet121", 32, 1024),
        ("convnext_tiny", 32, 768),
        ("squeezenet1_1", 32, 512),
        pytest.param("vgg11_bn", 64, 512, marks=pytest.mark.slow),
        ("alexnet", 64, 256),
        pytest.param("swin_t", 32, 768, marks=pytest.mark.slow),
        pytest.param("vit_b_32", 64, 768, marks=pytest.mark.slow),
        pytest.param("maxvit_t", 224, 512, marks=pytest.mark.slow),
    ],
)
def test_any_kind_of_backbone_is_cut_and_pooled(backbone: str, size: int, dim: int) -> None:
    encoder = load(backbone=backbone, image_size=size)
    features = encoder(pixels(2, size))
    assert encoder.dim == dim and features.shape == (2, dim) and features.dtype == np.float16
    assert np.isfinite(features).all() and features.std() > 0


def test_features_are_those_of_torchvision() -> None:
    """Against the plain way to write it: evaluation transform, float32, network without its classifier."""
    stream = io.BytesIO()
    Image.fromarray(pixels(1, 90)[0]).save(stream, "PNG")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.resnet18(weights=None).eval()
    model.fc = torch.nn.Identity()
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = transforms.Compose([transforms.Resize(73), transforms.CenterCrop(64), transforms.ToTensor(), normalise])
    with torch.inference_mode():
        expected = model(steps(Image.open(stream))[None]).numpy()
    features = load(image_size=64)(crops(stream.getvalue(), 64, [0], 1))
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-3)


def test_bfloat16_is_close_to_float32() -> None:
    plain, fast = load()(pixels()).astype(float), load(precision="bfloat16")(pixels()).astype(float)
    assert not np.array_equal(plain, fast)
    assert np.abs(plain - fast).mean() < 0.02 * np.abs(plain).mean()


def test_a_feature_does_not_depend_on_its_place_in_the_batch() -> None:
    for precision in ("float32", "bfloat16"):
        encoder = load(precision=precision)
        assert np.array_equal(np.roll(encoder(pixels(8)), 3, axis=0), encoder(np.roll(pixels(8), 3, axis=0)))


def test_an_empty_size_is_that_of_the_published_weights() -> None:
    assert load(image_size=None).size == 224 and load().size == 32


def test_the_digest_stays_what_it_was(tmp_path: Path) -> None:
    """Remembered features and trained models hang on it."""
    state = {key: torch.full_like(value, 1) for key, value in models.resnet18(weights=None).state_dict().items()}
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if not name.startswith("fc."):
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    torch.save(state, tmp_path / "ones.pth")
    assert load(tmp_path / "ones.pth").digest == digest.hexdigest()


def test_random_weights_come_from_the_seed_and_leave_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = load()
    assert torch.equal(torch.rand(1), expected)
    assert load().digest == first.digest != load(seed=2).digest
    assert np.array_equal(load()(pixels()), first(pixels()))


def test_unknown_backbones_name_near_ones() -> None:
    message = fault(backbone="resnet_50")
    assert "featurize.backbone" in message and "resnet50" in message
    assert "featurize.backbone" in fault(backbone="fasterrcnn_resnet50_fpn")
    assert "featurize.backbone" in fault(backbone="@#")
    assert "mobilenet_v2" in backbones() and not any("rcnn" in name for name in backbones())


def test_float16_is_for_cuda() -> None:
    assert "featurize.precision" in fault(precision="float16")


def test_a_size_that_the_backbone_cannot_take_is_named() -> None:
    assert "featurize.image_size" in fault(backbone="inception_v3", image_size=32)
    assert "featurize.image_size" in fault(backbone="vit_b_32", image_size=40)


def test_features_that_overflow_or_vanish_are_errors(tmp_path: Path) -> None:
    model = models.resnet18(weights=None)
    for scale, word in ((1e4, "float16"), (1e-8, "almost zero")):
        with torch.no_grad():
            model.layer4[1].bn2.weight.fill_(scale)
            model.layer4[0].bn2.weight.fill_(scale)
            model.layer4[0].downsample[1].weight.fill_(scale)
        torch.save(model.state_dict(), tmp_path / "weights.pth")
        encoder = load(tmp_path / "weights.pth")
        with pytest.raises(HashgenError, match=word):
            encoder(pixels())
    model.layer4[0].bn2.weight.data[3] = float("nan")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(HashgenError, match=r"weights.pth: layer4.0.bn2.weight has numbers that are not finite"):
        load(tmp_path / "weights.pth")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return dict(models.resnet18(weights=None).state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_weights_are_read_classifier_or_not(
    tmp_path: Path, state: dict[str, torch.Tensor], suffix: str
) -> None:
    def saved(name: str, values: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / (name + suffix)
        save_file(values, path) if suffix == ".safetensors" else torch.save(values, path)
        return path

    whole = load(saved("whole", state))
    assert whole.digest == load(seed=3).digest
    headless = load(saved("headless", {key: value for key, value in state.items() if not key.startswith("fc.")}))
    other_head = load(saved("other", state | {"fc.weight": torch.zeros(7, 512)}))
    assert headless.digest == other_head.digest == whole.digest
    assert headless.file_sha256 != whole.file_sha256
    assert np.array_equal(headless(pixels()), whole(pixels()))


def test_a_batch_norm_folded_away_loads_as_the_identity(tmp_path: Path) -> None:
    """As files with folded batch norms come: the layers are there and do nothing but shift."""
    state = models.mobilenet_v2(weights=None).state_dict()
    folded = {key: value for key, value in state.items() if key.startswith("features.")}
    for key in folded:
        if key.endswith("running_var"):
            folded[key] = torch.full_like(folded[key], 1 - 1e-5)
    torch.save(folded, tmp_path / "folded.pth")
    assert load(tmp_path / "folded.pth", backbone="mobilenet_v2").dim == 1280


@pytest.mark.slow
def test_old_names_of_densenet_are_understood(tmp_path: Path) -> None:
    state = models.densenet121(weights=None).state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    assert load(tmp_path / "old.pth", backbone="densenet121").dim == 1024


def test_files_that_do_not_fit_say_where(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.pth"
    missing = dict(state)
    del missing["layer1.0.conv1.weight"]
    for values, words in (
        (missing, "layer1.0.conv1.weight is missing"),
        (state | {"layer9.weight": torch.zeros(1)}, "layer9.weight is unknown"),
        (state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, "conv1.weight is (64, 1, 7, 7)"),
        (models.mobilenet_v2(weights=None).state_dict(), "more"),
    ):
        torch.save(values, path)
        message = fault(path)
        assert "featurize.weights" in message and str(path) in message and words in message


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    for name in ("a.pth", "a.safetensors"):
        for content in (b"", b"no weights", b"PK\x03\x04 cut", b"\x80\x02cos\nsystem\n."):
            (tmp_path / name).write_bytes(content)
            assert "featurize.weights" in fault(tmp_path / name)
    assert "no such file" in fault(tmp_path / "absent.pth")
    assert "no such file" in fault(tmp_path)
    for value in ([1, 2], {}, {"epoch": 3}, {"model": {"conv1.weight": torch.zeros(1)}}):
        torch.save(value, tmp_path / "a.pth")
        assert "not a state dict" in fault(tmp_path / "a.pth")


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    assert "featurize.weights" in fault(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_an_unreachable_download_is_one_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    message = fault("imagenet-v1")
    assert "featurize.weights" in message and "connect" in message and "file" in message and "no route" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "imagenet-v1 or a file" in fault("imagenet-v2", backbone="resnet18")


def test_published_weights_are_used_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = models.resnet18(weights=None).state_dict()
    url = models.ResNet18_Weights.IMAGENET1K_V1.url
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    assert load("imagenet-v1").digest == load(path).digest
    path.write_bytes(b"half a download")
    assert "featurize.weights" in fault("imagenet-v1")


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 64), ("resnet18", 224), ("alexnet", 256)])
def test_the_mean_of_a_pictures_places_is_its_features(backbone: str, size: int) -> None:
    encoder = load(backbone=backbone, image_size=size, grid=True)
    plain, grid = encoder(pixels(2, size)), encoder.grid(pixels(2, size))
    assert grid.shape == (2, 49, encoder.dim) and grid.dtype == np.float16
    np.testing.assert_allclose(grid.astype(float).mean(1), plain, rtol=2e-3, atol=2e-3)
    assert grid.astype(float).std(1).mean() > 0


@pytest.mark.parametrize(
    ("backbone", "size"),
    [("mobilenet_v2", 224), ("densenet121", 224), pytest.param("swin_t", 224, marks=pytest.mark.slow)],
)
def test_places_are_read_before_any_kind_of_pooling(backbone: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooled by a function, behind a function, or from channels that come last."""
    # Random weights make the features of a deep network nearly vanish.
    monkeypatch.setattr("hashgen.features.backbone._FLOAT16_TINY", 0.0)
    encoder = load(backbone=backbone, image_size=size, grid=True)
    assert encoder.map_model is not None
    batch = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps, plain = encoder.map_model(batch), encoder.model(batch)
    assert maps.shape == (1, encoder.dim, 7, 7)
    torch.testing.assert_close(maps.mean((2, 3)), plain, rtol=1e-3, atol=1e-4 * plain.abs().max().item())


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 6), (6, 0), (6, 6), (3, 4)])
def test_what_stands_in_one_place_changes_most_there(top: int, left: int) -> None:
    encoder = load(backbone="alexnet", image_size=224, grid=True)
    empty = np.full((1, 224, 224, 3), 128, np.uint8)
    there = empty.copy()
    there[:, 32 * top : 32 * top + 32, 32 * left : 32 * left + 32] = pixels(1, 32)
    change = np.abs(encoder.grid(there).astype(float) - encoder.grid(empty)).sum(2)[0]
    assert int(change.argmax()) == 7 * top + left


def test_a_grid_changes_no_feature() -> None:
    assert np.array_equal(load(grid=True, image_size=64)(pixels(2, 64)), load(image_size=64)(pixels(2, 64)))
    assert load(image_size=64).map_model is None


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 32), ("vit_b_32", 64)])
def test_a_backbone_without_places_is_named(backbone: str, size: int) -> None:
    said = fault(backbone=backbone, image_size=size, grid=True)
    assert said.startswith(f"featurize.grid: {backbone} has no map of places for pictures of {size} pixels; ")


class Branching(torch.nn.Module):
    """As timm's networks: what it does depends on its input, so that it cannot be traced, and it names its map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2)

    def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.stem(pictures)
        return maps if maps.sum() > 0 else maps * 1

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.forward_features(pictures).mean((2, 3))


def test_a_network_that_cannot_be_traced_is_asked_for_its_map() -> None:
    network, batch = Network(Branching(), (), 40), torch.ones(2, 3, 40, 40)
    maps = _map_model(network, _folded(network.model), 8, section())
    torch.testing.assert_close(maps(batch).mean((2, 3)), network.model(batch))
    with pytest.raises(HashgenError, match=r"^featurize\.grid: "):
        _map_model(network, _folded(network.model), 9, section())
