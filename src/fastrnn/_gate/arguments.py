"""Checks of single arguments, from which the gates are made.

Every message names the argument, what was expected and what was given. NumPy only.
"""

from typing import Any

import numpy as np

from fastrnn._types import DType

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def plain(name: str, a: Any) -> Any:
    """Return a subclass (memory map, matrix) as a plain array; refuse anything else."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(a).__name__}")
    if isinstance(a, np.ma.MaskedArray):
        # Its mask would be ignored.
        raise TypeError(f"{name}: expected a NumPy array, got {type(a).__name__}")
    return a.view(np.ndarray)


def from_sequence(name: str, value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError:
        kind = type(value).__name__
        raise ValueError(
            f"{name}: expected a rectangular array, got a ragged {kind}"
        ) from None


def contiguous(a: Any) -> Any:
    flags = a.flags
    if flags.c_contiguous and flags.aligned:
        return a
    return a.copy(order="C")


def check_any_floating(name: str, a: Any) -> Any:
    if type(a) is not np.ndarray:
        a = plain(name, a)
    if a.dtype not in FLOATS:
        raise TypeError(f"{name}: expected dtype float32 or float64, got {a.dtype}")
    return contiguous(a)


def check_floating(name: str, a: Any, dtype: DType, like: str) -> Any:
    if type(a) is not np.ndarray:
        a = plain(name, a)
    if a.dtype != dtype:
        raise TypeError(
            f"{name}: expected dtype {dtype} (that of {like}), got {a.dtype}"
        )
    return contiguous(a)


def check_optional(name: str, a: Any, dtype: DType, like: str) -> Any:
    return None if a is None else check_floating(name, a, dtype, like)


def check_integers(name: str, value: Any, kinds: str, expected: str) -> Any:
    """Return an array of any integer dtype; an empty list becomes int64."""
    if isinstance(value, np.ndarray):
        a = plain(name, value)
    else:
        a = from_sequence(name, value)
        if a.size == 0:
            a = a.astype(np.int64)
    if a.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {expected} dtype, got {a.dtype}")
    return a


def check_ids(name: str, noun: str, a: Any, V: int, ignored: int | None = None) -> Any:
    """Return a private int64 copy of ids; refuse those outside ``0 .. V-1``."""
    ids = np.array(a, dtype=np.int64, order="C")
    # As unsigned numbers, negative ids are huge: one pass finds both errors.
    if ids.size and ids.view(np.uint64).max() >= V:
        bad = (a < 0) | (a >= V)
        if ignored is not None:
            bad &= a != ignored
        if bad.any():
            at = np.unravel_index(int(bad.argmax()), a.shape)
            place = f" at {[int(i) for i in at]}" if at else ""
            raise ValueError(
                f"{name}: {noun} {a[at]}{place} is out of range 0 <= {noun} < V = {V}"
            )
    return ids


def check_flag(name: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if not isinstance(value, np.bool_):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return bool(value)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    if value not in choices:
        listed = ", ".join(repr(c) for c in choices[:-1])
        raise ValueError(f"{name}: expected {listed} or {choices[-1]!r}, got {value!r}")


def check_rank(name: str, a: Any, symbols: str, rank: int) -> tuple[int, ...]:
    shape: tuple[int, ...] = a.shape
    if len(shape) != rank:
        raise ValueError(f"{name}: expected shape {symbols}, got {shape}")
    return shape


def check_shape(name: str, a: Any, symbols: str, shape: tuple[int, ...]) -> None:
    if a.shape != shape:
        raise ValueError(f"{name}: expected shape {symbols} = {shape}, got {a.shape}")


def require_positive(name: str, symbols: str, symbol: str, size: int, a: Any) -> None:
    if size < 1:
        raise ValueError(
            f"{name}: expected shape {symbols} with {symbol} >= 1, got {a.shape}"
        )
