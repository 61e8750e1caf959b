"""The layer `Embedding`. Symbols: ``V`` vocabulary, ``I`` inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._gate.arguments import (
    check_floating,
    check_ids,
    check_integers,
    check_shape,
)
from fastrnn._gate.layers import check_layer_dtype, check_size, make_generator
from fastrnn._layers.base import Layer
from fastrnn._types import FloatArray


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
