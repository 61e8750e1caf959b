"""The gate of `fastrnn.data`; see `fastrnn._gate.sequence`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastrnn._gate.arguments import (
    as_dtype,
    as_real,
    check_several,
    from_sequence,
    plain,
    shown,
)


def check_sequences(name: str, sequences: Any, dtype: Any) -> list[Any]:
    """Return at least one array, all of one dtype and alike but for their lengths."""
    if dtype is not None:
        dtype = as_dtype("dtype", dtype, "biuf", "a dtype of numbers")
    members = check_several(name, sequences, "a list of sequences")
    arrays = [as_sequence(f"{name}[{k}]", a) for k, a in enumerate(members)]
    if not arrays:
        raise ValueError(f"{name}: expected at least one, got none")
    # An empty list has no dtype or width of its own.
    like = next((k for k, a in enumerate(arrays) if a.size), 0)
    first = arrays[like]
    for k, a in enumerate(arrays):
        if a.shape == (0,):
            arrays[k] = a = np.zeros((0, *first.shape[1:]), first.dtype)
        if a.shape[1:] != first.shape[1:]:
            expected = ", ".join(["length", *map(str, first.shape[1:])])
            raise ValueError(
                f"{name}[{k}]: expected shape ({expected}) as {name}[{like}], "
                f"got {a.shape}"
            )
        if dtype is None and a.dtype != first.dtype:
            raise TypeError(
                f"{name}[{k}]: expected dtype {first.dtype} (that of {name}[{like}]), "
                f"got {a.dtype}"
            )
    if dtype is None:
        return arrays
    return [convert(f"{name}[{k}]", a, dtype) for k, a in enumerate(arrays)]


def as_sequence(name: str, value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: expected numbers, got {type(value).__name__}")
    is_array = issubclass(type(value), np.ndarray)
    a = plain(name, value) if is_array else from_sequence(name, value)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers, got dtype {a.dtype}")
    if a.ndim == 0:
        raise ValueError(f"{name}: expected shape (length, ...), got ()")
    return a


@np.errstate(all="ignore")
def convert(name: str, a: Any, dtype: np.dtype[Any]) -> Any:
    """Return ``a`` in another dtype; integers and bools must keep their values."""
    found = a.astype(dtype, copy=False)
    if dtype.kind != "f" and a.dtype != dtype:
        changed = found != a
        if a.dtype.kind in "iu" and dtype.kind in "iu":  # int64 and uint64 wrap round
            changed |= (found < 0) != (a < 0)
        if changed.any():
            raise ValueError(
                f"{name}: expected numbers that {dtype} can hold, "
                f"got {a.flat[int(changed.argmax())]}"
            )
    return found


@np.errstate(all="ignore")
def check_value(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a number in a dtype that can hold it; for floats it may be rounded."""
    if isinstance(value, (bool, np.bool_)):
        return dtype.type(value)
    number = as_real(name, value)
    if dtype.kind == "f":
        found = dtype.type(value)
        fits = math.isinf(number) or not np.isinf(found)
    else:
        fits = number == int(number) if math.isfinite(number) else False
        if fits:
            fits = number in (0, 1) if dtype.kind == "b" else in_range(value, dtype)
    if not fits:
        raise ValueError(
            f"{name}: expected a number that {dtype} can hold, got {shown(value)}"
        )
    return dtype.type(int(value) if dtype.kind in "iu" else value)


def in_range(value: Any, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= int(value) <= limits.max)
