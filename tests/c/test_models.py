"""The C library gives the bits of the package: steps and whole sequences."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.c.building import CModel, Library
from tests.comparing import assert_same_bits

CELLS = {
    "rnn_tanh": fastrnn.RNN,
    "rnn_relu": functools.partial(fastrnn.RNN, nonlinearity="relu"),
    "gru": fastrnn.GRU,
    "lstm": fastrnn.LSTM,
}


def draw(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def flat(state: Any) -> Any:
    """Return the state of a layer or model as the C library lays it out."""
    if isinstance(state, tuple):
        return np.concatenate([flat(one) for one in state])
    return state.ravel()


def compare(layer: Any, model: CModel, x: Any) -> None:
    """Sequences, and steps with a state set half way, against the package."""
    T, N = x.shape[:2]
    layer.eval()
    y, state = layer(x)
    assert (model.outputs, model.state_size * N) == (y.shape[2], flat(state).size)
    ours, end = model.forward(x)
    assert_same_bits(ours, y)
    assert_same_bits(end, flat(state))
    half = T // 2
    first, between = model.forward(x[:half])
    second, end = model.forward(x[half:], state=between)
    assert_same_bits(np.concatenate([first, second]), y)
    assert_same_bits(end, flat(state))
    stepper, other = model.stepper(N), model.stepper(N)
    expected = fastrnn.Stepper(layer, rows=N)
    for t in range(T):
        if t == half:
            other.state = stepper.state
            stepper = other
        step = stepper.step(np.ascontiguousarray(x[t]))
        assert_same_bits(step, expected.step(x[t]))
        assert_same_bits(step, y[t])
    assert_same_bits(stepper.state, flat(state))
    stepper.state = None
    assert not stepper.state.any()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("kind", CELLS)
def test_a_recurrent_layer(
    kind: str, N: int, num_layers: int, bias: bool, library: Library, tmp_path: Path
) -> None:
    layer = CELLS[kind](7, 21, num_layers=num_layers, bias=bias, seed=3)
    fastrnn.save(tmp_path / "file", layer)
    compare(layer, library.model(tmp_path / "file", (kind, "")), draw((12, N, 7)))


def test_tokens_as_one_hot_rows(library: Library, tmp_path: Path) -> None:
    layer = fastrnn.GRU(11, 21, num_layers=2, seed=3)
    fastrnn.save(tmp_path / "file", layer)
    tokens = np.random.default_rng(0).integers(0, 11, (12, 3))
    compare(layer, library.model(tmp_path / "file", ("gru", "")), tokens)


@pytest.mark.parametrize("N", [1, 3])
def test_a_whole_model(N: int, library: Library, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = fastrnn.Sequential(
        fastrnn.Embedding(11, 9, seed=1),
        fastrnn.LSTM(9, 21, num_layers=2, seed=2),
        fastrnn.LayerNorm(21, eps=1e-3),
        fastrnn.Activation("gelu"),
        fastrnn.GRU(21, 17, seed=3),
        fastrnn.BatchNorm(17),
        fastrnn.Linear(17, 10, seed=4),
        fastrnn.Activation("relu"),
        fastrnn.Linear(10, 6, bias=False, seed=5),
        fastrnn.Activation("tanh"),
        fastrnn.Activation("sigmoid"),
    )
    model(rng.integers(0, 11, (30, 8)))  # for the averages of the batch norm
    fastrnn.save(tmp_path / "file", model)
    ours = library.model(
        tmp_path / "file",
        ("embedding", "0"), ("lstm", "1"), ("layer_norm", "2", 1e-3), ("gelu", ""),
        ("gru", "4"), ("batch_norm", "5"), ("linear", "6"), ("relu", ""),
        ("linear", "8"), ("tanh", ""), ("sigmoid", ""),
    )  # fmt: skip
    compare(model, ours, rng.integers(0, 11, (12, N)))


def test_unequal_lengths(library: Library, tmp_path: Path) -> None:
    model = fastrnn.Sequential(
        fastrnn.LSTM(5, 21, num_layers=2, seed=2), fastrnn.Linear(21, 3, seed=4)
    )
    fastrnn.save(tmp_path / "file", model)
    ours = library.model(tmp_path / "file", ("lstm", "0"), ("linear", "1"))
    x, lengths = draw((9, 4, 5)), np.array([3, 9, 0, 7])
    y, state = model.eval()(x, lengths=lengths)
    for n, length in enumerate(lengths):
        x[length:, n] = np.nan
    found, end = ours.forward(x, lengths)
    for n, length in enumerate(lengths):
        assert_same_bits(found[:length, n], y[:length, n])
    assert_same_bits(end, flat(state))


def test_a_model_of_pytorch(library: Library, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    gru, head = torch.nn.GRU(3, 20, num_layers=2), torch.nn.Linear(20, 4)
    model = torch.nn.ModuleDict({"gru": gru, "head": head})
    arrays = {k: v.numpy() for k, v in model.state_dict().items()}
    fastrnn.save(tmp_path / "file", arrays)
    ours = library.model(tmp_path / "file", ("gru", "gru"), ("linear", "head"))
    x = draw((15, 2, 3))
    with torch.no_grad():
        expected = head(gru(torch.from_numpy(x))[0]).numpy()
    np.testing.assert_allclose(ours.forward(x)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int, library: Library, tmp_path: Path) -> None:
    layer = fastrnn.LSTM(200, 600, seed=3)
    fastrnn.save(tmp_path / "file", layer)
    x = draw((6, 4, 200))
    model = library.model(tmp_path / "file", ("lstm", ""))
    expected = model.forward(x)
    library.call("set_num_threads", ctypes.c_int(threads))
    try:
        found = model.forward(x)
        stepper = model.stepper(4)
        steps = [stepper.step(step) for step in x]
    finally:
        library.call("set_num_threads", ctypes.c_int(1))
    assert_same_bits(found[0], expected[0])
    assert_same_bits(np.stack(steps), expected[0])


def test_version_and_instruction_set(library: Library) -> None:
    assert library.c.fastrnn_version().decode() == fastrnn.__version__
    assert library.c.fastrnn_isa().decode() in fastrnn.available_isas()
