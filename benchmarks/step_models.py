"""Whole models one step at a time: ``python -m benchmarks.step_models``.

A language model (embedding, LSTM, head) with one row and one thread:

- a step with logits, from Python, against a step of its recurrent layer alone plus the
  time of reading the head's weights at the speed of the cache that holds the model;
- the same against ONNX Runtime, with a graph of Gather, LSTM and MatMul;
- characters a second of `fastrnn.text.generate`, against calls of the model with one
  token each and ids that are drawn by sorting, which is how it was done before.

Everything takes turns within a round. The answers are compared before they are timed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn

from .arena import make_parser
from .bandwidth import Memory
from .machine import describe_machine
from .report import layout
from .timing import alternate, calibrate

MODELS = ((128, 100), (256, 100), (256, 5000))  # H, V
GENERATED = 400  # ids at a time
SAMPLE_SECONDS = 0.02
ROUNDS = 15


def make_model(H: int, V: int) -> fastrnn.Sequential:
    return fastrnn.Sequential(
        embedding=fastrnn.Embedding(V, H, seed=0),
        rnn=fastrnn.LSTM(H, H, seed=1),
        head=fastrnn.Linear(H, V, seed=2),
    ).eval()


def repeated(call: Callable[[], Any]) -> Callable[[], float]:
    """Return what measures seconds per call."""

    def time_calls(repeats: int, warm_up: bool) -> float:
        if warm_up:
            call()
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    return calibrate(time_calls, SAMPLE_SECONDS)


def make_session(model: fastrnn.Sequential) -> Any:
    """Return an ONNX Runtime session: tokens [1, 1], h, c -> logits, h, c."""
    import onnxruntime
    from onnx import TensorProto, checker, helper, numpy_helper

    p = model.params
    H, V = p["rnn.weight_hh_l0"].shape[1], len(p["embedding.weight"])

    def gates(a: Any) -> Any:  # ONNX has the order i, o, f, c
        i, f, g, o = np.split(a, 4)
        return np.concatenate([i, o, f, g])[np.newaxis]

    biases = (gates(p[f"rnn.bias_{k}_l0"]) for k in ("ih", "hh"))
    constants = {
        "E": p["embedding.weight"],
        "W": gates(p["rnn.weight_ih_l0"]),
        "R": gates(p["rnn.weight_hh_l0"]),
        "B": np.concatenate([*biases], axis=1),
        "O": np.ascontiguousarray(p["head.weight"].T),
        "b": p["head.bias"],
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["E", "x"], ["e"]),
        helper.make_node(
            "LSTM", ["e", "W", "R", "B", "", "h", "c"], ["y", "h1", "c1"], hidden_size=H
        ),
        helper.make_node("Squeeze", ["y", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "O"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["logits"]),
    ]

    def value(name: str, *shape: int) -> Any:
        kind = TensorProto.INT64 if name == "x" else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes, "model",
        [value("x", 1, 1), value("h", 1, 1, H), value("c", 1, 1, H)],
        [value("logits", 1, 1, V), value("h1", 1, 1, H), value("c1", 1, 1, H)],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8)
    checker.check_model(made)
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        made.SerializeToString(), how, providers=["CPUExecutionProvider"]
    )


class OnnxRuntime:
    """A model that ONNX Runtime steps through."""

    def __init__(self, model: fastrnn.Sequential) -> None:
        self._session = make_session(model)
        H = model.params["rnn.weight_hh_l0"].shape[1]
        self._state = [np.zeros((1, 1, H), np.float32)] * 2

    def step(self, token: int) -> Any:
        h, c = self._state
        feed = {"x": np.array([[token]]), "h": h, "c": c}
        logits, *self._state = self._session.run(None, feed)
        return logits[0, 0]


def generate_by_calls(model: fastrnn.Sequential) -> list[int]:
    rng, state, ids = np.random.default_rng(0), None, [1]
    for _ in range(GENERATED):
        logits, state = model(np.array([ids[-1:]]), state)
        order = np.argsort(-logits[-1, 0], kind="stable")
        scores = logits[-1, 0][order].astype(np.float64)
        p = np.exp(scores - scores[0])
        edges = np.cumsum(p / p.sum())
        drawn = rng.random() * edges[-1]
        ids.append(int(order[np.searchsorted(edges[:-1], drawn, side="right")]))
    return ids[1:]


def contestants(model: fastrnn.Sequential) -> dict[str, Callable[[], Any]]:
    """Return what takes turns, after a look at its answers."""
    stepper = fastrnn.Stepper(model)
    rnn: Any = model.layers["rnn"]
    layer = fastrnn.Stepper(rnn)
    x = np.random.default_rng(0).standard_normal(rnn.input_size).astype(np.float32)

    def generate() -> list[int]:
        return list(fastrnn.text.generate(model, [1], GENERATED, seed=0))

    assert generate() == generate_by_calls(model)
    found: dict[str, Callable[[], Any]] = {
        "model": lambda: stepper.step(1),
        "layer": lambda: layer.step(x),
        "generate": generate,
        "calls": lambda: generate_by_calls(model),
    }
    try:
        peer = OnnxRuntime(model)
    except ImportError as error:
        print(f"without ONNX Runtime: {error}")
        return found
    for token in (1, 2, 3):
        np.testing.assert_allclose(peer.step(token), stepper.step(token), atol=1e-5)
    return found | {"onnxruntime": lambda: peer.step(1)}


def compare(H: int, V: int, rounds: int) -> dict[str, Any]:
    """One row: seconds a step, and the ratios of the targets."""
    model = make_model(H, V)
    memory = Memory(model.flat_params.nbytes)
    turns: dict[str, Callable[[], float]] = {
        name: repeated(call) for name, call in contestants(model).items()
    }
    head = model.layers["head"].flat_params.nbytes
    turns["head"] = lambda: head / memory.read(1)
    samples = alternate(turns, rounds)
    memory.free()

    def median(over: Callable[[int], float]) -> float:
        return statistics.median(over(i) for i in range(rounds))

    ratios = {
        "model ÷ (layer + head)": median(
            lambda i: samples["model"][i] / (samples["layer"][i] + samples["head"][i])
        ),
        "calls ÷ generate": median(
            lambda i: samples["calls"][i] / samples["generate"][i]
        ),
    }
    if "onnxruntime" in samples:
        ratios["ONNX Runtime ÷ model"] = median(
            lambda i: samples["onnxruntime"][i] / samples["model"][i]
        )
    seconds = {name: statistics.median(times) for name, times in samples.items()}
    for name in ("generate", "calls"):
        seconds[name] /= GENERATED
    return {"name": f"H={H} V={V}", "seconds": seconds, "ratios": ratios}


def main(argv: list[str] | None = None) -> None:
    options = make_parser("step_models", __doc__).parse_args(argv)
    fastrnn.set_num_threads(1)
    chosen = MODELS[:1] if options.quick else MODELS
    rows = [compare(H, V, 3 if options.quick else ROUNDS) for H, V in chosen]
    report = {
        "kind": "step_models",
        "machine": describe_machine(["fastrnn", "onnxruntime"]),
        "rows": rows,
    }
    names, ratios = list(rows[0]["seconds"]), list(rows[0]["ratios"])
    body = [
        [row["name"], *(f"{1e6 * row['seconds'][name]:.2f}" for name in names),
         *(f"{row['ratios'][name]:.2f}" for name in ratios)]
        for row in rows
    ]  # fmt: skip
    print(layout((["µs a step", *names, *ratios], body), markdown=options.markdown))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
