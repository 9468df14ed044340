import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torchvision import models

from hashgen.features import fusion
from hashgen.features.backbone import _folded, load_encoder
from hashgen.features.fusion import CudnnConvolution, FusedConvolution, OnednnConvolution, fused
from tests.features.test_backbone import CPU, section


class Block(nn.Module):
    """What networks do after a convolution: activate, add before or after, add to itself, reuse, or nothing."""

    def __init__(self, activation: nn.Module, swapped: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.third = nn.Conv2d(8, 8, 1, bias=False)
        self.fourth = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.fifth = nn.Conv2d(8, 8, 1)
        self.pool, self.drop, self.activation, self.swapped = nn.MaxPool2d(2), nn.Identity(), activation, swapped

    def forward(self, pictures: Tensor) -> Tensor:
        start = self.pool(self.activation(self.first(pictures)))
        inner = self.third(self.activation(self.second(start)))
        joined = torch.relu(start + inner if self.swapped else inner + start)
        kept = self.drop(joined)  # another name for the same memory
        again = self.fifth(joined)
        again += joined
        result: Tensor = self.fourth(self.activation(again)) + kept + self.third(kept)
        return result


def pictures(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def traced(model: nn.Module) -> fx.GraphModule:
    return fx.symbolic_trace(model.eval().requires_grad_(False))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.Sigmoid(), nn.GELU()])
