"""`batches`: sequences and targets as batches, in a new order each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._gate.arguments import (
    check_flag,
    check_integer,
    check_integers,
    check_rank,
    make_generator,
)
from fastrnn._gate.batches import (
    Column,
    check_inputs,
    check_labels,
    check_targets,
    check_weights,
)
from fastrnn._gate.layers import check_layer_dtype
from fastrnn._types import IntArray, valid_steps
from fastrnn.data._arrays import IGNORED, bucket_batches, lay_side_by_side
from fastrnn.data._batch import Batch


def batches(
    sequences: Iterable[ArrayLike],
    targets: Any = None,
    *,
    rows: int = 32,
    bucket: bool = True,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = None,
    weights: Any = None,
    indices: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
    batch_first: bool = False,
    aligned: bool = True,
) -> Batches:
    """Group sequences and their targets into batches for `fastrnn.fit`.

    ::

        kept, held_out = fastrnn.data.split(sequences, 0.1, seed=0)
        training = fastrnn.data.batches(sequences, labels, indices=kept, seed=0)
        held = fastrnn.data.batches(sequences, labels, indices=held_out, shuffle=False)
        history = fastrnn.fit(model, training, optimizer=adam, validation=held)

    Parameters
    ----------
    sequences : K arrays or lists, or one array [K, T, I] or [K, T]
        Each ``[length, I]``: numbers; ``[length]`` integer: token ids; ``[length]``
        floating: one number per step, as if ``[length, 1]``. Lengths may differ.
    targets : optional
        Of every sequence: a class, an int; or a class for each of its steps,
        ``[length]`` integer; or ``O`` numbers, ``[O]`` floating (a single float is ``O
        = 1``); or ``O`` numbers for each step, ``[length, O]`` floating.
    rows : int
        Sequences per batch; one batch of an epoch is smaller if they do not divide
        evenly.
    bucket : bool
        Put sequences of similar length into one batch: less padding, less time.
    shuffle : bool
        A new order each epoch. False keeps the order given (with ``bucket``, that of
        lengths), the same each epoch: for validation.
    seed : int, optional
        The orders come from it. None takes fresh entropy; a ``numpy.random.Generator``
        is used as it is.
    weights : [K] floating, or K of [length] floating, optional
        At least 0: the weight of each sequence, or of each of its steps, in the loss.
        With a weight for each class ``w [V]``, pass ``w[labels]``.
    indices : [k] integer, optional
        The sequences that take part; all if omitted.
    dtype : float32 or float64, optional
        Convert floating sequences (and integer ones ``[length, I]``), floating targets
        and weights to it. If omitted they keep theirs, which must be the model's.
    batch_first : bool
        Make arrays ``[N, T, ...]`` for a model with ``batch_first``.
    aligned : bool
        False: the targets of a sequence are labels, integers ``[S]``, as many as there
        are; nothing says to which steps they belong. A batch has ``[N, S]``, with -100
        after the last, for ``fit(loss="ctc")``.

    Returns
    -------
    Batches
        To be gone through once an epoch; each member is a `Batch`.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.

    Examples
    --------
    >>> sequences = [np.zeros((n, 3), np.float32) for n in (5, 2, 4)]
    >>> batches = fastrnn.data.batches(sequences, [0, 1, 1], rows=2, shuffle=False)
    >>> [(batch.x.shape, batch.targets.tolist()) for batch in batches]
    [((4, 2, 3), [1, 1]), ((5, 1, 3), [0])]
    """
    return Batches(
        sequences, targets, rows=rows, bucket=bucket, shuffle=shuffle, seed=seed,
        weights=weights, indices=indices, dtype=dtype, batch_first=batch_first,
        aligned=aligned,
    )  # fmt: skip


class Batches:
    """What `batches` returns: an epoch each time it is gone through.

    Attributes
    ----------
    rng : numpy.random.Generator
        What orders are drawn from. Its ``bit_generator.state`` is all there is to save
        for an exact continuation after an epoch; `fastrnn.fit` saves it.
    """

    __module__ = "fastrnn.data"

    def __init__(
        self,
        sequences: Any,
        targets: Any = None,
        *,
        rows: int = 32,
        bucket: bool = True,
        shuffle: bool = True,
        seed: Any = None,
        weights: Any = None,
        indices: Any = None,
        dtype: Any = None,
        batch_first: bool = False,
        aligned: bool = True,
    ) -> None:
        """Check everything; `batches` lists the arguments."""
        if dtype is not None:
            dtype = check_layer_dtype(dtype)
        self._rows = check_integer("rows", rows, 1)
        self._bucket = check_flag("bucket", bucket)
        self._shuffle = check_flag("shuffle", shuffle)
        self._batch_first = check_flag("batch_first", batch_first)
        self.rng = make_generator(seed)
        self._x, self._lengths = check_inputs("sequences", sequences, dtype)
        K = len(self._lengths)
        self._targets = self._weights = None
        aligned = check_flag("aligned", aligned)
        if targets is not None:
            check = check_targets if aligned else check_labels
            self._targets = check("targets", targets, self._lengths, dtype)
        if weights is not None:
            floating = dtype or (self._x.dtype if self._x.dtype.kind == "f" else None)
            self._weights = check_weights(
                "weights", weights, self._lengths, floating or np.dtype(np.float32)
            )
        self._taken = np.arange(K)
        if indices is not None:
            taken = check_integers("indices", indices, "iu", "an integer")
            check_rank("indices", taken, "(k,)", 1)
            wrong = taken[(taken < 0) | (taken >= K)]
            if wrong.size:
                raise ValueError(
                    f"indices: expected 0 <= index < K = {K}, got {wrong[0]}"
                )
            self._taken = taken.astype(np.int64)

    def __len__(self) -> int:
        """The number of batches per epoch."""
        return -(-len(self._taken) // self._rows)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._order():
            yield self._batch(self._taken[batch])

    def __repr__(self) -> str:
        return f"{len(self)} batches of {len(self._taken)} sequences"

    def _order(self) -> list[IntArray]:
        """Return the places of every batch's sequences among those that take part."""
        lengths = self._lengths[self._taken]
        if self._shuffle and self._bucket:
            return bucket_batches(lengths, self._rows, seed=self.rng)
        if self._shuffle:
            order = self.rng.permutation(len(lengths))
        elif self._bucket:
            order = np.argsort(lengths, kind="stable")
        else:
            order = np.arange(len(lengths))
        return [order[i : i + self._rows] for i in range(0, len(order), self._rows)]

    def _batch(self, batch: IntArray) -> Batch:
        """Return these sequences as a batch."""
        lengths = self._lengths[batch]
        targets, weights = self._targets, self._weights
        return Batch(
            x=self._arrays(self._x, batch, lengths, 0),
            targets=targets and self._targets_of(targets, batch, lengths),
            lengths=None if isinstance(self._x.values, np.ndarray) else lengths,
            weights=weights and self._weights_of(weights, batch, lengths),
        )

    def _targets_of(self, targets: Column, batch: IntArray, lengths: IntArray) -> Any:
        if targets.aligned:
            return self._arrays(targets, batch, lengths, IGNORED)
        labels = [targets.values[i] for i in batch]
        counts = np.array([len(a) for a in labels])
        laid = lay_side_by_side(labels, counts, IGNORED, dtype=targets.dtype)
        return np.ascontiguousarray(laid.T)

    def _weights_of(self, weights: Column, batch: IntArray, lengths: IntArray) -> Any:
        """Return a weight for each target: those of sequences, for all of its steps."""
        w = self._arrays(weights, batch, lengths, 0)
        if self._targets is None or not self._targets.per_step or weights.per_step:
            return w
        valid = valid_steps(int(lengths.max()), len(batch), lengths, "right")
        per_step = np.where(valid, w, w.dtype.type(0))
        return np.ascontiguousarray(per_step.T) if self._batch_first else per_step

    def _arrays(
        self, column: Column, batch: IntArray, lengths: IntArray, ignored: int
    ) -> Any:
        """Return the column's values of these sequences as one array."""
        values, dtype = column.values, column.dtype
        if not column.per_step:
            return values[batch].astype(dtype, copy=False)
        if isinstance(values, np.ndarray):  # all of one length
            laid = values[batch].swapaxes(0, 1)
        else:
            padding = 0 if dtype.kind == "f" else ignored
            if padding < 0 and dtype.kind == "u":
                dtype = np.dtype(np.int64)
            members = [values[i] for i in batch]
            laid = lay_side_by_side(members, lengths, padding, dtype=dtype)
        if self._batch_first:
            laid = laid.swapaxes(0, 1)
        return np.ascontiguousarray(laid, dtype)
