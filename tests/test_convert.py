"""Weights from PyTorch give the same outputs as the modules they come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.converting import H, I, N, T, V, assert_same, draw, forward
from tests.errors import bad_values, raises

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 3}, {"bidirectional": True, "num_layers": 2}, {"bias": False}],
    ids=str,
)
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_one_module(cell: str, options: dict[str, Any]) -> None:
    module = getattr(nn, cell)(I, H, **options)
    layer = fastrnn.load_torch(module.state_dict())
    assert type(layer) is getattr(fastrnn, cell)
    assert_same(layer, draw(T, N, I), forward(module, draw(T, N, I)))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}], ids=str)
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's, of one kernel
def test_a_projection(options: dict[str, Any], both: bool) -> None:
    module = nn.LSTM(I, H, proj_size=3, bidirectional=both, **options)
    x = draw(T, N, I)
    for source in (module, module.state_dict()):
        layer = fastrnn.load_torch(source)
        assert layer.proj_size == 3
        assert_same(layer, x, forward(module, x))


def test_options_that_are_not_among_the_weights() -> None:
    module = nn.RNN(I, H, nonlinearity="relu", batch_first=True)
    layer = fastrnn.load_torch(
        module.state_dict(), nonlinearity="relu", batch_first=True
    )
    assert_same(layer, draw(N, T, I), forward(module, draw(N, T, I)))


def test_parameters_that_want_gradients_and_float64() -> None:
    module = nn.Linear(I, H).double()
    layer = fastrnn.load_torch(dict(module.named_parameters()))
    assert type(layer) is fastrnn.Linear
    assert layer.dtype == np.float64
    x = draw(T, N, I).astype(np.float64)
    assert_same(layer, x, forward(module, x))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_a_cell(cell: str) -> None:
    module = getattr(nn, f"{cell}Cell")(I, H)
    layer = fastrnn.load_torch(module.state_dict())
    assert_same(layer, draw(1, N, I), forward(module, draw(N, I))[None])


class Tagger(nn.Module):
    """A model as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, I)
        self.encoder = nn.GRU(I, H, bidirectional=True)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(2 * H, I, bias=False)
        self.out = nn.Sequential(nn.Linear(I, V))

    def forward(self, x: Any) -> Any:
        return self.out(self.hidden(self.encoder(self.emb(x))[0]))


def test_a_whole_model() -> None:
    module = Tagger()
    model = fastrnn.load_torch(module.state_dict())
    kinds = [type(a).__name__ for a in model.layers.values()]
    assert list(model.layers) == ["emb", "encoder", "hidden", "out_0"]
    assert kinds == ["Embedding", "GRU", "Linear", "Linear"]
    x = np.random.default_rng(0).integers(0, V, (T, N))
    assert_same(model, x, forward(module, x))


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_files(name: str, tmp_path: Path) -> None:
    module, path = Tagger(), tmp_path / name
    if name.endswith(".pt"):
        torch.save(module.state_dict(), path)
    else:
        pytest.importorskip("safetensors.torch").save_file(module.state_dict(), path)
    model = fastrnn.load_torch(path)
    x = np.random.default_rng(0).integers(0, V, (T, N))
    assert_same(model, x, forward(module, x))


def state(**changes: Any) -> dict[str, Any]:
    d = dict(nn.GRU(I, H).state_dict())
    d.update(changes)
    return {name: a for name, a in d.items() if a is not None}


