"""Layers: PyTorch's numbers, layouts, gradients, and the state of a layer."""

import copy
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.layers import (
    CELLS,
    TORCH_CELLS,
    Data,
    I,
    N,
    T,
    as_tuple,
    assert_close,
    class_of,
    make_layer,
    make_torch,
    run_torch,
)

cells = pytest.mark.parametrize("cell", CELLS)
torch_cells = pytest.mark.parametrize("cell", TORCH_CELLS)
options = pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2},
        {"num_layers": 3, "bias": False},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
        {"batch_first": True},
    ],
    ids=lambda o: "-".join(f"{k}={v}" for k, v in o.items()) or "plain",
)


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    threads = fastrnn.get_num_threads()
    yield
    fastrnn.set_num_threads(threads)


@options
@torch_cells
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_torch(cell: str, options: dict[str, Any], dtype: Any) -> None:
    layer = make_layer(cell, dtype=dtype, **options)
    data = Data(layer)
    results, grads = data.run(layer)
    expected, expected_grads = run_torch(layer, data)
    tolerance = 100 * np.finfo(dtype).eps
    assert_close(results, expected, tolerance)
    assert_close([*grads, *layer.grads.values()], expected_grads, tolerance)


@options
@torch_cells
def test_lengths_against_torch(cell: str, options: dict[str, Any]) -> None:
    layer = make_layer(cell, **options)
    data, lengths = Data(layer), [3, 5, 1]
    results, grads = data.run(layer, lengths=lengths)
    expected, expected_grads = run_torch(layer, data, lengths)
    assert_close(results, expected, 1e-13)
    assert_close([*grads, *layer.grads.values()], expected_grads, 1e-13)


@torch_cells
def test_names_and_order_are_those_of_torch(cell: str) -> None:
    layer = make_layer(cell, num_layers=2, bidirectional=True)
    _, other = make_torch(layer)
    assert list(layer.params) == list(layer.grads) == list(other.state_dict())
    assert list(layer.state_dict()) == list(other.state_dict())
    flat = np.concatenate([a.ravel() for a in layer.state_dict().values()])
    np.testing.assert_array_equal(layer.flat_params, flat)


@torch_cells
def test_torch_state_dict_loads_as_it_is(cell: str) -> None:
    torch, other = make_torch(make_layer(cell, dtype=np.float32))
    layer = make_layer(cell, seed=1, dtype=np.float32)
    layer.load_state_dict(other.state_dict())
    x = np.ones((T, N, I), np.float32)
    expected = other(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(layer(x)[0], expected, atol=1e-6)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "elu"])
def test_nonlinearity(nonlinearity: str) -> None:
    layer = make_layer("RNN", nonlinearity=nonlinearity)
    data = Data(layer)
    y, _ = layer(data.x, data.states[0])
    expected, _, _ = fastrnn.rnn_forward(
        data.x,
        *layer.params.values(),
        h0=data.states[0][0],
        nonlinearity=nonlinearity,
    )
    np.testing.assert_array_equal(y, expected)


@cells
def test_batch_first_is_a_transposition(cell: str) -> None:
    rng = np.random.default_rng(0)
    choices: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    first = make_layer(cell, batch_first=True, **choices)
    second = make_layer(cell, **choices)
    data, transposed = Data(first), Data(second)
    transposed.x, transposed.dy = (a.swapaxes(0, 1) for a in (data.x, data.dy))
    resets = rng.random((N, T)) < 0.3
    lengths = [3, 0, 5]
    a = data.run(first, resets=resets, lengths=lengths, padding="left")
    b = transposed.run(second, resets=resets.T, lengths=lengths, padding="left")
    for got, expected in zip([*a[0], *a[1]], [*b[0], *b[1]], strict=True):
        if got.shape != expected.shape:
            got = got.swapaxes(0, 1)
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(first.flat_grads, second.flat_grads)


