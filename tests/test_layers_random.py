"""Random numbers of layers: initial values and dropout, all from the seed."""

import math
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.layers import CELLS, TABLE, class_of

I, H = 5, 32  # noqa: E741

cells = pytest.mark.parametrize("cell", CELLS)


def make_layer(cell: str, *, seed: Any = 0, **options: Any) -> Any:
    choices = {"num_layers": 2, "bidirectional": True, "dtype": np.float64, **options}
    return class_of(cell)(I, H, seed=seed, **choices)


def is_weight(name: str, kind: str) -> bool:
    return name.startswith(f"{kind}_l")


def assert_uniform(a: Any, bound: float) -> None:
    """Values lie within the bound, come near it, and have the right moments."""
    size = np.abs(a).max()
    assert size <= bound
    assert size > bound * (1 - 12 / a.size)  # fails once in e^12 draws
    assert abs(a.mean()) < 5 * bound / math.sqrt(3 * a.size)
    # The variance of a square is 4/45 bound^4.
    spread = 5 * math.sqrt(4 / 45 / a.size) * bound**2
    assert abs((a**2).mean() - bound**2 / 3) < spread


@cells
def test_uniform(cell: str) -> None:
    layer = make_layer(cell)
    for a in layer.params.values():
        assert_uniform(a, 1 / math.sqrt(H))
    assert len(np.unique(layer.flat_params)) == layer.flat_params.size


@cells
def test_keras(cell: str) -> None:
    layer = make_layer(cell, init="keras")
    row = TABLE[type(layer).__name__.lower()]
    G = row.gates
    for name, a in layer.params.items():
        if is_weight(name, "weight_ih"):
            width = I if "l0" in name else layer.output_size
            assert_uniform(a, math.sqrt(6 / (width + G * H)))
        elif is_weight(name, "weight_hh"):
            P = a.shape[1]
            assert a.shape == (G * H, layer.proj_size or H)
            np.testing.assert_allclose(a.T @ a, np.eye(P), atol=1e-13)
            # A gate's own block is not orthogonal, unless it is the only one.
            block = a[:H].T @ a[:H]
            assert np.allclose(block, np.eye(P)) == (G == 1)
            assert abs((a > 0).mean() - 0.5) < 0.1
        elif is_weight(name, "weight_hr"):
            assert_uniform(a, math.sqrt(6 / sum(a.shape)))
        elif is_weight(name, "peephole"):
            assert not a.any()
        else:
            expected = np.zeros(G * H)
            if row.forget_gate is not None and is_weight(name, "bias_ih"):
                expected.reshape(G, H)[row.forget_gate] = 1
            np.testing.assert_array_equal(a, expected)


def test_orthogonal_signs_are_random() -> None:
    """The algorithm's own signs would always make the first element negative."""
    layers = [make_layer("RNN", init="keras", seed=seed) for seed in range(20)]
    negative = sum(layer.params["weight_hh_l0"][0, 0] < 0 for layer in layers)
    assert 2 <= negative <= 18


@cells
def test_identity(cell: str) -> None:
    for name, a in make_layer(cell, init="identity").params.items():
        if is_weight(name, "weight_ih") or is_weight(name, "weight_hr"):
            assert_uniform(a, 1 / math.sqrt(H))
        elif is_weight(name, "weight_hh"):
            for block in a.reshape(-1, H, a.shape[1]):
                np.testing.assert_array_equal(block, np.eye(H, a.shape[1]))
        else:
            assert not a.any()


@cells
@pytest.mark.parametrize("init", ["uniform", "keras", "identity"])
def test_init_without_biases(init: str, cell: str) -> None:
    layer = make_layer(cell, init=init, bias=False)
    assert not any(name.startswith("bias") for name in layer.params)


def test_float32_is_drawn_alike() -> None:
    a, b = (make_layer("GRU", dtype=dtype) for dtype in (np.float32, np.float64))
    assert a.flat_params.dtype == np.float32
    np.testing.assert_array_equal(a.flat_params, b.flat_params.astype(np.float32))


