"""Convolutions of a frozen network with what follows them, in one call each: of oneDNN on a CPU, of cuDNN on a GPU."""

import collections
import operator

import torch
from torch import Tensor, fx, nn

# What oneDNN computes before it writes a convolution's result to memory: its name for it, and its numbers.
Activation = tuple[str, tuple[float, ...]]
_RELU: Activation = ("relu", ())
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: _RELU,
    nn.ReLU6: ("hardtanh", (0.0, 6.0)),
    nn.SiLU: ("swish", ()),
    nn.Hardswish: ("hardswish", ()),
    nn.Sigmoid: ("sigmoid", ()),
}
_RELU_FUNCTIONS = (torch.relu, torch.relu_, nn.functional.relu)
_ADD = (operator.add, operator.iadd, torch.add)


def fused(model: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A traced model with activations and additions computed inside the convolutions before them, for this device.

    The operators are torch's own but not documented: `torch.ops.mkldnn`, what its compiler calls too, and
    `torch.cudnn_convolution_add_relu`. Where torch lacks them, or the processor lacks `dtype`, or the model was not
    traced, it is returned as it is: the same features but for rounding, 10 to 20 % slower on a CPU, and slower on a
    GPU. The model handed in is changed.
    """
    on_gpu = device.type == "cuda"
    if not isinstance(model, fx.GraphModule) or not _works(CudnnConvolution if on_gpu else OnednnConvolution, dtype):
        return model
    calls = collections.Counter(node.target for node in model.graph.nodes if node.op == "call_module")
    for node in list(model.graph.nodes):
        # A layer that is used twice may be followed by something else each time.
        if calls[node.target] == 1 and node.op == "call_module" and _is_plain(model.get_submodule(node.target)):
            (_fuse_for_cudnn if on_gpu else _fuse_for_onednn)(model, node)
    model.recompile()
    return model


class FusedConvolution(nn.Module):
    """A convolution; what is added to it, if anything; then an activation, if any."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.geometry = ([*layer.padding], [*layer.stride], [*layer.dilation], layer.groups)

    def _shape(self, pictures: Tensor) -> tuple[int, ...]:
        """The result's."""
        padding, stride, dilation, _ = self.geometry
        sides = [
            (pictures.shape[2 + axis] + 2 * padding[axis] - dilation[axis] * (self.weight.shape[2 + axis] - 1) - 1)
            // stride[axis]
            + 1
            for axis in (0, 1)
        ]
        return (pictures.shape[0], self.weight.shape[0], *sides)


class CudnnConvolution(FusedConvolution):
    """A convolution of cuDNN; what is added to it, if anything; then ReLU."""

    def forward(self, pictures: Tensor, added: Tensor | None = None) -> Tensor:
        """Maps (batch, channels, height, width); added: maps of the result's shape."""
        padding, stride, dilation, groups = self.geometry
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        last = (self.bias, stride, padding, dilation, groups)
        shape = self._shape(pictures)
        if added is None:
            # Not `cudnn_convolution_relu`: it adds 0 times whatever is in the memory of its result, which may be NaN.
            added = _zeros(shape, pictures)
        if tuple(added.shape) != shape:  # it is spread over the maps, which cuDNN does not do
            return torch.relu(nn.functional.conv2d(pictures, self.weight, *last) + added)
        added = added.contiguous(memory_format=torch.channels_last)
        return torch.cudnn_convolution_add_relu(pictures, self.weight, added, 1.0, *last)


class OnednnConvolution(FusedConvolution):
    """A convolution of oneDNN; what is added to it, if anything; then an activation, if any.

    activation: oneDNN's name and numbers. in_place: whether the sum may be written over what is added.
    """

    def __init__(self, layer: nn.Conv2d, activation: Activation = _RELU, in_place: bool = False) -> None:
        super().__init__(layer)
        self.activation, self.in_place = activation, in_place

    def forward(self, pictures: Tensor, added: Tensor | None = None) -> Tensor:
        """Maps (batch, channels, height, width); added: maps of the result's shape."""
        name, numbers = self.activation
        weights = (self.weight, self.bias, *self.geometry)
        # In another order of memory, oneDNN's addition is left to torch, which has none of bfloat16.
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        if added is None:
            return _convolution(pictures, *weights, name, list(numbers), "")
        if tuple(added.shape) != self._shape(pictures):  # it is spread over the maps, which oneDNN does not do
            plain = _convolution(pictures, *weights, "none", [], "") + added
            return plain if name == "none" else torch.relu(plain)
        added = added.contiguous(memory_format=torch.channels_last)
        last = ("add", None, None if name == "none" else name, list(numbers), None)
        if self.in_place:
            return _convolution_over(added, pictures, *weights, *last)
        return _convolution_added(pictures, added, *weights, *last)


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    empty = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return empty.zero_()


def _convolution(*arguments: object) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(*arguments)  # type: ignore[no-any-return]


def _convolution_added(*arguments: object) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise.binary(*arguments)  # type: ignore[no-any-return]


def _convolution_over(*arguments: object) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise_.binary(*arguments)  # type: ignore[no-any-return]


def _works(kind: type[CudnnConvolution] | type[OnednnConvolution], dtype: torch.dtype) -> bool:
    """Whether the operators are there and compute this type of numbers, tried on small layers."""
    device = "cuda" if kind is CudnnConvolution else "cpu"
    try:
        for channels, side in ((16, 1), (3, 7)):
            picture = torch.ones(1, channels, 16, 16, dtype=dtype, device=device)
            layer = nn.Conv2d(channels, 16, side, bias=False, dtype=dtype, device="meta").to_empty(device=device)
            layer.weight.data.fill_(1 / 64)  # nothing is drawn
            trial = kind(layer.requires_grad_(False))
            with torch.inference_mode():
                exact = torch.relu(layer(picture))
                if not (torch.allclose(trial(picture), exact) and torch.allclose(trial(picture, exact), 2 * exact)):
                    return False
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _fuse_for_cudnn(model: fx.GraphModule, node: fx.Node) -> None:
    """Make one convolution a fused one, if ReLU follows, by itself or after an addition: all that cuDNN takes."""
    layer = model.get_submodule(str(node.target))
    assert isinstance(layer, nn.Conv2d)
    user = _only_user(node)
    added = _added(user, node)
    last = user if added is None or user is None else _only_user(user)
    # Convolutions by groups have kernels of their own in torch, which are faster.
    if _activation(model, last) != _RELU or layer.groups > 1:
        return
    _take_over(node, user)
    if added is not None:
        _take_over(node, last)
        node.args = (*node.args, added)
    model.set_submodule(str(node.target), CudnnConvolution(layer))


def _fuse_for_onednn(model: fx.GraphModule, node: fx.Node) -> None:
    """Make one convolution a fused one, with as much of what follows as oneDNN takes."""
    user = _only_user(node)
    activation, added = _activation(model, user), _added(user, node)
    if activation is not None:
        _take_over(node, user)
    elif added is not None:
        _take_over(node, user)
        node.args = (*node.args, added)
        # After an addition oneDNN takes ReLU only.
        activation = _activation(model, _only_user(node))
        if activation == _RELU:
            _take_over(node, _only_user(node))
        else:
            activation = None
    layer = OnednnConvolution(model.get_submodule(str(node.target)), activation or ("none", ()), _is_free(added, node))  # type: ignore[arg-type]
    model.set_submodule(str(node.target), layer)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _take_over(node: fx.Node, user: fx.Node | None) -> None:
    """Let `node` stand for its only user, whose work it does from now on."""
    assert user is not None
    user.replace_all_uses_with(node)
    user.graph.erase_node(user)


def _activation(model: fx.GraphModule, user: fx.Node | None) -> Activation | None:
    if user is None:
        return None
    if user.op == "call_module":
        return _ACTIVATIONS.get(type(model.get_submodule(str(user.target))))
    return _RELU if user.op == "call_function" and user.target in _RELU_FUNCTIONS else None


def _added(user: fx.Node | None, node: fx.Node) -> fx.Node | None:
    """What a convolution's only user adds to it, if it is an addition of maps that are known before the convolution."""
    if user is None or user.op != "call_function" or user.target not in _ADD or len(user.args) != 2 or user.kwargs:
        return None
    others = [other for other in user.args if other is not node]
    known = others and isinstance(others[0], fx.Node) and others[0] < node
    return others[0] if known else None  # type: ignore[return-value]


def _is_free(added: fx.Node | None, node: fx.Node) -> bool:
    """Whether what is added is memory of its own, and only convolutions before `node`, not this one, read it."""
    owner = node.graph.owning_module
    if added is None or owner is None or added in node.args[:1]:
        return False

    def is_a(one: fx.Node, *kinds: type[nn.Module]) -> bool:
        return one.op == "call_module" and isinstance(owner.get_submodule(str(one.target)), kinds)

    others = [user for user in added.users if user is not node]
    read = all(user < node and is_a(user, nn.Conv2d, FusedConvolution) for user in others)
    return read and is_a(added, FusedConvolution, nn.MaxPool2d)
