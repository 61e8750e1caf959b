"""The rules for layers in a row, as in `Sequential`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._layers.base import Layer

ALL_WANTS = ("lengths", "padding", "resets", "batch_first")


def check_row(row: Mapping[str, Any]) -> Any:
    """Check that layers can be in one model, and return their dtype."""
    if not row:
        raise ValueError("layers: expected at least one, got none")
    for name, layer in row.items():
        check_layer(name, layer)
    seen: dict[int, str] = {}
    for name, layer in row.items():
        if id(layer) in seen:
            raise ValueError(
                f"{name}: expected a layer of its own, got that of {seen[id(layer)]}"
            )
        seen[id(layer)] = name
        if layer._is_in_a_model():
            raise ValueError(
                f"{name}: expected a layer of its own, got one that is in a Sequential "
                f"already (copy.deepcopy makes another)"
            )
    return one_dtype(row)


def check_layer(name: str, layer: Any) -> None:
    if not isinstance(layer, Layer):
        kind = type(layer).__name__
        raise TypeError(f"{name}: expected a layer, got {kind}")
    if "_flat_params" not in vars(layer):
        kind = type(layer).__name__
        raise TypeError(f"{name}: expected {kind} to call super().__init__(), got none")
    if "." in name:
        raise ValueError(f"{name}: expected a name without a dot")
    unknown = [want for want in layer.wants if want not in ALL_WANTS]
    if unknown or isinstance(layer.wants, str):
        raise ValueError(
            f"{name}: expected its wants among {', '.join(ALL_WANTS)}, "
            f"got {layer.wants!r}"
        )


def one_dtype(row: Mapping[str, Layer]) -> Any:
    """Return the dtype of all layers with parameters; the others take any."""
    dtype, dtype_of = None, ""
    for name, layer in row.items():
        if not layer.params and not layer.buffers:
            continue
        if dtype is None:
            dtype, dtype_of = layer.dtype, name
        if layer.dtype != dtype:
            raise TypeError(
                f"{name}: expected dtype {dtype} (that of {dtype_of}), "
                f"got {layer.dtype}"
            )
    return dtype or np.dtype(np.float32)


def row_sizes(row: Mapping[str, Layer]) -> tuple[int | None, int | None]:
    """Return how many inputs and outputs a step has; None for any."""
    size, size_of = None, ""
    takes, open_so_far = None, True
    for name, layer in row.items():
        if size is not None and layer.input_size not in (None, size):
            raise ValueError(
                f"{name}: expected {size} inputs (the outputs of {size_of}), "
                f"got a layer of {layer.input_size}"
            )
        if open_so_far:
            takes = layer.input_size
            open_so_far = takes is None and layer.output_size is None
        if layer.output_size is not None:
            size, size_of = layer.output_size, name
    return takes, size


def one_layout(row: Mapping[str, Layer]) -> bool | None:
    """Return ``batch_first`` of the layers that have a layout, which must be one."""
    layout, layout_of = None, ""
    for name, layer in row.items():
        if layout is None:
            layout, layout_of = layer.batch_first, name
        elif layer.batch_first not in (None, layout):
            raise ValueError(
                f"{name}: expected batch_first={layout} (that of {layout_of}), "
                f"got {layer.batch_first}"
            )
    return layout
