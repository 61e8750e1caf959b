"""The layers without a state: `Embedding` and `Linear`, with the loss on its outputs.

Symbols: ``V`` vocabulary, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._arguments import (
    check_flag,
    check_floating,
    check_ids,
    check_integers,
    check_shape,
)
from fastrnn._base import Layer
from fastrnn._check_layers import check_layer_dtype, check_size, make_generator
from fastrnn._check_linear import check_last
from fastrnn._initialise import uniform
from fastrnn._linear import linear_backward, linear_cross_entropy, linear_forward
from fastrnn._types import CrossEntropyGrads, FloatArray


class Embedding(Layer):
    """A vector for every token: ``y = weight[x]``.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [V, I]``; first drawn from the standard normal distribution.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Make a layer in training mode.

        Parameters
        ----------
        num_embeddings : int
            ``V``: tokens are ``0 .. V-1``.
        embedding_dim : int
            ``I``.
        dtype : float32 or float64
            Of the vectors.
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
        self.num_embeddings = check_size("num_embeddings", num_embeddings)
        self.embedding_dim = check_size("embedding_dim", embedding_dim)
        rng = make_generator(seed)
        shape = self.num_embeddings, self.embedding_dim
        super().__init__({"weight": shape}, check_layer_dtype(dtype))
        self.params["weight"][...] = rng.standard_normal(shape)

    def __call__(self, x: ArrayLike) -> FloatArray:
        """Return the vectors of tokens.

        Parameters
        ----------
        x : [...] integer
            Token ids; any sizes, say ``[T, N]``.

        Returns
        -------
        y : [..., I]

        Raises
        ------
        TypeError
            Another dtype.
        ValueError
            A token outside ``0 .. V-1``.
        """
        tokens = check_integers("x", x, "iu", "an integer")
        ids = check_ids("x", "token", tokens, self.num_embeddings)
        self._begin()
        self._keep(ids)
        y: FloatArray = self.params["weight"][ids]
        return y

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(self, dy: FloatArray | None) -> None:
        """Add the gradients to `grads`; tokens have none.

        Parameters
        ----------
        dy : [..., I] or None
            Gradient of ``y``. None is zero.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            Another dtype.
        ValueError
            Another shape.
        """
        ids = self._kept("backward")
        if dy is None:
            return
        dy = check_floating("dy", dy, self.dtype, "the layer")
        check_shape("dy", dy, "(..., I)", (*ids.shape, self.embedding_dim))
        # Rows of one token are put side by side and summed: np.add.at takes far longer.
        order = np.argsort(ids, axis=None, kind="stable")
        tokens, starts = np.unique(ids.ravel()[order], return_index=True)
        rows = dy.reshape(-1, self.embedding_dim)[order]
        self.grads["weight"][tokens] += np.add.reduceat(rows, starts, axis=0)


class Linear(Layer):
    """``y = x weight' + bias``, and the cross-entropy of its outputs as classes.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [O, I]`` and ``bias [O]``; first values are uniform within
        ``-1/sqrt(I) .. 1/sqrt(I)``, as PyTorch's.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
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
        self.bias = check_flag("bias", bias)
        rng = make_generator(seed)
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.out_features, self.in_features)
        }
        if self.bias:
            shapes["bias"] = (self.out_features,)
        super().__init__(shapes, check_layer_dtype(dtype))
        for a in self.params.values():
            a[...] = uniform(rng, 1 / math.sqrt(self.in_features), a.shape)

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
        self._begin()
        y = linear_forward(x, self.params["weight"], self.params.get("bias"))
        self._keep(x)
        return y

    def cross_entropy(
        self,
        x: FloatArray,
        targets: ArrayLike,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
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
        self._begin()
        loss, grads = linear_cross_entropy(
            x, self.params["weight"], self.params.get("bias"), targets,
            ignore_index=ignore_index, reduction=reduction, training=self.training,
        )  # fmt: skip
        self._keep(grads)
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
        last = self._kept("backward")
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
            found = linear_backward(last, self.params["weight"], dy, bias=self.bias)
            dx = found.dx
        self.grads["weight"] += found.dw
        if self.bias:
            self.grads["bias"] += found.db
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
