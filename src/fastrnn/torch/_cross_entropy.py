"""The linear layer and cross-entropy in one, differentiable by PyTorch.

The kernel makes the gradients together with the loss, so the operator returns both, and
backward only scales them. The bits of ``wanted`` ask for those of x, w and b, in that
order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fastrnn._functional.linear import run_cross_entropy
from fastrnn._gate.arguments import check_choice, check_integer
from fastrnn._gate.linear import GRADIENTS, REDUCTIONS, check_cross_entropy
from fastrnn.torch import _kernels, _ops
from fastrnn.torch._check import check_cross_entropy as check_operands
from fastrnn.torch._check import require_one_device
from fastrnn.torch._dispatch import choose

_ops.library.define(
    "linear_cross_entropy(Tensor x, Tensor w, Tensor? b, Tensor target, "
    "int ignore_index, str reduction, int wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)
operator = torch.ops.fastrnn.linear_cross_entropy.default


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """Cross-entropy of a linear layer's outputs against class ids, without the logits.

    The same number as ``cross_entropy(linear(input, linear_weight, linear_bias),
    target)``, and the arguments of `torch.nn.functional.linear_cross_entropy`. Logits
    exist for some hundred rows at a time, in backward too.

    Parameters
    ----------
    input : Tensor
        [..., H], float32 or float64 on the CPU; else PyTorch's own operations run.
    linear_weight : Tensor
        [V, H]
    target : Tensor
        [...], integer: a class ``0 .. V-1`` for every row, or ``ignore_index``.
    linear_bias : Tensor, optional
        [V]
    reduction : {"mean", "sum", "none"}
        ``"none"`` has a gradient for each row's loss and runs PyTorch's operations.
    ignore_index : int
        Rows with this target take no part.

    Returns
    -------
    scalar, or [...] for "none"

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.
    """
    check(input, linear_weight, linear_bias, target, ignore_index, reduction)
    tensors = input, linear_weight, linear_bias, target, ignore_index, reduction
    if reduction == "none":
        return by_operations(*tensors)
    floating = [a for a in tensors[:3] if a is not None]
    how = choose(floating, (target,))
    if how == "traced":
        return operator(*tensors, 0)[0]
    if how == "taped":
        return LinearCrossEntropy.apply(None, *tensors)[0]
    if how == "kernel":
        return run_kernel(*tensors, 0)[0]
    return by_operations(*tensors)


def check(
    x: Any, w: Any, b: Any, target: Any, ignore_index: Any, reduction: Any
) -> None:
    named = {"input": x, "linear_weight": w, "linear_bias": b, "target": target}
    for name, a in named.items():
        if not isinstance(a, Tensor) and not (name == "linear_bias" and a is None):
            raise TypeError(f"{name}: expected a tensor, got {type(a).__name__}")
        if a is not None and a.device != x.device:
            raise RuntimeError(
                f"{name}: expected device {x.device} (that of input), got {a.device}"
            )
    for name in ("input", "linear_weight", "linear_bias"):
        a = named[name]
        if a is not None and not a.is_floating_point():
            raise TypeError(f"{name}: expected a floating dtype, got {a.dtype}")
        same = a is None or a.dtype == x.dtype
        if not same and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(
                f"{name}: expected dtype {x.dtype} (that of input), got {a.dtype}"
            )
    check_integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)
    check_choice("reduction", reduction, REDUCTIONS)
    if x.dim() < 1 or w.dim() != 2 or w.shape[1] != x.shape[-1]:
        raise ValueError(
            "linear_weight: expected shape (V, H) for input (..., H), "
            f"got {tuple(w.shape)} for {tuple(x.shape)}"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(
            f"linear_bias: expected shape (V,) = ({w.shape[0]},), got {tuple(b.shape)}"
        )
    if target.shape != x.shape[:-1]:
        raise ValueError(
            f"target: expected shape (...) of input = {tuple(x.shape[:-1])}, "
            f"got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"target: expected an integer dtype, got {target.dtype}")


def by_operations(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    target: Tensor,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """Return the loss by PyTorch's own code."""
    logits = functional.linear(x, w, b)
    loss = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        target.reshape(-1),
        ignore_index=ignore_index,
        reduction=reduction,
    )
    return loss.reshape(target.shape) if reduction == "none" else loss


