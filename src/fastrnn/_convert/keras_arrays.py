"""Keras's arrays under PyTorch's names, one layer after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._convert.build import CELLS, Arrays, Weights


def dense(arrays: Sequence[Any]) -> Arrays:
    """Return a Dense layer's arrays by PyTorch's names."""
    return {"weight": arrays[0].T} | ({"bias": arrays[1]} if arrays[1:] else {})


def cell(where: str, arrays: Sequence[Any], direction: str = "") -> Arrays:
    """Return the arrays of one direction of a recurrent layer by PyTorch's names.

    Parameters
    ----------
    where : str
        What the layer is called in messages.
    arrays : kernel [I, G*H], recurrent_kernel [H, G*H], perhaps bias
        The bias is [G*H], of a GRU with ``reset_after`` [2, 3*H].
    direction : {"", "_reverse"}
        What the names end with.
    """
    kernel, recurrent_kernel, *bias = arrays
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2 or not recurrent_kernel.size:
        raise ValueError(f"{where}: expected a kernel and a recurrent kernel, matrices")
    H, width = recurrent_kernel.shape
    G = width // H
    names = {"weight_ih": kernel.T, "weight_hh": recurrent_kernel.T}
    if bias and G == 3 and bias[0].ndim > 1:
        if bias[0].shape != (2, width):
            raise ValueError(
                f"{where}: expected the biases (2, 3*H) = {(2, width)} of a GRU, or "
                f"(3*H,) with reset_after=False, got {bias[0].shape}"
            )
        names |= {"bias_ih": bias[0][0], "bias_hh": bias[0][1]}
    elif bias:
        names |= {"bias_ih": bias[0], "bias_hh": np.zeros_like(bias[0])}
    if G == 3:  # z, r, n are r, z, n in PyTorch
        names = {
            name: np.concatenate([a[H : 2 * H], a[:H], a[2 * H :]])
            for name, a in names.items()
        }
    return {f"{name}_l0{direction}": a for name, a in names.items()}


def reset_of(arrays: Sequence[Any]) -> str:
    """Return a GRU's option ``reset``, which the shape of its bias tells."""
    return "before" if len(arrays) > 2 and arrays[2].ndim == 1 else "after"


def from_arrays(
    arrays: Sequence[Any], bidirectional: bool | None
) -> dict[str, Weights]:
    """Part the arrays of layers, by the place of the first array of each."""
    found: dict[str, Weights] = {}
    at = 0
    while at < len(arrays):
        where, w = f"source[{at}]", arrays[at]
        if is_cell(arrays, at):
            by_name = cell(f"source[{at + 2}]", arrays[at : at + 3])
            size = 3
            if is_second_direction(arrays, at, bidirectional):
                by_name |= cell(where, arrays[at + 3 : at + 6], "_reverse")
                size = 6
            reset = reset_of(arrays[at : at + 3])
            found[str(at)] = Weights("recurrent", by_name, reset)
            at += size
        elif w.ndim == 2 and at + 1 < len(arrays) and has_bias(w, arrays[at + 1]):
            found[str(at)] = Weights("linear", dense(arrays[at : at + 2]))
            at += 2
        elif w.ndim == 2 and at == 0:
            found[str(at)] = Weights("embedding", {"weight": w})
            at += 1
        else:
            raise ValueError(
                f"{where}: expected the first weight of an RNN, GRU, LSTM or Dense "
                f"layer with bias, got shape {w.shape}"
            )
    return found


def has_bias(w: Any, bias: Any) -> bool:
    return bool(bias.shape == w.shape[1:])


def is_cell(arrays: Sequence[Any], at: int) -> bool:
    """Say whether one direction of a recurrent layer begins here."""
    if len(arrays) < at + 3:
        return False
    kernel, recurrent_kernel, bias = arrays[at : at + 3]
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2 or not recurrent_kernel.size:
        return False
    H, width = recurrent_kernel.shape
    G, remainder = divmod(width, H)
    if remainder or G not in CELLS or kernel.shape[1] != width:
        return False
    shape: tuple[int, ...] = bias.shape
    return shape == (width,) or (G == 3 and shape == (2, width))


def is_second_direction(
    arrays: Sequence[Any], at: int, bidirectional: bool | None
) -> bool:
    """Say whether a cell's weights are followed by those of its other direction."""
    first, second = arrays[at : at + 3], arrays[at + 3 : at + 6]
    if [a.shape for a in first] != [a.shape for a in second]:
        return False
    if bidirectional is not None:
        return bidirectional
    (width, GH), H = first[0].shape, len(first[1])
    if width != H:
        return True  # a layer after the first would have H inputs
    follows = arrays[at + 6].shape[0] if at + 6 < len(arrays) else None
    if follows not in (H, 2 * H):
        raise ValueError(
            f"source[{at + 3}]: expected bidirectional=True or False, since shape "
            f"{(width, GH)} after the same can be a second direction or another layer"
        )
    return bool(follows == 2 * H)
