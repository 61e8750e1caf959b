"""One batch, as `fastrnn.fit` takes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn._types import BoolArray, IntArray


class Batch(NamedTuple):
    """Sequences side by side, with their targets.

    ``N`` sequences of at most ``T`` steps; a model with ``batch_first`` takes ``[N, T,
    ...]`` wherever ``[T, N, ...]`` stands below.

    Attributes
    ----------
    x : [T, N, I] floating, or [T, N] integer
        What the model is called with.
    targets : array, or anything that the loss takes
        Beside a model's output ``[T, N, O]``: a class for every step, ``[T, N]``
        integer, or numbers, ``[T, N, O]``. Beside an output ``[N, O]``, one for a
        sequence: ``[N]``, or ``[N, O]``. For ``loss="ctc"``, labels that are not
        aligned with the steps: ``[N, S]`` integer, with -100 after the last of a row.
    lengths : [N] integer, optional
        The valid steps of each sequence. The loss sees no others.
    padding : {"right", "left"}
        Where the steps are that are not valid.
    resets : [T, N] bool, optional
        Where a new sequence begins; see `LSTM`.
    weights : [N], or [T, N], optional
        The weight of each target in the mean of the loss: of a sequence, or of a step.
    continues : bool
        Each row goes on where the same row of the batch before ended. `fastrnn.fit`
        then carries the state over (and no gradient); an epoch begins without one.
    """

    x: Any
    targets: Any = None
    lengths: IntArray | None = None
    padding: str = "right"
    resets: BoolArray | None = None
    weights: Any = None
    continues: bool = False


class StreamBatch(NamedTuple):
    """A piece of a text, and the tokens after it; both ``[T, N]``.

    Its rows go on where those of the piece before ended: `fastrnn.fit` takes it for
    ``Batch(x, targets, continues=True)``.
    """

    x: IntArray
    targets: IntArray
