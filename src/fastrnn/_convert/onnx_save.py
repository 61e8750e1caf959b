"""A model as an ONNX file, which ONNX Runtime and others run.

Inside the graph sequences are ``[T, N, ...]``; a model with ``batch_first`` has a
Transpose at both ends. Layers are written as they are in eval mode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastrnn._cells import CELLS
from fastrnn._convert.build import refuse
from fastrnn._convert.files.whole import check_path, write_whole
from fastrnn._convert.onnx_graph import import_onnx, used_nodes
from fastrnn._convert.onnx_nodes import ORDERS, PEEPHOLES
from fastrnn._gate.arguments import check_flag
from fastrnn._layers.activation import Activation
from fastrnn._layers.base import Layer
from fastrnn._layers.cells import GRU, LSTM, RNN
from fastrnn._layers.dropout import Dropout
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.normalise import LayerNorm
from fastrnn._layers.pooling import Last
from fastrnn._layers.sequential import Sequential

OPSET, IR_VERSION = 20, 9  # of 2023: the first with Gelu
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "gelu": "Gelu"}
MOST_BYTES = 2**31 - 1  # of a file without others beside it


def save_onnx(
    model: Any, path: str | os.PathLike[str], *, lengths: bool = False
) -> None:
    """Write a model as an ONNX file.

    Parameters
    ----------
    model : layer
        A `Sequential`, or one layer, of `Embedding`, `RNN`, `GRU`, `LSTM`, `Linear`,
        `Activation`, `LayerNorm`, `Dropout` and `Last`. It is written as it is in eval
        mode.
    path : path
        The file to write.
    lengths : bool
        Whether the model takes ``lengths`` too. Without them all steps are valid.

    Raises
    ------
    ImportError
        onnx is not installed.
    OSError
        The file cannot be written.
    TypeError
        The type of an argument is wrong.
    ValueError
        There is no operator of ONNX for a layer or an option (``zoneout``,
        ``proj_size``), or the model is larger than the 2 GiB of a file.

    Notes
    -----
    The inputs are ``x``, with the axes that the model takes (tokens are int64), and
    with ``lengths=True`` ``lengths`` int32 ``[N]``, of right padding. The output is
    ``y``. Sizes ``T`` and ``N`` are free. Initial states are zeros. On padding tokens
    have to be valid all the same, and what ``y`` is there is not defined.

    ONNX Runtime runs float32; its recurrent operators know no float64.

    See Also
    --------
    load_onnx : the way back.
    """
    onnx = import_onnx()
    if not isinstance(model, Layer):
        raise TypeError(f"model: expected a layer, got {type(model).__name__}")
    where = check_path("path", path)
    writer = Writer(onnx, model.dtype, check_flag("lengths", lengths))
    content = writer.write(model)
    onnx.checker.check_model(content)
    if content.ByteSize() > MOST_BYTES:
        raise ValueError(
            f"model: expected at most {MOST_BYTES} bytes, got {content.ByteSize()}"
        )
    write_whole(where, content.SerializeToString())


def flatten(name: str, layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield the layers inside a model, by their names."""
    if type(layer) is Sequential:
        for key, child in layer.layers.items():
            yield from flatten(f"{name}.{key}" if name else key, child)
    else:
        yield name or type(layer).__name__.lower(), layer


