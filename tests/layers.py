"""Layers and data for tests, and the same layers in PyTorch."""

import functools
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn._cells import CELLS as TABLE
from tests.problems import CELLS as PROBLEMS
from tests.problems import parse

CELLS = tuple(name.upper() for name in PROBLEMS)
CLASSES = tuple(name.upper() for name in TABLE)
TORCH_CELLS = ("RNN", "GRU", "LSTM")
T, N, I, H = 5, 3, 4, 6  # noqa: E741


def class_of(cell: str) -> Any:
    """Return what makes a layer: its class, with the options in the name."""
    name, chosen = parse(cell.lower())
    return functools.partial(getattr(fastrnn, name.upper()), **chosen)


def arguments_of(layer: Any, i: int = 0) -> dict[str, Any]:
    """Return the weights and the cell's options, as the functions take them."""
    names = ("nonlinearity", "reset", "coupled")
    options = dict(zip(names, layer._cell_options(), strict=True))
    kept = {"RNN": names[:1], "GRU": names[1:2], "LSTM": names[2:]}
    chosen = {name: options[name] for name in kept[type(layer).__name__]}
    return {**layer._weights[i], **chosen}


def make_layer(
    cell: str, *, seed: int = 0, dtype: Any = np.float64, **options: Any
) -> Any:
    return class_of(cell)(I, H, dtype=dtype, seed=seed, **options)


def as_tuple(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


class Data:
    """Random input, state and upstream gradients for a layer."""

    def __init__(self, layer: Any, T: int = T, N: int = N, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)

        def draw(*shape: int) -> Any:
            return rng.standard_normal(shape).astype(layer.dtype)

        lead = (N, T) if layer.batch_first else (T, N)
        D = 2 if layer.bidirectional else 1
        kinds = len(TABLE[type(layer).__name__.lower()].states)
        self.pair = kinds == 2
        self.x = draw(*lead, I)
        self.dy = draw(*lead, layer.output_size)
        shapes = [(layer.num_layers * D, N, width) for width in layer._widths]
        self.states = [draw(*shape) for shape in shapes]
        self.dstates = [draw(*shape) for shape in shapes]

    def join(self, states: list[Any]) -> Any:
        return tuple(states) if self.pair else states[0]

    def run(self, layer: Any, **options: Any) -> tuple[list[Any], list[Any]]:
        """Return outputs and gradients, forward and backward."""
        y, state = layer(self.x, self.join(self.states), **options)
        dx, dstate = layer.backward(self.dy, self.join(self.dstates))
        return [y, *as_tuple(state)], [dx, *as_tuple(dstate)]


def make_torch(layer: Any) -> tuple[Any, Any]:
    """Return the torch module and PyTorch's layer with the same parameters."""
    torch = pytest.importorskip("torch")
    kind = type(layer).__name__
    options = {"nonlinearity": layer.nonlinearity} if kind == "RNN" else {}
    other = getattr(torch.nn, kind)(
        I,
        H,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        bidirectional=layer.bidirectional,
        dtype=torch.float64 if layer.dtype == np.float64 else torch.float32,
        **options,
    )
    tensors = {name: torch.tensor(a) for name, a in layer.state_dict().items()}
    other.load_state_dict(tensors)
    return torch, other


def run_torch(
    layer: Any, data: Data, lengths: Any = None
) -> tuple[list[Any], list[Any]]:
    """Run as `Data.run` does; the second list also holds the parameters' gradients."""
    torch, other = make_torch(layer)
    x, *states = (torch.tensor(a, requires_grad=True) for a in [data.x, *data.states])
    fed = x
    if lengths is not None:
        utils = torch.nn.utils.rnn
        fed = utils.pack_padded_sequence(
            x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False
        )
    y, state = other(fed, data.join(states))
    if lengths is not None:
        y, _ = utils.pad_packed_sequence(y, layer.batch_first)
    results = [y, *as_tuple(state)]
    upstream = [data.dy, *data.dstates]
    loss = sum(
        (a * torch.tensor(da)).sum() for a, da in zip(results, upstream, strict=True)
    )
    loss.backward()
    grads = [x, *states, *other.parameters()]
    return [a.detach().numpy() for a in results], [a.grad.numpy() for a in grads]


def assert_close(got: list[Any], expected: list[Any], tolerance: float) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.flags.c_contiguous
        assert a.dtype == b.dtype
        atol = tolerance * (1 + np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