BAD = {
    "no weights": (ValueError, {}, "source: expected weights, got none"),
    "strange": (
        ValueError,
        {"norm.running_mean": torch.zeros(3)},
        "norm: expected weights of an RNN, GRU, LSTM, Linear or Embedding, "
        "got running_mean",
    ),
    "half": (
        TypeError,
        {"a.weight": torch.zeros(3, 3, dtype=torch.float16)},
        "a.weight: expected float32 or float64, got float16",
    ),
    "one missing": (
        ValueError,
        state(bias_hh_l0=None),
        "source: expected bias_hh_l0 too, got none",
    ),
    "no recurrent weights": (
        ValueError,
        state(weight_hh_l0=None),
        "source: expected weight_ih and weight_hh, both matrices",
    ),
    "two gates": (
        ValueError,
        state(weight_hh_l0=torch.zeros(2 * H, H)),
        "source: expected weight_hh (G*H, H) of 1, 3 or 4 gates, got (12, 6)",
    ),
    "another shape": (
        ValueError,
        state(bias_ih_l0=torch.zeros(4)),
        "source: bias_ih_l0: expected shape (18,), got (4,)",
    ),
    "projection": (
        ValueError,
        nn.LSTM(I, H, proj_size=3).state_dict() | {"weight_hr_l0": torch.zeros(3)},
        "source: expected weight_hh (G*H, H) of 1, 3 or 4 gates, got (24, 3)",
    ),
    "a layer between": (
        ValueError,
        nn.LSTM(I, H, 3).state_dict() | {"weight_hh_l1": None},
        "source: expected weight_hh_l1 too, got none",
    ),
    "a gap": (
        ValueError,
        {n.replace("l1", "l2"): a for n, a in nn.GRU(I, H, 2).state_dict().items()},
        "source: expected weight_ih_l1 too, got none",
    ),
    "half of a direction": (
        ValueError,
        nn.GRU(I, H, bidirectional=True).state_dict() | {"bias_hh_l0_reverse": None},
        "source: expected bias_hh_l0_reverse too, got none",
    ),
    "one name for two": (
        ValueError,
        {"a.b.weight": torch.zeros(3, 3), "a_b.weight": torch.zeros(3, 3)},
        "a_b: expected one module of that name, got a.b and a_b",
    ),
    "one array twice": (
        ValueError,
        nn.GRUCell(I, H).state_dict() | nn.GRU(I, H).state_dict(),
        "source: expected one weight_ih_l0, got two",
    ),
    "another beside": (
        ValueError,
        state(weight=torch.zeros(2, 2)),
        "source: expected weights of one recurrent module, got weight beside them",
    ),
    "without a module": (
        ValueError,
        {"weight": torch.zeros(3, 3), "a.weight": torch.zeros(3, 3)},
        "source: expected weights of modules, got weight of none",
    ),
    "two dtypes": (
        TypeError,
        state(bias_ih_l0=torch.zeros(3 * H, dtype=torch.float64)),
        "source: bias_ih_l0: expected dtype float32 (that of weight_ih_l0), "
        "got float64",
    ),
    "no name": (
        TypeError,
        {1: torch.zeros(3, 3)},
        "source: expected names of weights, got int 1",
    ),
    "on no device": (
        TypeError,
        nn.Linear(3, 3, device="meta").state_dict(),
        "weight: expected a dense tensor with memory, got a meta one",
    ),
    "no tensor": (TypeError, {"weight": 3}, "weight: expected a NumPy array, got int"),
}


@pytest.mark.parametrize("name", BAD, ids=lambda name: name.replace(" ", "-"))
def test_bad_state_dicts(name: str) -> None:
    error, bad, message = BAD[name]
    with raises(error, message):
        fastrnn.load_torch({name: a for name, a in bad.items() if a is not None})


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    path = tmp_path / "tensor.pt"
    torch.save(torch.zeros(3), path)
    with raises(TypeError, f"{path}: expected a state dict, got Tensor"):
        fastrnn.load_torch(path)


def cell_of_keras(width: int) -> list[Any]:
    return [draw(width, 4 * H), draw(H, 4 * H), draw(4 * H)]


def arrays_of_keras(layer: Any) -> list[Any]:
    """Return a layer's weights as in Keras: transposed, and z before r."""
    H, arrays = layer.hidden_size, []
    for direction in ("", "_reverse")[: 1 + layer.bidirectional]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        found = [layer.params[f"{name}_l0{direction}"] for name in names]
        if type(layer) is fastrnn.GRU:
            found = [np.concatenate([a[H : 2 * H], a[:H], a[2 * H :]]) for a in found]
        w_ih, w_hh, b_ih, b_hh = found
        both = np.stack([b_ih, b_hh]) if type(layer) is fastrnn.GRU else b_ih + b_hh
        arrays += [w_ih.T, w_hh.T, both]
    return arrays


