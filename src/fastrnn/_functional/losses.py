"""A loss for numbers, and measures of how good predictions are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import (
    as_real,
    check_any_floating,
    check_floating,
    check_integers,
    check_leading,
    check_shape,
)
from fastrnn._gate.linear import check_ignored, check_last
from fastrnn._types import FloatArray


# NaN and Inf in the data pass through as in IEEE arithmetic, without a warning.
@np.errstate(all="ignore")
def mean_squared_error(
    y: FloatArray, targets: FloatArray, mask: ArrayLike | None = None
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean of ``(y - targets)**2`` and its gradient.

    Parameters
    ----------
    y : array
        float32 or float64, of any shape.
    targets : array
        The shape and dtype of ``y``.
    mask : bool, of the shape of ``y`` or of its leading sizes, optional
        Values where it is False are left out of the mean, and their gradient is 0. For
        ``y [T, N, O]``, a mask ``[T, N]`` says which steps are valid.

    Returns
    -------
    loss : scalar
        The dtype of ``y``; NaN if everything is left out.
    dy : array
        Gradient of ``y``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    y = check_any_floating("y", y)
    targets = check_floating("targets", targets, y.dtype, "y")
    check_shape("targets", targets, "(...) of y", y.shape)
    error = y - targets
    if mask is not None:
        kept = check_leading("mask", mask, y)
        error = np.where(kept, error, y.dtype.type(0))
        count = int(np.broadcast_to(kept, y.shape).sum())
    else:
        count = y.size
    total = float(np.square(error, dtype=np.float64).sum())
    loss: np.floating[Any] = y.dtype.type(total / count if count else np.nan)
    dy: FloatArray = error * y.dtype.type(2 / max(count, 1))
    return loss, dy


@np.errstate(all="ignore")
def perplexity(loss: float) -> float:
    """Return ``exp(loss)`` of a mean cross-entropy in nats.

    It is the number of equally likely tokens that the model is choosing between.

    Parameters
    ----------
    loss : float
        A number, or an array (or tensor) without dimensions.

    Raises
    ------
    TypeError
        ``loss`` is not a number.
    """
    return float(np.exp(np.float64(check_loss(loss))))


def bits_per_character(loss: float) -> float:
    """Return a mean cross-entropy in nats as bits: ``loss / ln 2``.

    Parameters
    ----------
    loss : float
        A number, or an array (a tensor) without dimensions.

    Raises
    ------
    TypeError
        ``loss`` is no number.
    """
    return check_loss(loss) / math.log(2)


def check_loss(loss: Any) -> float:
    if getattr(loss, "shape", None) == () and hasattr(loss, "item"):
        loss = loss.item()
    return as_real("loss", loss)


def accuracy(predicted: Any, targets: ArrayLike, *, ignore_index: int = -100) -> float:
    """Return the share of targets that were predicted correctly.

    Parameters
    ----------
    predicted : [..., V] floating, or [...] integer
        Scores of all classes (of equal ones, the first counts), or class ids.
    targets : [...] integer
        Class ids.
    ignore_index : int
        Positions with this target are left out.

    Returns
    -------
    float
        NaN if everything is left out.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    wanted = check_integers("targets", targets, "iu", "an integer")
    if isinstance(predicted, np.ndarray) and predicted.dtype.kind == "f":
        scores = check_any_floating("predicted", predicted)
        lead, _ = check_last("predicted", scores, "V")
        check_shape("targets", wanted, "(...) of predicted (..., V)", lead)
        ids = scores.argmax(axis=-1)
    else:
        ids = check_integers("predicted", predicted, "iu", "an integer")
        check_shape("targets", wanted, "(...) of predicted", ids.shape)
    counts = wanted != check_ignored(ignore_index)
    if not counts.any():
        return math.nan
    return float((ids == wanted)[counts].mean())
