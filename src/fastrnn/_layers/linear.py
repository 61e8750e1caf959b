"""The layer `Linear`, with the loss on its outputs.

Symbols: ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._functional.linear import (
    linear_backward,
    linear_cross_entropy,
    linear_forward,
)
from fastrnn._gate.arguments import (
    check_flag,
    check_floating,
    check_shape,
    check_size,
    make_generator,
)
from fastrnn._gate.layers import check_layer_dtype
from fastrnn._gate.linear import check_last
from fastrnn._layers.base import Layer
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.initialise import uniform
from fastrnn._layers.parameters import Parameters
from fastrnn._types import DType, FloatArray
from fastrnn._types.results import CrossEntropyGrads


class Linear(Layer):
    """``y = x weight' + bias``, and the cross-entropy of its outputs as classes.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [O, I]``, unless it is tied, and ``bias [O]``; first values are uniform
        within ``-1/sqrt(I) .. 1/sqrt(I)``, as PyTorch's.

    Examples
    --------
    >>> linear = fastrnn.Linear(4, 2, seed=0)
    >>> x = np.ones((5, 3, 4), np.float32)
    >>> linear(x).shape
    (5, 3, 2)
    >>> loss = linear.cross_entropy(x, np.zeros((5, 3), np.int64))
    >>> linear.backward().shape  # the gradient of x
    (5, 3, 4)
    """

    __module__ = "fastrnn"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        tied: Embedding | None = None,
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        in_features : int
            ``I``.
        out_features : int
            ``O``.
        bias : bool
            False: no ``bias``.
        tied : Embedding, optional
            Its vectors ``[O, I]`` are the layer's weight, and stay its own: this layer
            has only a ``bias``. Gradients of both uses add up in ``tied.grads``. Give
            an optimizer both layers, or the model that both are in. A copy or pickle of
            a model with both holds a tied pair of its own.
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
        self.in_features = check_size("in_features", in_features)
        self.out_features = check_size("out_features", out_features)
        self.input_size, self.output_size = self.in_features, self.out_features
        self.bias = check_flag("bias", bias)
        rng = make_generator(seed)
        dtype = check_layer_dtype(dtype)
        shape = self.out_features, self.in_features
        self.tied = None if tied is None else check_tied(tied, shape, dtype)
        shapes: dict[str, tuple[int, ...]] = {}
        if self.tied is None:
            shapes["weight"] = shape
        if self.bias:
            shapes["bias"] = (self.out_features,)
        super().__init__(shapes, dtype)
        for a in self.params.values():
            a[...] = uniform(rng, 1 / math.sqrt(self.in_features), a.shape)

    @property
    def weight(self) -> FloatArray:
        """The weight ``[O, I]``, the layer's own or tied. Write into it."""
        return self.params["weight"] if self.tied is None else self.tied.weight

    def _borrowed(self) -> Iterable[Parameters]:
        return () if self.tied is None else (self.tied,)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return ``x weight' + bias``.

        Parameters
        ----------
        x : [..., I]
            Any leading sizes, say ``[T, N]``.

        Returns
        -------
        y : [..., O]

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        x = self._check(x)
        self._forget()
        y = linear_forward(x, self.weight, self.params.get("bias"))
        self._remember(x)
        return y

    def cross_entropy(
        self,
        x: FloatArray,
        targets: ArrayLike,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        weights: FloatArray | None = None,
        class_weights: FloatArray | None = None,
        label_smoothing: float = 0.0,
    ) -> Any:
        """Call the layer, and return the cross-entropy of its outputs in nats.

        ``backward()`` without a gradient is then that of the loss. The outputs never
        exist all at once, and their gradient comes with them: for training this is
        faster than a call, and takes far less memory.

        Parameters
        ----------
        x : [..., I]
            Any leading sizes, say ``[T, N]``.
        targets : [...] integer
            A class ``0 .. O-1`` for every row of ``x``, or ``ignore_index``.
        ignore_index : int
            Rows with this target take no part.
        reduction : {"mean", "sum", "none"}
            See `linear_cross_entropy`.
        weights : [...], optional
            What each row's loss is multiplied by.
        class_weights : [O], optional
            The same for rows of each class.
        label_smoothing : float
            The share, ``0 .. 1``, of a target's probability that all classes get.
            For the exact meaning of these three see `linear_cross_entropy`.

        Returns
        -------
        scalar, or [...] for ``"none"``

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        x = self._check(x)
        self._forget()
        loss, grads = linear_cross_entropy(
            x, self.weight, self.params.get("bias"), targets,
            ignore_index=ignore_index, reduction=reduction, training=self.training,
            weights=weights, class_weights=class_weights,
            label_smoothing=label_smoothing,
        )  # fmt: skip
        self._remember(grads)
        return loss

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(self, dy: FloatArray | None = None) -> FloatArray:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : [..., O], or None after `cross_entropy`
            Gradient of ``y``.

        Returns
        -------
        dx : [..., I]

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        last = self._recall("backward")
        found: Any
        if isinstance(last, CrossEntropyGrads):
            if dy is not None:
                kind = type(dy).__name__
                raise TypeError(f"dy: expected None after cross_entropy, got {kind}")
            found = last
            dx: Any = last.dy
        else:
            if dy is None:
                raise TypeError("dy: expected the gradient of y, got None")
            dy = check_floating("dy", dy, self.dtype, "the layer")
            check_shape("dy", dy, "(..., O)", (*last.shape[:-1], self.out_features))
            found = linear_backward(last, self.weight, dy, bias=self.bias)
            dx = found.dx
        db = found.db if self.bias else None
        if self.tied is None:
            self._add_grads(weight=found.dw, bias=db)
        else:
            self._add_grads(bias=db)
            if self.tied.trainable:
                self.tied._add_grads(weight=found.dw)
        gradient: FloatArray = dx
        return gradient

    def _check(self, x: Any) -> FloatArray:
        x = check_floating("x", x, self.dtype, "the layer")
        check_last("x", x, "I")
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"x: expected shape (..., I) with I = {self.in_features}, got {x.shape}"
            )
        checked: FloatArray = x
        return checked


def check_tied(tied: Any, shape: tuple[int, int], dtype: DType) -> Embedding:
    if not isinstance(tied, Embedding):
        raise TypeError(f"tied: expected an Embedding, got {type(tied).__name__}")
    if tied.dtype != dtype:
        raise TypeError(
            f"tied: expected dtype {dtype} (that of the layer), got {tied.dtype}"
        )
    if tied.weight.shape != shape:
        raise ValueError(
            f"tied: expected vectors (out_features, in_features) = {shape}, "
            f"got {tied.weight.shape}"
        )
    return tied
