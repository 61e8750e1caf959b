"""`accelerate` changes the speed and nothing else; `restore` and `report`."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", exc_type=ImportError)
torch = pytest.importorskip("torch")
if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

from keras import layers  # noqa: E402

import fastrnn.keras  # noqa: E402
from tests.errors import raises  # noqa: E402
from tests.keras.comparing import (  # noqa: E402
    CELLS,
    H,
    I,
    N,
    T,
    counting,
    draw,
    make,
    new,
    randomise,
)
from tests.processes import run_program  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
every_cell = pytest.mark.parametrize("cell", CELLS)
V = 11


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    fastrnn.keras.restore()


def classifier(cell: str, dropout: float = 0.0) -> Any:
    """Tokens padded with 0, two recurrent layers, a class for each row."""
    model = keras.Sequential(
        [
            keras.Input((T,), dtype="int32"),
            layers.Embedding(V, I, mask_zero=True),
            layers.Bidirectional(new(cell, return_sequences=True)),
            new(cell, dropout=dropout, seed=1),
            layers.Dense(2),
        ]
    )
    return randomise(model)


def tokens() -> Any:
    found = np.random.default_rng(0).integers(1, V, (4 * N, T))
    found[np.arange(T) < np.arange(4 * N)[:, None] % T] = 0
    return found.astype(np.int32)


LABELS = np.arange(4 * N) % 2


def train(model: Any, **options: Any) -> list[float]:
    for layer in model._flatten_layers():
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign(np.array([5, 6]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, **options)
    history = model.fit(
        tokens(), LABELS, epochs=3, batch_size=N, shuffle=False, verbose=0
    )
    losses: list[float] = history.history["loss"]
    return losses


@every_cell
def test_training(cell: str) -> None:
    """Of a model that was there before, with the same draws of dropout."""
    model = classifier(cell, dropout=0.2)
    weights = model.get_weights()
    expected, after = train(model), model.get_weights()
    model.set_weights(weights)
    with counting() as served:
        losses = train(model)
    assert served.count(True) == 3 * 4 * 3  # layers, batches, epochs
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert losses[-1] < losses[0]
    for a, b in zip(model.get_weights(), after, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)  # Adam enlarges what is near 0


@every_cell
@pytest.mark.parametrize("suffix", ["model.keras", "m.weights.h5"])
def test_saved_files_do_not_change(cell: str, suffix: str, tmp_path: Path) -> None:
    before, x = classifier(cell), tokens()
    expected = before.predict(x, verbose=0)
    config = before.to_json()
    fastrnn.keras.accelerate()
    model = classifier(cell)
    for layer in model._flatten_layers():
        assert type(layer).__module__.startswith("keras.")
    assert [list(a.shape) for a in model.get_weights()] == [
        list(a.shape) for a in before.get_weights()
    ]
    again = keras.models.model_from_json(config)
    again.set_weights(before.get_weights())
    path = tmp_path / suffix
    if suffix == "model.keras":
        again.save(path)
        fastrnn.keras.restore()
        loaded = keras.saving.load_model(path)
    else:
        again.save_weights(path)
        fastrnn.keras.restore()
        loaded = classifier(cell)
        loaded.set_weights([0 * a for a in loaded.get_weights()])
        loaded.load_weights(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=2e-5)


def test_twice_and_back() -> None:
    own = {cls: vars(cls).get("inner_loop") for cls in fastrnn.keras._options.SERVED}
    fastrnn.keras.restore()  # nothing to undo
    fastrnn.keras.accelerate()
    first = layers.LSTM.inner_loop
    fastrnn.keras.accelerate()
    assert layers.LSTM.inner_loop is first
    assert layers.GRU.inner_loop is not own[layers.GRU]
    assert "inner_loop" in vars(layers.SimpleRNN)
    fastrnn.keras.restore()
    fastrnn.keras.restore()
    assert {cls: vars(cls).get("inner_loop") for cls in own} == own


def test_a_loop_put_over_ours_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    fastrnn.keras.accelerate()
    ours = layers.GRU.inner_loop

    def theirs(self: Any, *arguments: Any, **options: Any) -> Any:
        return ours(self, *arguments, **options)

    monkeypatch.setattr(layers.GRU, "inner_loop", theirs)
    fastrnn.keras.restore()
    assert layers.GRU.inner_loop is theirs
    monkeypatch.undo()
    assert layers.GRU.inner_loop is ours
    layers.GRU.inner_loop = ours.__wrapped__


class Derived(layers.LSTM):  # type: ignore[misc]
    """A subclass with nothing of its own."""


class OwnLoop(layers.LSTM):  # type: ignore[misc]
    """A subclass that looks at each loop."""

    def inner_loop(self, *arguments: Any, **options: Any) -> Any:
        return super().inner_loop(*arguments, **options)


class OwnCell(layers.GRUCell):  # type: ignore[misc]
    """A cell that may do anything."""


def test_report() -> None:
    own_cell = layers.GRU(H, name="own_cell")
    own_cell.cell = OwnCell(H)
    x = keras.Input((T, I))
    y = layers.Bidirectional(
        layers.LSTM(H, return_sequences=True, name="lstm"), name="both"
    )(x)
    for layer in (
        layers.GRU(H, return_sequences=True, name="gru"),
        layers.SimpleRNN(H, return_sequences=True, name="relu", activation="relu"),
        layers.SimpleRNN(H, return_sequences=True, name="elu", activation="elu"),
        layers.GRU(H, return_sequences=True, name="before", reset_after=False),
        layers.LSTM(H, return_sequences=True, name="hard", unroll=True),
        layers.LSTM(H, return_sequences=True, name="drops", recurrent_dropout=0.2),
        layers.RNN(layers.LSTMCell(H), return_sequences=True, name="cells"),
        Derived(H, return_sequences=True, name="derived"),
        OwnLoop(H, return_sequences=True, name="own_loop"),
    ):
        y = layer(y)
    model = keras.Model(x, own_cell(y))
    nothing = fastrnn.keras.report(model)
    assert nothing.served == []
    assert nothing.left["gru"] == "accelerate was not called"
    assert nothing.left["elu"] == "activation=elu"
    fastrnn.keras.accelerate()
    served, left = fastrnn.keras.report(model)
    assert sorted(served) == [
        "before", "both/backward_lstm", "both/forward_lstm", "derived", "gru", "relu"
    ]  # fmt: skip
    assert left == {
        "elu": "activation=elu",
        "hard": "unroll=True",
        "drops": "in training: recurrent_dropout=0.2",
        "cells": "RNN of LSTMCell",
        "own_loop": "a loop of its own, OwnLoop.inner_loop",
        "own_cell": "a cell of its own, OwnCell",
    }
    assert fastrnn.keras.report(make("LSTM")).left == {}
    for dtype in ("float16", "mixed_bfloat16"):
        assert list(
            fastrnn.keras.report(layers.LSTM(H, dtype=dtype)).left.values()
        ) == [f"dtype {dtype}; float32 and float64 are served"]


def test_report_wants_a_layer() -> None:
    with raises(TypeError, "model: expected a keras.Layer, got []"):
        fastrnn.keras.report([])


def test_other_backends_are_refused() -> None:
    program = """
