"""The layer `Attention`: a weighted mean over steps.

Symbols: ``T`` time steps, ``N`` batch rows, ``I`` inputs, ``A`` units of the attention.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _core
from fastrnn._functional.linear import linear_backward, linear_forward
from fastrnn._gate.arguments import check_size, make_generator
from fastrnn._gate.steps import Steps
from fastrnn._layers.initialise import uniform
from fastrnn._layers.pooling import Pooling, sum_over_time
from fastrnn._types import FloatArray


class Attention(Pooling):
    """The mean over the valid steps of each row, weighted by what is in them.

    A step's score is ``context . tanh(weight x_t + bias)``, its share the softmax of
    the scores over the valid steps of its row, and ``y`` the sum of the steps, each
    times its share: ``[T, N, I]`` to ``[N, I]``.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [A, I]``, ``bias [A]``, ``context [A]``; first values are uniform,
        within ``-1/sqrt(I) .. 1/sqrt(I)`` for the first two and within
        ``-1/sqrt(A) .. 1/sqrt(A)`` for the last.

    References
    ----------
    Z. Yang et al., "Hierarchical attention networks for document classification", 2016;
    the score is that of D. Bahdanau et al., 2015.

    Examples
    --------
    >>> attention = fastrnn.Attention(8, seed=0)
    >>> attention(np.ones((5, 2, 8), np.float32), lengths=[5, 3]).shape
    (2, 8)
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        input_size: int,
        units: int | None = None,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        input_size : int
            ``I``.
        units : int, optional
            ``A``; left out, it is ``I``.
        dtype : float32 or float64
            Of parameters, inputs and outputs.
        seed : int, optional
            The first values come from it. None takes fresh entropy; a
            ``numpy.random.Generator`` is used as it is.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A value is out of its range.
        """
        I = self.input_size = check_size("input_size", input_size)  # noqa: E741
        A = I if units is None else check_size("units", units)
        self.units, self.output_size = A, I
        rng = make_generator(seed)
        shapes = {"weight": (A, I), "bias": (A,), "context": (A,)}
        super(Pooling, self).__init__(shapes, dtype)
        for name, a in self.params.items():
            size = A if name == "context" else I
            a[...] = uniform(rng, 1 / math.sqrt(size), a.shape)

    @property
    def shares(self) -> FloatArray:
        """What each step contributed to ``y`` in the last call, ``[T, N]``.

        Those of a row sum to 1, and are 0 on padding. Time comes first, whatever
        ``batch_first`` is.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        """
        _, (_, shares) = self._recall("shares")
        found: FloatArray = shares[:, :, 0].copy()
        return found

    @property
    def _expects(self) -> dict[str, Any]:
        return {"size": self.input_size, "dtype": self.dtype}

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def _pool(self, steps: Steps) -> tuple[FloatArray, Any]:
        valid, zero = steps.valid(), self.dtype.type(0)
        x = steps.x if valid is None else np.where(valid, steps.x, zero)
        weight, bias, context = self.params.values()
        hidden = linear_forward(x, weight, bias)
        hidden = _core.apply_math("tanh", hidden.ravel()).reshape(hidden.shape)
        scores = linear_forward(hidden, context[None])
        if valid is not None:
            scores = np.where(valid, scores, self.dtype.type(-np.inf))
        most = scores.max(axis=0, initial=-np.inf)
        below = scores - np.where(most == -np.inf, zero, most)
        parts = _core.apply_math("exp", below.ravel()).reshape(below.shape)
        if valid is not None:
            parts = np.where(valid, parts, zero)
        total = sum_over_time(parts)
        shares = (parts / np.where(total == 0, 1, total)).astype(self.dtype)
        return sum_over_time(shares * x).astype(self.dtype), (hidden, shares)

    def _spread(self, dy: FloatArray, steps: Steps, record: Any) -> FloatArray:
        hidden, shares = record
        valid = steps.valid()
        x = steps.x if valid is None else np.where(valid, steps.x, self.dtype.type(0))
        weight, _, context = self.params.values()
        dshares = (dy * x).sum(axis=2, keepdims=True)
        dscores = shares * (dshares - (shares * dshares).sum(axis=0))
        dhidden = dscores * context * (1 - hidden * hidden)
        found = linear_backward(x, weight, dhidden)
        self._add_grads(
            weight=found.dw,
            bias=found.db,
            context=(dscores * hidden).sum(axis=(0, 1)),
        )
        dx: FloatArray = found.dx
        dx += shares * dy
        return dx
