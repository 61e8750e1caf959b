"""Parts of a series, and parts of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import (
    check_any_floating,
    check_integer,
    check_number,
    check_several,
    from_sequence,
    make_generator,
)
from fastrnn._types import FloatArray, IntArray


def windows(
    series: FloatArray, length: int, horizon: int = 1, stride: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Cut a series into windows, with the values that come after each as its targets.

    ::

        x, targets = fastrnn.data.windows(series, 48, horizon=12)
        batches = fastrnn.data.batches(x, targets, dtype=np.float32)

    Window ``k`` is ``series[k*stride : k*stride + length]``; its targets are the
    ``horizon`` values that follow. To keep the future out of training, cut the series
    in two first, and make windows of each part.

    Parameters
    ----------
    series : [S] or [S, I], float32 or float64
        ``S`` steps of ``I`` values each.
    length : int
        Steps per window, ``T``.
    horizon : int
        Steps to forecast.
    stride : int
        Steps from the beginning of one window to that of the next.

    Returns
    -------
    x : [K, T, I]
        ``K = (S - length - horizon) // stride + 1`` windows; a read-only view of the
        series, without memory of its own. ``I`` is 1 for ``[S]``.
    targets : [K, horizon * I]
        Step by step; ``targets.reshape(K, horizon, I)`` parts them.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong, or the series is too short for one window.

    Examples
    --------
    >>> x, targets = fastrnn.data.windows(np.arange(6.0), 3, horizon=2)
    >>> x[:, :, 0]
    array([[0., 1., 2.],
           [1., 2., 3.]])
    >>> targets
    array([[3., 4.],
           [4., 5.]])
    """
    a = check_any_floating("series", series)
    if not 1 <= a.ndim <= 2 or 0 in a.shape[1:]:
        raise ValueError(f"series: expected shape (S,) or (S, I), got {a.shape}")
    if a.ndim == 1:
        a = a[:, np.newaxis]
    T = check_integer("length", length, 1)
    horizon = check_integer("horizon", horizon, 1)
    stride = check_integer("stride", stride, 1)
    if len(a) < T + horizon:
        raise ValueError(
            f"series: expected at least length + horizon = {T + horizon} steps, "
            f"got {len(a)}"
        )
    x = sliding_window_view(a[:-horizon], T, axis=0)[::stride].swapaxes(1, 2)
    after = sliding_window_view(a[T:], horizon, axis=0)[::stride].swapaxes(1, 2)
    return x, after.reshape(len(after), -1)


def split(
    sequences: Any,
    fraction: float,
    *,
    groups: ArrayLike | None = None,
    seed: int | np.random.Generator | None = None,
) -> tuple[IntArray, IntArray]:
    """Put a random part of a data set aside: return the indices of both parts.

    ::

        kept, held_out = fastrnn.data.split(sequences, 0.1, groups=speakers, seed=0)
        training = fastrnn.data.batches(sequences, labels, indices=kept)
        held = fastrnn.data.batches(sequences, labels, indices=held_out, shuffle=False)

    Parameters
    ----------
    sequences : K sequences
        Only their number counts.
    fraction : float
        ``0 < fraction < 1``: the share to put aside, to the nearest sequence.
    groups : [K], optional
        A name or number for every sequence: a speaker, a patient, a day. Sequences of
        one group stay together, since a net that knows the speaker knows too much.
        Groups are put aside in random order while that brings the share nearer.
    seed : int, optional
        All randomness comes from it. None takes fresh entropy; a
        ``numpy.random.Generator`` is used as it is.

    Returns
    -------
    kept, held_out : [...] int64
        Indices, increasing; together all of ``0 .. K-1``.

    Raises
    ------
    TypeError
        A type is wrong.
    ValueError
        A value is out of its range, or one of the parts would be empty.

    Examples
    --------
    >>> kept, held_out = fastrnn.data.split(range(10), 0.2, seed=0)
    >>> len(kept), len(held_out)
    (8, 2)
    """
    K = len(check_several("sequences", sequences, "a list of sequences"))
    share = check_number("fraction", fraction, below=1)
    rng = make_generator(seed)
    names = np.arange(K) if groups is None else from_sequence("groups", groups)
    if names.shape != (K,):
        raise ValueError(f"groups: expected shape (K,) = {(K,)}, got {names.shape}")
    _, group, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = rng.permutation(len(counts))
    sizes = np.concatenate([[0], np.cumsum(counts[order])])
    count = int(np.abs(sizes - share * K).argmin())
    held_out = np.isin(group, order[:count])
    if held_out.all() or not held_out.any():
        noun = "sequences" if groups is None else "groups"
        raise ValueError(
            f"fraction: expected one that leaves {noun} in both parts of "
            f"{len(counts)}, got {fraction}"
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
