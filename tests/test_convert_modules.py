"""Modules of PyTorch: options, activations and modes honoured, or refused by name."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.converting import H, I, N, T, V, assert_same, draw, forward
from tests.errors import raises

torch = pytest.importorskip("torch")
nn = torch.nn

MODULES: dict[str, Any] = {
    **{
        f"{cell} {options}": lambda cell=cell, options=options: getattr(nn, cell)(
            I, H, **options
        )
        for cell in ("RNN", "GRU", "LSTM")
        for options in (
            {"num_layers": 3},
            {"bidirectional": True, "num_layers": 2},
            {"bias": False},
            {"batch_first": True},
            {"dropout": 0.5, "num_layers": 2},
            {"dtype": torch.float64},
        )
    },
    "RNN relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "Linear": lambda: nn.Linear(I, H),
    "Linear without bias": lambda: nn.Linear(I, H, bias=False),
    "ReLU": lambda: nn.Sequential(nn.Linear(I, H), nn.ReLU(), nn.Linear(H, V)),
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(I, H), nn.Tanh()),
        nn.Identity(),
        nn.Sequential(nn.Linear(H, V), nn.Dropout(0.5), nn.GELU(), nn.Sigmoid()),
        nn.GRU(V, H),
    ),
    "one activation twice": lambda: nn.Sequential(
        nn.Linear(I, I), act := nn.ReLU(), nn.Linear(I, I), act
    ),
    "DataParallel": lambda: nn.DataParallel(nn.Sequential(nn.Linear(I, H))),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    module = MODULES[name]().eval()
    layer = fastrnn.load_torch(module)
    assert not layer.training
    x = draw(T, N, I)
    if "float64" in name:
        x = x.astype(np.float64)
    assert_same(layer, x, forward(module, x))


def test_modules_with_an_embedding() -> None:
    module = nn.Sequential(nn.Embedding(V, I, padding_idx=2), nn.LSTM(I, H))
    x = np.random.default_rng(0).integers(0, V, (T, N))
    assert_same(fastrnn.load_torch(module), x, forward(module, x))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_cell_modules(cell: str) -> None:
    options = {"nonlinearity": "relu"} if cell == "RNN" else {}
    module = getattr(nn, f"{cell}Cell")(I, H, **options)
    layer = fastrnn.load_torch(module, batch_first=True)
    assert_same(layer, draw(N, 1, I), forward(module, draw(N, I))[:, None])


def test_dropout_of_modules_and_their_modes() -> None:
    module = nn.Sequential(
        nn.Linear(I, H), nn.Dropout(0.25), nn.GRU(H, H, 2, dropout=0.5)
    )
    module[0].eval()
    linear, dropout, gru = fastrnn.load_torch(module).layers.values()
    assert (dropout.p, gru.dropout) == (0.25, 0.5)
    assert [linear.training, dropout.training, gru.training] == [False, True, True]
    x = np.ones((T, N, H), np.float32)
    first, again, other = (
        fastrnn.load_torch(module, seed=seed).layers["1"](x) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_modules_of_our_own() -> None:
    module = fastrnn.torch.GRU(I, H, batch_first=True)
    layer = fastrnn.load_torch(module)
    assert layer.batch_first
    assert_same(layer, draw(N, T, I), forward(module, draw(N, T, I)))


class Mine(nn.Linear):
    def forward(self, x: Any) -> Any:
        return -super().forward(x)


def hooked() -> Any:
    module = nn.Linear(I, I)
    module.register_forward_hook(lambda *_: None)
    return module


def patched() -> Any:
    module = nn.Linear(I, I)
    module.forward = lambda x: x
    return module


def tied() -> Any:
    first, last = nn.Linear(I, I), nn.Linear(I, I)
    last.weight = first.weight
    return nn.Sequential(first, last)


def shared() -> Any:
    linear = nn.Linear(I, I)
    return nn.Sequential(linear, nn.ReLU(), linear)


def freed() -> Any:
    module = nn.Linear(I, I)
    module.weight.data.untyped_storage().resize_(0)
    return module


UNKNOWN = (
    "source: expected nn.Sequential, nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, "
    "nn.LSTMCell, nn.Linear, nn.Embedding, nn.Dropout, nn.Identity, nn.ReLU, nn.Tanh, "
    "nn.Sigmoid or nn.GELU, got {}, of which it is not known what it does; if it calls "
    "its modules one after another, pass its state_dict()"
)
REFUSED: dict[str, tuple[type[Exception], Any]] = {
    "source: max_norm: expected None, got 1.0": (
        ValueError,
        lambda: nn.Embedding(V, I, max_norm=1.0),
    ),
    "source: scale_grad_by_freq: expected None, got True": (
        ValueError,
        lambda: nn.Embedding(V, I, scale_grad_by_freq=True),
    ),
    "source: approximate: expected 'none', got 'tanh'": (
        ValueError,
        lambda: nn.GELU("tanh"),
    ),
    "source: p: expected 0 <= p < 1, got 1.0": (ValueError, lambda: nn.Dropout(1.0)),
    "source: dropout: expected 0 <= dropout < 1, got 1.0": (
        ValueError,
        lambda: nn.GRU(I, H, 2, dropout=1.0),
    ),
    "source: expected a module with layers, got none": (ValueError, nn.Sequential),
    UNKNOWN.format("Mine"): (ValueError, lambda: Mine(I, I)),
    UNKNOWN.format("LayerNorm"): (ValueError, lambda: nn.LayerNorm(I)),
    UNKNOWN.format("ParametrizedLinear"): (
        ValueError,
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(I, I)),
    ),
    "source: forward hooks: expected none, got some": (ValueError, hooked),
    "source: forward: expected 'that of its class', got another": (
        ValueError,
        patched,
    ),
    "1: weight: expected a parameter of its own, got that of 0": (ValueError, tied),
    "2: weight: expected a parameter of its own, got that of 0": (ValueError, shared),
    "weight: expected a dense tensor with memory, got a freed one": (TypeError, freed),
    "1.weight: expected float32 or float64, got bfloat16; dtype= converts it": (
        TypeError,
        lambda: nn.Sequential(nn.ReLU(), nn.Linear(I, I).bfloat16()),
    ),
}


@pytest.mark.parametrize("message", REFUSED, ids=range(len(REFUSED)))
def test_modules_that_are_refused(message: str) -> None:
    error, make = REFUSED[message]
    with raises(error, message):
        fastrnn.load_torch(make())


def test_options_that_a_module_has_itself() -> None:
    module = nn.RNN(I, H)
    fastrnn.load_torch(module, nonlinearity="tanh", batch_first=False)
    message = "nonlinearity: expected 'tanh' (that of source) or None, got 'relu'"
    with raises(ValueError, message):
        fastrnn.load_torch(module, nonlinearity="relu")
    message = "batch_first: expected False (that of source) or None, got True"
    with raises(ValueError, message):
        fastrnn.load_torch(module, batch_first=True)
    with raises(ValueError, "key: expected None with a module, got 'a'"):
        fastrnn.load_torch(module, key="a")
    with raises(ValueError, "order: expected None with a module, which has its own"):
        fastrnn.load_torch(module, order=["a"])