@pytest.mark.parametrize("width", [I, H])
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_one_layer_of_keras(cell: str, both: bool, width: int) -> None:
    layer = getattr(fastrnn, cell)(
        width, H, bidirectional=both, batch_first=True, seed=0
    )
    arrays = arrays_of_keras(layer)
    x = draw(N, T, width)
    expected, _ = layer(x)
    assert_same(fastrnn.load_keras(arrays, bidirectional=both), x, expected)
    if width != H or not both:  # then the shapes show it
        assert_same(fastrnn.load_keras(arrays), x, expected)


@pytest.mark.parametrize("both", [False, True], ids=["two-layers", "both"])
def test_what_follows_two_cells_of_keras(both: bool) -> None:
    """Its inputs distinguish a second direction from a second layer."""
    dense = [draw((1 + both) * H, 2), draw(2)]
    found = fastrnn.load_keras(cell_of_keras(H) + cell_of_keras(H) + dense)
    first, *others = found.layers.values()
    assert first.bidirectional == both
    assert len(others) == (1 if both else 2)


BAD_KERAS = {
    "no weights": (ValueError, [], "source: expected weights, got none"),
    "a dict": (
        TypeError,
        {},
        "source: expected a Keras model or layer, a path or a sequence of arrays, "
        "got dict",
    ),
    "no arrays": (TypeError, [1], "source[0]: expected a NumPy array, got int"),
    "half": (
        TypeError,
        [draw(3, 4).astype(np.float16)],
        "source[0]: expected float32 or float64, got float16",
    ),
    "no bias": (
        ValueError,
        [draw(V, I), draw(I, 4 * H), draw(H, 4 * H)],
        "source[1]: expected the first weight of an RNN, GRU, LSTM or Dense layer "
        "with bias, got shape (4, 24)",
    ),
    "ambiguous": (
        ValueError,
        cell_of_keras(H) + cell_of_keras(H),
        "source[3]: expected bidirectional=True or False, since shape (6, 24) after "
        "the same can be a second direction or another layer",
    ),
}


@pytest.mark.parametrize("name", BAD_KERAS, ids=lambda name: name.replace(" ", "-"))
def test_bad_weights_of_keras(name: str) -> None:
    error, bad, message = BAD_KERAS[name]
    with raises(error, message):
        fastrnn.load_keras(bad)


@bad_values(
    TypeError={
        "source: expected a Keras model or layer, a path or a sequence of arrays, "
        "got int": {"source": 5},
        "source: expected a Keras model or layer, a path or a sequence of arrays, "
        "got NoneType": {"source": None},
        "bidirectional: expected a bool, got int": {"bidirectional": 1},
        "nonlinearity: expected a str, got int": {"nonlinearity": 1},
        "batch_first: expected a bool, got NoneType": {"batch_first": None},
        "logits: expected a bool, got int": {"logits": 1},
        "dtype: expected float32 or float64, got int32": {"dtype": np.int32},
        "seed: expected None, an int >= 0 or a NumPy generator, got 'a'": {"seed": "a"},
    },
    ValueError={
        "source: expected a path that a file can have, got ''": {"source": ""},
        "nonlinearity: expected 'tanh', 'relu' or 'elu', got 'gelu'": {
            "nonlinearity": "gelu"
        },
        "order: expected None with arrays, got ['a']": {"order": ["a"]},
    },
)
def test_bad_arguments_of_load_keras(
    bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        fastrnn.load_keras(**{"source": [draw(I, H), draw(H)], **bad})


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_missing_files_of_keras(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / name}"):
        fastrnn.load_keras(tmp_path / name)
