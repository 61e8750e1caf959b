"""`fastrnn.onnx.run_node`: the standard's own cases, and ONNX Runtime."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from fastrnn._convert.onnx_nodes import ACTIVATIONS, ORDERS, PEEPHOLES  # noqa: E402
from fastrnn.onnx import run_node  # noqa: E402
from tests.errors import raises  # noqa: E402

T, N, I, H = 5, 3, 4, 6  # noqa: E741
CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}
CASES = {
    "RNN": ("simple_rnn_defaults", "simple_rnn_with_initial_bias", "rnn_seq_length"),
    "GRU": ("gru_defaults", "gru_with_initial_bias", "gru_seq_length"),
    "LSTM": ("lstm_defaults", "lstm_with_initial_bias", "lstm_with_peepholes"),
}
MORE = ("batchwise", "reverse", "bidirectional")
NAMES = [
    *(f"test_{name}" for names in CASES.values() for name in names),
    *(f"test_{c}_{more}" for c in ("simple_rnn", "gru", "lstm") for more in MORE),
]


@cache
def cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():  # of the other operators' cases
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return {
        case.name: case
        for case in found
        if case.model is not None and case.model.graph.node[0].op_type in CELLS
    }


def test_all_cases_are_known() -> None:
    assert set(NAMES) <= set(cases())
    others = set(cases()) - set(NAMES)
    assert all(len(cases()[name].model.graph.node) > 1 for name in others)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_of_the_standard(name: str) -> None:
    case = cases()[name]
    (node,) = case.model.graph.node
    for inputs, outputs in case.data_sets:
        found = run_node(node, *inputs)
        assert len(found) == len(outputs)
        for got, expected in zip(found, outputs, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def make_node(cell: str, names: Any = None, **attributes: Any) -> Any:
    names = names or ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    if cell == "LSTM" and len(names) == 6:
        names = [*names, "initial_c", "P"]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if cell == "LSTM" else 2]
    attributes.setdefault("hidden_size", H)
    return onnx.helper.make_node(cell, names, outputs, **attributes)


def draw(cell: str, D: int, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(0)
    GH = CELLS[cell] * H
    shapes = [(T, N, I), (D, GH, I), (D, GH, H), (D, 2 * GH)]
    states = [(D, N, H)] * (2 if cell == "LSTM" else 1)
    if cell == "LSTM":
        states.append((D, 3 * H))  # P
    found = [rng.standard_normal(shape).astype(dtype) / 2 for shape in shapes]
    lengths = np.array([T, 1, 3], np.int32)
    return [*found, lengths, *(rng.standard_normal(s).astype(dtype) for s in states)]


def by_runtime(node: Any, inputs: list[Any]) -> list[Any]:
    runtime = pytest.importorskip("onnxruntime")
    helper = onnx.helper

    def info(name: str, a: Any = None) -> Any:
        dtype = np.dtype(np.float32) if a is None else a.dtype
        shape = None if a is None else a.shape
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        return helper.make_tensor_value_info(name, kind, shape)

    names = [name for name in node.input if name]
    graph = helper.make_graph(
        [node],
        "node",
        [info(name, a) for name, a in zip(names, inputs, strict=True)],
        [info(name) for name in node.output],
    )
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString())
    found: list[Any] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


VARIANTS: dict[str, tuple[str, dict[str, int]]] = {
    "RNN": ("RNN", {}),
    "GRU-after": ("GRU", {"linear_before_reset": 1}),
    "GRU-before": ("GRU", {"linear_before_reset": 0}),
    "LSTM": ("LSTM", {}),
    "LSTM-coupled": ("LSTM", {"input_forget": 1}),
    "LSTM-peephole": ("LSTM", {}),
    "LSTM-coupled-peephole": ("LSTM", {"input_forget": 1}),
}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_onnx_runtime_agrees(variant: str, direction: str) -> None:
    cell, options = VARIANTS[variant]
    D = 2 if direction == "bidirectional" else 1
    node, inputs = make_node(cell, direction=direction, **options), draw(cell, D)
    if cell == "LSTM" and "peephole" not in variant:
        inputs.pop()
        node.input.pop()
    for got, expected in zip(
        run_node(node, *inputs), by_runtime(node, inputs), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def lstm_by_the_standard(
    inputs: list[Any], d: int, reverse: bool, coupled: bool
) -> tuple[Any, Any, Any]:
    """Return Y, Y_h and Y_c of a direction from the standard's equations.

    ``it = f(Xt*(Wi^T) + Ht-1*(Ri^T) + Pi (.) Ct-1 + Wbi + Rbi)`` and so on.
    """
    x, W, R, B, lengths, h0, c0, P = inputs
    W, R, B, P = W[d], R[d], B[d, : 4 * H] + B[d, 4 * H :], P[d]
    y, h, c = np.zeros((T, N, H), x.dtype), h0[d].copy(), c0[d].copy()
    p_i, p_o, p_f = np.split(P, 3)
    for n in range(N):
        steps = range(lengths[n])
        for t in reversed(steps) if reverse else steps:
            z_i, z_o, z_f, z_c = np.split(W @ x[t, n] + R @ h[n] + B, 4)
            i = sigmoid(z_i + p_i * c[n])
            f = 1 - i if coupled else sigmoid(z_f + p_f * c[n])
            c[n] = f * c[n] + i * np.tanh(z_c)
            o = sigmoid(z_o + p_o * c[n])
            y[t, n] = h[n] = o * np.tanh(c[n])
    return y, h, c


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("coupled", [0, 1])
def test_peepholes_and_input_forget(coupled: int, direction: str) -> None:
    reverse = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
    inputs = draw("LSTM", len(reverse), np.float64)
    node = make_node("LSTM", direction=direction, input_forget=coupled)
    each = [
        lstm_by_the_standard(inputs, d, back, bool(coupled))
        for d, back in enumerate(reverse)
    ]
    y, h, c = zip(*each, strict=True)
    expected = np.stack(y, axis=1), np.stack(h), np.stack(c)
    for got, want in zip(run_node(node, *inputs), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_coupled_gates_do_not_read_those_of_f() -> None:
    node, inputs = make_node("LSTM", input_forget=1), draw("LSTM", 1)
    expected = run_node(node, *inputs)
    for k in (1, 2):
        inputs[k][:, 2 * H : 3 * H] = 7
    inputs[-1][:, 2 * H :] = 7
    for got, want in zip(run_node(node, *inputs), expected, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Elu"])
def test_activations_of_an_rnn(activation: str) -> None:
    node = make_node("RNN", activations=[activation, "Tanh"], direction="bidirectional")
    inputs = draw("RNN", 2)
    for got, expected in zip(
        run_node(node, *inputs), by_runtime(node, inputs), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_layouts_hold_the_same_numbers(cell: str) -> None:
    inputs = draw(cell, 2, np.float64)
    by_time = run_node(make_node(cell, direction="bidirectional"), *inputs)
    turned = [a.swapaxes(0, 1) if k in (0, 5, 6) else a for k, a in enumerate(inputs)]
    node = make_node(cell, direction="bidirectional", layout=1)
    y, *finals = run_node(node, *turned)
    assert np.array_equal(y.transpose(1, 2, 0, 3), by_time[0])
    for got, expected in zip(finals, by_time[1:], strict=True):
        assert np.array_equal(got.swapaxes(0, 1), expected)


def test_only_the_outputs_that_have_names() -> None:
    node = onnx.helper.make_node("LSTM", ["X", "W", "R"], ["", "", "c"], hidden_size=H)
    inputs = draw("LSTM", 1)[:3]
    (c,) = run_node(node, *inputs)
    whole = onnx.helper.make_node("LSTM", ["X", "W", "R"], ["y", "h", "c"])
    assert np.array_equal(c, run_node(whole, *inputs)[2])


def test_orders_of_gates() -> None:
    """From the names of the standard to ours."""
    assert ["iofc"[k] for k in ORDERS["lstm"]] == list("ifco")
    assert ["zrh"[k] for k in ORDERS["gru"]] == list("rzh")
    assert ["iof"[k] for k in PEEPHOLES] == list("ifo")
    assert ["ifo"[k] for k in PEEPHOLES] == list("iof")
    assert {cell: len(names) for cell, names in ACTIVATIONS.items()} == {
        "rnn": 1, "gru": 2, "lstm": 3,
    }  # fmt: skip


def refuse(message: str, cell: str, **attributes: Any) -> None:
    with raises(ValueError, message):
        run_node(make_node(cell, **attributes), *draw(cell, 1))


def test_what_there_is_no_kernel_for() -> None:
    refuse("LSTM: clip: expected 'none', got 1.0", "LSTM", clip=1.0)
    refuse(
        "GRU: activations: expected ('sigmoid', 'tanh'), got ['tanh', 'tanh']",
        "GRU",
        activations=["Tanh", "Tanh"],
    )
    refuse(
        "RNN: activations: expected ('tanh', 'relu', 'elu'), got 'affine'",
        "RNN",
        activations=["Affine"],
    )
    refuse(
        "RNN: activation_alpha: expected 1.0, got [0.5]",
        "RNN",
        activations=["Elu"],
        activation_alpha=[0.5],
    )
    refuse(
        "LSTM: activations: expected 3 names, got 1", "LSTM", activations=["Sigmoid"]
    )
    refuse("RNN: layout: expected (0, 1), got 2", "RNN", layout=2)
    node, inputs = make_node("LSTM"), draw("LSTM", 1)
    with raises(ValueError, "LSTM: P: expected shape (D, 3*H) = (1, 18), got (1, 24)"):
        run_node(node, *inputs[:-1], np.zeros((1, 4 * H), np.float32))


def test_bad_inputs() -> None:
    node, inputs = make_node("GRU"), draw("GRU", 1)

    def refuse(error: type[Exception], message: str, k: int, a: Any) -> None:
        with raises(error, message):
            run_node(node, *inputs[:k], a, *inputs[k + 1 :])

    refuse(
        ValueError,
        "GRU: W: expected shape (D, G*H, I) = (1, 18, 4), got (2, 18, 4)",
        1,
        np.zeros((2, 18, 4), np.float32),
    )
    refuse(
        TypeError,
        "GRU: B: expected dtype float32 (that of W), got float64",
        3,
        inputs[3].astype(np.float64),
    )
    refuse(
        ValueError,
        "GRU: sequence_lens: length 6 at [n=1] is out of range 0 <= length <= T = 5",
        4,
        np.array([5, 6, 0], np.int32),
    )
    refuse(
        ValueError,
        "GRU: initial_h: expected shape (D, N, H) = (1, 3, 6), got (1, 3, 5)",
        5,
        np.zeros((1, 3, 5), np.float32),
    )
    with raises(
        TypeError,
        "inputs: expected 6 (X, W, R, B, sequence_lens, initial_h), got 5",
    ):
        run_node(node, *inputs[:-1])
    with raises(ValueError, "node: expected an operator RNN, GRU, LSTM, got Add"):
        run_node(onnx.helper.make_node("Add", ["a", "b"], ["c"]), 1, 2)
    with raises(TypeError, "node: expected an onnx.NodeProto, got str"):
        run_node("LSTM")
