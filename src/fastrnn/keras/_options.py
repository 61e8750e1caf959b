"""What the kernels serve of a Keras layer's options, and why others are left."""

from typing import Any, NamedTuple

import keras
from keras import activations, layers


class Served(NamedTuple):
    """A layer's class that is served, with the cell that it must have.

    ``modes`` are the names by which `fastrnn.torch` knows the cell, by activation.
    """

    cell: Any
    modes: dict[Any, str]


SERVED: dict[Any, Served] = {
    layers.SimpleRNN: Served(
        layers.SimpleRNNCell,
        {activations.tanh: "RNN_TANH", activations.relu: "RNN_RELU"},
    ),
    layers.GRU: Served(layers.GRUCell, {activations.tanh: "GRU"}),
    layers.LSTM: Served(layers.LSTMCell, {activations.tanh: "LSTM"}),
}
DTYPES = ("float32", "float64")


def served_class(layer: Any) -> Any:
    """Return the class of `SERVED` that a layer is, or is derived from; or None."""
    return next((cls for cls in SERVED if isinstance(layer, cls)), None)


def mode_of(layer: Any) -> str:
    """Return the mode of a layer for which `why_left` finds no reason."""
    mode = SERVED[served_class(layer)].modes[layer.cell.activation]
    return mode if getattr(layer.cell, "reset_after", True) else f"{mode}_BEFORE"


def why_left(layer: Any, training: bool = False) -> str:
    """Return which option of a layer is not served; "" for none.

    The options alone: the tensors of a call are looked at when it comes.
    """
    cls = served_class(layer)
    cell = layer.cell
    if cls is None:
        return f"{type(layer).__name__} of {type(cell).__name__}"
    if type(cell) is not SERVED[cls].cell:
        return f"a cell of its own, {type(cell).__name__}"
    if layer.unroll:
        return "unroll=True"
    if getattr(layer, "use_cudnn", False) is True:
        return "use_cudnn=True"
    if cell.activation not in SERVED[cls].modes:
        return f"activation={name_of(cell.activation)}"
    gates = getattr(cell, "recurrent_activation", activations.sigmoid)
    if gates is not activations.sigmoid:
        return f"recurrent_activation={name_of(gates)}"
    dtypes = {cell.compute_dtype, cell.variable_dtype, layer.compute_dtype}
    if len(dtypes) > 1 or dtypes.isdisjoint(DTYPES):
        return f"dtype {cell.dtype_policy.name}; float32 and float64 are served"
    return why_left_in_training(cell) if training else ""


def why_left_in_training(cell: Any) -> str:
    if cell.recurrent_dropout:
        return f"recurrent_dropout={cell.recurrent_dropout}"
    if cell.dropout and getattr(cell, "implementation", 2) == 1:
        return f"dropout={cell.dropout} with implementation=1: a mask for each gate"
    return f"dropout={cell.dropout}" if cell.dropout == 1 else ""


def name_of(activation: Any) -> str:
    return getattr(activation, "__name__", None) or repr(activation)


def backend() -> str:
    """Return the name of Keras's backend."""
    found: str = keras.backend.backend()
    return found
