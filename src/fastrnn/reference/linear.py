"""The linear layer, and the loss on its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.linear import GRADIENTS, check_cross_entropy, check_linear
from fastrnn._types import FloatArray
from fastrnn._types.results import CrossEntropyGrads, LinearGrads


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
    weights: FloatArray | None = None,
    class_weights: FloatArray | None = None,
    label_smoothing: float = 0.0,
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
    weights : [...], optional
        What each row's loss is multiplied by, the dtype of ``y``; rows with a weight of
        0 are left out. ``"mean"`` then divides by the sum of the weights, and takes
        none below 0; the others do. (A policy gradient is a ``"sum"``, weighted with
        the advantages over the number of rows.)
    class_weights : [V], optional
        The same for rows of each class, at least 0. With ``weights``, a row's weight is
        the product of both.
    label_smoothing : float
        ``0 <= e <= 1``. The wanted probabilities are ``1 - e`` for the target and in
        addition ``e / V`` for every class; the part of class ``v`` is weighted with
        ``class_weights[v]``. As in PyTorch, ``"mean"`` divides by the weights of the
        targets.

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
        wanted=wanted, weights=weights, class_weights=class_weights,
        label_smoothing=label_smoothing,
    )  # fmt: skip
    takes_part = a.targets.ravel() != a.ignore_index
    weights = np.ones(a.rows, a.dtype) if a.weights is None else a.weights.ravel()
    takes_part &= weights != 0
    rows = a.y.reshape(a.rows, a.H)[takes_part]
    each, target = np.arange(len(rows)), a.targets.ravel()[takes_part]

    z = rows @ a.w.T
    if a.b is not None:
        z = z + a.b
    z -= z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=1))
    # share_v: how much of -log(softmax_v) is in a row's loss
    c = np.ones(a.V, a.dtype) if a.class_weights is None else a.class_weights
    share = np.zeros((len(rows), a.V), a.dtype) + a.label_smoothing / a.V
    share[each, target] += 1 - a.label_smoothing
    share *= c * weights[takes_part, None]
    nats = log_sum[:, None] - z
    losses = np.zeros(a.rows, a.dtype)
    losses[takes_part] = np.where(share != 0, share * nats, 0).sum(axis=1)

    dz = np.exp(-nats) * share.sum(axis=1, keepdims=True) - share
    count = (weights[takes_part] * c[target]).sum(dtype=np.float64)
    if a.reduction == "mean":
        dz /= a.dtype.type(count or 1)
    loss: np.floating[Any] | FloatArray
    if a.reduction == "none":
        loss = losses.reshape(a.lead)
    else:
        total = losses.sum(dtype=np.float64)
        loss = a.dtype.type(total / count if a.reduction == "mean" else total)
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
