"""Measures of how good predictions are; for losses see the files beside this one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import (
    as_real,
    check_any_floating,
    check_integers,
    check_shape,
)
from fastrnn._gate.linear import check_ignored, check_last


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

    Examples
    --------
    >>> round(fastrnn.perplexity(np.log(10)), 4)
    10.0
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

    Examples
    --------
    >>> round(fastrnn.bits_per_character(np.log(8)), 4)
    3.0
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

    Examples
    --------
    >>> fastrnn.accuracy(np.array([[0.2, 0.8], [0.9, 0.1]]), [1, 1])
    0.5
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
