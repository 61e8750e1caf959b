"""What the kernels serve, and what is left to PyTorch's own code.

This runs ahead of every call, so it is one pass over the tensors.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from fastrnn.torch import _kernels, _ops

Shape = tuple[int, ...]


def plain_keys() -> frozenset[int]:
    """Return the dispatch keys of tensors whose memory holds what they mean.

    Another device, a sparse or nested layout, a pending negation, a subclass that
    dispatches or a function transform each adds a key of its own or lacks one of these.
    """
    usual = torch.empty(0, device="cpu")
    with torch.inference_mode():
        both = usual, torch.empty(0, device="cpu")
    return frozenset(torch._C._dispatch_keys(a).raw_repr() for a in both)


PLAIN = plain_keys()
KINDS = frozenset({Tensor, nn.Parameter})  # not a subclass with functions of its own


def choose(tensors: Sequence[Tensor], indices: Sequence[Tensor] = ()) -> str:
    """Return how to run something on these floating tensors and integer ones.

    "kernel": call it. "taped": through our autograd function. "traced": as an operator,
    since something traces. "": not at all, PyTorch's own code has to.
    """
    if torch._C._is_any_autocast_enabled():
        return ""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return "traced" if on_cpu(tensors, indices) else ""
    if (
        torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
    ):
        return ""
    keys, plain = torch._C._dispatch_keys, PLAIN
    dtype, gradient = tensors[0].dtype, False
    if dtype not in _kernels.DTYPES:
        return ""
    for a in tensors:
        if (
            a.dtype is not dtype
            or type(a) not in KINDS
            or keys(a).raw_repr() not in plain
        ):
            return ""
        gradient = gradient or a.requires_grad
    for a in indices:
        if keys(a).raw_repr() not in plain:
            return ""
    return "taped" if gradient and torch.is_grad_enabled() else "kernel"


def on_cpu(tensors: Sequence[Tensor], indices: Sequence[Tensor]) -> bool:
    """Whether what stands in for tensors while something traces would be served."""
    dtype = tensors[0].dtype
    return (
        dtype in (torch.float32, torch.float64)
        and all(a.dtype == dtype for a in tensors)
        and all(a.device.type == "cpu" for a in (*tensors, *indices))
    )


def run_taped(*arguments: Any) -> tuple[Any, ...]:
    results: tuple[Any, ...] = _ops.Layer.apply(None, *arguments)
    return results


RUNNERS = {
    "kernel": _kernels.forward,
    "taped": run_taped,
    "traced": _ops.layer,
    "": None,
}


def weights_of(module: Any) -> list[Tensor]:
    """Return the weights as they are now, in PyTorch's order.

    They may be no parameters: ``functional_call``, ``weight_norm`` and the like put
    other tensors under their names.
    """
    names, parameters = module._flat_weights_names, module._parameters
    try:
        return [parameters[name] for name in names]
    except KeyError:
        return [getattr(module, name) for name in names]


def weight_shapes(
    mode: str,
    I: int,  # noqa: E741
    H: int,
    layers: int,
    directions: int,
    bias: bool,
) -> list[Shape]:
    """Return the shapes of all weights, in PyTorch's order."""
    GH = _kernels.MODES[mode].cell.gates * H
    shapes: list[Shape] = []
    for layer in range(layers):
        width = directions * H if layer else I
        shapes += [(GH, width), (GH, H), *[(GH,)] * (2 * bias)] * directions
    return shapes


cached_weight_shapes = functools.cache(weight_shapes)  # dynamo warns of a cache


def shapes_fit(
    module: Any, x: Shape, rank: int, N: int, states: Any, weights: list[Tensor]
) -> bool:
    """Whether all shapes are as they should be; PyTorch's own code says what is not."""
    H, layers = module.hidden_size, module.num_layers
    directions = 2 if module.bidirectional else 1
    if len(x) != rank or x[-1] != module.input_size:
        return False
    if 0 in x and (N > 0 or x[-1] == 0 or x[0] + x[1] == 0):  # no rows are fine
        return False
    if states and len(states) != (2 if module.mode == "LSTM" else 1):
        return False
    state = layers * directions, N, H
    for s in states:
        if s.shape != state:
            return False
    compiling = torch.compiler.is_compiling()
    expected = (weight_shapes if compiling else cached_weight_shapes)(
        module.mode, module.input_size, H, layers, directions, module.bias
    )
    if len(weights) != len(expected):
        return False
    return all(a.shape == s for a, s in zip(weights, expected, strict=True))
