"""The layer `Embedding`. Symbols: ``V`` vocabulary, ``I`` inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._gate.arguments import (
    check_choice,
    check_flag,
    check_floating,
    check_ids,
    check_integers,
    check_rank,
    check_shape,
    check_size,
    make_generator,
)
from fastrnn._gate.layers import check_layer_dtype
from fastrnn._gate.sequence import PADDINGS, check_lengths, check_tokens
from fastrnn._layers.base import Layer
from fastrnn._types import FloatArray, IntArray, valid_steps


class Embedding(Layer):
    """A vector for every token: ``y = weight[x]``.

    Attributes
    ----------
    params, grads : dict of str to array
        ``weight [V, I]``; first drawn from the standard normal distribution.
    buffers : dict of str to array
        ``weight`` instead, if the layer is not trainable.

    Examples
    --------
    >>> embedding = fastrnn.Embedding(10, 4, seed=0)
    >>> embedding(np.array([[1, 2], [9, 0]])).shape  # [T, N] to [T, N, I]
    (2, 2, 4)
    """

    __module__ = "fastrnn"

    wants = ("lengths", "padding", "batch_first")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        trainable: bool = True,
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
        trainable : bool
            False: the vectors are in ``buffers`` instead of ``params``. They are saved,
            loaded and copied like parameters, but no optimizer changes them.
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
        self.output_size = self.embedding_dim
        rng = make_generator(seed)
        shape = self.num_embeddings, self.embedding_dim
        self.trainable = check_flag("trainable", trainable)
        weight = {"weight": shape}
        if self.trainable:
            super().__init__(weight, check_layer_dtype(dtype))
        else:
            super().__init__({}, check_layer_dtype(dtype), weight)
        self.weight[...] = rng.standard_normal(shape)

    @property
    def weight(self) -> FloatArray:
        """The vectors ``[V, I]``, trained or not. Write into them."""
        return (self.params if self.trainable else self._buffers)["weight"]

    def __call__(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        batch_first: bool | None = None,
    ) -> FloatArray:
        """Return the vectors of tokens.

        Parameters
        ----------
        x : [...] integer
            Token ids; any sizes, say ``[T, N]``. With ``lengths`` those on padding are
            not read.
        lengths : [N] integer, optional
            For ``x [T, N]``: the valid steps of each row, ``0 .. T``.
        padding : {"right", "left"}
            Where the steps are that are not valid.
        batch_first : bool, optional
            With ``lengths``: ``x`` is ``[N, T]``.

        Returns
        -------
        y : [..., I]
            0 on padding.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A token outside ``0 .. V-1``, or another value or shape is wrong.
        """
        tokens = check_integers("x", x, "iu", "an integer")
        check_choice("padding", padding, PADDINGS)
        by_row = batch_first is not None and check_flag("batch_first", batch_first)
        V, weight = self.num_embeddings, self.weight
        if lengths is None:
            ids = check_ids("x", "token", tokens, V)
            self._forget()
            y: FloatArray = weight[ids]
        else:
            check_rank("x", tokens, "(N, T)" if by_row else "(T, N)", 2)
            ids = check_padded(tokens.T if by_row else tokens, V, lengths, padding)
            ids = np.ascontiguousarray(ids.T) if by_row else ids
            self._forget()
            y = weight[ids]
            y[ids < 0] = 0
        self._remember((ids, lengths is not None))
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
        ids, padded = self._recall("backward")
        if dy is None or not self.trainable:
            return
        dy = check_floating("dy", dy, self.dtype, "the layer")
        check_shape("dy", dy, "(..., I)", (*ids.shape, self.embedding_dim))
        # Rows of one token are put side by side and summed: np.add.at takes far longer.
        order = np.argsort(ids, axis=None, kind="stable")
        if padded:
            order = order[np.count_nonzero(ids < 0) :]
        tokens, starts = np.unique(ids.ravel()[order], return_index=True)
        rows = dy.reshape(-1, self.embedding_dim)[order]
        sums = np.add.reduceat(rows, starts, axis=0)
        with self._adding:
            self.grads["weight"][tokens] += sums


def check_padded(tokens: Any, V: int, lengths: ArrayLike, padding: str) -> IntArray:
    """Return ids ``[T, N]``, -1 on padding."""
    T, N = tokens.shape
    checked = check_lengths(lengths, T, N)
    ids = check_tokens(tokens, V, checked, padding)
    ids[~valid_steps(T, N, checked, padding)] = -1
    return ids
