"""A stepper's steps are those of the sequence, to the last bit."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits
from tests.implementations import ISAS, every_dtype, every_isa, using
from tests.layers import as_tuple
from tests.problems import CELLS, VARIANTS, parse
from tests.threads import run_as_team

T = 6
# N, I, H: one row and several, with sizes around the lanes of all instruction sets.
SIZES = ((1, 3, 1), (1, 17, 15), (1, 1, 16), (1, 5, 33), (1, 9, 70), (1, 40, 150),
         (2, 3, 17), (3, 16, 4), (5, 7, 33), (8, 2, 64), (19, 5, 20))  # fmt: skip

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def make_layer(variant: str, I: int, H: int, **options: Any) -> Any:  # noqa: E741
    cell, chosen = parse(variant)
    options = {**chosen, **options}
    layer = getattr(fastrnn, cell.upper())(I, H, seed=1, **options)
    layer.flat_params *= 2  # large enough for the tails of the nonlinearities
    return layer


def draw_state(layer: Any, N: int) -> Any:
    rng = np.random.default_rng(7)
    states = [
        rng.standard_normal((layer.num_layers, N, width)).astype(layer.dtype)
        for width in layer._widths
    ]
    return tuple(states) if len(states) > 1 else states[0]


def draw_input(layer: Any, N: int, tokens: bool = False, steps: int = T) -> Any:
    rng = np.random.default_rng(3)
    if tokens:
        return rng.integers(0, layer.input_size, (steps, N))
    return rng.standard_normal((steps, N, layer.input_size)).astype(layer.dtype)


def run_stepper(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
    stepper = fastrnn.Stepper(layer)
    stepper.state = state
    return np.stack([stepper.step(x_t) for x_t in x]), stepper.state


def assert_steps(layer: Any, x: Any) -> None:
    """Compare with the layer in training mode, which packs its weights in each call."""
    state = draw_state(layer, x.shape[1])
    expected = layer(x, state)
    got = run_stepper(layer, x, state)
    assert_same_bits(got[0], expected[0])
    for a, b in zip(as_tuple(got[1]), as_tuple(expected[1]), strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: "N={}-I={}-H={}".format(*s))
@pytest.mark.parametrize("tokens", [False, True], ids=["floating", "tokens"])
@every_dtype
@every_isa
@every_variant
def test_sequences(variant: str, isa: str, dtype: Any, tokens: bool, size: Any) -> None:
    N, I, H = size  # noqa: E741
    layer = make_layer(variant, I, H, dtype=dtype)
    with using(isa):
        assert_steps(layer, draw_input(layer, N, tokens))


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("N", [1, 4])
@pytest.mark.parametrize("layers", [2, 3, 5])
@every_dtype
@every_isa
@every_variant
def test_layers(
    variant: str, isa: str, dtype: Any, layers: int, N: int, bias: bool
) -> None:
    layer = make_layer(variant, 6, 19, num_layers=layers, dtype=dtype, bias=bias)
    with using(isa):
        assert_steps(layer, draw_input(layer, N))
        assert_steps(layer, draw_input(layer, N, tokens=True))


@pytest.mark.parametrize("N", [1, 3])
@every_isa
@every_variant
def test_bfloat16(variant: str, isa: str, N: int) -> None:
    layer = make_layer(variant, 6, 35, num_layers=2)
    state = draw_state(layer, N)
    with using(isa):
        for x in (draw_input(layer, N), draw_input(layer, N, tokens=True)):
            full = layer.eval()(x, state)[0]
            expected = layer.eval(weights="bfloat16")(x, state)
            got = run_stepper(layer, x, state)
            assert_same_bits(got[0], expected[0])
            assert np.any(got[0] != full)


@pytest.mark.parametrize("x_scale", [1e-38, 1e-42], ids=["to_zero", "from_zero"])
@every_isa
def test_denormals_are_flushed_as_in_a_sequence(isa: str, x_scale: float) -> None:
    layer = make_layer("rnn-relu", 4, 20)
    layer.flat_params *= 1e-1
    with using(isa):
        x = draw_input(layer, 1) * np.float32(x_scale)
        expected = layer(x)[0]
        stepper = fastrnn.Stepper(layer)
        got = np.stack([stepper.step(x_t) for x_t in x])
    assert_same_bits(got, expected)
    assert np.float32(1e-42) * np.float32(0.5) != 0, "the caller's mode was changed"


@pytest.mark.parametrize("weights", [None, "bfloat16"])
@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("variant", CELLS)
def test_threads(variant: str, N: int, weights: str | None) -> None:
    """Large steps are shared by units."""
    layer = make_layer(variant, 500, 515, num_layers=2)
    layer.eval(weights=weights)
    x = draw_input(layer, N, steps=3)
    state = draw_state(layer, N)
    with using(ISAS[0]):
        expected = run_stepper(layer, x, state)[0]
    for threads in (2, 3):
        with using(ISAS[0], threads):
            got = run_as_team(lambda: run_stepper(layer, x, state)[0], threads)
        assert_same_bits(got, expected)
