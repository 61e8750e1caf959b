"""The gate of the stepper; see `fastrnn._gate.sequence`."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fastrnn._gate.arguments import (
    check_integer,
    check_integers,
    check_rank,
    contiguous,
    copy_integers,
    shown,
)
from fastrnn._gate.layers import check_states
from fastrnn._gate.sequence import plain_input
from fastrnn._types import DType, FloatArray


def check_x(
    x: Any,
    I: int,  # noqa: E741
    dtype: DType,
    rows: int | None,
    takes_tokens: bool = True,
    takes_floats: bool = True,
) -> tuple[Any, int, bool]:
    """Return x contiguous, its number of rows, and whether it has no axis of rows.

    ``rows`` is the expected number of rows, None for any.
    """
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        if takes_tokens and not 0 <= x < I:
            raise_out_of_range(f"token {shown(x)}", I)
        x = np.array(x)
    elif type(x) is not np.ndarray:
        x = plain_input(x)
    is_tokens = x.dtype.kind in "iu"
    if not is_tokens and not takes_floats:
        raise TypeError(
            f"x: expected integer token ids (the first layer is an Embedding), "
            f"got {x.dtype}"
        )
    if is_tokens and takes_tokens:
        return check_step_tokens(x, I, rows)
    if x.dtype != dtype:
        or_tokens = " or integer token ids" if takes_tokens else ""
        raise TypeError(
            f"x: expected dtype {dtype} (that of the layer){or_tokens}, got {x.dtype}"
        )
    if x.ndim not in (1, 2) or x.shape[-1] != I:
        raise ValueError(
            f"x: expected shape (I,) or (N, I) with I = {I}, got {x.shape}"
        )
    N, single = (x.shape[0], False) if x.ndim == 2 else (1, True)
    require_rows("(N, I)", (rows, I), N, rows, x)
    return contiguous(x), N, single


def check_step_tokens(
    x: Any,
    I: int,  # noqa: E741
    rows: int | None,
) -> tuple[Any, int, bool]:
    tokens, values = copy_integers("x", x)
    if tokens.ndim > 1:
        raise ValueError(f"x: expected a token id or shape (N,), got {tokens.shape}")
    N, single = (len(tokens), False) if tokens.ndim else (1, True)
    require_rows("(N,)", (rows,), N, rows, tokens)
    bad = (values < 0) | (values >= I)
    if bad.any():
        n = int(bad.argmax())
        at = "" if single else f" at [n={n}]"
        raise_out_of_range(f"token {values.flat[n]}{at}", I)
    return tokens, N, single


def raise_out_of_range(token: str, I: int) -> NoReturn:  # noqa: E741
    raise ValueError(f"x: {token} is out of range 0 <= token < I = {I}")


def require_rows(
    symbols: str, shape: tuple[int | None, ...], N: int, rows: int | None, x: Any
) -> None:
    if N == 0:
        raise ValueError(f"x: expected shape {symbols} with N >= 1, got {x.shape}")
    if rows is not None and rows != N:
        raise ValueError(f"x: expected shape {symbols} = {shape}, got {x.shape}")


def check_state(
    states: list[tuple[str, Any, Any]], dtype: DType, rows: int | None
) -> list[FloatArray | None]:
    """Return h, and for LSTM c, of each recurrent layer.

    ``states`` has for each a name, the given state and the layer. With ``rows`` None,
    any number of rows will do.
    """
    N = rows
    if N is None:
        N = next((n for _, value, _ in states if (n := rows_of(value))), 1)
    arrays = []
    for name, value, layer in states:
        lead = (layer.num_layers, N)
        arrays += check_states(name, value, layer._widths, lead, dtype)
    return arrays


def rows_of(value: Any) -> int | None:
    """Return the rows of a recurrent layer's state, None if there is no telling."""
    arrays = value if isinstance(value, (tuple, list)) else [value]
    return next((a.shape[1] for a in arrays if getattr(a, "ndim", 0) == 3), None)


def which_rows(rows: Any, N: int) -> Any:
    """Return an index of the chosen rows among N."""
    if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
        rows = [check_integer("rows", rows)]
    a = check_integers("rows", rows, "biu", "a bool or integer")
    check_rank("rows", a, "(n,)", 1)
    if a.dtype.kind == "b":
        flags = a.copy()
        if flags.shape != (N,):
            raise ValueError(
                f"rows: expected shape (N,) = ({N},) of bool, got {flags.shape}"
            )
        return flags
    found, a = copy_integers("rows", a)
    bad = (a < 0) | (a >= N)
    if bad.any():
        raise ValueError(
            f"rows: row {a[bad.argmax()]} is out of range 0 <= row < N = {N}"
        )
    return found
