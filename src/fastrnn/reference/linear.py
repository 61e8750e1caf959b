"""The linear layer, and the loss on its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.linear import GRADIENTS, check_cross_entropy, check_linear
from fastrnn._results import CrossEntropyGrads, LinearGrads
from fastrnn._types import FloatArray


@np.errstate(all="ignore")
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
    y: FloatArray = a.x.reshape(a.rows, a.I) @ a.w.T
    if a.b is not None:
        y = y + a.b
    return y.reshape(*a.lead, a.O)


@np.errstate(all="ignore")
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
    assert a.dy is not None
    dy_rows = a.dy.reshape(a.rows, a.O)
    dx = (dy_rows @ a.w).reshape(a.x.shape)
    dw = dy_rows.T @ a.x.reshape(a.rows, a.I)
    return LinearGrads(dx, dw, dy_rows.sum(axis=0) if a.bias else None)


@np.errstate(all="ignore")
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
    """
    a = check_cross_entropy(
        y, w, b, targets,
        ignore_index=ignore_index, reduction=reduction, training=training,
        wanted=wanted,
    )  # fmt: skip
    takes_part = a.targets.ravel() != a.ignore_index
    rows = a.y.reshape(a.rows, a.H)[takes_part]
    each, target = np.arange(len(rows)), a.targets.ravel()[takes_part]

    z = rows @ a.w.T
    if a.b is not None:
        z = z + a.b
    z -= z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=1))
    losses = np.zeros(a.rows, a.dtype)
    losses[takes_part] = log_sum - z[each, target]

    dz = np.exp(z - log_sum[:, None])
    dz[each, target] -= 1
    if a.reduction == "mean":
        dz /= max(len(rows), 1)
    loss: np.floating[Any] | FloatArray
    if a.reduction == "none":
        loss = losses.reshape(a.lead)
    else:
        total = losses.sum(dtype=np.float64)
        loss = a.dtype.type(total / len(rows) if a.reduction == "mean" else total)
    if not a.training:
        return loss, None
    dy = dw = db = None
    if "dy" in a.wanted:
        dy = np.zeros(a.y.shape, a.dtype)
        dy.reshape(a.rows, a.H)[takes_part] = dz @ a.w
    if "dw" in a.wanted:
        dw = dz.T @ rows
    if "db" in a.wanted and a.b is not None:
        db = dz.sum(axis=0)
    return loss, CrossEntropyGrads(dy, dw, db)
