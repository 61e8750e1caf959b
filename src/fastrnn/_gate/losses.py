"""The gate of losses other than the cross-entropy; see `fastrnn._gate.sequence`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import (
    check_any_floating,
    check_floating,
    check_integer,
    check_integers,
    check_leading,
    check_rank,
    check_shape,
    contiguous,
    copy_integers,
    require_not_negative,
    require_positive,
)
from fastrnn._gate.sequence import check_lengths
from fastrnn._types import FloatArray, IntArray


class Loss(NamedTuple):
    """The arguments of a loss of numbers, checked and contiguous."""

    y: FloatArray
    targets: FloatArray  # as y
    weights: FloatArray | None  # of runs of `width` numbers, 0 where masked; rank of y
    width: int
    total: float  # of the weights of all numbers


class Ctc(NamedTuple):
    """The arguments of ``ctc_loss``, checked and contiguous; integers are copies."""

    logits: FloatArray  # [T, N, V]
    targets: IntArray  # [N, S]
    lengths: IntArray  # [N]
    target_lengths: IntArray  # [N]
    blank: int


def check_loss(y: Any, targets: Any, weights: Any, mask: Any) -> Loss:
    """Check a loss of numbers before any work.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, or a weight is negative.
    """
    y = check_any_floating("y", y)
    targets = check_floating("targets", targets, y.dtype, "y")
    check_shape("targets", targets, "(...) of y", y.shape)
    if weights is None and mask is None:
        return Loss(y, targets, None, max(y.size, 1), y.size)
    w: Any = None
    if weights is not None:
        w = check_floating("weights", weights, y.dtype, "y")
        if w.shape != y.shape[: w.ndim]:
            raise ValueError(
                f"weights: expected shape {y.shape} (that of y) or its leading sizes, "
                f"got {w.shape}"
            )
        require_not_negative("weights", w)
        w = w.reshape(w.shape + (1,) * (y.ndim - w.ndim))
    if mask is not None:
        kept = check_leading("mask", mask, y)
        one, zero = y.dtype.type(1), y.dtype.type(0)
        w = contiguous(np.where(kept, one if w is None else w, zero))
    width = max(y.size // max(w.size, 1), 1)
    return Loss(y, targets, w, width, float(w.sum(dtype=np.float64)) * width)


def require_probabilities(loss: Loss) -> None:
    """Refuse targets outside ``0 .. 1``, except where they do not count."""
    t = loss.targets
    if t.size == 0 or (t.min() >= 0 and t.max() <= 1):
        return
    bad = (t < 0) | (t > 1)
    if loss.weights is not None:
        bad &= loss.weights != 0
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), t.shape)
        place = f" at {[int(i) for i in at]}" if at else ""
        raise ValueError(f"targets: expected 0 <= targets <= 1, got {t[at]}{place}")


def check_ctc(
    logits: Any, targets: Any, lengths: Any, target_lengths: Any, blank: Any
) -> Ctc:
    """Check the arguments of ``ctc_loss`` before any work.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.
    """
    logits = check_any_floating("logits", logits)
    targets = check_integers("targets", targets, "iu", "an integer")
    T, N, V = check_rank("logits", logits, "(T, N, V)", 3)
    require_positive("logits", "(T, N, V)", "V", V, logits)
    if targets.shape == (0,) and N == 0:
        targets = targets.reshape(0, 0)
    S = check_rank("targets", targets, "(N, S)", 2)[1]
    check_shape("targets", targets, "(N, S)", (N, S))
    blank = check_integer("blank", blank, 0, V - 1)
    lengths = check_lengths(lengths, T, N)
    target_lengths = check_target_lengths(target_lengths, S, N)
    ids, values = copy_integers("targets", targets)
    counts = np.arange(S) < target_lengths[:, None]
    bad = ((values < 0) | (values >= V)) & counts
    if bad.any():
        n, s = np.unravel_index(int(bad.argmax()), bad.shape)
        raise ValueError(
            f"targets: target {values[n, s]} at [n={n}, s={s}] is out of range "
            f"0 <= target < V = {V}"
        )
    bad = (ids == blank) & counts
    if bad.any():
        n, s = np.unravel_index(int(bad.argmax()), bad.shape)
        raise ValueError(
            f"targets: expected labels other than blank = {blank}, got it at "
            f"[n={n}, s={s}]"
        )
    return Ctc(logits, ids, lengths, target_lengths, blank)


def check_target_lengths(lengths: Any, S: int, N: int) -> IntArray:
    a = check_integers("target_lengths", lengths, "iu", "an integer")
    check_shape("target_lengths", a, "(N,)", (N,))
    copy, values = copy_integers("target_lengths", a)
    bad = (values < 0) | (values > S)
    if bad.any():
        n = int(bad.argmax())
        raise ValueError(
            f"target_lengths: length {values[n]} at [n={n}] is out of range "
            f"0 <= length <= S = {S}"
        )
    return copy
