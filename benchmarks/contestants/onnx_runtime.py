"""ONNX Runtime: one LSTM, GRU or RNN node; inference only.

The session is built once: its weights are constants, packed when it loads. This is the
cost of a deployed model, so it is what is timed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..workloads import Array, Inputs, Workload
from .base import Results, Run, SkippedError

# The position of ONNX's gates in PyTorch's order: LSTM i o f g from i f g o, GRU z r n
# from r z n.
GATE_ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}


def version() -> str:
    try:
        import onnx  # noqa: F401 - builds the model
        import onnxruntime
    except ImportError as error:
        raise SkippedError(f"onnxruntime: {error}") from error
    return str(onnxruntime.__version__)


def _reorder(workload: Workload, rows: Array) -> Array:
    """Gate blocks ``[G·H, …]`` in ONNX's order, ONNX's axis of directions in front."""
    blocks = rows.reshape(workload.G, workload.H, -1)[GATE_ORDER[workload.cell]]
    return blocks.reshape(1, *rows.shape)


def build_model(workload: Workload, inputs: Inputs) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    w = workload
    bias = [_reorder(w, inputs.b_ih), _reorder(w, inputs.b_hh)]
    constants = {
        "W": _reorder(w, inputs.w_ih),
        "R": _reorder(w, inputs.w_hh),
        "B": np.concatenate(bias, axis=1),
    }
    states = ["h", "c"] if w.cell == "lstm" else ["h"]
    options: dict[str, Any] = {"hidden_size": w.H}
    options |= {"linear_before_reset": 1} if w.cell == "gru" else {}
    node = helper.make_node(
        w.cell.upper(),
        ["x", "W", "R", "B", "", *(f"{s}0" for s in states)],
        ["y", *(f"{s}_n" for s in states)],
        **options,
    )

    def info(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        w.cell,
        [info("x", w.T, w.N, w.I), *(info(f"{s}0", 1, w.N, w.H) for s in states)],
        [info("y", w.T, 1, w.N, w.H), *(info(f"{s}_n", 1, w.N, w.H) for s in states)],
        [
            numpy_helper.from_array(np.ascontiguousarray(a), n)
            for n, a in constants.items()
        ],
    )
    opset = [helper.make_opsetid("", 14)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(model.SerializeToString())


def prepare(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    version()
    if mode == "training":
        raise SkippedError("onnxruntime: inference only")
    if workload.dtype != "float32":
        raise SkippedError(
            f"onnxruntime: no {workload.dtype} kernel for recurrent nodes"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        build_model(workload, inputs), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"x": inputs.x, "h0": inputs.h0[None]}
    feeds |= {"c0": inputs.c0[None]} if workload.cell == "lstm" else {}

    def to_numpy(raw: Any) -> Results:
        y, *state_n = raw
        names = ("h_n", "c_n")[: len(state_n)]
        states = {n: s[0] for n, s in zip(names, state_n, strict=True)}
        return {"y": y[:, 0], **states}

    return Run(lambda: session.run(None, feeds), to_numpy)