@cells
def test_what_a_layer_returns_is_contiguous(cell: str) -> None:
    """The next layer can then take it without a copy."""
    layer = make_layer(cell, batch_first=True)
    data = Data(layer)
    outputs, gradients = data.run(layer)
    y, _ = layer.eval()(data.x)
    assert all(a.flags.c_contiguous for a in (*outputs, *gradients, y))


@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
@cells
def test_tokens_are_one_hot_rows(cell: str, batch_first: bool) -> None:
    layer = make_layer(cell, num_layers=2, batch_first=batch_first)
    data = Data(layer)
    tokens = np.random.default_rng(0).integers(0, I, data.x.shape[:2])
    data.x = np.eye(I)[tokens]
    results, (_, *dstates) = data.run(layer)
    flat_grads = layer.flat_grads.copy()
    layer.zero_grad()
    data.x = tokens.tolist()  # any sequence will do
    token_results, (dx, *token_dstates) = data.run(layer)
    assert dx is None
    assert_close(token_results, results, 1e-14)
    assert_close([*token_dstates, layer.flat_grads], [*dstates, flat_grads], 1e-13)


@cells
def test_state_carries_a_sequence_on(cell: str) -> None:
    layer = make_layer(cell, num_layers=2)
    x = Data(layer).x
    whole, final = layer(x)
    first, state = layer(x[:2])
    second, state = layer(x[2:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    for a, b in zip(as_tuple(state), as_tuple(final), strict=True):
        np.testing.assert_array_equal(a, b)


@cells
def test_eval_gives_the_same_bits_without_dropout(cell: str) -> None:
    layer = make_layer(cell, num_layers=2)
    data = Data(layer)
    y, _ = layer(data.x)
    assert layer.eval() is layer
    assert not layer.training
    np.testing.assert_array_equal(layer(data.x)[0], y)
    assert layer.train() is layer
    assert layer.training


@cells
def test_what_is_left_out_is_zero(cell: str) -> None:
    layer = make_layer(cell)
    data = Data(layer)
    zeros = data.join([np.zeros_like(a) for a in data.states])
    np.testing.assert_array_equal(layer(data.x)[0], layer(data.x, zeros)[0])
    dx, dstate = layer.backward(None)
    assert not any(a.any() for a in (dx, *as_tuple(dstate), layer.flat_grads))
    expected = layer.backward(np.zeros_like(data.dy), data.join(data.dstates))
    got = layer.backward(None, data.join(data.dstates))
    np.testing.assert_array_equal(got[0], expected[0])
    assert got[0].any()


def test_half_a_state() -> None:
    layer = make_layer("LSTM")
    data = Data(layer)
    h, c = data.states
    zeros = np.zeros_like(h)
    for half, whole in (((h, None), (h, zeros)), ([None, c], (zeros, c))):
        np.testing.assert_array_equal(layer(data.x, half)[0], layer(data.x, whole)[0])


@cells
def test_backward_accumulates(cell: str) -> None:
    layer = make_layer(cell, num_layers=2)
    data = Data(layer)
    _, grads = data.run(layer)
    once = layer.flat_grads.copy()
    assert (once != 0).all() or layer.coupled  # then those of f are 0
    dx, _ = layer.backward(data.dy, data.join(data.dstates))
    np.testing.assert_array_equal(dx, grads[0])
    np.testing.assert_array_equal(layer.flat_grads, 2 * once)
    layer.zero_grad()
    assert not layer.flat_grads.any()
    layer.backward(data.dy, data.join(data.dstates))
    np.testing.assert_array_equal(layer.flat_grads, once)


@cells
def test_backward_is_of_the_last_call(cell: str) -> None:
    layer = make_layer(cell)
    data, other = Data(layer), Data(layer, T=7, seed=1)
    expected = data.run(layer)[1][0]
    layer(other.x)
    layer(data.x, data.join(data.states))
    np.testing.assert_array_equal(
        layer.backward(data.dy, data.join(data.dstates))[0], expected
    )


@cells
def test_flat_arrays_are_the_storage(cell: str) -> None:
    layer = make_layer(cell)
    data = Data(layer)
    data.run(layer)
    for flat, views in (
        (layer.flat_params, layer.params),
        (layer.flat_grads, layer.grads),
    ):
        assert flat.ndim == 1
        assert flat.flags.c_contiguous
        assert sum(a.size for a in views.values()) == flat.size
        assert all(np.shares_memory(a, flat) for a in views.values())
    before = layer.state_dict()
    layer.flat_params -= 0.1 * layer.flat_grads
    layer.params["weight_hh_l0"] -= 1
    for name, a in layer.params.items():
        expected = before[name] - 0.1 * layer.grads[name]
        np.testing.assert_array_equal(a, expected - (name == "weight_hh_l0"))
    for name in ("flat_params", "flat_grads"):
        with pytest.raises(AttributeError, match=rf"^{name}: .*{name}\[:\] = \.\.\."):
            setattr(layer, name, np.zeros(layer.flat_params.size))


@cells
def test_only_the_last_tape_is_kept(cell: str) -> None:
    layer = make_layer(cell)
    x = Data(layer).x
    y, _ = layer(x)
    kept = weakref.ref(y)
    del y
    assert kept() is not None
    layer(x)
    assert kept() is None
    y, _ = layer(x)
    kept = weakref.ref(y)
    del y
    layer.eval()
    layer(x)
    assert kept() is None


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))],
    ids=["deepcopy", "pickle"],
)
@cells
def test_copies_stand_alone(cell: str, duplicate: Callable[[Any], Any]) -> None:
    layer = make_layer(cell, num_layers=2, dropout=0.5)
    data = Data(layer)
    data.run(layer)
    other = duplicate(layer)
    with pytest.raises(RuntimeError):
        other.backward(data.dy)
    layer.zero_grad()
    other.zero_grad()
    results, grads = data.run(layer)
    layer.params["weight_ih_l0"][...] = 0
    other_results, other_grads = data.run(other)
    for a, b in zip([*results, *grads], [*other_results, *other_grads], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(layer.flat_grads, other.flat_grads)
    assert np.shares_memory(other.params["weight_ih_l0"], other.flat_params)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
@cells
def test_what_is_not_finite_passes(cell: str, value: float) -> None:
    """Without a warning: a warning is an error here."""
    options = {"nonlinearity": "relu"} if cell == "RNN" else {}
    layer = make_layer(cell, num_layers=2, bidirectional=True, dropout=0.5, **options)
    data = Data(layer)
    data.x[0, 0, 0] = data.dy[1, 1] = value
    for _ in range(30):  # in the end the sum of the gradients of 1e308 overflows too
        data.run(layer)
    assert not np.isfinite(layer.flat_grads).all()


@cells
def test_a_pickle_holds_parameters_and_gradients_once(cell: str) -> None:
    layer = make_layer(cell, num_layers=3)
    layer(Data(layer, T=200).x)
    assert len(pickle.dumps(layer)) < 2 * layer.flat_params.nbytes + 4000


@pytest.mark.parametrize("sizes", [(0, N), (T, 0), (0, 0)], ids=str)
@cells
def test_empty(cell: str, sizes: tuple[int, int]) -> None:
    layer = make_layer(cell, num_layers=2, bidirectional=True, dropout=0.5)
    data = Data(layer, *sizes)
    (y, *final), (dx, *dinitial) = data.run(layer)
    assert y.shape == (*sizes, layer.output_size)
    assert dx.shape == (*sizes, I)
    for a, b in zip([*final, *dinitial], [*data.states, *data.dstates], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not layer.flat_grads.any()


@cells
def test_every_number_of_threads_gives_the_same_bits(cell: str) -> None:
    results = []
    for threads in (1, 2):
        fastrnn.set_num_threads(threads)
        options = {"bidirectional": True, "dropout": 0.2, "seed": 0}
        layer = class_of(cell)(40, 96, 2, **options)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((12, 8, 40)).astype(np.float32)
        y, _ = layer(x)
        dx, _ = layer.backward(y)
        results.append([a.tobytes() for a in (y, dx, layer.flat_grads)])
    assert results[0] == results[1]
