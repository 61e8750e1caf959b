"""The two operators, ``fastrnn::layer`` and ``fastrnn::layer_backward``.

Registered with PyTorch's library (kernel, fake, autograd), so that ``torch.compile``
and ``torch.export`` see one operator a layer and direction. Below them is
`fastrnn.torch._kernels`, whose page says what the arguments are. Registered by hand:
``torch.library.custom_op`` costs 60 microseconds a call more.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from fastrnn.torch import _kernels, _unfused
from fastrnn.torch._check import check_backward, check_layer, require_one_device

LAYER = """
    str mode, str layout, bool reverse, bool training,
    Tensor x, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh,
    Tensor? h0, Tensor? c0, Tensor? lengths, Tensor? resets
"""
TAPE = "Tensor y, Tensor? gates, Tensor? c"
UPSTREAM = "Tensor? dy, Tensor? dh_n, Tensor? dc_n, Tensor? dc"
BACKWARD = f"{LAYER.replace('bool training', 'int wanted')}, {TAPE}, {UPSTREAM}"

library = torch.library.Library("fastrnn", "DEF")
library.define(f"layer({LAYER}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
library.define(
    f"layer_backward({BACKWARD}) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
layer = torch.ops.fastrnn.layer.default
layer_backward = torch.ops.fastrnn.layer_backward.default


def fill(results: tuple[Any, ...], like: Tensor) -> tuple[Tensor, ...]:
    """An operator returns tensors: an empty one for each None."""
    return tuple(like.new_empty(0) if a is None else a for a in results)


@torch.library.impl(library, "layer", "CPU")
def layer_on_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    check_layer(*arguments)
    return fill(_kernels.forward(*arguments), arguments[4])


@torch.library.impl(library, "layer_backward", "CPU")
def layer_backward_on_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    check_backward(*arguments)
    if not _kernels.MODES[arguments[0]].gated:  # no tape but y
        arguments = (*arguments[:14], None, None, *arguments[16:])
    return fill(_kernels.backward(*arguments), arguments[4])


@torch.library.register_fake("fastrnn::layer", lib=library)
def layer_fake(
    mode: str, layout: str, reverse: bool, training: bool, x: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    require_one_device(x, *others)
    _, w_hh, _, _, h0, _, _, _ = others
    GH, H = w_hh.shape
    lead = x.shape[:-1]
    N = h0.shape[1] if layout == "packed" else lead[1 if layout == "time" else 0]
    lstm, taped = mode == "LSTM", training and _kernels.MODES[mode].gated
    return (
        x.new_empty(*lead, H),
        x.new_empty(1, N, H),
        x.new_empty((1, N, H) if lstm else 0),
        x.new_empty((*lead, GH) if taped else 0),
        x.new_empty((*lead, H) if taped else 0),
    )


@torch.library.register_fake("fastrnn::layer_backward", lib=library)
def layer_backward_fake(
    mode: str, layout: str, reverse: bool, wanted: int, x: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    require_one_device(x, *others)
    w_ih, w_hh, b_ih, b_hh, h0, *_ = others
    lead = x.shape[:-1]
    N = h0.shape[1] if layout == "packed" else lead[1 if layout == "time" else 0]
    shapes = [
        a.shape if a is not None and wanted >> i & 1 else 0
        for i, a in enumerate((x, w_ih, w_hh, b_ih, b_hh))
    ]
    state = (1, N, w_hh.shape[1])
    shapes += [state, state if mode == "LSTM" else 0]
    return tuple(x.new_empty(shape) for shape in shapes)


@torch.library.impl(library, "layer", "Autograd")
def layer_autograd(*arguments: Any) -> tuple[Tensor, ...]:
    refuse_tangents(arguments)
    if wants_gradient(arguments):
        return tuple(Layer.apply(layer, *arguments))
    return tuple(below(layer, *arguments))


def wants_gradient(arguments: Any) -> bool:
    return torch.is_grad_enabled() and any(
        isinstance(a, Tensor) and a.requires_grad for a in arguments
    )


def refuse_tangents(arguments: tuple[Any, ...]) -> None:
    """Forward-mode differentiation would go on with zeros, in silence."""
    if forward_ad._current_level < 0:
        return
    for a in arguments:
        if isinstance(a, Tensor) and forward_ad.unpack_dual(a).tangent is not None:
            raise NotImplementedError(
                "fastrnn's operators have no forward-mode derivative; the modules and "
                "functions of fastrnn.torch run PyTorch's own code there"
            )


def below(operator: Any, *arguments: Any) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)


class Layer(torch.autograd.Function):
    """The derivative of a layer.

    ``operator`` is `layer` while something traces, or None to call the kernels without
    PyTorch's dispatcher in between. ``y`` is kept beside the saved tensors, so that who
    changes it in place (a ReLU, say) still gets the right gradient: then, and where the
    tape was not kept, forward runs again.
    """

    @staticmethod
    def forward(ctx: Any, operator: Any, *arguments: Any) -> tuple[Tensor, ...]:
        mode, layout, reverse, _, *tensors = arguments
        results = run(operator, mode, layout, reverse, True, *tensors)
        y, _, c_n, gates, c = results
        ctx.operator = operator
        ctx.static = mode, layout, reverse
        ctx.y, ctx.version = y.detach(), y._version
        ctx.save_for_backward(*tensors, gates, c)
        ctx.set_materialize_grads(False)
        fixed = (gates,) if mode == "LSTM" else (c_n, gates, c)
        ctx.mark_non_differentiable(*(a for a in fixed if a is not None))
        return results

    @staticmethod
    def backward(ctx: Any, dy: Any, dh_n: Any, dc_n: Any, _: Any, dc: Any) -> Any:
        *tensors, gates, c = ctx.saved_tensors
        needs = ctx.needs_input_grad[5:12]
        if torch.is_grad_enabled():
            upstream = dy, dh_n, dc_n, dc
            again = differentiate_steps(ctx.static, tensors, needs, upstream)
            return (*[None] * 5, *again, None, None)
        y = ctx.y
        if y._version != ctx.version:
            y, _, _, gates, c = run(ctx.operator, *ctx.static, True, *tensors)
        wanted = sum(need << i for i, need in enumerate(needs[:5]))
        arguments = (*ctx.static, wanted, *tensors, y, gates, c, dy, dh_n, dc_n, dc)
        if ctx.operator is None:
            grads = _kernels.backward(*arguments)
        else:
            grads = below(layer_backward, *arguments)
        found = [g if need else None for g, need in zip(grads, needs, strict=True)]
        return (*[None] * 5, *found, None, None)


def run(operator: Any, *arguments: Any) -> Any:
    kernel: Any = _kernels.forward
    return kernel(*arguments) if operator is None else below(operator, *arguments)


def differentiate_steps(
    static: tuple[Any, ...], tensors: list[Any], needs: Any, upstream: tuple[Any, ...]
) -> list[Any]:
    """Return the gradients as something that can be differentiated again."""
    *floating, lengths, resets = tensors
    # Other names for the inputs: only what happens in here is differentiated.
    inputs = [
        a.view_as(a) if need else a for a, need in zip(floating, needs, strict=True)
    ]
    arguments: Any = (*static, True, *inputs, lengths, resets)
    y, h_n, c_n, _, c = _unfused.forward(*arguments)
    pairs = [
        (a, da)
        for a, da in zip((y, h_n, c_n, c), upstream, strict=True)
        if a is not None and da is not None
    ]
    wanted = [a for a, need in zip(inputs, needs, strict=True) if need]
    grads = iter(
        torch.autograd.grad(
            [a for a, _ in pairs],
            wanted,
            [da for _, da in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(grads) if need else None for need in needs]
