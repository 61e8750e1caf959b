"""The gate of `fastrnn.data.batches`; see `fastrnn._gate.sequence`.

Symbols: ``K`` sequences, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import (
    check_several,
    from_sequence,
    plain,
    require_countable,
)
from fastrnn._gate.data import as_sequence, check_sequences
from fastrnn._types import IntArray


class Column(NamedTuple):
    """One value or array for each of K sequences."""

    values: Any  # an array [K, ...], or a list of K arrays [length, ...]
    per_step: bool  # each is as long as its sequence
    dtype: np.dtype[Any]  # of a batch
    aligned: bool = True  # False: labels of any number, as lists of arrays [S]


def check_inputs(name: str, value: Any, dtype: Any) -> tuple[Column, IntArray]:
    """Return sequences of token ids [length] or of numbers [length, I]; lengths."""
    values = as_members(name, value)
    if isinstance(values, np.ndarray):
        if not 2 <= values.ndim <= 3 or not len(values):
            raise ValueError(
                f"{name}: expected shape (K, T) or (K, T, I) with K >= 1, "
                f"got {values.shape}"
            )
        require_countable(name, values, 1)
        lengths = np.full(len(values), values.shape[1], np.int64)
        kind, rank = values.dtype, values.ndim - 1
    else:
        values = check_sequences(name, values, None if holds_tokens(values) else dtype)
        lengths = np.array([len(a) for a in values], np.int64)
        kind, rank = values[0].dtype, values[0].ndim
        if not 1 <= rank <= 2:
            raise ValueError(
                f"{name}[0]: expected shape (length,) or (length, I), "
                f"got {values[0].shape}"
            )
    if rank == 1 and kind.kind == "f":
        if isinstance(values, np.ndarray):
            values = values[..., np.newaxis]
        else:
            values = [a[:, np.newaxis] for a in values]
    tokens = rank == 1 and kind.kind in "iu"
    return Column(values, True, kind if tokens or dtype is None else dtype), lengths


def check_targets(name: str, value: Any, lengths: IntArray, dtype: Any) -> Column:
    """Return classes, or numbers ``[O]``, for each sequence or each of its steps."""
    values = as_members(name, value)
    if not isinstance(values, np.ndarray):
        values = check_sequences(name, values, None)
        if values[0].dtype.kind == "f" and values[0].ndim == 1:
            values = stack(name, values)
    kind = values[0].dtype.kind
    rank = values[0].ndim
    if kind == "b":
        raise TypeError(f"{name}: expected classes as integers, or numbers, got bool")
    require_count(name, values, lengths)
    if kind == "f":
        if rank == 0:
            values = values[:, np.newaxis]
        symbols = "(), (O,) or (length, O)"
        per_step, right = rank == 2, rank <= 2
    else:
        symbols = "() or (length,)"
        per_step, right = rank == 1, rank <= 1
    if not right:
        raise ValueError(
            f"{name}[0]: expected shape {symbols} of {values[0].dtype}, "
            f"got {values[0].shape}"
        )
    if per_step:
        require_lengths(name, values, lengths)
    if dtype is None or kind != "f":
        dtype = values[0].dtype
    return Column(values, per_step, dtype)


def check_labels(name: str, value: Any, lengths: IntArray, dtype: Any) -> Column:
    """Return the labels of each sequence, [S] integer, which belong to no steps."""
    del dtype  # of floating targets
    values = as_members(name, value)
    values = check_sequences(name, list(values), None)
    require_count(name, values, lengths)
    kinds = {a.dtype.kind for a in values if a.size}
    if values[0].ndim != 1 or not kinds <= set("iu"):
        raise ValueError(
            f"{name}[0]: expected integers of shape (S,) with aligned=False, got "
            f"{values[0].dtype} of shape {values[0].shape}"
        )
    return Column(
        [a.astype(np.int64) for a in values], False, np.dtype(np.int64), False
    )


def check_weights(name: str, value: Any, lengths: IntArray, dtype: Any) -> Column:
    """Return a weight for each sequence, or for each of its steps."""
    values = as_members(name, value)
    if not isinstance(values, np.ndarray):
        values = check_sequences(name, values, None)
    require_count(name, values, lengths)
    rank = values[0].ndim
    if rank > 1:
        raise ValueError(
            f"{name}[0]: expected shape () or (length,), got {values[0].shape}"
        )
    if rank == 1:
        require_lengths(name, values, lengths)
    for k, a in enumerate([values] if rank == 0 else values):
        wrong = a[~(np.isfinite(a) & (a >= 0))]
        if wrong.size:
            where = name if rank == 0 else f"{name}[{k}]"
            raise ValueError(f"{where}: expected finite numbers >= 0, got {wrong[0]}")
    return Column(values, rank == 1, dtype)


def as_members(name: str, value: Any) -> Any:
    """Return an array [K, ...] of numbers, or a list of K arrays or lists."""
    if isinstance(value, np.ndarray):
        a = plain(name, value)
    elif hasattr(value, "__array__"):  # a column of a table
        a = plain(name, from_sequence(name, value))
    else:
        members = check_several(name, value, "a list or an array")
        if not members or from_sequence(f"{name}[0]", members[0]).ndim:
            return members
        a = from_sequence(name, members)
    if a.dtype == object and a.ndim == 1:
        return list(a)
    if a.dtype.kind not in "biuf":
        hint = ""
        if name == "targets":
            hint = " (np.unique(labels, return_inverse=True) numbers labels)"
        raise TypeError(f"{name}: expected numbers, got dtype {a.dtype}{hint}")
    if a.ndim == 0 or not len(a):
        raise ValueError(f"{name}: expected at least one, got none")
    return a


def holds_tokens(members: list[Any]) -> bool:
    """Return whether the first sequence with steps is one of token ids."""
    for k, member in enumerate(members):
        a = as_sequence(f"sequences[{k}]", member)
        if len(a):
            return a.ndim == 1 and a.dtype.kind in "iu"
    return False


def stack(name: str, arrays: list[Any]) -> Any:
    for k, a in enumerate(arrays):
        if a.shape != arrays[0].shape:
            raise ValueError(
                f"{name}[{k}]: expected {len(arrays[0])} numbers (as {name}[0]), got "
                f"{len(a)}; one number for each step is an array of shape (length, 1)"
            )
    return np.stack(arrays)


def require_count(name: str, values: Any, lengths: IntArray) -> None:
    if len(values) != len(lengths):
        raise ValueError(
            f"{name}: expected K = {len(lengths)} (the number of sequences), "
            f"got {len(values)}"
        )


def require_lengths(name: str, values: Any, lengths: IntArray) -> None:
    for k, (a, length) in enumerate(zip(values, lengths, strict=True)):
        if len(a) != length:
            raise ValueError(
                f"{name}[{k}]: expected {length} steps (those of sequences[{k}]), "
                f"got {len(a)}"
            )
