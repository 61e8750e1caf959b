"""The graph of an ONNX model: its constants, and which node makes and takes a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastrnn._convert.files.whole import check_path, check_readable
from fastrnn._convert.onnx_nodes import attributes_of, name_of
from fastrnn._gate.arguments import shown

# Operators whose results are constant if their inputs are. Exporters leave them around
# weights that they did not fold.
FOLDED = {
    "Cast", "Concat", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip
# The same for values of zeros, whose sizes may depend on the input.
KEEP_ZEROS = FOLDED | {"Expand", "Gather", "Tile"}
MOST_DEPTH = 50  # of nodes around a constant


def import_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ModuleNotFoundError(
            "load_onnx and save_onnx need onnx: pip install 'fastrnn[onnx]'",
            name="onnx",
        ) from None
    return onnx


def read_model(source: Any) -> tuple[str, Any]:
    """Return what begins messages, and a ``ModelProto``."""
    onnx = import_onnx()
    if isinstance(source, onnx.ModelProto):
        return "source", source
    try:
        where = check_path("source", source)
    except TypeError:
        kind = type(source).__name__
        raise TypeError(
            f"source: expected a path or an onnx.ModelProto, got {kind}"
        ) from None
    check_readable(where)
    try:
        return where, onnx.load(where)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of protobuf, and of what onnx checks
        raise ValueError(f"{where}: expected an ONNX model, got {error}") from None


def check_nodes(where: str, model: Any, nodes: list[Any]) -> None:
    """Refuse nodes that have not the inputs and attributes of their operator.

    The whole model is not checked: many lack what is needed nowhere here, such as the
    shape of an output.
    """
    checker = import_onnx().checker
    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    for node in nodes:
        if node.domain or any(a.HasField("g") or a.graphs for a in node.attribute):
            continue
        try:
            checker.check_node(node, context)
        except checker.ValidationError as error:
            text = shown(str(error).strip())
            raise ValueError(
                f"{where}: {name_of(node)}: expected a valid node, got {text}"
            ) from None


def used_nodes(nodes: list[Any], outputs: Iterable[str]) -> list[Any]:
    """Return the nodes that the outputs depend on, in order."""
    maker = {name: node for node in nodes for name in node.output if name}
    used: dict[int, Any] = {}
    waiting = [maker[name] for name in outputs if name in maker]
    while waiting:
        node = waiting.pop()
        if id(node) not in used:
            used[id(node)] = node
            waiting += [maker[name] for name in node.input if name in maker]
    return [node for node in nodes if id(node) in used]


class Graph:
    """A model's graph, by names of values."""

    def __init__(self, where: str, model: Any) -> None:
        self._onnx = import_onnx()
        self.where = where
        outputs = [output.name for output in model.graph.output]
        self.nodes = used_nodes(list(model.graph.node), outputs)
        check_nodes(where, model, self.nodes)
        self.tensors = {t.name: t for t in model.graph.initializer}
        self.inputs = {i.name for i in model.graph.input} - self.tensors.keys()
        self.maker: dict[str, Any] = {}
        self.takers: dict[str, list[Any]] = {}
        for node in self.nodes:
            self.maker |= {name: node for name in node.output if name}
            for name in dict.fromkeys(node.input):
                self.takers.setdefault(name, []).append(node)
        self._folded: dict[str, Any] = {}
        self._zeros: dict[str, bool] = {}

    def constant(self, name: str, depth: int = 0) -> Any:
        """Return the array of a value that does not depend on the input, or None."""
        if name not in self._folded:
            self._folded[name] = self._find_constant(name, depth)
        return self._folded[name]

    def _find_constant(self, name: str, depth: int) -> Any:
        to_array = self._onnx.numpy_helper.to_array
        if name in self.tensors:
            return to_array(self.tensors[name])
        node = self.maker.get(name)
        if node is None or depth > MOST_DEPTH:
            return None
        if node.op_type == "Constant":
            for key, value in attributes_of(node).items():
                return to_array(value) if key == "value" else np.array(value)
        if node.op_type not in FOLDED:
            return None
        inputs = {n: self.constant(n, depth + 1) for n in node.input if n}
        if any(a is None for a in inputs.values()):
            return None
        return self._compute(node, inputs)[list(node.output).index(name)]

    def _compute(self, node: Any, inputs: dict[str, Any]) -> Any:
        from onnx.reference import ReferenceEvaluator

        helper = self._onnx.helper
        graph = helper.make_graph(
            [node],
            "constant",
            [helper.make_value_info(n, helper.make_tensor_type_proto(
                helper.np_dtype_to_tensor_dtype(a.dtype), a.shape
            )) for n, a in inputs.items()],
            [helper.make_value_info(n, self._onnx.TypeProto()) for n in node.output],
        )  # fmt: skip
        try:
            return ReferenceEvaluator(helper.make_model(graph)).run(None, inputs)
        except Exception as error:
            raise ValueError(
                f"{self.where}: {name_of(node)}: expected a node that can be "
                f"evaluated, got {type(error).__name__}: {error}"
            ) from None

    def is_zero(self, name: str, depth: int = 0) -> bool:
        """Whether a value is zeros, of whatever shape."""
        if name not in self._zeros:
            self._zeros[name] = self._find_zero(name, depth)
        return self._zeros[name]

    def _find_zero(self, name: str, depth: int) -> bool:
        a = self.constant(name)
        if a is not None:
            return not a.any()
        node = self.maker.get(name)
        if node is None or depth > MOST_DEPTH:
            return False
        if node.op_type == "ConstantOfShape":
            value = attributes_of(node).get("value")
            return value is None or not self._onnx.numpy_helper.to_array(value).any()
        if node.op_type == "Concat":
            return all(self.is_zero(n, depth + 1) for n in node.input)
        return node.op_type in KEEP_ZEROS and self.is_zero(node.input[0], depth + 1)

    def depends_on(self, name: str, operators: set[str]) -> bool:
        """Whether a value is made by one of these operators, perhaps cast."""
        node = self.maker.get(name)
        for _ in range(MOST_DEPTH):
            if node is None or node.op_type not in {"Cast", "Identity"}:
                break
            node = self.maker.get(node.input[0])
        return node is not None and node.op_type in operators
