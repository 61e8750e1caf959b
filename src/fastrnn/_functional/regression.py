"""Losses of numbers, each in one pass with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import _core
from fastrnn._gate.arguments import check_positive
from fastrnn._gate.losses import (
    Loss,
    check_loss,
    require_probabilities,
)
from fastrnn._types import FloatArray


def mean_squared_error(
    y: FloatArray,
    targets: FloatArray,
    *,
    weights: FloatArray | None = None,
    mask: ArrayLike | None = None,
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean of ``(y - targets)**2`` and its gradient.

    Parameters
    ----------
    y : array
        float32 or float64, of any shape.
    targets : array
        The shape and dtype of ``y``.
    weights : array of the shape of ``y`` or of its leading sizes, optional
        At least 0, the dtype of ``y``: the mean is the sum of the weighted losses over
        the sum of the weights. Values with a weight of 0 are not read.
    mask : bool, of the shape of ``y`` or of its leading sizes, optional
        Values where it is False are left out of the mean, and their gradient is 0. For
        ``y [T, N, O]``, a mask ``[T, N]`` says which steps are valid.

    Returns
    -------
    loss : scalar
        The dtype of ``y``, in its unit squared; NaN if everything is left out.
    dy : array
        Gradient of ``y``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, or a weight is negative.

    Examples
    --------
    >>> y, targets = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> loss, dy = fastrnn.mean_squared_error(y, targets)
    >>> float(loss), dy
    (2.0, array([ 0., -2.]))
    """
    return run("squared", check_loss(y, targets, weights, mask), slope=2)


def mean_absolute_error(
    y: FloatArray,
    targets: FloatArray,
    *,
    weights: FloatArray | None = None,
    mask: ArrayLike | None = None,
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean of ``|y - targets|`` and its gradient.

    Returns, errors and parameters as `mean_squared_error`. The loss is in the unit of
    ``y``; the gradient is 0 where ``y`` equals the target.

    Examples
    --------
    >>> y, targets = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> loss, dy = fastrnn.mean_absolute_error(y, targets)
    >>> float(loss)
    1.0
    """
    return run("absolute", check_loss(y, targets, weights, mask))


def huber(
    y: FloatArray,
    targets: FloatArray,
    *,
    delta: float = 1.0,
    weights: FloatArray | None = None,
    mask: ArrayLike | None = None,
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean Huber loss, which outliers move less, and its gradient.

    With ``e = y - targets`` it is ``e**2 / 2`` up to ``|e| = delta``, and from there on
    the straight line ``delta * (|e| - delta / 2)``.

    Returns, errors and parameters as `mean_squared_error`; ``delta`` is a finite number
    above 0, in the unit of ``y``.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> loss, dy = fastrnn.huber(np.array([0.0, 10.0]), np.array([0.0, 0.0]))
    >>> float(loss), dy
    (4.75, array([0. , 0.5]))
    """
    checked = check_loss(y, targets, weights, mask)
    return run("huber", checked, check_positive("delta", delta))


def quantile_loss(
    y: FloatArray,
    targets: FloatArray,
    *,
    quantile: float,
    weights: FloatArray | None = None,
    mask: ArrayLike | None = None,
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean quantile loss (pinball loss) and its gradient.

    ``quantile * (targets - y)`` where ``y`` is too low, else
    ``(1 - quantile) * (y - targets)``: its minimum is at that quantile of the targets.
    A forecast of 0.1, 0.5 and 0.9 gives a range and its middle.

    Returns, errors and parameters as `mean_squared_error`; ``quantile`` lies between 0
    and 1, both excluded. The gradient is 0 where ``y`` equals the target.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", 1978.

    Examples
    --------
    >>> y, targets = np.zeros(2), np.array([1.0, -1.0])
    >>> loss, dy = fastrnn.quantile_loss(y, targets, quantile=0.75)
    >>> float(loss)
    0.5
    """
    checked = check_loss(y, targets, weights, mask)
    return run("quantile", checked, check_positive("quantile", quantile, 1.0))


def binary_cross_entropy(
    y: FloatArray,
    targets: FloatArray,
    *,
    weights: FloatArray | None = None,
    mask: ArrayLike | None = None,
) -> tuple[np.floating[Any], FloatArray]:
    """Return the mean cross-entropy of yes or no, in nats, and its gradient.

    ``-t * log(s) - (1 - t) * log(1 - s)`` with the target ``t`` and ``s = sigmoid(y)``:
    ``y`` are logits. Several labels of one step are numbers side by side.

    Returns, errors and parameters as `mean_squared_error`; ``targets`` lie within
    ``0 .. 1``, which is a ``ValueError`` otherwise. Finite logits never overflow.

    Examples
    --------
    >>> loss, dy = fastrnn.binary_cross_entropy(np.zeros(2), np.array([0.0, 1.0]))
    >>> round(float(loss), 4), dy  # ln 2: a guess
    (0.6931, array([ 0.25, -0.25]))
    """
    checked = check_loss(y, targets, weights, mask)
    require_probabilities(checked)
    return run("binary", checked)


# NaN and Inf in the data pass through as in IEEE arithmetic, without a warning.
@np.errstate(all="ignore")
def run(
    rule: str, a: Loss, parameter: float = 0.0, slope: float = 1.0
) -> tuple[np.floating[Any], FloatArray]:
    scale = slope / a.total if a.total else 0.0
    total, dy = _core.loss(rule, a.y, a.targets, a.weights, a.width, scale, parameter)
    with _core.rounding_to_nearest:
        loss: np.floating[Any] = a.y.dtype.type(total / a.total if a.total else np.nan)
    return loss, dy
