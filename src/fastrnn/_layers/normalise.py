"""`LayerNorm` and `BatchNorm`.

Symbols: ``T`` time steps, ``N`` batch rows, ``H`` numbers of a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._gate.arguments import (
    check_choice,
    check_flag,
    check_floating,
    check_positive,
    check_shape,
    check_share,
    check_size,
)
from fastrnn._gate.linear import check_last
from fastrnn._gate.sequence import PADDINGS
from fastrnn._gate.steps import check_steps
from fastrnn._layers.base import Layer
from fastrnn._types import BoolArray, FloatArray


class Norm(Layer):
    """The base class of both: a gain and a shift, and numbers to be normalised.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [H]``, the gain, first 1; ``bias [H]``, the shift, first 0.
    """

    def __init__(
        self, hidden_size: int, eps: float, dtype: DTypeLike, *buffers: str
    ) -> None:
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.input_size = self.output_size = self.hidden_size
        self.eps = check_positive("eps", eps)
        shape = (self.hidden_size,)
        arrays = {"weight": shape, "bias": shape}
        super().__init__(arrays, dtype, dict.fromkeys(buffers, shape))
        self.params["weight"][...] = 1

    def _check(self, x: Any) -> FloatArray:
        x = check_floating("x", x, self.dtype, "the layer")
        check_last("x", x, "H")
        if x.shape[-1] != self.hidden_size:
            raise ValueError(
                f"x: expected shape (..., H) with H = {self.hidden_size}, got {x.shape}"
            )
        checked: FloatArray = x
        return checked

    def _check_dy(self, dy: Any, shape: tuple[int, ...]) -> FloatArray:
        dy = check_floating("dy", dy, self.dtype, "the layer")
        check_shape("dy", dy, "(..., H) of x", shape)
        checked: FloatArray = dy
        return checked

    def _add(self, dy: FloatArray, normal: FloatArray) -> None:
        """Add the gradients of gain and shift; both arguments are ``[rows, H]``."""
        self._add_grads(weight=(dy * normal).sum(axis=0), bias=dy.sum(axis=0))


class LayerNorm(Norm):
    """Each step of each row with mean 0 and variance 1, then a gain and a shift.

    ``y = (x - mean) / sqrt(variance + eps) * weight + bias``, where mean and variance
    are those of the ``H`` numbers of one step.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [H]``, the gain, first 1; ``bias [H]``, the shift, first 0.

    References
    ----------
    J. L. Ba et al., "Layer normalization", 2016.

    Examples
    --------
    >>> norm = fastrnn.LayerNorm(4)
    >>> y = norm(np.array([[1, 2, 3, 4]], np.float32))
    >>> print(y.round(2))
    [[-1.34 -0.45  0.45  1.34]]
    """

    __module__ = "fastrnn"

    def __init__(
        self, hidden_size: int, *, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        hidden_size : int
            ``H``.
        eps : float
            Above 0; keeps the division finite.
        dtype : float32 or float64
            Of parameters, inputs and outputs.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A value is out of its range.
        """
        super().__init__(hidden_size, eps, dtype)

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the normalised steps.

        Parameters
        ----------
        x : [..., H]
            Any leading sizes, say ``[T, N]``.

        Returns
        -------
        y : [..., H]

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        x = self._check(x)
        self._forget()
        # One row at a time as far as bits go: NumPy sums each along the last axis.
        normal = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(normal).mean(axis=-1, keepdims=True)
        slope = 1 / np.sqrt(variance + self.dtype.type(self.eps))
        normal *= slope
        self._remember((normal, slope))
        y: FloatArray = normal * self.params["weight"]
        y += self.params["bias"]
        return y

    @np.errstate(all="ignore")
    def backward(self, dy: FloatArray | None) -> FloatArray | None:
        """Carry the gradient back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : [..., H] or None
            Gradient of ``y``. None is zero.

        Returns
        -------
        dx : [..., H] or None
            None for None.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        normal, slope = self._recall("backward")
        if dy is None:
            return None
        dy = self._check_dy(dy, normal.shape)
        H = self.hidden_size
        self._add(dy.reshape(-1, H), normal.reshape(-1, H))
        d: FloatArray = dy * self.params["weight"]
        along = (d * normal).mean(axis=-1, keepdims=True)
        d -= d.mean(axis=-1, keepdims=True)
        d -= normal * along
        d *= slope
        return d


class BatchNorm(Norm):
    """Each of ``H`` numbers with mean 0 and variance 1 over all rows and valid steps.

    ``y = (x - mean) / sqrt(variance + eps) * weight + bias``. In training mode mean and
    variance are those of the call, over all rows and valid steps together, and running
    averages are kept of both; in eval mode the averages take their place.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [H]``, the gain, first 1; ``bias [H]``, the shift, first 0.
    buffers : dict of str to array
        ``running_mean [H]``, first 0, and ``running_var [H]``, first 1: saved, loaded,
        copied and pickled with the parameters, but not trained.

    Notes
    -----
    As in PyTorch, the variance that normalises is divided by the number ``n`` of steps,
    the one that is averaged by ``n - 1``. Threads that call one layer in training mode
    at the same time each take their own step of the averages.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization", 2015; over the steps of a sequence
    as in D. Amodei et al., "Deep Speech 2", 2016.
    """

    __module__ = "fastrnn"

    wants = ("lengths", "padding", "batch_first")

    def __init__(
        self,
        hidden_size: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-5,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        hidden_size : int
            ``H``.
        momentum : float
            ``0 <= m <= 1``: each call in training mode makes the running averages
            ``(1 - m)`` of what they were plus ``m`` of its own.
        eps : float
            Above 0; keeps the division finite.
        dtype : float32 or float64
            Of parameters, inputs and outputs.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A value is out of its range.
        """
        self.momentum = check_share("momentum", momentum)
        super().__init__(hidden_size, eps, dtype, "running_mean", "running_var")
        self.buffers["running_var"][...] = 1

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def __call__(
        self,
        x: FloatArray,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        batch_first: bool | None = None,
    ) -> FloatArray:
        """Return the normalised steps.

        Parameters
        ----------
        x : [..., H]
            Any leading sizes, say ``[T, N]``. With ``lengths``, its values on padding
            are not read.
        lengths : [N] integer, optional
            For ``x [T, N, H]``: valid steps of each row, ``0 .. T`` in any order.
        padding : {"right", "left"}
            Where the steps are that are not valid.
        batch_first : bool, optional
            With ``lengths``: ``x`` is ``[N, T, H]``. A `Sequential` says so by itself.

        Returns
        -------
        y : [..., H]
            0 on padding.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong, or there is a single valid step in training mode:
            it has no variance.
        """
        x = self._check(x)
        valid: BoolArray | None = None
        if lengths is not None:
            size, dtype = self.hidden_size, self.dtype
            steps = check_steps(
                x, lengths, padding, batch_first, size=size, dtype=dtype
            )
            mask = steps.valid()
            assert mask is not None
            valid = mask[:, :, 0].T if steps.by_row else mask[:, :, 0]
        else:
            check_choice("padding", padding, PADDINGS)
            if batch_first is not None:
                check_flag("batch_first", batch_first)
        rows = x.reshape(-1, self.hidden_size) if valid is None else x[valid]
        if self.training and len(rows) == 1:
            raise ValueError(
                "x: expected several valid steps in training mode, got a single one"
            )
        self._forget()
        mean, variance = self._statistics(rows)
        normal = rows - mean
        slope = 1 / np.sqrt(variance + self.dtype.type(self.eps))
        normal *= slope
        self._remember((normal, slope, valid, x.shape))
        y = normal * self.params["weight"]
        y += self.params["bias"]
        return put_back(y, valid, x.shape)

    def _statistics(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance [H], of these rows or the running ones."""
        averages = self.buffers["running_mean"], self.buffers["running_var"]
        if not self.training or len(rows) == 0:
            return averages
        n, dtype = len(rows), self.dtype
        mean = rows.mean(axis=0, dtype=np.float64).astype(dtype)
        variance = np.square(rows - mean).mean(axis=0, dtype=np.float64)
        with self._adding:
            unbiased = variance * n / (n - 1)
            for average, now in zip(averages, (mean, unbiased), strict=True):
                average += (self.momentum * (now - average)).astype(dtype)
        return mean, variance.astype(dtype)

    @np.errstate(all="ignore")
    def backward(self, dy: FloatArray | None) -> FloatArray | None:
        """Carry the gradient back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : [..., H] or None
            Gradient of ``y``; what it holds on padding is not read. None is zero.

        Returns
        -------
        dx : [..., H] or None
            0 on padding. None for None.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        normal, slope, valid, shape = self._recall("backward")
        if dy is None:
            return None
        dy = self._check_dy(dy, shape)
        d = dy.reshape(-1, self.hidden_size) if valid is None else dy[valid]
        self._add(d, normal)
        if len(d):
            along = (d * normal).mean(axis=0)
            d = d - d.mean(axis=0)
            d -= normal * along
        d = d * (slope * self.params["weight"])
        return put_back(d, valid, shape)


def put_back(
    rows: FloatArray, valid: BoolArray | None, shape: tuple[int, ...]
) -> FloatArray:
    """Return the rows of valid steps where they belong, and 0 on padding."""
    if valid is None:
        return rows.reshape(shape)
    whole = np.zeros(shape, rows.dtype)
    whole[valid] = rows
    return whole
