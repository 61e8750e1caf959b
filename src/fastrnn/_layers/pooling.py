"""`Last`, `MeanOverTime`, `MaxOverTime`: one vector for a row's steps.

Symbols: ``T`` time steps, ``N`` batch rows, ``I`` inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import check_flag, check_floating, check_shape
from fastrnn._gate.steps import Steps, check_steps
from fastrnn._layers.base import Layer
from fastrnn._types import FloatArray, IntArray


class Pooling(Layer):
    """The base class of layers that make one vector of the valid steps of each row.

    A derived class defines ``_pool(steps)``, which returns ``y [N, I]`` and what
    ``_spread(dy, steps, record)`` needs to return ``dx [T, N, I]``.
    """

    wants = ("lengths", "padding", "batch_first")
    removes_time = True

    def __init__(self) -> None:
        """Make a layer in training mode."""
        super().__init__({})

    def __call__(
        self,
        x: FloatArray,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        batch_first: bool | None = None,
    ) -> FloatArray:
        """Return one vector for each row.

        Parameters
        ----------
        x : [T, N, I]
            float32 or float64. With ``lengths``, its values on padding are not read.
        lengths : [N] integer, optional
            Valid steps of each row, ``0 .. T`` in any order.
        padding : {"right", "left"}
            Where the steps are that are not valid.
        batch_first : bool, optional
            True: ``x`` is ``[N, T, I]``. A `Sequential` says so by itself.

        Returns
        -------
        y : [N, I]
            The dtype of ``x``; 0 for a row without a valid step.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        steps = check_steps(x, lengths, padding, batch_first, **self._expects)
        self._check(steps)
        self._forget()
        y, record = self._pool(steps)
        self._remember((steps, record))
        return y

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(self, dy: FloatArray | None) -> FloatArray | None:
        """Carry the gradient back through the last call.

        Parameters
        ----------
        dy : [N, I] or None
            Gradient of ``y``. None is zero.

        Returns
        -------
        dx : [T, N, I] or None
            Laid out as ``x``; 0 on padding. None for None.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            Another dtype than that of ``x``, or not an array.
        ValueError
            Another shape than that of ``y``.
        """
        steps, record = self._recall("backward")
        if dy is None:
            return None
        dy = check_floating("dy", dy, steps.x.dtype, "x")
        check_shape("dy", dy, "(N, I)", steps.x.shape[1:])
        dx = self._spread(dy, steps, record)
        return dx.swapaxes(0, 1).copy() if steps.by_row else dx

    @property
    def _expects(self) -> dict[str, Any]:
        """Return the size and dtype that the layer expects, if it does."""
        return {}

    def _check(self, steps: Steps) -> None:
        """Check what a derived class asks for beyond the shapes."""

    def _pool(self, steps: Steps) -> tuple[FloatArray, Any]:
        raise NotImplementedError

    def _spread(self, dy: FloatArray, steps: Steps, record: Any) -> FloatArray:
        raise NotImplementedError


