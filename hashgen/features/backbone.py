"""A frozen backbone of torchvision or timm, cut before its classifier: pixels in, one vector a picture out."""

import copy
import dataclasses
import difflib
import http.client
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.proxy import TraceError

from hashgen.base.devices import on_device
from hashgen.base.errors import HashgenError
from hashgen.base.faults import is_disk_full, system_fault
from hashgen.base.files import sha256_of_file
from hashgen.features.captions import CaptionEncoder
from hashgen.features.fusion import fused
from hashgen.features.network import Channels, Network, digest_of_tensors
from hashgen.features.openvino_runtime import Calibration, OpenvinoModel
from hashgen.features.posts import GRID_SIDE
from hashgen.features.recipe import Recipe
from hashgen.features.timm_network import PREFIX, build_timm, published_timm
from hashgen.features.torchvision_models import models
from hashgen.params.featurize import Featurize
from hashgen.pictures.crops import Preparation

# Part of the key of every remembered feature: raise it whenever the same weights would yield other features.
ENCODER_VERSION = 2

NAMED_WEIGHTS = ("random", "imagenet-v1", "imagenet-v2", "pretrained")
_FLOAT16_MAX, _FLOAT16_TINY = 65504.0, 2.0**-14
# Larger batches of a CPU outgrow what malloc keeps for reuse and spend their time on page faults.
_BATCH_SIZES = {"cpu": 8, "cuda": 256}
# How far features may be from those in float32, as a share of their length: rounding is below .05 with every backbone
# tried, 8-bit integers are below .12; past this they are another thing.
_FARTHEST = 0.2

Pixels = npt.NDArray[np.uint8]


