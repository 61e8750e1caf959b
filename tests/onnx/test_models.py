"""`load_onnx` of exported models, and `save_onnx`, which ONNX Runtime runs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import fastrnn  # noqa: E402
from tests.comparing import assert_same_bits  # noqa: E402
from tests.errors import raises  # noqa: E402

T, N, I, H, V, O = 6, 3, 4, 5, 11, 7  # noqa: E741
CELLS = ("RNN", "GRU", "LSTM")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{cell: (cell, {}) for cell in CELLS},
    "GRU-before": ("GRU", {"reset": "before"}),
    "LSTM-peephole": ("LSTM", {"peephole": True}),
    "LSTM-coupled": ("LSTM", {"coupled": True}),
    "LSTM-coupled-peephole": ("LSTM", {"coupled": True, "peephole": True}),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_cell = pytest.mark.parametrize("cell", CELLS)
both_layouts = pytest.mark.parametrize("batch_first", [False, True], ids=["T-N", "N-T"])
both_directions = pytest.mark.parametrize("both", [False, True], ids=["one", "both"])


def rng() -> Any:
    return np.random.default_rng(0)


def input_of(layer: Any) -> Any:
    """Return tokens, or numbers, in a model's layout."""
    rows = (N, T) if layer.batch_first else (T, N)
    if layer.input_size is None:
        return rng().integers(0, V, rows)
    return rng().standard_normal((*rows, layer.input_size)).astype(np.float32)


def outputs(layer: Any, x: Any, **options: Any) -> Any:
    found = layer.eval()(x, **options)
    return found[0] if isinstance(found, tuple) else found


# --- save_onnx -----------------------------------------------------------------------


def run_file(path: Path, x: Any, lengths: Any = None) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path)
    feed = {"x": x}
    if lengths is not None:
        feed["lengths"] = np.array(lengths, np.int32)
    return session.run(None, feed)[0]


def model_of(variant: str, both: bool, batch_first: bool, kind: str) -> Any:
    cell, own = VARIANTS[variant]
    layer = getattr(fastrnn, cell)
    width = H * (1 + both)
    options: dict[str, Any] = {"bidirectional": both, "batch_first": batch_first, **own}
    if kind == "layer":
        return layer(I, H, 2, **options, seed=0)
    if kind == "tokens":
        return fastrnn.Sequential(
            embedding=fastrnn.Embedding(V, I, seed=0),
            rnn=layer(I, H, 2, dropout=0.5, **options, seed=1),
            drop=fastrnn.Dropout(0.5, seed=0),
            norm=fastrnn.LayerNorm(width),
            head=fastrnn.Linear(width, O, seed=2),
            act=fastrnn.Activation("gelu"),
        )
    return fastrnn.Sequential(
        fastrnn.Linear(3, I, seed=0),
        layer(I, H, bias=False, **options, seed=1),
        fastrnn.Last(bidirectional=both),
        fastrnn.Linear(width, O, bias=False, seed=2),
        fastrnn.Activation("tanh"),
    )


@every_variant
@both_directions
@both_layouts
@pytest.mark.parametrize("kind", ["layer", "tokens", "last"])
def test_onnx_runtime_runs_what_is_saved(
    variant: str, both: bool, batch_first: bool, kind: str, tmp_path: Path
) -> None:
    model = model_of(variant, both, batch_first, kind)
    x, path = input_of(model), tmp_path / "a.onnx"
    lengths = [T, 0, 2]
    valid = np.arange(T)[:, None] < np.array(lengths)
    fastrnn.save_onnx(model, path)
    np.testing.assert_allclose(run_file(path, x), outputs(model, x), atol=1e-5)
    fastrnn.save_onnx(model, path, lengths=True)
    got, expected = run_file(path, x, lengths), outputs(model, x, lengths=lengths)
    if kind == "tokens":
        valid = valid.T if batch_first else valid
        got, expected = got[valid], expected[valid]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@every_variant
