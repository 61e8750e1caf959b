"""The linear layer, and the loss on its outputs: gate, kernel, named results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import _core
from fastrnn._gate.linear import (
    GRADIENTS,
    CrossEntropy,
    check_cross_entropy,
    check_linear,
)
from fastrnn._results import CrossEntropyGrads, LinearGrads
from fastrnn._types import FloatArray


def linear_forward(
    x: FloatArray, w: FloatArray, b: FloatArray | None = None
) -> FloatArray:
    """Return ``x w' + b``.

    Parameters
    ----------
    x : [..., I]
        float32 or float64; any leading sizes.
    w : [O, I]
        Weights.
    b : [O], optional
        Bias; None is zero.

    Returns
    -------
    [..., O]
        The dtype of ``x``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    a = check_linear(x, w, b)
    y = _core.linear_forward(a.rows, a.I, a.O, a.x, a.w, a.b)
    return y.reshape(*a.lead, a.O)


def linear_backward(
    x: FloatArray, w: FloatArray, dy: FloatArray, *, bias: bool = True
) -> LinearGrads:
    """Propagate ``dy [..., O]`` back through `linear_forward`.

    Parameters
    ----------
    x : [..., I]
        As given to forward.
    w : [O, I]
        As given to forward.
    dy : [..., O]
        Gradient of the output.
    bias : bool
        Whether to compute ``db``; it is None otherwise.

    Returns
    -------
    LinearGrads
        ``dx [..., I]``, ``dw [O, I]``, ``db [O]`` or None.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    a = check_linear(x, w, dy=dy, backward=True, bias=bias)
    dx, dw, db = _core.linear_backward(a.rows, a.I, a.O, a.x, a.w, a.dy, a.bias)
    return LinearGrads(dx.reshape(a.x.shape), dw, db)


def linear_cross_entropy(
    y: FloatArray,
    w: FloatArray,
    b: FloatArray | None,
    targets: ArrayLike,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    training: bool = True,
    wanted: Sequence[str] = GRADIENTS,
) -> tuple[np.floating[Any] | FloatArray, CrossEntropyGrads | None]:
    """Cross-entropy of ``softmax(y w' + b)`` against class ids, and its gradients.

    For each row, ``loss = log(sum_v exp(z_v)) - z_target`` with ``z = w y + b``, in
    nats; the largest ``z`` is subtracted first, so that no exponential overflows.

    Parameters
    ----------
    y : [..., H]
        float32 or float64; any leading sizes.
    w : [V, H]
        Weights.
    b : [V] or None
        Bias; None is zero.
    targets : [...] integer
        A class ``0 .. V-1`` for every row, or ``ignore_index``.
    ignore_index : int
        Rows with this target are left out: they are not read, and their ``dy`` is 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of rows that are not left out; if there are
        none, the loss is NaN and the gradients are 0.
    training : bool
        Whether to compute gradients; None is returned in their place otherwise.
    wanted : tuple of "dy", "dw" and "db"
        The gradients to compute: a head that is not trained needs only ``("dy",)``.

    Returns
    -------
    loss : scalar, or [...] for ``"none"``
        The dtype of ``y``; 0 for a row that is left out.
    grads : CrossEntropyGrads or None
        ``dy [..., H]``, ``dw [V, H]``, ``db [V]``; None if not requested, ``db`` also
        without a bias. With ``"none"`` they are the gradients of the sum.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    Notes
    -----
    Logits exist for 160 rows at a time: besides the gradients, the function needs
    memory for about ``160 V`` numbers, regardless of the number of rows. Finite logits
    never overflow.
    """
    a = check_cross_entropy(
        y, w, b, targets,
        ignore_index=ignore_index, reduction=reduction, training=training,
        wanted=wanted,
    )  # fmt: skip
    return run_cross_entropy(a)


# NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
@np.errstate(all="ignore")
def run_cross_entropy(
    a: CrossEntropy, threads: int = 0
) -> tuple[np.floating[Any] | FloatArray, CrossEntropyGrads | None]:
    """Return loss and gradients of checked arguments; 0 threads: as set globally."""
    targets = a.targets.ravel()
    ignored = targets == a.ignore_index
    count = a.rows - int(np.count_nonzero(ignored))
    if count < a.rows:
        targets[ignored] = -1
    scale = 1 / max(count, 1) if a.reduction == "mean" else 1.0
    losses, dy, dw, db = _core.linear_cross_entropy(
        a.rows, a.H, a.V, a.y, a.w, a.b, targets, scale,
        "dy" in a.wanted, "dw" in a.wanted, "db" in a.wanted, threads,
    )  # fmt: skip
    loss: np.floating[Any] | FloatArray
    if a.reduction == "none":
        loss = losses.reshape(a.lead)
    else:
        with _core.RoundingToNearest():
            total = losses.sum(dtype=np.float64)
            if a.reduction == "mean":
                total = total / count if count else np.nan
            loss = a.dtype.type(total)
    if not a.training:
        return loss, None
    dy = None if dy is None else dy.reshape(a.y.shape)
    return loss, CrossEntropyGrads(dy, dw, db)
