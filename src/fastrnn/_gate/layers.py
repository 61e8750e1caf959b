"""The gate of the layers: one check of a call, for all layers and directions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import (
    FLOATS,
    as_dtype,
    check_choice,
    check_floating,
    check_integers,
    check_optional,
    check_rank,
    check_shape,
    contiguous,
    require_countable,
)
from fastrnn._gate.sequence import (
    PADDINGS,
    check_lengths,
    check_resets,
    check_tokens,
    plain_input,
)
from fastrnn._types import BoolArray, DType, FloatArray, IntArray


def check_layer_dtype(dtype: Any) -> DType:
    found: DType = as_dtype("dtype", dtype, "f", "float32 or float64")
    if found not in FLOATS:
        raise TypeError(f"dtype: expected float32 or float64, got {found}")
    return found


class LayerCall(NamedTuple):
    """The arguments of a recurrent layer's call, checked and time-major."""

    T: int
    N: int
    x: Any  # [T, N, I], contiguous; None with tokens
    tokens: IntArray | None  # [T, N], a private copy
    initial: list[FloatArray | None]  # h, or h and c, each [L*D, N, H]
    lengths: IntArray | None  # [N], a private copy
    padding: str
    resets: BoolArray | None  # [T, N], a private copy


def check_call(
    x: Any,
    state: Any,
    lengths: Any,
    padding: Any,
    resets: Any,
    *,
    sizes: tuple[int, int, int],
    widths: tuple[int, ...],
    dtype: DType,
    batch_first: bool,
) -> LayerCall:
    """Check the arguments of a recurrent layer's call before any work.

    ``sizes`` is ``(I, L*D, H)``, ``widths`` those of the arrays of a state.
    """
    I, LD, H = sizes  # noqa: E741
    x = check_input(x, I, dtype, batch_first)
    if x.size == 0:
        require_countable("x", x, 8 * H)  # the outputs and gates of any cell
    T, N = x.shape[:2]
    initial: list[Any] = [None] * len(widths)
    if state is not None:
        initial = check_states("state", state, widths, (LD, N), dtype)
    if padding is not PADDINGS[0]:
        check_choice("padding", padding, PADDINGS)
    if lengths is not None:
        lengths = check_lengths(lengths, T, N)
    if resets is not None:
        if batch_first:
            resets = check_resets_by_row(resets, N, T)
        resets = check_resets(resets, T, N)
    tokens = None
    if x.dtype.kind != "f":
        x, tokens = None, check_tokens(x, I, lengths, padding)
    else:
        x = contiguous(x)
    return LayerCall(T, N, x, tokens, initial, lengths, padding, resets)


def check_input(x: Any, input_size: int, dtype: DType, batch_first: bool) -> Any:
    """Return ``x`` time-major, as a view: ``[T, N, I]``, or ``[T, N]`` tokens."""
    if type(x) is not np.ndarray:
        x = plain_input(x)
    lead = "N, T" if batch_first else "T, N"
    if x.dtype.kind in "iu":
        check_rank("x", x, f"({lead}) of token ids", 2)
    elif x.dtype != dtype:
        raise TypeError(
            f"x: expected dtype {dtype} (that of the layer) or integer token ids, "
            f"got {x.dtype}"
        )
    elif x.ndim != 3 or x.shape[2] != input_size:
        raise ValueError(
            f"x: expected shape ({lead}, I) with I = {input_size}, got {x.shape}"
        )
    return x.swapaxes(0, 1) if batch_first else x


def check_states(
    name: str,
    value: Any,
    widths: tuple[int, ...],
    lead: tuple[int, int],
    dtype: DType,
) -> list[FloatArray | None]:
    """Return h, or h and c, each ``[L*D, N, its width]`` or None; lead is (L*D, N)."""
    count = len(widths)
    if value is None:
        return [None] * count
    values = (value,) if count == 1 else value
    if type(values) is tuple and are_plainly_right(values, widths, lead, dtype):
        return list(values)
    if count == 1:
        names, values = [name], [value]
    else:
        if not isinstance(value, (tuple, list)):
            kind = type(value).__name__
            raise TypeError(f"{name}: expected a pair (h, c), got {kind}")
        if len(value) != count:
            raise ValueError(f"{name}: expected a pair (h, c), got {len(value)} arrays")
        names, values = [f"{name}[{i}]" for i in range(count)], list(value)
    arrays = [
        check_optional(n, a, dtype, "the layer")
        for n, a in zip(names, values, strict=True)
    ]
    for n, a, width in zip(names, arrays, widths, strict=True):
        if a is not None:
            symbol = "H" if width == widths[-1] else "P"
            check_shape(n, a, f"(L*D, N, {symbol})", (*lead, width))
    return arrays


def are_plainly_right(
    arrays: tuple[Any, ...],
    widths: tuple[int, ...],
    lead: tuple[int, int],
    dtype: DType,
) -> bool:
    """Return whether the arrays need no further check, in a quarter of its time."""
    if len(arrays) != len(widths):
        return False
    for a, width in zip(arrays, widths, strict=True):
        if type(a) is not np.ndarray or a.shape != (*lead, width) or a.dtype != dtype:
            return False
        flags = a.flags
        if not (flags.c_contiguous and flags.aligned):
            return False
    return True


def check_resets_by_row(resets: Any, N: int, T: int) -> Any:
    """Return ``resets [N, T]`` transposed, as [T, N]."""
    a = check_integers("resets", resets, "biu", "a bool or integer")
    check_shape("resets", a, "(N, T)", (N, T))
    return a.swapaxes(0, 1)


def check_output_gradient(
    dy: Any, shape: tuple[int, int, int], dtype: DType, batch_first: bool
) -> Any:
    """Return ``dy`` time-major; ``shape`` is ``(T, N, D*H)``."""
    if dy is None:
        return None
    dy = check_floating("dy", dy, dtype, "the layer")
    if not batch_first:
        check_shape("dy", dy, "(T, N, D*H)", shape)
        return dy
    T, N, width = shape
    check_shape("dy", dy, "(N, T, D*H)", (N, T, width))
    return dy.swapaxes(0, 1)