@cells
def test_seed(cell: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, I))

    def outputs(seed: Any) -> list[Any]:
        layer = make_layer(cell, seed=seed, dropout=0.5)
        return [layer.flat_params, layer(x)[0], layer(x)[0]]

    first, again, other, fresh = (outputs(seed) for seed in (1, 1, 2, None))
    for a, b, c, d in zip(first, again, other, fresh, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert not np.array_equal(a, d)
    assert not np.array_equal(first[1], first[2])
    shared = np.random.default_rng(1)
    np.testing.assert_array_equal(outputs(shared)[2], first[2])
    assert not np.array_equal(outputs(shared)[0], first[0])


def test_rng_state_continues_exactly() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, I))
    layer = make_layer("LSTM", dropout=0.5)
    saved = layer.rng.bit_generator.state
    first = layer(x)[0]
    layer.rng.bit_generator.state = saved
    np.testing.assert_array_equal(layer(x)[0], first)


def see_masks(dropout: float, T: int, N: int, width: int, seed: int = 0) -> Any:
    """Return a layer whose output is dropout's factor: identities applied to ones."""
    layer = fastrnn.RNN(
        width, width, 2, nonlinearity="relu", bias=False, dropout=dropout, seed=seed
    )
    for name, a in layer.params.items():
        a[...] = np.eye(width) if is_weight(name, "weight_ih") else 0
    return layer, np.ones((T, N, width), np.float32)


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_dropout_statistics(dropout: float) -> None:
    layer, ones = see_masks(dropout, 20, 30, 16)
    masks = [layer(ones)[0] for _ in range(3)]
    kept = np.float32(1 / (1 - dropout))
    for mask in masks:
        assert set(np.unique(mask)) == {0, kept}
    zero = np.stack(masks) == 0  # [call, T, N, H], independent in every direction
    for axes in [(0, 1, 2, 3), (1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]:
        share = zero.mean(axis=axes)
        count = zero.size / share.size
        spread = 5 * math.sqrt(dropout * (1 - dropout) / count)
        assert (np.abs(share - dropout) < spread).all()
    for axis in range(4):
        both = np.logical_and(np.take(zero, 0, axis), np.take(zero, 1, axis))
        expected, count = dropout**2, both.size
        spread = 5 * math.sqrt(expected * (1 - expected) / count)
        assert abs(both.mean() - expected) < spread


def test_dropout_is_for_training_and_between_layers() -> None:
    layer, ones = see_masks(0.5, 4, 3, 8)
    before = layer.rng.bit_generator.state
    layer.eval()
    np.testing.assert_array_equal(layer(ones)[0], ones)
    single = fastrnn.RNN(I, H, dropout=0.5, seed=0)
    plain = fastrnn.RNN(I, H, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 3, I)).astype(np.float32)
    np.testing.assert_array_equal(single(x)[0], plain(x)[0])
    assert layer.rng.bit_generator.state == before


@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
@cells
def test_backward_through_dropout(cell: str, batch_first: bool) -> None:
    """Compare with finite differences, drawing the same masks each time."""
    layer = class_of(cell)(
        3, 4, 3, bidirectional=True, dropout=0.4, dtype=np.float64, seed=0,
        batch_first=batch_first,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    lead = (2, 3) if batch_first else (3, 2)
    x, dy = rng.standard_normal((*lead, 3)), rng.standard_normal((*lead, 8))
    saved = layer.rng.bit_generator.state

    def loss() -> float:
        layer.rng.bit_generator.state = saved
        return float((layer(x)[0] * dy).sum())

    loss()
    dx, _ = layer.backward(dy)
    for a, da in ((x, dx), (layer.flat_params, layer.flat_grads)):
        places = rng.choice(a.size, min(a.size, 60), replace=False)
        for i in places:
            old = a.flat[i]
            losses = []
            for step in (1e-6, -1e-6):
                a.flat[i] = old + step
                losses.append(loss())
            a.flat[i] = old
            slope = (losses[0] - losses[1]) / 2e-6
            assert da.flat[i] == pytest.approx(slope, abs=1e-8)
    assert (dx != 0).any()