class Wanted(Protocol):
    """What says which backbone to build: the parameters of `featurize`, or the recipe of features that it made."""

    @property
    def backbone(self) -> str: ...  # noqa: D102

    @property
    def weights(self) -> str: ...  # noqa: D102

    @property
    def image_size(self) -> int | None: ...  # noqa: D102

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

    @property
    def grid(self) -> bool: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A backbone ready to encode.

    model: normalised pictures (batch, 3, size, size) to (batch, dim). mean, deviation: of the channels, 0..1, that it
    was trained with. preparation: how it wants its pictures. digest: hex SHA-256 of the weights used, the classifier
    left out, and of normalisation and preparation where they are not torchvision's. file_sha256: of the file of
    weights, if they came from one. batch_size: pictures a call that suit the device. map_model: normalised pictures to
    the network's last feature map (batch, dim, height, width), where a grid is wanted. reference: the same network in
    float32 on the CPU, where `check` is to compare with it.
    """

    model: nn.Module
    size: int
    mean: Channels
    deviation: Channels
    preparation: Preparation
    device: torch.device
    dtype: torch.dtype
    dim: int
    digest: str
    file_sha256: str | None
    batch_size: int
    map_model: nn.Module | None = None
    reference: nn.Module | None = None

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> npt.NDArray[np.float16]:
        """Features (batch, dim) of 8-bit RGB pictures (batch, size, size, 3) as `crops` yields them.

        Raises HashgenError when the features overflow or vanish in float16: better none than infinite or empty ones.
        """
        features: Tensor = self.model(self._normalised(pixels)).float()  # (batch, dim)
        _check(features.abs().max().item())
        return features.half().cpu().numpy()

    @torch.inference_mode()
    def grid(self, pixels: Pixels) -> npt.NDArray[np.float16]:
        """Features (batch, GRID_SIDE², dim) of the places of the same pictures, row by row from the top left.

        The last feature map, pooled to GRID_SIDE rows and columns. For an encoder that was loaded with a grid. Raises
        HashgenError as for the features of whole pictures.
        """
        assert self.map_model is not None
        found: Tensor = self.map_model(self._normalised(pixels)).float()  # (batch, dim, height, width)
        places = nn.functional.adaptive_avg_pool2d(found, GRID_SIDE).flatten(2).transpose(1, 2)
        _check(places.abs().max().item())
        return places.half().cpu().numpy()

    @torch.inference_mode()
    def check(self, pixels: Pixels) -> None:
        """Compare features of pictures (batch, size, size, 3) with those in float32, if there is a reference.

        Raises HashgenError when they are far apart: then this precision does not suit this network.
        """
        if self.reference is None:
            return
        pictures = _normalised(torch.from_numpy(pixels), self.mean, self.deviation)
        exact = self.reference(pictures)  # (batch, dim)
        apart = float((torch.from_numpy(self(pixels)).float() - exact).norm() / exact.norm())
        if not apart <= _FARTHEST:  # also true of NaN
            raise HashgenError(
                f"featurize.precision: features of the first pictures differ by {apart:.0%} of their length from those "
                f"in float32 (at most {_FARTHEST:.0%} is taken for rounding); choose bfloat16 or float32"
            )

    def _normalised(self, pixels: Pixels) -> Tensor:
        return _normalised(on_device(torch.from_numpy(pixels), self.device), self.mean, self.deviation).to(self.dtype)


def _normalised(pixels: Tensor, mean: Channels, deviation: Channels) -> Tensor:
    """8-bit pictures (batch, size, size, 3) as (batch, 3, size, size), by the mean and deviation expected."""
    batch = pixels.permute(0, 3, 1, 2)  # channels last
    shift = torch.tensor(mean, device=batch.device).view(1, 3, 1, 1) * 255
    scale = torch.tensor(deviation, device=batch.device).view(1, 3, 1, 1) * 255
    return batch.float().sub_(shift).div_(scale)


def _check(largest: float) -> None:
    if not largest <= _FLOAT16_MAX:  # also true of NaN
        raise HashgenError(
            f"featurize: features reach {largest:g}, too large for float16 (maximum {_FLOAT16_MAX:g}); change "
            "featurize.backbone or featurize.weights (if featurize.precision is float16, try bfloat16 first)"
        )
    if largest < _FLOAT16_TINY:
        # Deep chains of batch norms with initial statistics shrink the signal in some random networks.
        raise HashgenError(
            f"featurize: features are almost zero (the largest is {largest:g}): this featurize.backbone does not "
            "work with these featurize.weights; with random weights use resnet50"
        )


def load_encoder(
    wanted: Wanted,
    weights: str | Path,
    device: torch.device,
    dim: int | None = None,
    *,
    runtime: str = "torch",
    first_pictures: Callable[[int, Preparation], Pixels] | None = None,
) -> Encoder:
    """Build a backbone on a device.

    dim: length of its features, where that is known; None finds it out by a trial, which costs a picture's time.

    weights: one of `NAMED_WEIGHTS`, or the path of a .safetensors file or of a state dict in torch's format; a file
    must fit the backbone key by key, its classifier aside. Random weights are drawn from wanted.seed; their batch
    norms keep torch's initial statistics.

    runtime: torch, or openvino on a CPU. first_pictures: some of the pictures to encode (n, size, size, 3), given the
    size and how they are to be prepared; `Encoder.check` then has a reference, and the precision int8 needs them.

    Raises HashgenError naming the parameter at fault.
    """
    _refuse_precision(wanted.precision, runtime, device)
    network, file = _build(wanted, weights)
    model, file_sha256 = network.model, None
    if file is not None:
        _load_file(network, file)
        file_sha256 = sha256_of_file(file)
    model.eval().requires_grad_(False)
    dim, digest = dim or _dim(network, wanted), _digest(network)
    model = _folded(model)
    map_model = _map_model(network, model, dim, wanted) if wanted.grid else None
    exact = wanted.precision == "float32" and runtime == "torch"
    reference = None if exact or first_pictures is None else copy.deepcopy(model)
    dtype, ready = _runtime(network, wanted, device, runtime, first_pictures)
    model, map_model = ready(model), None if map_model is None else ready(map_model)
    return Encoder(
        model,
        network.size,
        network.mean,
        network.deviation,
        network.preparation,
        device,
        dtype,
        dim,
        digest,
        file_sha256,
        _BATCH_SIZES[device.type],
        map_model,
        reference,
    )


def _runtime(
    network: Network,
    wanted: Wanted,
    device: torch.device,
    runtime: str,
    first_pictures: Callable[[int, Preparation], Pixels] | None,
) -> tuple[torch.dtype, Callable[[nn.Module], nn.Module]]:
    """The type of what goes into a model, and what makes a model ready to run."""
    if runtime == "torch":
        dtype: torch.dtype = getattr(torch, wanted.precision)
        return dtype, lambda model: _ready(model, device, dtype)
    calibration = None if first_pictures is None else _calibration(first_pictures, network)
    return torch.float32, lambda model: OpenvinoModel(model, network.size, wanted.precision, calibration)


def _refuse_precision(precision: str, runtime: str, device: torch.device) -> None:
    if precision == "float16" and (device.type != "cuda" or runtime != "torch"):
        raise HashgenError("featurize.precision: float16 needs --device cuda; use bfloat16 or float32 on a CPU")
    if precision == "int8" and runtime != "openvino":
        raise HashgenError("featurize.precision: int8 needs featurize.runtime: openvino")
    if runtime == "openvino" and device.type != "cpu":
        raise HashgenError("featurize.runtime: openvino needs --device cpu; with a GPU use torch")


def _calibration(first_pictures: Callable[[int, Preparation], Pixels], network: Network) -> Calibration:
    def pictures() -> Tensor:
        pixels = torch.from_numpy(first_pictures(network.size, network.preparation))
        return _normalised(pixels, network.mean, network.deviation)

    return pictures


def backbones() -> list[str]:
    """Names of torchvision's classification backbones."""
    return list(models.list_models(module=models))


