"""Keras's files: whole models, and weights alone."""

from __future__ import annotations

import re
from typing import Any

from fastrnn._convert.build import Weights, as_floating
from fastrnn._convert.files.whole import check_readable
from fastrnn._convert.keras_arrays import cell, dense, reset_of
from fastrnn._types import DType

CELLS = ("simple_rnn", "gru", "lstm")
WITHOUT_WEIGHTS = ("dropout", "input_layer", "identity")


def read_model(path: str) -> Any:
    """Return the model of a ``.keras`` file."""
    check_readable(path)
    if not path.endswith((".keras", ".h5")):
        raise ValueError(f"{path}: expected a .keras or .weights.h5 file")
    try:
        import keras
    except ImportError as error:  # Keras itself, or the backend it is set to
        raise ImportError(
            f"{path}: expected Keras to read it, which cannot be imported: {error}; "
            f"for its backend see the variable KERAS_BACKEND"
        ) from None
    try:
        return keras.saving.load_model(path, compile=False)
    except MemoryError:
        raise
    except Exception as error:  # of Keras, zipfile, h5py and others
        if isinstance(error, OSError) and error.errno:
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: expected a Keras model, got {reason}") from None


def read_weights(path: str, dtype: DType | None) -> dict[str, Weights]:
    """Return the weights of each layer of a ``.weights.h5`` file, by its name.

    The order is that of the names.
    """
    check_readable(path)
    try:
        import h5py
    except ImportError:
        raise ImportError(
            f"{path}: expected h5py to read it, which is not installed: "
            f"pip install h5py"
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: damaged or not an HDF5 file: {error}") from None
    with file:
        groups = file.get("layers")
        if not isinstance(groups, h5py.Group):
            raise ValueError(
                f"{path}: expected weights that a Sequential or functional model "
                f"saved, got {', '.join(file) or 'none'}"
            )
        found = {}
        for name, group in groups.items():
            kind = re.sub(r"_\d+$", "", name)
            if kind not in WITHOUT_WEIGHTS:
                found[name] = read_layer(f"{path}: {name}", kind, group, dtype)
    return found


def read_layer(where: str, kind: str, group: Any, dtype: DType | None) -> Weights:
    if kind in CELLS:
        return read_cell(where, group, dtype)
    if kind == "bidirectional":
        first = read_cell(where, group.get("forward_layer"), dtype)
        second = read_cell(where, group.get("backward_layer"), dtype, "_reverse")
        return first._replace(arrays=first.arrays | second.arrays)
    if kind == "dense":
        return Weights("linear", dense(read_arrays(where, group, dtype, 1, 2)))
    if kind == "embedding":
        (table,) = read_arrays(where, group, dtype, 1, 1)
        return Weights("embedding", {"weight": table})
    raise ValueError(
        f"{where}: expected SimpleRNN, GRU, LSTM, Bidirectional, Dense, Embedding or "
        f"Dropout, got {kind}; if load_keras takes it in a model, give the model"
    )


def read_cell(
    where: str, group: Any, dtype: DType | None, direction: str = ""
) -> Weights:
    inner = None if group is None else group.get("cell")
    arrays = read_arrays(where, inner, dtype, 2, 3)
    return Weights("recurrent", cell(where, arrays, direction), reset_of(arrays))


def read_arrays(
    where: str, group: Any, dtype: DType | None, fewest: int, most: int
) -> list[Any]:
    """Return the arrays of a layer: the datasets ``vars/0``, ``vars/1``, ..."""
    found: Any = {} if group is None else group.get("vars", {})
    names = [str(i) for i in range(len(found))]
    if not fewest <= len(names) <= most or any(name not in found for name in names):
        raise ValueError(
            f"{where}: expected {fewest} to {most} arrays, got {', '.join(found)}"
        )
    return [as_floating(f"{where}: {name}", found[name][()], dtype) for name in names]
