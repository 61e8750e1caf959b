"""`predict`: a model's outputs for any number of sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._layers.base import Layer
from fastrnn._training.check import require_layer
from fastrnn._training.loss import call, require_dtype
from fastrnn._types import IntArray
from fastrnn.data import Batch, Batches


def predict(model: Layer, sequences: Iterable[ArrayLike], *, rows: int = 64) -> Any:
    """Return a model's outputs for sequences, in their order.

    ::

        scores = fastrnn.predict(model, sequences)  # [K, V]
        probabilities = fastrnn.softmax(scores)

    Parameters
    ----------
    model : layer
        A `Sequential`, or any other `Layer`. It runs in eval mode, and is left in the
        mode that it had.
    sequences : K arrays or lists, or one array [K, T, I] or [K, T]
        As for `fastrnn.data.batches`.
    rows : int
        Sequences per call. It changes no bit of the results, only time and memory.

    Returns
    -------
    array [K, O]
        If the model has one output for a sequence.
    list of K arrays [length, O]
        If it has one for each step; for sequences in one array, an array [K, T, O].
    dict of these
        If the model ends in `Heads`.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong, or there are no sequences.

    Examples
    --------
    >>> model = fastrnn.Sequential(
    ...     fastrnn.GRU(1, 8, seed=0), fastrnn.Last(), fastrnn.Linear(8, 2, seed=0)
    ... )
    >>> sequences = [np.ones(n, np.float32) for n in (3, 7, 5)]
    >>> fastrnn.predict(model, sequences).shape
    (3, 2)
    """
    require_layer(model)
    first = model.batch_first is True
    batches = Batches(sequences, rows=rows, shuffle=False, batch_first=first)
    order = batches._order()  # of similar lengths
    was_training = model.training
    model.eval()
    try:
        outputs = []
        for places, batch in zip(order, batches, strict=True):
            require_dtype("sequences", batch.x, model)
            outputs.append(Output(call(model, batch)[0], places, batch))
    finally:
        if was_training:
            model.train()
    return collect(outputs, batches, first)


class Output(NamedTuple):
    """What a model returned for a batch."""

    y: Any
    places: IntArray  # of its sequences among all
    batch: Batch


def collect(outputs: list[Output], batches: Batches, first: bool) -> Any:
    """Return the outputs in the order of the sequences; ``first`` is batch_first."""
    y = outputs[0].y
    if isinstance(y, Mapping):
        return {
            name: collect([o._replace(y=o.y[name]) for o in outputs], batches, first)
            for name in y
        }
    K = len(batches._lengths)
    if y.ndim < 3 or y.shape[:2] != outputs[0].batch.x.shape[:2]:
        whole = np.empty((K, *y.shape[1:]), y.dtype)
        for o in outputs:
            whole[o.places] = o.y
        return whole
    steps: list[Any] = [None] * K
    for o in outputs:
        for n, k in enumerate(o.places):
            row = o.y[n] if first else o.y[:, n]
            steps[k] = row[: batches._lengths[k]].copy()
    return steps if outputs[0].batch.lengths is not None else np.stack(steps)
