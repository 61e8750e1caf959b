"""Weights of Keras: the same outputs as the layers and models they come from."""

import os
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import raises

os.environ.setdefault("KERAS_BACKEND", "numpy")  # needs no other library
keras = pytest.importorskip("keras", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
T, N, V, I, H, O = 5, 3, 7, 4, 6, 2  # noqa: E741
CELLS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
layers = keras.layers


def draw(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def randomise(model: Any) -> Any:
    """Give every weight its own value: Keras begins with biases of 0."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            0.4 * rng.standard_normal(a.shape).astype(a.dtype)
            for a in model.get_weights()
        ]
    )
    return model


def make(cell: str, units: int = H, **options: Any) -> Any:
    return getattr(layers, cell)(units, return_sequences=True, **options)


def assert_same(converted: Any, model: Any, x: Any) -> None:
    expected = np.asarray(model(x))
    found, _ = converted(x)
    np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("width", [I, H])
def test_one_layer(cell: str, both: bool, width: int) -> None:
    layer = make(cell)
    layer = layers.Bidirectional(layer) if both else layer
    layer.build((N, T, width))
    randomise(layer)
    x = draw(N, T, width)
    converted = fastrnn.load_keras(layer)
    assert type(converted) is getattr(fastrnn, CELLS[cell])
    assert converted.bidirectional == both
    assert_same(converted, layer, x)
    arrays = layer.get_weights()
    assert_same(fastrnn.load_keras(arrays, bidirectional=both), layer, x)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("as_arrays", [True, False], ids=["arrays", "model"])
def test_a_whole_model(cell: str, as_arrays: bool) -> None:
    model = keras.Sequential(
        [
            layers.Embedding(V, H),
            layers.Bidirectional(make(cell)),
            layers.Dropout(0.5),
            make(cell, 2 * H),
            make(cell, 2 * H),
            layers.Dense(O),
        ]
    )
    x = np.random.default_rng(0).integers(0, V, (N, T))
    model(x)
    randomise(model)
    converted = fastrnn.load_keras(model.get_weights() if as_arrays else model)
    kinds = [type(a).__name__ for a in converted.layers.values()]
    name = CELLS[cell]
    assert kinds == ["Embedding", name, name, name, "Linear"]
    assert_same(converted, model, x)


def test_options_that_are_not_among_the_weights() -> None:
    layer = make("SimpleRNN", activation="relu")
    layer.build((N, T, I))
    randomise(layer)
    layer.set_weights([a / 4 for a in layer.get_weights()])
    converted = fastrnn.load_keras(layer, nonlinearity="relu", batch_first=False)
    x = draw(N, T, I)
    np.testing.assert_allclose(
        converted(x.swapaxes(0, 1).copy())[0].swapaxes(0, 1),
        np.asarray(layer(x)),
        atol=5e-6,
    )


def test_weights_that_do_not_do() -> None:
    old = make("GRU", reset_after=False)
    old.build((N, T, I))
    message = (
        "weights[2]: expected the two biases (2, 3*H) = (2, 18) of a GRU with "
        "reset_after=True, got (18,)"
    )
    with raises(ValueError, message):
        fastrnn.load_keras(old.get_weights())
    with raises(ValueError, message):
        fastrnn.load_keras(old)