def run_kernel(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    target: Tensor,
    ignore_index: int,
    reduction: str,
    wanted: int,
) -> tuple[Any, ...]:
    """Return the loss, dx, dw and db; None for what is not wanted."""
    for name, a in (("input", x), ("linear_weight", w), ("linear_bias", b)):
        if a is not None:
            _kernels.require_storage(name, a)
    _kernels.require_storage("target", target)
    arrays = [None if a is None else a.detach().numpy() for a in (x, w, b, target)]
    names = [name for i, name in enumerate(GRADIENTS) if wanted >> i & 1]
    checked = check_cross_entropy(
        *arrays, ignore_index=ignore_index, reduction=reduction,
        training=bool(names), wanted=names,
    )  # fmt: skip
    loss, grads = run_cross_entropy(checked, torch.get_num_threads())
    found = (None,) * 3 if grads is None else grads
    return (
        x.new_tensor(loss),
        *(None if a is None else torch.from_numpy(a) for a in found),
    )


@torch.library.impl(_ops.library, "linear_cross_entropy", "CPU")
def run_on_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    x, w, b, target, _, _, wanted = arguments
    check_operands(x, w, b, target, wanted)
    return _ops.fill(run_kernel(*arguments), arguments[0])


@torch.library.register_fake("fastrnn::linear_cross_entropy", lib=_ops.library)
def run_fake(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    target: Tensor,
    ignore_index: int,
    reduction: str,
    wanted: int,
) -> tuple[Tensor, ...]:
    require_one_device(x, w, b, target)
    loss = x.new_empty(target.shape if reduction == "none" else ())
    return loss, *(
        x.new_empty(a.shape if a is not None and wanted >> i & 1 else 0)
        for i, a in enumerate((x, w, b))
    )


@torch.library.impl(_ops.library, "linear_cross_entropy", "Autograd")
def differentiate(*arguments: Any) -> tuple[Tensor, ...]:
    _ops.refuse_tangents(arguments)
    if _ops.wants_gradient(arguments):
        return tuple(LinearCrossEntropy.apply(operator, *arguments[:-1]))
    return tuple(_ops.below(operator, *arguments))


class LinearCrossEntropy(torch.autograd.Function):
    """The loss's derivative; ``through`` as `fastrnn.torch._ops.Layer`'s."""

    @staticmethod
    def forward(ctx: Any, through: Any, *arguments: Any) -> tuple[Any, ...]:
        x, w, b, target, *ctx.static = arguments
        if ctx.static[1] == "none":
            raise ValueError("reduction: expected 'mean' or 'sum' for a gradient")
        ctx.save_for_backward(x, w, b, target)
        ctx.through = through
        ctx.wanted = sum(need << i for i, need in enumerate(ctx.needs_input_grad[1:4]))
        loss, *ctx.grads = run(through, *arguments, ctx.wanted)
        ctx.mark_non_differentiable(*(a for a in ctx.grads if a is not None))
        ctx.set_materialize_grads(False)  # zeros for what cannot be differentiated
        return loss, *ctx.grads

    @staticmethod
    def backward(ctx: Any, dloss: Tensor | None, *_: Any) -> Any:
        if dloss is None:
            return (None,) * 7
        x, w, b, target = ctx.saved_tensors
        needs = ctx.needs_input_grad[1:4]
        if torch.is_grad_enabled():
            loss = by_operations(x, w, b, target, *ctx.static)
            wanted = [a for a, need in zip((x, w, b), needs, strict=True) if need]
            found = iter(torch.autograd.grad(loss, wanted, dloss, create_graph=True))
            grads = [next(found) if need else None for need in needs]
            return (None, *grads, None, None, None)
        # The first backward gives away what forward made; another one makes it anew.
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            _, *grads = run(ctx.through, x, w, b, target, *ctx.static, ctx.wanted)
        grads = [
            scale(g, dloss, ctx.through is None) if need else None
            for g, need in zip(grads, needs, strict=True)
        ]
        return (None, *grads, None, None, None)


def run(through: Any, *arguments: Any) -> Any:
    kernel: Any = run_kernel
    return kernel(*arguments) if through is None else _ops.below(through, *arguments)


def scale(grad: Tensor, factor: Tensor, ours: bool) -> Tensor:
    """Return ``factor * grad``, in place if the tensor is nobody else's."""
    if not ours:
        return grad * factor
    return grad if factor.item() == 1 else grad.mul_(factor)