def test_a_fused_network_computes_the_same(activation: nn.Module, swapped: bool) -> None:
    torch.manual_seed(1)
    plain = traced(Block(activation, swapped))
    quick = fused(copy.deepcopy(plain), torch.float32, CPU)
    with torch.inference_mode():
        expected = plain(pictures())
        torch.testing.assert_close(quick(pictures()), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(quick(pictures(5)), plain(pictures(5)), rtol=1e-5, atol=1e-5)
        # Nothing of the first call is left in memory that the second one uses.
        torch.testing.assert_close(quick(pictures()), expected, rtol=1e-5, atol=1e-5)


def test_activations_and_additions_are_inside_the_convolutions() -> None:
    torch.manual_seed(1)
    quick = fused(traced(Block(nn.ReLU())), torch.float32, CPU)
    assert isinstance(quick, fx.GraphModule)
    if not fusion._works(OnednnConvolution, torch.float32):
        pytest.skip("this processor has no oneDNN")
    first, fourth = quick.get_submodule("first"), quick.get_submodule("fourth")
    assert isinstance(first, OnednnConvolution) and first.activation == ("relu", ())
    assert type(fourth) is nn.Conv2d  # its padding is none that oneDNN knows


def test_what_others_still_read_is_not_written_over() -> None:
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            start = self.first(pictures)
            seen = start.view(start.shape)  # shares its memory
            return torch.cat([self.second(pictures) + start, seen])

    torch.manual_seed(1)
    plain = traced(Reused())
    with torch.inference_mode():
        expected = plain(pictures())
        torch.testing.assert_close(fused(copy.deepcopy(plain), torch.float32, CPU)(pictures()), expected)


class OwnInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        start = self.first(pictures)
        result: Tensor = self.second(start) + start
        return result


class Spread(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.gate, self.shape = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1), shape

    def forward(self, pictures: Tensor) -> Tensor:
        gate = self.gate(pictures.mean((2, 3), keepdim=True)).mean(0).reshape(self.shape)
        result: Tensor = torch.relu(self.first(pictures) + gate)
        return result


@pytest.mark.parametrize("model", [OwnInput, lambda: Spread((1, 8, 1, 1)), lambda: Spread((8, 1, 1))])
def test_a_convolution_of_what_is_added_and_a_sum_that_spreads(model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    plain = traced(model())
    with torch.inference_mode():
        expected = plain(pictures())
        torch.testing.assert_close(fused(copy.deepcopy(plain), torch.float32, CPU)(pictures()), expected)


@pytest.fixture
def cudnn(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A stand-in for a GPU: cuDNN's operators as torch's own on the CPU, no kinder to other shapes and orders."""

    def add_relu(
        pictures: Tensor, weight: Tensor, added: Tensor, factor: float, bias: Tensor | None, *geometry: object
    ) -> Tensor:
        result = nn.functional.conv2d(pictures, weight, bias, *geometry)  # type: ignore[call-overload]
        assert added.shape == result.shape and added.is_contiguous(memory_format=torch.channels_last)
        return torch.relu(result + factor * added)

    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add_relu)
    monkeypatch.setattr(fusion, "_works", lambda kind, dtype: kind is CudnnConvolution)
    return torch.device("cuda")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.SiLU()])
def test_a_network_fused_for_a_gpu_computes_the_same(cudnn: torch.device, activation: nn.Module, swapped: bool) -> None:
    torch.manual_seed(1)
    plain = traced(Block(activation, swapped))
    quick = fused(copy.deepcopy(plain), torch.float32, cudnn)
    kinds = {name: type(part) for name, part in quick.named_modules() if isinstance(part, nn.Conv2d | FusedConvolution)}
    # The second is by groups, the third added to what comes after it, the fourth padded in another way.
    alone = CudnnConvolution if isinstance(activation, nn.ReLU) else nn.Conv2d
    assert kinds["first"] is alone and kinds["fifth"] is alone
    assert kinds["second"] is kinds["third"] is kinds["fourth"] is nn.Conv2d
    with torch.inference_mode():
        torch.testing.assert_close(quick(pictures()), plain(pictures()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", [OwnInput, lambda: Spread((1, 8, 1, 1)), lambda: Spread((8, 1, 1))])
def test_sums_on_a_gpu(cudnn: torch.device, model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    plain = traced(model())
    with torch.inference_mode():
        expected = plain(pictures())
        torch.testing.assert_close(fused(copy.deepcopy(plain), torch.float32, cudnn)(pictures()), expected)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "regnet_y_400mf", "vgg11"])
def test_networks_fused_for_a_gpu(cudnn: torch.device, backbone: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        plain = _folded(models.get_model(backbone, weights=None).eval().requires_grad_(False))
        shown = torch.randn(2, 3, 64, 64)
    quick = fused(copy.deepcopy(plain), torch.float32, cudnn)
    count = sum(isinstance(module, CudnnConvolution) for module in quick.modules())
    assert count > sum(isinstance(module, nn.Conv2d) for module in plain.modules()) / 2
    with torch.inference_mode():
        torch.testing.assert_close(quick(shown), plain(shown), rtol=1e-4, atol=1e-4)


def test_without_the_operators_a_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(fusion, "_convolution", missing)
    plain = traced(Block(nn.ReLU()))
    assert fused(plain, torch.float32, CPU) is plain
    assert not any(isinstance(module, FusedConvolution) for module in plain.modules())
    untraced = Block(nn.ReLU())
    assert fused(untraced, torch.float32, CPU) is untraced


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "regnet_y_400mf"])
def test_bfloat16_is_fused_where_the_processor_has_it(backbone: str, size: int) -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    wanted = section(backbone=backbone, image_size=size, precision="bfloat16")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        plain = _folded(models.get_model(backbone, weights=None).eval().requires_grad_(False)).to(torch.bfloat16)
        quick = fused(copy.deepcopy(plain), torch.bfloat16, CPU).to(memory_format=torch.channels_last)
    count = sum(isinstance(module, FusedConvolution) for module in quick.modules())
    assert count == sum(isinstance(module, nn.Conv2d) for module in plain.modules()) > 15
    for batch in (1, 8):
        shown = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
        with torch.inference_mode():
            expected = plain(shown).float()
            found = quick(shown.to(memory_format=torch.channels_last)).float()
        assert (found - expected).norm() < 0.05 * expected.norm()
    assert any(isinstance(module, FusedConvolution) for module in load_encoder(wanted, "random", CPU).model.modules())