def _build(wanted: Wanted, weights: str | Path) -> tuple[Network, Path | None]:
    """The network, and the file whose weights are still to be loaded into it."""
    file = weights if isinstance(weights, Path) else None
    if not wanted.backbone.startswith(PREFIX):
        return _build_torchvision(wanted, weights), file
    if weights in ("imagenet-v1", "imagenet-v2"):
        raise HashgenError(f"featurize.weights: {weights} is torchvision's; for timm use pretrained or a file")
    name = wanted.backbone.removeprefix(PREFIX)
    network = build_timm(name, wanted.image_size, wanted.seed)
    return network, published_timm(name) if weights == "pretrained" else file


def _build_torchvision(wanted: Wanted, weights: str | Path) -> Network:
    name = wanted.backbone
    if name not in backbones():
        near = ", ".join(difflib.get_close_matches(name, backbones(), n=5, cutoff=0.5)) or "resnet50, mobilenet_v2"
        raise HashgenError(f"featurize.backbone: torchvision has no {name!r}; did you mean {near}?")
    if weights == "pretrained":
        raise HashgenError("featurize.weights: pretrained is timm's; for torchvision use imagenet-v2 or a file")
    size = wanted.image_size or models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    pretrained = _download(name, weights) if weights in ("imagenet-v1", "imagenet-v2") else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        try:
            model: nn.Module = models.get_model(name, weights=pretrained, **_options(name, size, pretrained is None))
        except (ValueError, AssertionError) as error:
            raise HashgenError(
                f"featurize.image_size: {name} with {weights} does not support {size} pixels ({error})"
            ) from error
    model, head = _cut(model)
    return Network(model, (f"{head}.",), size)


def _options(name: str, size: int, fresh: bool) -> dict[str, object]:
    """What the few builders that ask for more need besides the weights."""
    if name.startswith("vit_"):
        return {"image_size": size}
    if name.startswith("maxvit_"):
        return {"input_size": (size, size)}
    if name in ("googlenet", "inception_v3"):
        # Their published weights were trained on another normalisation, which they then undo by themselves.
        return {"transform_input": True, "init_weights": True} if fresh else {"transform_input": True}
    return {}


