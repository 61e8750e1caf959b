"""The text of a layer: the call that makes it, with the number of its parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastrnn._layers.base import Layer

Line = tuple[str, int | None]  # code, and how many parameters it stands for


def describe(layer: Layer) -> str:
    """Return the code of the layer, with counts as comments beside it."""
    lines = layer._code()
    if len(lines) == 1:
        code, count = lines[0]
        return f"{code}  # {count:,} parameters"
    width = max(len(code) for code, _ in lines)
    digits = len(f"{lines[0][1]:,}")
    text = [
        code if count is None else f"{code:{width}}  # {count:{digits},}"
        for code, count in lines
    ]
    text[0] += " parameters"
    return "\n".join(text)


def code_of_call(layer: Layer) -> str:
    """Return the call that makes such a layer: options that are not as by default."""
    arguments = []
    for p in inspect.signature(type(layer)).parameters.values():
        if not hasattr(layer, p.name):
            continue
        value, default = getattr(layer, p.name), p.default
        if isinstance(value, np.dtype):
            value, default = value.name, np.dtype(default).name
        # A layer that is tied is shown as its call alone.
        shown = code_of_call(value) if hasattr(value, "_code") else repr(value)
        if default is p.empty:
            arguments.append(shown)
        elif shown != repr(default):
            arguments.append(f"{p.name}={shown}")
    return f"{type(layer).__name__}({', '.join(arguments)})"


def code_of_row(layer: Layer, row: dict[str, Layer]) -> list[Line]:
    """Return the lines of a layer that is made of others."""
    lines: list[Line] = [(f"{type(layer).__name__}(", layer.flat_params.size)]
    for name, inner in row.items():
        (first, count), *others = inner._code()
        label = "" if name.isdecimal() else f"{name}="
        inner_lines = [(f"    {label}{first}", count)]
        inner_lines += [(f"    {code}", count) for code, count in others]
        code, count = inner_lines.pop()
        lines += [*inner_lines, (f"{code},", count)]
    return [*lines, (")", None)]
