"""Activation: PyTorch's numbers, gradients, extremes, and every bad argument."""

import math
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn._layers.activation import normal_distribution
from tests.errors import bad_values, raises
from tests.layers import assert_close

NAMES = ("relu", "tanh", "sigmoid", "gelu")
# In units of the last place of 1: the functions of the kernels are within 2 of theirs.
TOLERANCE = {np.float32: 3e-7, np.float64: 1e-15}

names = pytest.mark.parametrize("name", NAMES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f32", "f64"])


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return 3 * np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@names
@dtypes
@pytest.mark.parametrize("shape", [(), (5,), (5, 3, 4), (0, 3)], ids=str)
def test_against_torch(name: str, dtype: Any, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = fastrnn.Activation(name)
    x, dy = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype, seed=1)
    x, dy = np.asarray(x, dtype), np.asarray(dy, dtype)
    fed = torch.tensor(x, requires_grad=True)
    function = torch.nn.functional.gelu if name == "gelu" else getattr(torch, name)
    expected = function(fed)
    expected.backward(torch.tensor(dy))
    before = x.copy()
    found = [layer(x), layer.backward(dy)]
    wanted = [expected.detach().numpy(), fed.grad.numpy()]
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * 10)
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(found[0], x)


@names
def test_gradient_by_finite_differences(name: str) -> None:
    layer, x, dy, step = fastrnn.Activation(name), draw(200), draw(200, seed=1), 1e-5
    layer(x)
    found = layer.backward(dy)
    above, below = layer(x + step), layer(x - step)
    np.testing.assert_allclose(found, dy * (above - below) / (2 * step), atol=1e-8)


@dtypes
def test_the_normal_distribution(dtype: Any) -> None:
    """Against the standard library; tails keep their relative accuracy."""
    a = np.linspace(-12, 12, 2401).astype(dtype).astype(np.float64)
    found = normal_distribution(a, np.exp(-0.5 * a * a))
    expected = [0.5 * math.erfc(-v / math.sqrt(2)) for v in a]
    np.testing.assert_allclose(found, expected, rtol=4e-14, atol=0)
    near = np.abs(a) < 2
    np.testing.assert_allclose(found[near], np.array(expected)[near], rtol=2e-15)
    y = fastrnn.Activation("gelu")(a.astype(dtype))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, a * expected, rtol=max(eps, 4e-14), atol=1e-40)


@dtypes
def test_extremes(dtype: Any) -> None:
    """No warning, and the limits."""
    most = np.finfo(dtype).max
    x = np.array([np.inf, most, 50, -50, -most, np.nan], dtype)
    limits = {"relu": (50, 0), "tanh": (1, -1), "sigmoid": (1, 0), "gelu": (50, 0)}
    for name, (high, low) in limits.items():
        with np.errstate(all="raise"):
            layer = fastrnn.Activation(name)
            y = layer(x)
            dx = layer.backward(np.ones_like(x))
        np.testing.assert_allclose(y[2:4], [high, low], atol=1e-20)
        assert np.isnan(y[5])
        assert y[0] == (np.inf if high == 50 else high)
        assert dx[1] == (high == 50)
        np.testing.assert_allclose(dx[3:5], 0, atol=1e-20)


@names
def test_modes(name: str) -> None:
    layer, x = fastrnn.Activation(name), draw(4, 3)
    y = layer(x)
    assert layer.backward(None) is None
    np.testing.assert_array_equal(layer.eval()(x), y)
    with raises(
        RuntimeError, "backward: expected the last call in training mode, got eval mode"
    ):
        layer.backward(x)
    np.testing.assert_array_equal(layer.train()(x), y)
    np.testing.assert_array_equal(layer.backward(x), layer.backward(x))
    assert layer.state_dict() == {}


@dtypes
def test_in_a_model(dtype: Any) -> None:
    """Of any dtype, and without a part in the flat parameters."""
    rng = np.random.default_rng(0)
    first = fastrnn.Linear(4, 6, dtype=dtype, seed=rng)
    last = fastrnn.Linear(6, 2, dtype=dtype, seed=rng)
    x, dy = draw(5, 4, dtype=dtype), draw(5, 2, dtype=dtype)
    act = fastrnn.Activation("tanh")
    y = last(act(first(x)))
    dx = first.backward(act.backward(last.backward(dy)))
    model = fastrnn.Sequential(first, act, last)
    assert model.dtype == dtype
    model.zero_grad()
    found, _ = model(x)
    assert_close([found, model.backward(dy)[0]], [y, dx], 0)
    with pytest.raises(ValueError, match="2: expected 6 inputs"):
        fastrnn.Sequential(
            fastrnn.Linear(4, 6), fastrnn.Activation("relu"), fastrnn.Linear(5, 2)
        )


@bad_values(
    TypeError={
        "name: expected a str, got NoneType": None,
        "name: expected a str, got int": 1,
    },
    ValueError={
        "name: expected 'relu', 'tanh', 'sigmoid' or 'gelu', got 'elu'": "elu",
        "name: expected 'relu', 'tanh', 'sigmoid' or 'gelu', got 'ReLU'": "ReLU",
    },
)
def test_bad_names(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Activation(bad)


def test_bad_calls() -> None:
    layer = fastrnn.Activation("relu")
    x = np.ones((2, 3), np.float32)
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        layer.backward(x)
    with raises(TypeError, "x: expected dtype float32 or float64, got int64"):
        layer(np.ones(3, np.int64))
    with raises(TypeError, "x: expected a NumPy array, got list"):
        layer([1.0])  # type: ignore[arg-type]
    layer(x)
    with raises(TypeError, "dy: expected dtype float32 (that of x), got float64"):
        layer.backward(np.ones((2, 3)))
    with raises(ValueError, "dy: expected shape (...) of x = (2, 3), got (3,)"):
        layer.backward(np.ones(3, np.float32))