def _cut(model: nn.Module) -> tuple[nn.Module, str]:
    """Take the classifier off and pool to 1×1; the model and the classifier's name.

    In every classification model of torchvision the classifier is the last child; some (squeezenet, convnext, maxvit)
    pool or flatten inside it, others (vgg, alexnet) hand it more than one cell.
    """
    name, head = list(model.named_children())[-1]
    takes_maps = any(isinstance(part, nn.Conv2d | nn.AdaptiveAvgPool2d | nn.Flatten) for part in head.modules())
    setattr(model, name, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)) if takes_maps else nn.Identity())
    if isinstance(getattr(model, "avgpool", None), nn.AdaptiveAvgPool2d):
        model.avgpool = nn.AdaptiveAvgPool2d(1)
    return model, name


def _folded(model: nn.Module) -> nn.Module:
    """Batch norms folded into their convolutions: the same features, about 15 % faster on a CPU.

    All stays as it is where they are a kind of their own, as in some networks of timm, or tracing fails.
    """
    try:
        folded: nn.Module = fuse(model)
    except TraceError:
        return model
    return folded


def _ready(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A model where and how it is to compute."""
    model = fused(model, dtype, device)
    return model.to(device, dtype).to(memory_format=torch.channels_last)


def _dim(network: Network, wanted: Wanted) -> int:
    side = network.size
    try:
        with torch.inference_mode():
            return int(network.model(torch.zeros(1, 3, side, side)).shape[1])
    except (RuntimeError, ValueError, AssertionError) as error:
        raise HashgenError(
            f"featurize.image_size: {wanted.backbone} does not support pictures of {side} pixels ({_short(error)})"
        ) from error


def _map_model(network: Network, folded: nn.Module, dim: int, wanted: Wanted) -> nn.Module:
    """The part of a network that ends with its last feature map (batch, dim, height, width).

    folded: what `_folded` made of it. Raises HashgenError for a network without such a map.
    """
    side = network.size
    part = _before_pooling(folded, side, dim)
    if part is None and hasattr(network.model, "forward_features"):  # of timm, where it cannot be traced
        part = _Maps(network.model)
    if part is not None:
        with torch.inference_mode():
            shape = part(torch.zeros(1, 3, side, side)).shape
        if len(shape) == 4 and shape[1] == dim and shape[2] * shape[3] > 1:
            return part
    raise HashgenError(
        f"featurize.grid: {wanted.backbone} has no map of places for pictures of {side} pixels; set it to false, or "
        "use a convolutional featurize.backbone such as resnet50, or a larger featurize.image_size"
    )


class _Maps(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.forward_features(pictures)  # type: ignore[operator, no-any-return]


def _before_pooling(model: nn.Module, side: int, dim: int) -> nn.Module | None:
    """A traced network up to what its last pooling reads: a map (1, dim, height, width) of more than one place.

    None for a network that was not traced or pools no map, as a vision transformer.
    """
    if not isinstance(model, fx.GraphModule):
        return None
    with torch.inference_mode():
        ShapeProp(model).propagate(torch.zeros(1, 3, side, side))
    for node in reversed(model.graph.nodes):
        for source in node.all_input_nodes:
            before, after = _shape(source), _shape(node)
            if len(before) == 4 and before[:2] == after[:2] == (1, dim) and math.prod(before) > math.prod(after) == dim:
                graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
                graph.graph_copy(model.graph, copied)
                graph.output(copied[source])
                part = fx.GraphModule(model, graph)
                part.graph.eliminate_dead_code()
                part.recompile()
                return part
    return None


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _digest(network: Network) -> str:
    """Hex SHA-256 over names, types, shapes and values of all weights and statistics, and over `Network.extra`."""
    digest = digest_of_tensors(network.model)
    digest.update(network.extra().encode())
    return digest.hexdigest()


def _download(name: str, weights: str | Path) -> object:
    """torchvision's published weights, from its cache or the net."""
    published = models.get_model_weights(name)
    wanted = f"IMAGENET1K_{str(weights).rpartition('-')[2].upper()}"
    if wanted not in published.__members__:
        others = [label for label in NAMED_WEIGHTS[1:] if f"IMAGENET1K_{label[-2:].upper()}" in published.__members__]
        raise HashgenError(f"featurize.weights: {name} has no {weights}; use {' or '.join(others)} or a file")
    entry = published[wanted]
    try:
        entry.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, pickle.UnpicklingError) as error:
        if is_disk_full(error):
            raise system_fault(error, Path(torch.hub.get_dir())) or error from error
        raise HashgenError(
            f"featurize.weights: cannot download {weights} of {name} from {entry.url} ({_short(error)}); connect to "
            f"the internet once (the file is cached in {torch.hub.get_dir()}/checkpoints), or download it elsewhere "
            "and set featurize.weights to the file"
        ) from error
    return entry


