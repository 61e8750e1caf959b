"""Losses apart from the cross-entropy, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._gate.arguments import check_any_floating, check_positive
from fastrnn._gate.linear import check_last
from fastrnn._gate.losses import Loss, check_ctc, check_loss, require_probabilities
from fastrnn._types import FloatArray


@np.errstate(all="ignore")
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
    """
    a = check_loss(y, targets, weights, mask)
    e = error(a)
    return mean(a, e * e, 2 * e)


@np.errstate(all="ignore")
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
    """
    a = check_loss(y, targets, weights, mask)
    e = error(a)
    return mean(a, np.abs(e), np.sign(e))


@np.errstate(all="ignore")
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
    """
    a = check_loss(y, targets, weights, mask)
    delta = check_positive("delta", delta)
    e, size = error(a), np.abs(error(a))
    line = delta * (size - delta / 2)
    return mean(a, np.where(size <= delta, e * e / 2, line), np.clip(e, -delta, delta))


@np.errstate(all="ignore")
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
    """
    a = check_loss(y, targets, weights, mask)
    q = check_positive("quantile", quantile, 1.0)
    e = error(a)
    slope = (1 - q) * (e > 0) - q * (e < 0)
    return mean(a, slope * e, slope)


@np.errstate(all="ignore")
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
    """
    a = check_loss(y, targets, weights, mask)
    require_probabilities(a)
    z, t = counting(a, a.y), counting(a, a.targets)
    small = np.exp(-np.abs(z))
    sigmoid = np.where(z < 0, small, 1) / (1 + small)
    share = np.where(z > 0, 1 - t, t)  # of the answer that z is against
    against = np.where(share == 0, 0, np.abs(z) * share)
    return mean(a, against + np.log1p(small), sigmoid - t)


def counting(a: Loss, values: FloatArray) -> FloatArray:
    """Return the values in float64, 0 where their weight is 0."""
    values = values.astype(np.float64)
    return values if a.weights is None else np.where(a.weights == 0, 0, values)


def error(a: Loss) -> FloatArray:
    return counting(a, a.y) - counting(a, a.targets)


def mean(
    a: Loss, losses: FloatArray, slopes: FloatArray
) -> tuple[np.floating[Any], FloatArray]:
    """Return the weighted mean, and its gradient."""
    weights = 1.0 if a.weights is None else a.weights.astype(np.float64)
    total = (weights * losses).sum() / a.total if a.total else np.nan
    dy = (weights * slopes / (a.total or 1)).astype(a.y.dtype)
    return a.y.dtype.type(total), dy


@np.errstate(all="ignore")
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
    """
    found: FloatArray = np.exp(log_softmax(y))
    return found


@np.errstate(all="ignore")
def log_softmax(y: FloatArray) -> FloatArray:
    """Return log-probabilities, in nats: the logarithm of `softmax`.

    Errors and parameters as `softmax`. Small probabilities keep their accuracy, which
    the logarithm of their softmax would lose.
    """
    y = check_any_floating("y", y)
    check_last("y", y, "V")
    z = y - y.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=-1, keepdims=True))
    found: FloatArray = z - log_sum
    return found


@np.errstate(all="ignore")
def ctc_loss(
    logits: FloatArray,
    targets: ArrayLike,
    lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
) -> tuple[np.floating[Any], FloatArray]:
    """Loss of label sequences without an alignment (CTC), and its gradient.

    A row's probability is that of all ways to write its targets over its steps: each
    step says a label or ``blank``; equal labels in a row are one, unless a blank stands
    between them. The loss is the negative logarithm of that probability.

    Parameters
    ----------
    logits : [T, N, V]
        float32 or float64; a softmax is taken of them here. Steps past a row's length
        are not read.
    targets : [N, S] integer
        Labels ``0 .. V-1``, not ``blank``. Those past a row's target length are not
        read.
    lengths : [N] integer
        Steps of each row, ``0 .. T``.
    target_lengths : [N] integer
        Labels of each row, ``0 .. S``; none at all means that every step is blank.
    blank : int
        The label of no label.

    Returns
    -------
    loss : scalar
        In nats, the dtype of ``logits``: each row's loss over its target length (at
        least 1), and of these the mean. Infinite if the targets of a row do not fit
        into its steps; NaN without rows.
    dlogits : [T, N, V]
        Gradient of ``logits``, 0 past a row's length. A row with an infinite loss has a
        gradient of 0: nothing that its logits could do would help.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    Notes
    -----
    The sums over alignments are in float64 for either dtype: they are logarithms that
    grow with the length. For greedy decoding, take each step's largest logit, then drop
    repetitions, then blanks.

    References
    ----------
    A. Graves et al., "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006.
    """
    a = check_ctc(logits, targets, lengths, target_lengths, blank)
    N, dtype = a.logits.shape[1], a.logits.dtype
    losses, dlogits = np.zeros(N), np.zeros(a.logits.shape)
    for n in range(N):
        t, s = a.lengths[n], a.target_lengths[n]
        found = align(a.logits[:t, n].astype(np.float64), a.targets[n, :s], a.blank)
        losses[n], dlogits[:t, n] = (part / max(s, 1) for part in found)
    loss = losses.mean() if N else np.nan
    return dtype.type(loss), (dlogits / max(N, 1)).astype(dtype)


def align(
    logits: FloatArray, targets: NDArray[np.int64], blank: int
) -> tuple[Any, FloatArray]:
    """Return the loss of one row ``logits [T, V]``, and its gradient.

    States are the labels, with a blank around each. ``alpha[t, s]`` is the logarithm
    of the probability to be in state ``s`` after ``t`` steps, ``beta[t, s]`` of that
    to go on from there to the end.
    """
    T, S = len(logits), 2 * len(targets) + 1
    labels = np.full(S, blank)
    labels[1::2] = targets
    may_skip = np.zeros(S, bool)
    may_skip[3::2] = labels[3::2] != labels[1:-2:2]
    log_p = log_softmax(logits)
    ways = -np.inf * np.ones((S, S))  # from state, to state
    for s in range(S):
        ways[max(s - 1, 0) : s + 1, s] = 0
        if may_skip[s]:
            ways[s - 2, s] = 0

    alpha, beta = np.full((2, T + 1, S), -np.inf)
    alpha[0, 0] = 0
    for t in range(T):
        alpha[t + 1] = add(alpha[t][:, None] + ways, 0) + log_p[t, labels]
    beta[T, -2:] = 0
    for t in reversed(range(T)):
        beta[t] = add(ways + (beta[t + 1] + log_p[t, labels]), 1)

    total = add(alpha[T] + beta[T], 0)
    if total == -np.inf:
        return np.inf, np.zeros_like(logits)
    if np.isnan(total):
        return np.nan, np.full_like(logits, np.nan)
    dlogits = np.exp(log_p)
    for s in range(S):
        dlogits[:, labels[s]] -= np.exp(alpha[1:, s] + beta[1:, s] - total)
    return -total, dlogits


def add(logs: FloatArray, axis: int) -> Any:
    """Return the logarithm of the sum along an axis of what these are logarithms of."""
    most = np.maximum(logs.max(axis=axis, keepdims=True), -1e300)
    return np.log(np.exp(logs - most).sum(axis=axis)) + most.squeeze(axis)