class Last(Pooling):
    """The last valid step of each row, ``[T, N, I]`` to ``[N, I]``.

    A recurrent layer before it thereby gives its final state: one vector for a whole
    sequence, to be classified, say.

    Attributes
    ----------
    bidirectional : bool
        See ``__init__``.

    Examples
    --------
    >>> x = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    >>> fastrnn.Last()(x, lengths=[3, 1])
    array([[4.],
           [1.]], dtype=float32)
    """

    __module__ = "fastrnn"

    def __init__(self, *, bidirectional: bool = False) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        bidirectional : bool
            For the outputs of a bidirectional layer, which lie side by side: their
            second half is taken at each row's first valid step, where the reverse
            direction ends. (At the last step it has read a single step.)

        Raises
        ------
        TypeError
            It is not a bool.
        """
        self.bidirectional = check_flag("bidirectional", bidirectional)
        super().__init__()

    def _check(self, steps: Steps) -> None:
        if self.bidirectional and steps.x.shape[2] % 2:
            raise ValueError(
                f"x: expected an even number of inputs (two directions), "
                f"got {steps.x.shape[2]}"
            )

    def _parts(self, steps: Steps) -> list[tuple[IntArray, slice]]:
        """Return steps [N], and the columns that are taken from them."""
        first, last = ends(steps)
        if not self.bidirectional:
            return [(last, slice(None))]
        half = steps.x.shape[2] // 2
        return [(last, slice(half)), (first, slice(half, None))]

    def _pool(self, steps: Steps) -> tuple[FloatArray, None]:
        _, N, I = steps.x.shape  # noqa: E741
        y = np.zeros((N, I), steps.x.dtype)
        rows = rows_with_steps(steps)
        for t, columns in self._parts(steps):
            y[rows, columns] = steps.x[t[rows], rows, columns]
        return y, None

    def _spread(self, dy: FloatArray, steps: Steps, record: None) -> FloatArray:
        dx = np.zeros_like(steps.x)
        rows = rows_with_steps(steps)
        for t, columns in self._parts(steps):
            dx[t[rows], rows, columns] = dy[rows, columns]
        return dx


class MeanOverTime(Pooling):
    """The mean over the valid steps of each row, ``[T, N, I]`` to ``[N, I]``.

    Sums are in float64, step after step.

    Examples
    --------
    >>> x = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    >>> fastrnn.MeanOverTime()(x, lengths=[3, 1])
    array([[2.],
           [1.]], dtype=float32)
    """

    __module__ = "fastrnn"

    def _pool(self, steps: Steps) -> tuple[FloatArray, None]:
        valid = steps.valid()
        x = steps.x if valid is None else np.where(valid, steps.x, 0)
        with np.errstate(all="ignore"):
            mean = sum_over_time(x) / counts(steps)[:, None]
            return mean.astype(x.dtype), None

    def _spread(self, dy: FloatArray, steps: Steps, record: None) -> FloatArray:
        share = (dy / counts(steps)[:, None]).astype(dy.dtype)
        valid = steps.valid()
        if valid is None:
            return np.tile(share, (len(steps.x), 1, 1))
        return np.where(valid, share, dy.dtype.type(0))


class MaxOverTime(Pooling):
    """The largest value of the valid steps of each row, ``[T, N, I]`` to ``[N, I]``.

    Of equal values the first one gets the gradient.

    Examples
    --------
    >>> x = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    >>> fastrnn.MaxOverTime()(x, lengths=[3, 1])
    array([[4.],
           [1.]], dtype=float32)
    """

    __module__ = "fastrnn"

    def _pool(self, steps: Steps) -> tuple[FloatArray, IntArray | None]:
        T, N, I = steps.x.shape  # noqa: E741
        if T == 0:
            return np.zeros((N, I), steps.x.dtype), None
        valid, low = steps.valid(), steps.x.dtype.type(-np.inf)
        x = steps.x if valid is None else np.where(valid, steps.x, low)
        # Among infinities, the first valid one.
        best = np.maximum(x.argmax(axis=0), ends(steps)[0][:, None])[None]
        y = np.take_along_axis(x, best, 0)[0]
        if steps.lengths is not None:
            y[steps.lengths == 0] = 0
        return y, best

    def _spread(
        self, dy: FloatArray, steps: Steps, record: IntArray | None
    ) -> FloatArray:
        dx = np.zeros_like(steps.x)
        if record is not None:
            np.put_along_axis(dx, record, dy[None], 0)
            if steps.lengths is not None:
                dx[:, steps.lengths == 0] = 0
        return dx


def ends(steps: Steps) -> tuple[IntArray, IntArray]:
    """Return the first and last valid step of each row; some step if it has none."""
    T, N, _ = steps.x.shape
    lengths = np.full(N, T) if steps.lengths is None else steps.lengths
    if steps.padding == "right":
        first, last = np.zeros(N, np.int64), np.maximum(lengths - 1, 0)
    else:
        first, last = np.minimum(T - lengths, max(T - 1, 0)), np.full(N, max(T - 1, 0))
    return first, last


def rows_with_steps(steps: Steps) -> IntArray:
    T, N, _ = steps.x.shape
    if steps.lengths is None:
        return np.arange(N if T else 0)
    return np.flatnonzero(steps.lengths)


def counts(steps: Steps) -> IntArray:
    """Return how many valid steps each row has, at least 1."""
    T, N, _ = steps.x.shape
    lengths = np.full(N, T) if steps.lengths is None else steps.lengths
    return np.maximum(lengths, 1)


def sum_over_time(a: FloatArray) -> FloatArray:
    """Return the sums of ``a [T, ...]`` over time, in float64, in the order of steps.

    The order is part of the bits: a row's sum may depend on no other row, nor on
    padding. NumPy sums a single column in another order than several.
    """
    if a[:1].size == 1:
        return sum_over_time(np.concatenate([a, a], axis=-1))[..., :1]
    total: FloatArray = np.add.reduce(a, axis=0, dtype=np.float64, initial=0.0)
    return total
