"""The gate of `fastrnn.plot`; see `fastrnn._gate.sequence`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._gate.arguments import (
    as_real,
    check_rank,
    check_several,
    check_text,
    from_sequence,
    require_countable,
)
from fastrnn._types import FloatArray

SYMBOLS = ("(T,)", "(T, H)", "(T, N, H)")


@np.errstate(all="ignore")
def check_numbers(name: str, value: Any) -> FloatArray:
    a = from_sequence(name, value)
    if a.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected numbers, got {a.dtype}")
    require_countable(name, a, 1)
    found: FloatArray = a.astype(np.float64)
    return found


def check_values(values: Any, ranks: tuple[int, ...]) -> FloatArray:
    """Return at least one number, of one of the ranks."""
    a = check_numbers("values", values)
    if a.ndim not in ranks or not a.size:
        expected = " or ".join(SYMBOLS[rank - 1] for rank in ranks)
        raise ValueError(f"values: expected shape {expected}, got {a.shape}")
    return a


def check_tokens(tokens: Any, T: int) -> list[str]:
    if isinstance(tokens, str):
        listed: list[Any] = list(tokens)
    else:
        listed = check_several("tokens", tokens, "a str or a list of str")
    if len(listed) != T:
        raise ValueError(
            f"tokens: expected T = {T} (the steps of values), got {len(listed)}"
        )
    return [check_text(f"tokens[{i}]", token) for i, token in enumerate(listed)]


def check_curves(curves: Any) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return steps and values of every curve, by name."""
    found = {}
    for name, curve in check_mapping("curves", curves).items():
        where = f"curves[{name!r}]"
        if isinstance(curve, tuple):
            if len(curve) != 2:
                raise ValueError(
                    f"{where}: expected values or a pair (steps, values), "
                    f"got {len(curve)} of them"
                )
            steps, values = (
                check_numbers(f"{where}[{i}]", one) for i, one in enumerate(curve)
            )
        else:
            values = check_numbers(where, curve)
            steps = np.arange(1.0, values.size + 1)
        check_rank(where, values, "(steps,)", 1)
        if steps.shape != values.shape:
            raise ValueError(
                f"{where}: expected as many steps as values, got {steps.shape} and "
                f"{values.shape}"
            )
        found[name] = steps, values
    if not found:
        raise ValueError("curves: expected at least one curve, got none")
    return found


def check_lines(lines: Any) -> dict[str, float]:
    found = {} if lines is None else check_mapping("lines", lines)
    return {name: as_real(f"lines[{name!r}]", value) for name, value in found.items()}


def check_gradients(dh: Any) -> dict[str, FloatArray]:
    """Return ``[T, N, H]`` by name; one without a name is called nothing."""
    named = isinstance(dh, Mapping)
    found = {}
    for name, a in (check_mapping("dh", dh) if named else {"": dh}).items():
        where = f"dh[{name!r}]" if named else "dh"
        found[name] = check_numbers(where, a)
        T, N, _ = check_rank(where, found[name], SYMBOLS[2], 3)
        if not T * N:
            raise ValueError(
                f"{where}: expected shape {SYMBOLS[2]} with T, N >= 1, "
                f"got {found[name].shape}"
            )
    if not found:
        raise ValueError("dh: expected at least one gradient, got none")
    return found


def check_mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a dict by name, got {type(value).__name__}")
    return {check_text(f"{name}'s key", key): one for key, one in value.items()}
