"""The layer `Dropout`."""

from __future__ import annotations

import numpy as np

from fastrnn._gate.arguments import (
    check_any_floating,
    check_floating,
    check_number,
    check_shape,
    make_generator,
)
from fastrnn._layers.base import Layer
from fastrnn._layers.masks import draw_mask, multiply
from fastrnn._types import FloatArray


class Dropout(Layer):
    """Zero a share of what passes through, anew for every element of every call.

    In training mode an element is zeroed with probability ``p``; what is kept is
    divided by ``1 - p``, so that the mean stays. In eval mode nothing changes.

    Attributes
    ----------
    rng : numpy.random.Generator
        What is drawn from.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.

    Examples
    --------
    >>> dropout = fastrnn.Dropout(0.5, seed=0)
    >>> y = dropout(np.ones((100, 100), np.float32))
    >>> np.unique(y)
    array([0., 2.], dtype=float32)
    >>> bool((dropout.eval()(y) == y).all())
    True
    """

    __module__ = "fastrnn"

    def __init__(
        self, p: float, *, seed: int | np.random.Generator | None = None
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        p : float
            ``0 <= p < 1``.
        seed : int, optional
            All randomness comes from it. None takes fresh entropy; a
            ``numpy.random.Generator`` is used as it is.

        Raises
        ------
        TypeError
            A type is wrong.
        ValueError
            A value is out of its range.
        """
        self.p = check_number("p", p, below=1)
        self.rng = make_generator(seed)
        super().__init__({})

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return ``x`` with a share of it zeroed.

        Parameters
        ----------
        x : array
            float32 or float64, of any shape.

        Returns
        -------
        array
            A new one, of the shape and dtype of ``x``.

        Raises
        ------
        TypeError
            Another dtype, or no array.
        """
        x = check_any_floating("x", x)
        self._forget()
        mask = draw_mask(self.rng, x.shape, self.p, x.dtype) if self.training else None
        self._remember(mask)
        return x.copy() if mask is None else multiply(x, mask)

    def backward(self, dy: FloatArray | None) -> FloatArray | None:
        """Return the gradient of ``x``; None for None.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            Another dtype than that of ``x``, or no array.
        ValueError
            Another shape than that of ``x``.
        """
        mask = self._recall("backward")
        if dy is None:
            return None
        dy = check_floating("dy", dy, mask.dtype, "x")
        check_shape("dy", dy, "(...) of x", mask.shape)
        return multiply(dy, mask)
