"""Softmax and its logarithm."""

from __future__ import annotations

from fastrnn import _core
from fastrnn._gate.arguments import check_any_floating
from fastrnn._gate.linear import check_last
from fastrnn._types import FloatArray


def softmax(y: FloatArray) -> FloatArray:
    """Return probabilities: ``exp(y)`` over its sum along the last axis.

    Parameters
    ----------
    y : [..., V]
        Logits, float32 or float64; any leading sizes.

    Returns
    -------
    [..., V]
        A new array of the dtype of ``y``. The largest logit is subtracted first, so
        that no exponential overflows.

    Raises
    ------
    TypeError
        Another dtype, or not an array.
    ValueError
        No axis, or an empty last one.

    Examples
    --------
    >>> fastrnn.softmax(np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    return run(y, False)


def log_softmax(y: FloatArray) -> FloatArray:
    """Return log-probabilities, in nats: the logarithm of `softmax`.

    Errors and parameters as `softmax`. Small probabilities keep their accuracy, which
    the logarithm of their softmax would lose.
    """
    return run(y, True)


def run(y: FloatArray, log: bool) -> FloatArray:
    y = check_any_floating("y", y)
    _, V = check_last("y", y, "V")
    return _core.softmax(y, y.size // V, V, log)
