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
from fastrnn._types import FloatArray, IntArray
from fastrnn._types.results import CrossEntropyGrads, LinearGrads


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

    Examples
    --------
    >>> x, w = np.ones((5, 2, 3)), np.ones((4, 3))
    >>> fastrnn.linear_forward(x, w).shape
    (5, 2, 4)
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

    Notes
    -----
    Logits exist for 160 rows at a time: besides the gradients, the function needs
    memory for about ``160 V`` numbers, regardless of the number of rows. Finite logits
    never overflow.

    References
    ----------
    Label smoothing: C. Szegedy et al., "Rethinking the inception architecture for
    computer vision", 2016.

    Examples
    --------
    >>> y, w = np.zeros((3, 4)), np.zeros((10, 4))
    >>> loss, grads = fastrnn.linear_cross_entropy(y, w, None, [0, 7, -100])
    >>> round(float(loss), 4)  # ln 10: all ten classes are as likely
    2.3026
    """
    a = check_cross_entropy(
        y, w, b, targets,
        ignore_index=ignore_index, reduction=reduction, training=training,
        wanted=wanted, weights=weights, class_weights=class_weights,
        label_smoothing=label_smoothing,
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
    if a.weights is not None:
        ignored |= a.weights.ravel() == 0
    left_out = int(np.count_nonzero(ignored))
    if left_out:
        targets[ignored] = -1
    of_targets, smoothing, of_rows = weigh(a, targets)
    total: Any = a.rows - left_out
    if of_targets is not None:
        total = float(of_targets.sum(dtype=np.float64))
        of_targets *= a.dtype.type(1 - a.label_smoothing)
    scale = 1 / (total or 1) if a.reduction == "mean" else 1.0
    losses, dy, dw, db = _core.linear_cross_entropy(
        a.rows, a.H, a.V, a.y, a.w, a.b, targets, scale,
        "dy" in a.wanted, "dw" in a.wanted, "db" in a.wanted, threads,
        of_targets, smoothing, of_rows,
    )  # fmt: skip
    loss: np.floating[Any] | FloatArray
    if a.reduction == "none":
        loss = losses.reshape(a.lead)
    else:
        with _core.rounding_to_nearest:
            in_all = losses.sum(dtype=np.float64)
            if a.reduction == "mean":
                in_all = in_all / total if total else np.nan
            loss = a.dtype.type(in_all)
    if not a.training:
        return loss, None
    dy = None if dy is None else dy.reshape(a.y.shape)
    return loss, CrossEntropyGrads(dy, dw, db)


def weigh(
    a: CrossEntropy, targets: IntArray
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Return the weights of targets [rows], of smoothing [V] and of rows [rows].

    ``targets`` are -1 where a row is left out; its weights are 0. None is 1 for the
    first, which is a new array, and nothing for the others.
    """
    if a.weights is None and a.class_weights is None and a.label_smoothing == 0:
        return None, None, None
    counts = targets >= 0
    rows = np.ones(a.rows, a.dtype) if a.weights is None else a.weights.ravel()
    of_rows = np.where(counts, rows, a.dtype.type(0))
    of_targets = of_rows.copy()
    if a.class_weights is not None:
        of_targets[counts] *= a.class_weights[targets[counts]]
    if a.label_smoothing == 0:
        return of_targets, None, None
    smoothing = np.full(a.V, a.label_smoothing / a.V, a.dtype)
    if a.class_weights is not None:
        smoothing *= a.class_weights
    return of_targets, smoothing, of_rows
