"""Readers of the command line: text to value, or an error that names the bounds.

Programs import this as `read`: ``Setting("lr", 1e-2, "learning rate", read.rate)``.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from _errors import shown

Reader = Callable[[str], Any]


def number(kind: type, low: float, high: float) -> Reader:
    """Return a reader of numbers in [low, high]; `kind` is int or float."""
    expected = "a whole number" if kind is int else "a number"

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ArgumentTypeError(
                f"expected {expected} in {low}…{high}, got {shown(text)}"
            )
        return value

    return read


def several(low: int, high: int) -> Reader:
    """Return a reader of whole numbers in [low, high], as in 4,8."""

    def read(text: str) -> tuple[int, ...]:
        try:
            values = tuple(int(word) for word in text.split(","))
        except ValueError:
            values = ()
        if not values or not all(low <= value <= high for value in values):
            raise ArgumentTypeError(
                f"expected whole numbers in {low}…{high}, as in 4,8, got {shown(text)}"
            )
        return values

    return read


def one_of(*names: str) -> Reader:
    """Return a reader of one of the names."""

    def read(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(
                f"expected one of {', '.join(names)}, got {shown(text)}"
            )
        return text

    return read


def path(text: str) -> str:
    """Read a path; '' is none."""
    if not text:
        raise ArgumentTypeError("expected a path, got ''")
    return text


# Bounds keep every single setting within the memory of a laptop.
units = number(int, 1, 2048)
layers = number(int, 1, 16)
rows = number(int, 1, 4096)
steps = number(int, 1, 10**9)
rate = number(float, 1e-9, 10)
probability = number(float, 0, 0.99)
norm = number(float, 1e-9, 1e9)
decay = number(float, 0, 100)
half_life = number(float, 1, 1e12)
temperature = number(float, 0, 1000)
threads = number(int, 1, 256)
seed = number(int, 0, 2**32 - 1)
cell = one_of("rnn", "gru", "lstm")
