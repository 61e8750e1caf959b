"""Layers of the recurrent part of an ONNX model.

The part is one chain of nodes. Along it, the axes of the value are known by letters:
T steps, N rows, F numbers of a step, D directions, S states of a last step, and 1 for
an axis of size 1. Transpose, Squeeze and Reshape only move these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._convert.build import (
    assemble,
    check_arrays,
    feedforward,
    recurrent,
    refuse,
)
from fastrnn._convert.onnx_graph import Graph, read_model
from fastrnn._convert.onnx_nodes import (
    attributes_of,
    is_recurrent,
    name_of,
    read_node,
    read_weights,
)
from fastrnn._layers.activation import Activation
from fastrnn._layers.base import Layer
from fastrnn._layers.normalise import LayerNorm
from fastrnn._layers.pooling import Last

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Gelu": "gelu"}
SAME = {"Identity", "Dropout", "Cast"}
GLUE = {
    "Transpose", "Squeeze", "Reshape", "Gather", "Slice", "Concat", "MatMul", "Add",
    "Gemm", "LayerNormalization",
}  # fmt: skip
HANDLED = {*ACTIVATIONS, *SAME, *GLUE}
# What puts rows in order of length, and back, around a node: the lengths go with them.
ROW_ORDER = {"TopK", "ScatterElements"}


class NotHandledError(Exception):
    """A node that does something for which there is no layer. The chain ends there."""


class LayoutError(Exception):
    """A recurrent node gets its axes in another order."""


class Step(NamedTuple):
    """A node of the chain, and the value in it that comes from the node before."""

    node: Any
    value: str
    result: str


def load_onnx(source: Any) -> Any:
    """Make layers of the recurrent part of an ONNX model.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A model with nodes ``RNN``, ``GRU`` or ``LSTM``, one after another, as the
        exporters of PyTorch write them.

    Returns
    -------
    layer
        A layer for one node, else a `Sequential` of layers named by their kind:
        ``embedding``, ``lstm``, ``lstm_1``, ``linear``. Between recurrent nodes, and
        around them, ``Gather`` from a table of vectors becomes an `Embedding`; ``Gemm``
        or ``MatMul`` and ``Add`` become a `Linear`; ``Relu``, ``Tanh``, ``Sigmoid`` and
        ``Gelu`` an `Activation`; ``LayerNormalization`` a `LayerNorm`; the last step of
        a sequence a `Last`. Layers are ``batch_first`` if the part's input is. They are
        in training mode.

    Raises
    ------
    ImportError
        onnx is not installed.
    OSError
        The file cannot be read.
    TypeError
        The type of the argument, or the dtype of a weight, is wrong.
    ValueError
        It is no ONNX model, or one without such nodes; between two of them something is
        computed that is no layer; or a node has an option that layers do not have:
        ``clip``, other activations, the direction ``reverse`` alone, constant lengths,
        or an initial state that is a constant other than 0.

    Notes
    -----
    What comes before and after the part, and is no layer, is left out: a convolution
    before, a softmax behind. Weights are copied. Where the model takes lengths or an
    initial state, give them to the call of the layer.

    See Also
    --------
    save_onnx : the way back.
    fastrnn.onnx.run_node : a single node, with options that layers do not have.
    """
    where, model = read_model(source)
    graph = Graph(where, model)
    nodes = [node for node in graph.nodes if is_recurrent(node)]
    if not nodes:
        raise ValueError(
            f"{where}: expected nodes RNN, GRU or LSTM, got none (where an exporter "
            f"wrote every step by itself, use load_torch or load_keras)"
        )
    steps = find_chain(graph, nodes)
    refused: Exception | None = None
    # The longest chain that can be followed, from one of the two layouts.
    for start in range(1 + [step.node for step in steps].index(nodes[0])):
        for batch_first in (False, True):
            try:
                return Walk(graph, len(nodes), batch_first).read(steps[start:])
            except (LayoutError, NotHandledError) as error:
                refused = error
    raise ValueError(f"{where}: {refused}")


def find_chain(graph: Graph, nodes: list[Any]) -> list[Step]:
    """Return the nodes from the first that is a layer to the last that may be one."""
    before: list[Step] = []
    value = nodes[0].input[0]
    while (node := graph.maker.get(value)) is not None and node.op_type in HANDLED:
        data = data_of(graph, node)
        if data is None or len(before) > len(graph.nodes):
            break
        before.insert(0, Step(node, data, value))
        value = data
    steps, node, value = before, nodes[0], nodes[0].input[0]
    while node is not None and len(steps) <= len(graph.nodes):
        result = result_of(graph, node)
        steps.append(Step(node, value, result))
        value = result
        takers = takers_of(graph, value)
        node = takers[0] if len(takers) == 1 else None
        if node is not None and not is_recurrent(node) and node.op_type not in HANDLED:
            node = None
    missed = [n for n in nodes if not any(step.node is n for step in steps)]
    if missed:
        last = name_of(steps[-1].node)
        raise ValueError(
            f"{graph.where}: expected recurrent nodes one after another, joined by "
            f"layers, got {name_of(missed[0])} that does not follow {last} so"
        )
    return steps


def takers_of(graph: Graph, value: str) -> list[Any]:
    """Return the nodes that compute with a value; its shape alone does not count."""
    return [n for n in graph.takers.get(value, []) if n.op_type != "Shape"]


def data_of(graph: Graph, node: Any) -> str | None:
    """Return the one input that is not constant, None if there are more."""
    names = [n for n in node.input[: 2 if node.op_type != "Gemm" else 3] if n]
    if node.op_type in {"Squeeze", "Reshape", "Slice", "Dropout"}:
        names = names[:1]
    if node.op_type == "Gather" and graph.depends_on(node.input[1], ROW_ORDER):
        return str(node.input[0])
    data = [n for n in names if graph.constant(n) is None]
    return data[0] if len(data) == 1 else None


def result_of(graph: Graph, node: Any) -> str:
    """Return the output of a node that is used: of a recurrent node Y, else Y_h."""
    names = list(node.output)
    if not is_recurrent(node) or len(names) < 2 or not names[1]:
        return str(names[0])
    y_is_used = names[0] and takers_of(graph, names[0])
    y_h_is_used = takers_of(graph, names[1]) or not names[0]
    return str(names[1] if y_h_is_used and not y_is_used else names[0])


class Walk:
    """One way along the chain, from one layout of its input."""

    def __init__(self, graph: Graph, recurrent_nodes: int, batch_first: bool) -> None:
        self.graph = graph
        self.left = recurrent_nodes
        self.batch_first = batch_first
        self.axes: tuple[str, ...] = ()
        self.layers: list[tuple[str, str, Any]] = []  # kind, where, what it is made of
        self.directions = 1  # of the last recurrent node
        self.states = 1  # in the axis S

    def read(self, steps: list[Step]) -> Layer:
        rows = ("N", "T") if self.batch_first else ("T", "N")
        tokens = next((self.is_table(step) for step in steps if self.is_data(step)), 0)
        self.axes = rows if tokens else (*rows, "F")
        for step in steps:
            try:
                self.take(step)
            except NotHandledError:
                if self.left:
                    raise
                break
        return self.build()

    def is_table(self, step: Step) -> bool:
        node = step.node
        return bool(node.op_type == "Gather" and step.value == node.input[1])

    def is_data(self, step: Step) -> bool:
        return step.node.op_type not in {*SAME, "Transpose"}

    def take(self, step: Step) -> None:
        node = step.node
        if is_recurrent(node):
            self.take_recurrent(step)
        elif node.op_type in ACTIVATIONS:
            if attributes_of(node).get("approximate", "none") != "none":
                raise NotHandledError(f"{name_of(node)}: expected the exact Gelu")
            self.layers.append((ACTIVATIONS[node.op_type], name_of(node), None))
        elif node.op_type not in SAME:
            getattr(self, f"take_{node.op_type.lower()}")(step)

    # --- layers ----------------------------------------------------------------------

    def take_recurrent(self, step: Step) -> None:
        node, graph = step.node, self.graph
        options = read_node(node)
        expected = ("N", "T", "F") if options.batch_first else ("T", "N", "F")
        if self.axes != expected:
            raise LayoutError(
                f"{options.where}: expected an input of axes {expected}, "
                f"got {self.axes}"
            )
        if options.reverse == (True,):
            refuse(options.where, "direction", "forward or bidirectional", "reverse")
        inputs = [*node.input, *[""] * 8]
        if inputs[4] and graph.constant(inputs[4]) is not None:
            refuse(options.where, "sequence_lens", "none or an input", "constants")
        for name in inputs[5:7]:
            if name and graph.constant(name) is not None and not graph.is_zero(name):
                refuse(options.where, "initial state", "zeros or an input", "constants")
        W, R, B, P = (self.weight(options.where, inputs, k) for k in (1, 2, 3, 7))
        weights = read_weights(options, W, R, B, P)
        if len(set(options.nonlinearities)) > 1:
            refuse(options.where, "activations", "the same in both directions", "two")
        arrays = {}
        for w, suffix in zip(weights, ("", "_reverse"), strict=False):
            keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "peephole")
            for key, a in zip(keys, w, strict=True):
                if a is not None:
                    arrays[f"{key}_l0{suffix}"] = a
        self.layers.append((options.cell, options.where, (arrays, options)))
        self.left -= 1
        self.directions = self.states = len(weights)
        if step.result == node.output[0]:
            order = "NTDF" if options.batch_first else "TDNF"
        else:
            order = "NSF" if options.batch_first else "SNF"
        self.axes = tuple(order)

    def weight(self, where: str, inputs: list[str], k: int) -> Any:
        if not inputs[k]:
            return None
        found = self.graph.constant(inputs[k])
        if found is None:
            raise ValueError(f"{where}: {inputs[k]}: expected a constant, got another")
        return found

    def take_gather(self, step: Step) -> None:
        node = step.node
        axis = attributes_of(node).get("axis", 0)
        where = name_of(node)
        if self.is_table(step):
            table = self.graph.constant(node.input[0])
            if table is None or table.ndim != 2 or axis != 0 or "F" in self.axes:
                raise NotHandledError(f"{where}: expected a table of vectors")
            self.layers.append(("embedding", where, {"weight": table}))
            self.axes = (*self.axes, "F")
            return
        letter = self.axes[axis]
        if letter == "N" and self.graph.depends_on(node.input[1], ROW_ORDER):
            return
        index = self.graph.constant(node.input[1])
        if index is None or index.ndim or int(index) != -1:
            raise NotHandledError(f"{where}: expected the last step, got others")
        self.take_last(where, axis)

    def take_slice(self, step: Step) -> None:
        node = step.node
        found = [self.graph.constant(name) for name in node.input[1:]]
        where = name_of(node)
        if not 3 <= len(found) <= 4 or any(a is None or a.size != 1 for a in found):
            raise NotHandledError(f"{where}: expected the last step, got others")
        start, end, axis = (int(a[0]) for a in found[:3])
        if start != -1 or end < 2**31 - 1 or (len(found) == 4 and found[3][0] != 1):
            raise NotHandledError(f"{where}: expected the last step, got others")
        axis %= len(self.axes)
        self.take_last(where, axis)
        self.axes = (*self.axes[:axis], "1", *self.axes[axis:])

    def take_last(self, where: str, axis: int) -> None:
        """Take the last of the steps, or the only state of a last step."""
        axis %= len(self.axes)
        letter = self.axes[axis]
        if letter not in ("T", "S") or (letter == "S" and self.directions > 1):
            raise NotHandledError(f"{where}: expected the last step, got another axis")
        self.axes = (*self.axes[:axis], *self.axes[axis + 1 :])
        self.layers.append(("last", where, False))

    def take_concat(self, step: Step) -> None:
        """Take the states of all layers, as PyTorch has them; this layer's are last."""
        node, makers = step.node, [self.graph.maker.get(n) for n in step.node.input]
        states = all(
            maker is not None and is_recurrent(maker) and list(maker.output)[1:2] == [n]
            for maker, n in zip(makers, node.input, strict=True)
        )
        if not states or node.input[-1] != step.value or self.axes[0] != "S":
            raise NotHandledError(f"{name_of(node)}: expected the states of all layers")
        if attributes_of(node)["axis"] != 0:
            raise NotHandledError(f"{name_of(node)}: expected the axis 0")
        self.states = len(node.input) * self.directions

    def take_matmul(self, step: Step) -> None:
        node = step.node
        w = self.graph.constant(node.input[1])
        if step.value != node.input[0] or w is None or w.ndim != 2:
            raise NotHandledError(f"{name_of(node)}: expected a matrix on the right")
        self.take_linear(name_of(node), {"weight": np.ascontiguousarray(w.T)})

    def take_add(self, step: Step) -> None:
        node = step.node
        names = [name for name in node.input if name != step.value]
        b = self.graph.constant(names[0]) if len(names) == 1 else None
        kind, _, arrays = self.layers[-1] if self.layers else ("", "", {})
        if kind != "linear" or "bias" in arrays or b is None or b.ndim != 1:
            raise NotHandledError(f"{name_of(node)}: expected the bias of a MatMul")
        check_arrays(name_of(node), {"bias": b}, {"bias": arrays["weight"].shape[:1]})
        arrays["bias"] = b

    def take_gemm(self, step: Step) -> None:
        node, where = step.node, name_of(step.node)
        given = attributes_of(node)
        w = self.graph.constant(node.input[1])
        scaled = {given.get("alpha", 1.0), given.get("beta", 1.0)} != {1.0}
        if step.value != node.input[0] or w is None or given.get("transA") or scaled:
            raise NotHandledError(f"{where}: expected x W + b")
        arrays = {"weight": w if given.get("transB") else np.ascontiguousarray(w.T)}
        if len(node.input) > 2:
            arrays["bias"] = self.graph.constant(node.input[2])
            if arrays["bias"] is None or arrays["bias"].ndim != 1:
                raise NotHandledError(f"{where}: expected a constant bias")
        self.take_linear(where, arrays)

    def take_linear(self, where: str, arrays: dict[str, Any]) -> None:
        if self.axes[-1:] != ("F",) or {"D", "S", "1"} & set(self.axes):
            raise NotHandledError(f"{where}: expected an input (..., F)")
        self.layers.append(("linear", where, arrays))

    def take_layernormalization(self, step: Step) -> None:
        node, where = step.node, name_of(step.node)
        given = attributes_of(node)
        arrays = [self.graph.constant(name) for name in node.input[1:]]
        on_last = given.get("axis", -1) in (-1, len(self.axes) - 1)
        if len(arrays) != 2 or any(a is None or a.ndim != 1 for a in arrays):
            raise NotHandledError(f"{where}: expected a gain and a shift")
        if not on_last or self.axes[-1] != "F":
            raise NotHandledError(f"{where}: expected the last axis")
        content = dict(zip(("weight", "bias"), arrays, strict=True))
        self.layers.append(("norm", where, (content, given.get("epsilon", 1e-5))))

    # --- axes ------------------------------------------------------------------------

    def take_transpose(self, step: Step) -> None:
        perm = attributes_of(step.node).get("perm", range(len(self.axes))[::-1])
        if sorted(perm) != list(range(len(self.axes))):
            raise NotHandledError(
                f"{name_of(step.node)}: expected an order of axes {self.axes}"
            )
        self.axes = tuple(self.axes[p] for p in perm)

    def take_squeeze(self, step: Step) -> None:
        node, where = step.node, name_of(step.node)
        if len(node.input) > 1:
            found = self.graph.constant(node.input[1])
            axes = None if found is None else found.tolist()
        else:
            axes = attributes_of(node).get("axes")
        if axes is None or len(axes) != 1:
            raise NotHandledError(f"{where}: expected one axis")
        axis = axes[0] % len(self.axes)
        letter = self.axes[axis]
        if letter == "S" and self.states == 1:
            self.take_last(where, axis)
            return
        if letter != "1" and (letter != "D" or self.directions != 1):
            raise NotHandledError(f"{where}: expected an axis of size 1, got {letter}")
        self.axes = (*self.axes[:axis], *self.axes[axis + 1 :])

    def take_reshape(self, step: Step) -> None:
        """Only the joining of the directions' outputs is known."""
        rank, joined = self.rank(step.node.input[1]), self.axes[-2:]
        if rank != len(self.axes) - 1 or joined not in (("D", "F"), ("S", "F")):
            raise NotHandledError(
                f"{name_of(step.node)}: expected directions to be joined, got axes "
                f"{self.axes} as {rank}"
            )
        if joined == ("S", "F") and self.states != self.directions:
            raise NotHandledError(f"{name_of(step.node)}: expected states of one layer")
        if joined == ("S", "F"):
            self.layers.append(("last", name_of(step.node), self.directions > 1))
        self.axes = (*self.axes[:-2], "F")

    def rank(self, shape: str) -> int | None:
        found = self.graph.constant(shape)
        if found is not None:
            return int(found.size)
        node = self.graph.maker.get(shape)
        return (
            len(node.input) if node is not None and node.op_type == "Concat" else None
        )

    # --- the model -------------------------------------------------------------------

    def build(self) -> Layer:
        named: list[tuple[str, Layer]] = []
        counts: dict[str, int] = {}
        for kind, where, content in self.layers:
            k = counts[kind] = counts.get(kind, 0) + 1
            layer = self.make(kind, where, content)
            named.append((kind if k == 1 else f"{kind}_{k - 1}", layer))
        return assemble(named if len(named) > 1 else [("", named[0][1])])

    def make(self, kind: str, where: str, content: Any) -> Layer:
        if content is None:
            return Activation(kind)
        if kind == "last":
            return Last(bidirectional=content)
        if kind in ("linear", "embedding"):
            return feedforward(where, content, embedding=kind == "embedding")
        arrays, options = content
        if kind == "norm":
            norm = LayerNorm(
                len(arrays["weight"]), eps=options, dtype=arrays["weight"].dtype
            )
            norm.load_state_dict(arrays)
            return norm
        own = {"peephole": True} if "peephole_l0" in arrays else {}
        return recurrent(
            where,
            arrays,
            nonlinearity=options.nonlinearities[0],
            **options.variant,
            **own,
            batch_first=self.batch_first,
            seed=0,
        )
