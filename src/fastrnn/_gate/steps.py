"""The gate of the layers that read steps of rows of different lengths."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn._gate.arguments import (
    check_any_floating,
    check_choice,
    check_flag,
    check_floating,
    check_rank,
    contiguous,
)
from fastrnn._gate.sequence import PADDINGS, check_lengths
from fastrnn._types import BoolArray, DType, FloatArray, IntArray, valid_steps


class Steps(NamedTuple):
    """Steps of rows, checked and time-major."""

    x: FloatArray  # [T, N, I], contiguous
    lengths: IntArray | None  # [N], a private copy
    padding: str
    by_row: bool  # whether the caller's array is [N, T, I]

    def valid(self) -> BoolArray | None:
        """Return ``[T, N, 1]``: True where a step is not padding; None for all."""
        if self.lengths is None:
            return None
        T, N, _ = self.x.shape
        found: BoolArray = valid_steps(T, N, self.lengths, self.padding)[:, :, None]
        return found


def check_steps(
    x: Any,
    lengths: Any,
    padding: Any,
    batch_first: Any,
    *,
    size: int | None = None,
    dtype: DType | None = None,
) -> Steps:
    """Check steps of rows before any work; ``size`` and ``dtype`` are the layer's.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.
    """
    if dtype is None:
        x = check_any_floating("x", x)
    else:
        x = check_floating("x", x, dtype, "the layer")
    check_choice("padding", padding, PADDINGS)
    by_row = batch_first is not None and check_flag("batch_first", batch_first)
    symbols = "(N, T, I)" if by_row else "(T, N, I)"
    check_rank("x", x, symbols, 3)
    if size is not None and x.shape[2] != size:
        raise ValueError(f"x: expected shape {symbols} with I = {size}, got {x.shape}")
    if by_row:
        x = contiguous(x.swapaxes(0, 1))
    T, N, _ = x.shape
    if lengths is not None:
        lengths = check_lengths(lengths, T, N)
    return Steps(x, lengths, padding, by_row)
