"""The gate for JAX arrays: what can be told from types, dtypes and shapes.

Values are looked at in the handler, when the call runs, unless they are NumPy's.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from fastrnn._cells import CELLS, weight_symbols
from fastrnn._gate.arguments import (
    FLOATS,
    check_choice,
    check_flag,
    check_shape,
    from_sequence,
    plain,
    require_countable,
)
from fastrnn._gate.sequence import (
    PADDINGS,
    check_input_sizes,
    check_lengths,
    check_optional_shape,
    check_resets,
    check_weight_shapes,
)
from fastrnn.jax._primitives import Options


def check_options(cell: str, nonlinearity: Any, padding: Any, reverse: Any) -> Options:
    check_choice("nonlinearity", nonlinearity, CELLS[cell].nonlinearities)
    check_choice("padding", padding, PADDINGS)
    return Options(
        cell, str(nonlinearity), str(padding), check_flag("reverse", reverse)
    )


def as_array(name: str, a: Any) -> Any:
    """Return a JAX array, or one of NumPy's that JAX takes without converting it."""
    if a is None or isinstance(a, jax.Array):
        return a
    if not issubclass(type(a), np.ndarray):
        raise TypeError(f"{name}: expected a JAX array, got {type(a).__name__}")
    a = plain(name, a)
    dtype = a.dtype
    if dtype.kind not in "biuf" or not dtype.isnative or dtype.itemsize > 8:
        expected = "float32 or float64"
        if name == "x":
            expected += ", or integer token ids"
        raise TypeError(f"{name}: expected dtype {expected}, got {dtype}")
    kept = jax.dtypes.canonicalize_dtype(a.dtype)
    if kept != a.dtype:
        raise TypeError(
            f"{name}: expected a dtype that JAX keeps, got {a.dtype}, which it makes "
            f"{kept} without jax_enable_x64"
        )
    return a


def as_numbers(name: str, value: Any, x: Any) -> Any:
    """Return lengths or resets; those that are not JAX's are checked at once."""
    if value is None or isinstance(value, jax.Array):
        return value
    found = from_sequence(name, value)
    if x.ndim < 2:
        return found
    T, N = x.shape[:2]
    if name == "resets":
        return check_resets(found, T, N)
    return check_lengths(found, T, N).astype(np.int32)


def check_arrays(
    options: Options,
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    h0: Any,
    c0: Any,
    lengths: Any,
    resets: Any,
) -> None:
    """Check dtypes, then shapes, while the call is traced."""
    row = CELLS[options.cell]
    symbols = weight_symbols(row.gates)
    if x.dtype not in FLOATS and x.dtype.kind not in "iu":
        raise TypeError(
            f"x: expected dtype float32 or float64, or integer token ids, got {x.dtype}"
        )
    like, dtype = ("x", x.dtype) if x.dtype.kind == "f" else ("w_ih", w_ih.dtype)
    if dtype not in FLOATS:
        raise TypeError(f"{like}: expected dtype float32 or float64, got {dtype}")
    named = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, "h0": h0, "c0": c0}
    for name, a in named.items():
        if a is not None and a.dtype != dtype:
            raise TypeError(
                f"{name}: expected dtype {dtype} (that of {like}), got {a.dtype}"
            )
    T, N, I, _ = check_input_sizes(x, w_ih, None, symbols[0])  # noqa: E741
    H, _ = check_weight_shapes(w_ih, w_hh, b_ih, b_hh, None, I, row.gates, symbols)
    require_countable("x", x, row.gates * H)
    check_optional_shape("h0", h0, "(N, H)", (N, H))
    check_optional_shape("c0", c0, "(N, H)", (N, H))
    check_indices("lengths", lengths, "iu", "an integer", "(N,)", (N,))
    check_indices("resets", resets, "biu", "a bool or integer", "(T, N)", (T, N))


def check_indices(
    name: str, a: Any, kinds: str, expected: str, symbols: str, shape: tuple[int, ...]
) -> None:
    if a is None:
        return
    if a.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {expected} dtype, got {a.dtype}")
    check_shape(name, a, symbols, shape)