@both_directions
@both_layouts
@pytest.mark.parametrize("kind", ["layer", "tokens", "last"])
def test_what_is_saved_comes_back(
    variant: str, both: bool, batch_first: bool, kind: str, tmp_path: Path
) -> None:
    model = model_of(variant, both, batch_first, kind)
    path = tmp_path / "a.onnx"
    fastrnn.save_onnx(model, path, lengths=True)
    found = fastrnn.load_onnx(path)
    x = input_of(model)
    assert found.batch_first == batch_first
    assert_same_bits(outputs(found, x), outputs(model, x))
    lengths = [T, 0, 2]
    assert_same_bits(
        outputs(found, x, lengths=lengths), outputs(model, x, lengths=lengths)
    )


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "elu"])
@both_directions
def test_nonlinearities(nonlinearity: str, both: bool, tmp_path: Path) -> None:
    layer = fastrnn.RNN(I, H, nonlinearity=nonlinearity, bidirectional=both, seed=0)
    x, path = input_of(layer), tmp_path / "a.onnx"
    fastrnn.save_onnx(layer, path)
    np.testing.assert_allclose(run_file(path, x), outputs(layer, x), atol=1e-5)
    found = fastrnn.load_onnx(path)
    assert found.nonlinearity == nonlinearity
    assert_same_bits(outputs(found, x), outputs(layer, x))


@every_variant
def test_options_and_parameters_come_back(variant: str, tmp_path: Path) -> None:
    cell, options = VARIANTS[variant]
    layer = getattr(fastrnn, cell)(I, H, bidirectional=True, **options, seed=0)
    fastrnn.save_onnx(layer, tmp_path / "a.onnx")
    found = fastrnn.load_onnx(tmp_path / "a.onnx")
    assert repr(found) == repr(layer)
    assert list(found.params) == list(layer.params)
    for name, a in layer.params.items():
        assert_same_bits(found.params[name], a)


@pytest.mark.parametrize(
    "variant", ["GRU-before", "LSTM-peephole", "LSTM-coupled-peephole"]
)
def test_onnx_runtime_at_other_sizes(variant: str, tmp_path: Path) -> None:
    cell, options = VARIANTS[variant]
    path = tmp_path / "a.onnx"
    for rows, width in ((1, 33), (17, 64), (40, 7)):
        layer = getattr(fastrnn, cell)(I, width, bidirectional=True, **options, seed=0)
        x = rng().standard_normal((9, rows, I)).astype(np.float32)
        lengths = rng().integers(0, 10, rows)
        fastrnn.save_onnx(layer, path, lengths=True)
        expected = outputs(layer, x, lengths=lengths)
        np.testing.assert_allclose(run_file(path, x, lengths), expected, atol=1e-5)


def test_float64_comes_back(tmp_path: Path) -> None:
    layer = fastrnn.GRU(I, H, dtype=np.float64, seed=0)
    fastrnn.save_onnx(layer, tmp_path / "a.onnx")
    found = fastrnn.load_onnx(tmp_path / "a.onnx")
    x = rng().standard_normal((T, N, I))
    assert_same_bits(outputs(found, x), outputs(layer, x))


def test_models_that_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with raises(ValueError, "rnn: zoneout: expected 0, got 0.5"):
        fastrnn.save_onnx(fastrnn.Sequential(rnn=fastrnn.GRU(I, H, zoneout=0.5)), path)
    with raises(ValueError, "lstm: proj_size: expected 0, got 3"):
        fastrnn.save_onnx(fastrnn.LSTM(I, H, proj_size=3), path)
    with pytest.raises(ValueError, match=r"mean: expected Embedding, .* got MeanOver"):
        fastrnn.save_onnx(fastrnn.Sequential(mean=fastrnn.MeanOverTime()), path)
    rows = fastrnn.Sequential(
        rnn=fastrnn.GRU(I, H), act=fastrnn.Activation("tanh"), last=fastrnn.Last()
    )
    fastrnn.save_onnx(rows, path)
    x = input_of(rows)
    np.testing.assert_allclose(run_file(path, x), outputs(rows, x), atol=1e-5)
    with pytest.raises(ValueError, match="last: expected Last right behind"):
        fastrnn.save_onnx(rows, path, lengths=True)
    with raises(TypeError, "model: expected a layer, got dict"):
        fastrnn.save_onnx({}, path)


def test_no_layer_is_forgotten() -> None:
    """What is not written is refused, and the docstring says what is written."""
    from fastrnn._convert.onnx_save import WRITERS

    text = fastrnn.save_onnx.__doc__
    assert text is not None
    for kind in WRITERS:
        assert f"`{kind.__name__}`" in text


# --- load_onnx: PyTorch's exporters --------------------------------------------------


def export(module: Any, inputs: tuple[Any, ...], path: Path, **options: Any) -> None:
    torch = pytest.importorskip("torch")
    if options.get("dynamo"):
        pytest.importorskip("onnxscript")
        options["verbose"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, str(path), **options)