def _load_file(network: Network, path: Path) -> None:
    model = network.model
    given = {_renamed(key): tensor for key, tensor in _read_file(path).items()}
    expected = model.state_dict()
    # Counters of training, which no forward pass reads, are absent from older files.
    needed = [key for key in expected if not key.endswith("num_batches_tracked")]
    faults = [f"{key} is missing" for key in needed if key not in given]
    faults += [f"{key} is unknown" for key in given if key not in expected and not key.startswith(network.classifier)]
    faults += [
        f"{key} is {tuple(given[key].shape)}, not {tuple(expected[key].shape)}"
        for key in needed
        if key in given and given[key].shape != expected[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise HashgenError(
            f"featurize.weights: {path} does not fit featurize.backbone: {'; '.join(faults[:3])}{more}; "
            "set featurize.backbone to match, or use another file"
        )
    # A convolution that ends in ReLU may turn them into zeros, which nobody would notice.
    if spoiled := [key for key in needed if not torch.isfinite(given[key]).all()]:
        raise HashgenError(f"featurize.weights: {path}: {spoiled[0]} has numbers that are not finite; use another file")
    model.load_state_dict({key: given.get(key, value) for key, value in expected.items()})


def _renamed(key: str) -> str:
    """Published densenet files have dots where module names can no longer have them (`norm.1.` for `norm1.`)."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key)


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        choices = ", ".join(NAMED_WEIGHTS)
        raise HashgenError(f"featurize.weights: {path}: no such file; use a file or one of {choices}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the parsers of damaged files raise nearly anything
        raise system_fault(error, path) or HashgenError(
            f"featurize.weights: {path} cannot be read as weights ({type(error).__name__}); save a plain state dict: "
            "torch.save(model.state_dict(), …), or a .safetensors file"
        ) from error
    if not isinstance(state, dict) or not state or not all(map(_is_weight, state, state.values())):
        raise HashgenError(
            f"featurize.weights: {path} is not a state dict (names to tensors); "
            "save one: torch.save(model.state_dict(), …)"
        )
    return state


def _is_weight(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    plain = value.layout == torch.strided and value.device.type == "cpu"
    return plain and not value.is_complex() and not value.is_quantized


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def recipe_of(
    section: Featurize, encoder: Encoder, captions: CaptionEncoder | None = None, calibration_sha256: str | None = None
) -> Recipe:
    """The recipe of the features that encoders built for these parameters make.

    calibration_sha256: of the pictures that the ranges of int8 are taken from; None for another precision.
    """
    return Recipe(
        backbone=section.backbone,
        weights=section.weights,
        weights_sha256=encoder.digest,
        file_sha256=encoder.file_sha256,
        dim=encoder.dim,
        views=section.views,
        image_size=encoder.size,
        precision=section.precision,
        seed=section.seed,
        encoder_version=ENCODER_VERSION,
        captions=section.captions,
        caption_weights=section.caption_weights if captions else None,
        caption_sha256=captions.digest if captions else None,
        caption_dim=captions.dim if captions else None,
        grid=section.grid,
        calibration_sha256=calibration_sha256,
    )