class Writer:
    """The nodes and arrays of a graph that grows layer by layer."""

    def __init__(self, onnx: Any, dtype: Any, lengths: bool) -> None:
        self.onnx = onnx
        self.dtype = np.dtype(dtype)
        self.lengths = lengths
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.value = "x"
        self.states = ""  # Y_h of the layer just written
        self.directions = 0  # its directions
        self.has_time = True

    def write(self, model: Layer) -> Any:
        """Return the ``ModelProto``."""
        helper = self.onnx.helper
        layers = list(flatten("", model))
        inputs = self.inputs(model, layers[0][1])
        if model.batch_first:
            rank = len(inputs[0].type.tensor_type.shape.dim)
            self.add("Transpose", "x_by_step", perm=[1, 0, 2][:rank])
        for name, layer in layers:
            kind = type(layer)
            if kind not in WRITERS:
                known = ", ".join(k.__name__ for k in WRITERS)
                raise ValueError(f"{name}: expected {known}, got {kind.__name__}")
            WRITERS[kind](self, name, layer)
            if kind not in (RNN, GRU, LSTM, Dropout):
                self.states = ""
        if model.batch_first and self.has_time:
            self.add("Transpose", "y_by_row", perm=[1, 0, 2])
        self.add("Identity", "y")
        axes = ("N", "T") if model.batch_first else ("T", "N")
        shape = [*(axes if self.has_time else ("N",)), model.output_size or "O"]
        y = helper.make_tensor_value_info("y", self.float_type(), shape)
        nodes = used_nodes(self.nodes, ["y"])  # Last may use states only
        used = {name for node in nodes for name in node.input}
        tensors = [
            self.onnx.numpy_helper.from_array(a, name)
            for name, a in self.arrays.items()
            if name in used
        ]
        graph = helper.make_graph(nodes, "fastrnn", inputs, [y], tensors)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="fastrnn",
        )

    def float_type(self) -> int:
        found: int = self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        return found

    def inputs(self, model: Layer, first: Layer) -> list[Any]:
        info, types = self.onnx.helper.make_tensor_value_info, self.onnx.TensorProto
        axes: list[Any] = ["N", "T"] if model.batch_first else ["T", "N"]
        if type(first) is Embedding:
            found = [info("x", types.INT64, axes)]
        else:
            width = model.input_size or "I"
            found = [info("x", self.float_type(), [*axes, width])]
        if self.lengths:
            found.append(info("lengths", types.INT32, ["N"]))
        return found

    def constant(self, name: str, value: Any) -> str:
        self.arrays[name] = np.array(value, order="C")
        return name

    def add(self, operator: str, result: str, *others: str, **attributes: Any) -> None:
        """Add a node that takes the value so far first; its result is the next."""
        node = self.onnx.helper.make_node(
            operator, [self.value, *others], [result], name=result, **attributes
        )
        self.nodes.append(node)
        self.value = result

    # --- layers ----------------------------------------------------------------------

    def recurrent(self, name: str, layer: Any) -> None:
        if layer.zoneout:
            refuse(name, "zoneout", 0, layer.zoneout)
        if layer.proj_size:
            refuse(name, "proj_size", 0, layer.proj_size)
        D, cell = 2 if layer.bidirectional else 1, layer._cell
        shape = self.constant(f"{name}.joined", np.array([0, 0, -1]))
        axis = self.constant(f"{name}.direction", np.array([1]))
        for k in range(layer.num_layers):
            inputs = [self.weights(name, layer, key, k, D) for key in ("ih", "hh")]
            inputs.append(self.biases(name, layer, k, D) if layer.bias else "")
            inputs.append("lengths" if self.lengths else "")
            if cell == "lstm" and layer.peephole:
                inputs += ["", "", self.peepholes(name, layer, k, D)]
            own, result = f"{name}.l{k}", f"{name}.l{k}.y"
            outputs = [f"{own}.directions", f"{own}.states"]
            node = self.onnx.helper.make_node(
                cell.upper(), [self.value, *inputs], outputs, name=own,
                hidden_size=layer.hidden_size,
                direction="bidirectional" if D > 1 else "forward",
                **self.options(layer, cell, D),
            )  # fmt: skip
            self.nodes.append(node)
            self.value, self.states = outputs
            if D > 1:
                self.add("Transpose", f"{own}.side_by_side", perm=[0, 2, 1, 3])
                self.add("Reshape", result, shape)
            else:
                self.add("Squeeze", result, axis)
        self.directions = D

    def options(self, layer: Any, cell: str, D: int) -> dict[str, Any]:
        if cell == "gru":
            return {"linear_before_reset": int(layer.reset == "after")}
        if cell == "rnn":
            return {"activations": [layer.nonlinearity.capitalize()] * D}
        return {"input_forget": 1} if layer.coupled else {}

    def weights(self, name: str, layer: Any, key: str, k: int, D: int) -> str:
        suffixes = ("", "_reverse")[:D]
        arrays = [layer.params[f"weight_{key}_l{k}{s}"] for s in suffixes]
        ordered = np.stack([self.ordered(layer, a) for a in arrays])
        return self.constant(f"{name}.weight_{key}_l{k}", ordered)

    def biases(self, name: str, layer: Any, k: int, D: int) -> str:
        pairs = [
            [self.ordered(layer, layer.params[f"bias_{key}_l{k}{suffix}"])
             for key in ("ih", "hh")]
            for suffix in ("", "_reverse")[:D]
        ]  # fmt: skip
        joined = np.stack([np.concatenate(pair) for pair in pairs])
        return self.constant(f"{name}.bias_l{k}", joined)

    def peepholes(self, name: str, layer: Any, k: int, D: int) -> str:
        suffixes = ("", "_reverse")[:D]
        arrays = [layer.params[f"peephole_l{k}{s}"] for s in suffixes]
        ordered = [a[list(PEEPHOLES)].ravel() for a in arrays]
        return self.constant(f"{name}.peephole_l{k}", ordered)

    def ordered(self, layer: Any, a: Any) -> Any:
        """Return an array with its gates in the order of ONNX."""
        cell = layer._cell
        gates = a.reshape(CELLS[cell].gates, layer.hidden_size, *a.shape[1:])
        return gates[np.argsort(ORDERS[cell])].reshape(a.shape)

    def embedding(self, name: str, layer: Any) -> None:
        table, tokens = self.constant(f"{name}.weight", layer.weight), self.value
        self.value = table
        self.add("Gather", f"{name}.y", tokens)

    def linear(self, name: str, layer: Any) -> None:
        self.add(
            "MatMul", f"{name}.xw", self.constant(f"{name}.weight", layer.weight.T)
        )
        if layer.bias:
            bias = self.constant(f"{name}.bias", layer.params["bias"])
            self.add("Add", f"{name}.y", bias)

    def activation(self, name: str, layer: Any) -> None:
        self.add(ACTIVATIONS[layer.name], f"{name}.y")

    def layer_norm(self, name: str, layer: Any) -> None:
        gain = self.constant(f"{name}.weight", layer.params["weight"])
        shift = self.constant(f"{name}.bias", layer.params["bias"])
        self.add(
            "LayerNormalization", f"{name}.y", gain, shift, axis=-1, epsilon=layer.eps
        )

    def dropout(self, name: str, layer: Any) -> None:
        """In eval mode it does nothing."""

    def last(self, name: str, layer: Any) -> None:
        self.has_time = False
        if self.states and layer.bidirectional == (self.directions == 2):
            self.value = self.states
            if self.directions == 1:
                axis = self.constant(f"{name}.axis", np.array([0]))
                self.add("Squeeze", f"{name}.y", axis)
            else:
                shape = self.constant(f"{name}.joined", np.array([0, -1]))
                self.add("Transpose", f"{name}.side_by_side", perm=[1, 0, 2])
                self.add("Reshape", f"{name}.y", shape)
        elif self.lengths or layer.bidirectional:
            raise ValueError(
                f"{name}: expected Last right behind a recurrent layer, with its "
                f"bidirectional, got another"
            )
        else:
            last = self.constant(f"{name}.step", np.array(-1))
            self.add("Gather", f"{name}.y", last, axis=0)


WRITERS: dict[type[Layer], Any] = {
    Embedding: Writer.embedding,
    RNN: Writer.recurrent,
    GRU: Writer.recurrent,
    LSTM: Writer.recurrent,
    Linear: Writer.linear,
    Activation: Writer.activation,
    LayerNorm: Writer.layer_norm,
    Dropout: Writer.dropout,
    Last: Writer.last,
}