import fastrnn.keras, keras
layer = keras.layers.LSTM(3)
print(fastrnn.keras.report(layer).left)
fastrnn.keras.restore()
try:
    fastrnn.keras.accelerate()
except RuntimeError as error:
    print(error)
"""
    found = run_program(program, KERAS_BACKEND="numpy")
    assert "the numpy backend" in found
    assert "(KERAS_BACKEND=torch), got numpy" in found


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies(copied: Any) -> None:
    fastrnn.keras.accelerate()
    layer, x = make("LSTM"), draw(0, N, T, I)
    torch.testing.assert_close(copied(layer)(x), layer(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")  # the tracers'
@every_cell
def test_other_ways_to_call(cell: str) -> None:
    """Tracing for an export, function transforms and autocast are left to Keras."""
    model, x = classifier(cell), torch.from_numpy(tokens())
    expected = model(x).detach()
    with counting() as served:
        traced = torch.jit.trace(model, (x,), check_trace=False)
        graph = torch.export.export(model, (x,), strict=False)
        assert not any(served)
        with torch.autocast("cpu", torch.bfloat16):
            model(x)
        assert not any(served)
    assert "fastrnn" not in str(graph.graph)
    torch.testing.assert_close(traced(x).detach(), expected)
    torch.testing.assert_close(graph.module()(x).detach(), expected)
    layer, x = make(cell), draw(0, N, T, I)
    want = torch.func.vmap(layer)(x[:, None])[:, 0]
    with counting() as served:
        torch.testing.assert_close(torch.func.vmap(layer)(x[:, None])[:, 0], want)
    assert not any(served)


@pytest.mark.slow
@every_cell
def test_compiled(cell: str) -> None:
    """As one graph, which Keras's own loop is not."""
    model, x = classifier(cell), torch.from_numpy(tokens())
    expected = model(x).detach()
    fastrnn.keras.accelerate()
    found = torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-5)
    found.sum().backward()