def make_module(
    cell: str, both: bool, batch_first: bool, layers: int = 2, head: str = "all"
) -> Any:
    torch = pytest.importorskip("torch")
    from torch import nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(V, I)
            self.rnn = getattr(nn, cell)(
                I, H, layers, batch_first=batch_first, bidirectional=both
            )
            self.head = nn.Linear(H * (1 + both), O)

        def forward(self, x: Any, lengths: Any = None) -> Any:
            x = self.embedding(x)
            if lengths is not None:
                x = nn.utils.rnn.pack_padded_sequence(
                    x, lengths, batch_first=batch_first, enforce_sorted=False
                )
            y, final = self.rnn(x)
            if lengths is not None:
                y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=batch_first)
            if head == "last":
                y = y[:, -1] if batch_first else y[-1]
            if head == "state":
                y = torch.relu((final[0] if cell == "LSTM" else final)[-1])
            return self.head(y)

    torch.manual_seed(0)
    return Model()


def compare_with_module(module: Any, path: Path, batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    found = fastrnn.load_onnx(path)
    assert found.batch_first == batch_first
    x = input_of(found)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(outputs(found, x), expected, atol=1e-5)
    assert found.training is False  # as `outputs` left it
    assert fastrnn.load_onnx(onnx.load(path)).train().training


@every_cell
@both_directions
@both_layouts
@pytest.mark.parametrize("head", ["all", "last", "state"])
def test_exported_by_tracing(
    cell: str, both: bool, batch_first: bool, head: str, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    if head == "state" and both:
        pytest.skip("one direction's state alone is no layer")
    module, path = make_module(cell, both, batch_first, head=head), tmp_path / "a.onnx"
    x = torch.zeros((N, T) if batch_first else (T, N), dtype=torch.long)
    axes = {"x": {0: "a", 1: "b"}}
    export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    compare_with_module(module, path, batch_first)


@every_cell
def test_exported_without_folded_constants(cell: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module, path = make_module(cell, True, True), tmp_path / "a.onnx"
    x = torch.zeros((N, T), dtype=torch.long)
    export(module, (x,), path, dynamo=False, do_constant_folding=False)
    compare_with_module(module, path, True)


# An RNN's steps are written one by one: there is no node of it.
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
@pytest.mark.parametrize("head", ["all", "last"])
@both_directions
def test_exported_by_dynamo(cell: str, head: str, both: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module, path = make_module(cell, both, both, head=head), tmp_path / "a.onnx"
    x = torch.zeros((N, T) if both else (T, N), dtype=torch.long)
    export(module, (x,), path, dynamo=True)
    compare_with_module(module, path, both)


@every_cell
@both_layouts
def test_exported_with_lengths(cell: str, batch_first: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module, path = make_module(cell, True, batch_first), tmp_path / "a.onnx"
    x = torch.zeros((N, T) if batch_first else (T, N), dtype=torch.long)
    lengths = torch.tensor([2, T, 3])
    export(module, (x, lengths), path, dynamo=False, input_names=["x", "lengths"])
    found = fastrnn.load_onnx(path)
    tokens = input_of(found)
    with torch.no_grad():
        expected = module(torch.from_numpy(tokens), lengths).numpy()
    got = outputs(found, tokens, lengths=lengths.tolist())
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_is_around_the_part_is_left_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rnn = nn.Conv1d(I, I, 3, padding=1), nn.LSTM(I, H)
            self.head = nn.Linear(H, O)

        def forward(self, x: Any) -> Any:
            y, _ = self.rnn(self.conv(x).permute(2, 0, 1))
            return torch.log_softmax(self.head(y), -1)

    module, path = Model(), tmp_path / "a.onnx"
    export(module, (torch.zeros(N, I, T),), path, dynamo=False)
    found = fastrnn.load_onnx(path)
    assert list(found.layers) == ["lstm", "linear"]
    x = torch.randn(N, I, T)
    with torch.no_grad():
        inside = module.conv(x).permute(2, 0, 1).numpy()
        expected = module.head(module.rnn(torch.from_numpy(inside.copy()))[0]).numpy()
    np.testing.assert_allclose(outputs(found, inside.copy()), expected, atol=1e-5)


# --- load_onnx: what is refused ------------------------------------------------------


def graph_of(nodes: list[Any], **arrays: Any) -> Any:
    helper = onnx.helper
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", 1, ["T", "N", I])],
        [info("y", 1, None)],
        [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    return helper.make_model(graph)


def draw(*shape: int) -> Any:
    return rng().standard_normal(shape).astype(np.float32)


def one_node(
    cell: str = "LSTM", inputs: Any = ("x", "W", "R"), **attributes: Any
) -> Any:
    GH = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell] * H
    node = onnx.helper.make_node(cell, inputs, ["y", "h"], **attributes)
    D = 2 if attributes.get("direction") == "bidirectional" else 1
    return graph_of(
        [node],
        W=draw(D, GH, I),
        R=draw(D, GH, H),
        ones=np.ones((D, N, H), np.float32),
        lengths=np.full(N, T, np.int32),
        P=draw(D, 3 * H),
    )


def test_options_that_layers_do_not_have() -> None:
    def refuse(message: str, *args: Any, **attributes: Any) -> None:
        with raises(ValueError, message):
            fastrnn.load_onnx(one_node(*args, **attributes))

    refuse(
        "LSTM: direction: expected 'forward or bidirectional', got reverse",
        direction="reverse",
    )
    refuse("LSTM: clip: expected 'none', got 2.0", clip=2.0)
    refuse(
        "RNN: activations: expected 'the same in both directions', got two",
        "RNN",
        direction="bidirectional",
        activations=["Relu", "Tanh"],
    )
    inputs = ["x", "W", "R", "", "", "ones"]
    refuse(
        "LSTM: initial state: expected 'zeros or an input', got constants",
        "LSTM",
        inputs,
    )
    inputs = ["x", "W", "R", "", "lengths"]
    refuse(
        "LSTM: sequence_lens: expected 'none or an input', got constants",
        "LSTM",
        inputs,
    )


def test_weights_that_are_no_constants() -> None:
    node = onnx.helper.make_node("RNN", ["x", "x", "R"], ["y", "h"])
    with raises(ValueError, "RNN: x: expected a constant, got another"):
        fastrnn.load_onnx(graph_of([node], R=draw(1, H, H)))


def test_layouts_that_do_not_fit() -> None:
    make = onnx.helper.make_node
    nodes = [
        make("Transpose", ["x"], ["a"], perm=[2, 1, 0]),
        make("MatMul", ["a", "w"], ["b"]),
        make("RNN", ["b", "W", "R"], ["y", "h"]),
    ]
    model = graph_of(nodes, w=draw(T, I), W=draw(1, H, I), R=draw(1, H, H))
    found = fastrnn.load_onnx(model)  # the Transpose is left out
    assert list(found.layers) == ["linear", "rnn"]


def test_something_between_recurrent_nodes() -> None:
    make = onnx.helper.make_node
    nodes = [
        make("RNN", ["x", "W", "R"], ["a", "h"], name="first"),
        make("Squeeze", ["a", "axis"], ["b"]),
        make("Exp", ["b"], ["c"]),
        make("RNN", ["c", "R", "R"], ["y", "h2"], name="second"),
    ]
    arrays = {"W": draw(1, H, I), "R": draw(1, H, H), "axis": np.array([1])}
    with raises(
        ValueError,
        "source: expected recurrent nodes one after another, joined by layers, "
        "got second that does not follow Squeeze so",
    ):
        fastrnn.load_onnx(graph_of(nodes, **arrays))


def test_nodes_that_lack_an_input() -> None:
    nodes = [
        onnx.helper.make_node("Gather", ["x"], ["a"], name="bad"),
        onnx.helper.make_node("RNN", ["a", "W", "R"], ["y", "h"]),
    ]
    with pytest.raises(ValueError, match="source: bad: expected a valid node, got"):
        fastrnn.load_onnx(graph_of(nodes, W=draw(1, H, I), R=draw(1, H, H)))


def test_models_without_recurrent_nodes() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(ValueError, match="source: expected nodes RNN, GRU or LSTM"):
        fastrnn.load_onnx(graph_of([node]))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"a\.onnx: expected an ONNX model, got"):
        fastrnn.load_onnx(path)
    with pytest.raises(FileNotFoundError):
        fastrnn.load_onnx(tmp_path / "b.onnx")
    with raises(TypeError, "source: expected a path or an onnx.ModelProto, got int"):
        fastrnn.load_onnx(3)


def test_values_that_go_in_a_circle() -> None:
    make = onnx.helper.make_node
    nodes = [
        make("Identity", ["b"], ["a"]),
        make("Identity", ["a"], ["b"]),
        make("RNN", ["a", "W", "R"], ["y", "h"]),
    ]
    model = graph_of(nodes, W=draw(1, H, I), R=draw(1, H, H))
    with pytest.raises(ValueError, match="source: expected recurrent nodes one after"):
        fastrnn.load_onnx(model)
