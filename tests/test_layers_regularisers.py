"""Recurrent dropout, zoneout and weight dropout of layers."""

import math
from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from fastrnn._layers.regularisers import draw_flags
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises
from tests.implementations import ISAS, using
from tests.layers import (
    CELLS,
    TABLE,
    Data,
    H,
    I,
    N,
    T,
    arguments_of,
    as_tuple,
    class_of,
    make_layer,
)

RATES = {"recurrent_dropout": 0.4, "zoneout": 0.3, "weight_dropout": 0.2}
cells = pytest.mark.parametrize("cell", CELLS)
every_rate = pytest.mark.parametrize(
    "rates", [*({k: v} for k, v in RATES.items()), RATES], ids=lambda r: "-".join(r)
)


def run_reference(layer: Any, data: Data, options: dict[str, Any]) -> list[Any]:
    """Return the outputs of one layer by the reference, with masks drawn again.

    The order is that of the documentation: direction by direction, recurrent dropout,
    zoneout (of h, of c), weight dropout.
    """
    cell = type(layer).__name__.lower()
    run = getattr(reference, f"{cell}_forward")
    rng, outputs, finals = layer.rng, [], []

    def factors(shape: Any, p: float) -> Any:
        return (rng.random(shape, np.float32) < 1 - p) / (1 - p)

    for d in range(2 if layer.bidirectional else 1):
        given = arguments_of(layer, d) | {"h0": data.states[0][d]}
        given |= {"c0": data.states[1][d]} if data.pair else {}
        if layer.recurrent_dropout:
            shape = data.states[0][d].shape
            given["recurrent_mask"] = factors(shape, layer.recurrent_dropout)
        if layer.zoneout:
            keep = [
                draw_flags(rng, (T, *a[d].shape), layer.zoneout) for a in data.states
            ]
            given["zoneout"] = keep if data.pair else keep[0]
        if layer.weight_dropout:
            mask = factors(given["w_hh"].shape, layer.weight_dropout)
            given["w_hh"] = given["w_hh"] * mask
        y, final, _ = run(data.x, **given, reverse=d == 1, **options)
        outputs.append(y)
        finals.append(as_tuple(final))
    return [np.concatenate(outputs, 2), *map(np.stack, zip(*finals, strict=True))]


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@every_rate
@cells
def test_definitions(
    cell: str, rates: dict[str, float], ragged: bool, bidirectional: bool
) -> None:
    layer = make_layer(cell, bidirectional=bidirectional, **rates)
    data = Data(layer)
    options: dict[str, Any] = {}
    if ragged:
        resets = np.random.default_rng(0).random((T, N)) < 0.3
        options = {"lengths": [5, 0, 3], "padding": "left", "resets": resets}
    saved = layer.rng.bit_generator.state
    got, _ = data.run(layer, **options)
    layer.rng.bit_generator.state = saved
    for a, b in zip(got, run_reference(layer, data, options), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@every_rate
@cells
def test_gradients(cell: str, rates: dict[str, float]) -> None:
    """Compare with finite differences through two layers and directions."""
    layer = make_layer(cell, num_layers=2, bidirectional=True, dropout=0.3, **rates)
    data = Data(layer)
    saved = layer.rng.bit_generator.state
    upstream = [data.dy, *data.dstates]

    def loss() -> float:
        layer.rng.bit_generator.state = saved
        y, state = layer(data.x, data.join(data.states), lengths=[5, 2, 4])
        outputs = [y, *as_tuple(state)]
        return sum(
            float((a * da).sum()) for a, da in zip(outputs, upstream, strict=True)
        )

    loss()
    dx, dstate = layer.backward(data.dy, data.join(data.dstates))
    rng = np.random.default_rng(0)
    pairs = [(data.x, dx), (layer.flat_params, layer.flat_grads)]
    pairs += list(zip(data.states, as_tuple(dstate), strict=True))
    for a, da in pairs:
        for i in rng.choice(a.size, min(a.size, 50), replace=False):
            old, losses = a.flat[i], []
            for step in (1e-6, -1e-6):
                a.flat[i] = old + step
                losses.append(loss())
            a.flat[i] = old
            slope = (losses[0] - losses[1]) / 2e-6
            assert da.flat[i] == pytest.approx(slope, abs=1e-7)
        assert (da != 0).any()


@pytest.mark.parametrize("p", [0.05, 0.5, 0.93])
def test_zoneout_statistics(p: float) -> None:
    """They occur as often as they should, independently in every direction."""
    rng = np.random.default_rng(0)
    flags = np.stack([draw_flags(rng, (20, 30, 17), p) for _ in range(3)])
    assert flags.dtype == bool
    for axes in [(0, 1, 2, 3), (1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]:
        share = flags.mean(axis=axes)
        spread = 5 * math.sqrt(p * (1 - p) * share.size / flags.size)
        assert (np.abs(share - p) < spread).all()
    for axis in range(4):
        both = np.logical_and(np.take(flags, 0, axis), np.take(flags, 1, axis))
        spread = 5 * math.sqrt(p**2 * (1 - p**2) / both.size)
        assert abs(both.mean() - p**2) < spread


def test_flags_are_those_of_the_generator_that_is_named() -> None:
    """Sixteen xoshiro128++ generators fill the array with half words in turn."""
    rounds, p = 5, 0.3
    state = np.random.default_rng(0).integers(0, 2**32 - 1, (4, 16), np.uint32, True)
    s = [[int(a) for a in row] for row in state.T]

    def rotate(x: int, k: int) -> int:
        return (x << k | x >> (32 - k)) & 0xFFFFFFFF

    def draw(s: list[int]) -> int:
        result = (rotate((s[0] + s[3]) & 0xFFFFFFFF, 7) + s[0]) & 0xFFFFFFFF
        t = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 11)
        return result

    expected = []
    for _ in range(rounds):
        for generator in s:
            a, b = draw(generator), draw(generator)
            halves = (a & 0xFFFF, b & 0xFFFF, a >> 16, b >> 16)
            expected += [half < round(p * 2**16) for half in halves]
    for count in (1, 33, 65, 97, 64 * rounds - 3, 64 * rounds):
        flags = draw_flags(np.random.default_rng(0), (count,), p)
        assert flags.tolist() == expected[:count]


@pytest.mark.parametrize(("p", "share"), [(1e-9, 0), (2**-16, 2**-16), (1 - 1e-9, 1)])
def test_rates_near_0_and_1(p: float, share: float) -> None:
    flags = draw_flags(np.random.default_rng(0), (1000, 1000), p)
    assert abs(flags.mean() - share) < 5e-5


@cells
def test_zoneout_of_every_unit_is_drawn_alone(cell: str) -> None:
    """Some of the final states equal the initial ones exactly, in h and in c."""
    layer = class_of(cell)(I, 64, zoneout=0.3, seed=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 50, I)).astype(np.float32)
    widths = (*layer._widths, 64)[:2]
    states = [rng.random((1, 50, width)).astype(np.float32) for width in widths]
    pair = len(TABLE[type(layer).__name__.lower()].states) == 2
    state = tuple(states) if pair else states[0]
    _, final = layer(x, state)
    kept = [a == b for a, b in zip(as_tuple(final), states, strict=False)]
    for a in kept:
        assert abs(a.mean() - 0.3) < 5 * math.sqrt(0.21 / a.size)
    if pair:
        both = (kept[0] & kept[1][..., : widths[0]]).mean()
        assert abs(both - 0.09) < 5 * math.sqrt(0.09 * 0.91 / kept[0].size)


@pytest.mark.parametrize("D", [1, 2])
@cells
def test_eval_draws_nothing(cell: str, D: int) -> None:
    """Both kinds of dropout are off, and zoneout gives the expectation."""
    layer = make_layer(cell, num_layers=2, bidirectional=D == 2, **RATES).eval()
    data = Data(layer)
    before = layer.rng.bit_generator.state
    y, _ = layer(data.x, data.join(data.states))
    assert layer.rng.bit_generator.state == before
    plain = make_layer(cell, num_layers=2, bidirectional=D == 2)
    np.testing.assert_array_equal(layer.flat_params, plain.flat_params)
    x = data.x
    for k in range(2):
        run = getattr(reference, f"{layer._cell}_forward")
        outputs = []
        for d in range(D):
            i = k * D + d
            weights = arguments_of(plain, i)
            given = dict(zip(("h0", "c0"), (a[i] for a in data.states)))  # noqa: B905
            options = {"reverse": d == 1, "zoneout": 0.3, "training": False}
            outputs.append(run(x, **weights, **given, **options)[0])
        x = np.concatenate(outputs, 2)
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-13)
    off, _ = plain.eval()(data.x, data.join(data.states))
    assert np.abs(y - off).max() > 0.01


@every_rate
@cells
def test_all_randomness_comes_from_the_seed(cell: str, rates: Any) -> None:
    def outputs(seed: int) -> list[Any]:
        layer = make_layer(cell, seed=seed, **rates)
        data = Data(layer)
        return [layer(data.x)[0], layer(data.x)[0]]

    first, again, other = (outputs(seed) for seed in (1, 1, 2))
    assert_same_bits(dict(enumerate(first)), dict(enumerate(again)))
    assert (first[0] != other[0]).any()
    assert (first[0] != first[1]).any()


@cells
def test_rates_of_zero_change_no_bit(cell: str) -> None:
    plain, zero = make_layer(cell), make_layer(cell, **dict.fromkeys(RATES, 0))
    data = Data(plain)
    for a, b in zip(data.run(plain), data.run(zero), strict=True):
        for c, d in zip(a, b, strict=True):
            assert_same_bits(c, d)
    assert plain.rng.bit_generator.state == zero.rng.bit_generator.state


@cells
def test_every_number_of_threads_gives_the_same_bits(cell: str) -> None:
    found = []
    for threads in (1, 2, 3):
        layer = class_of(cell)(I, 120, seed=0, bidirectional=True, **RATES)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((12, 40, I)).astype(np.float32)
        dy = rng.standard_normal((12, 40, layer.output_size)).astype(np.float32)
        with using(ISAS[0], threads):
            y, _ = layer(x)
            dx, _ = layer.backward(dy)
        found.append({"y": y, "dx": dx, "grads": layer.flat_grads})
    for other in found[1:]:
        assert_same_bits(other, found[0])


@bad_values(
    TypeError={f"{name}: expected a number, got str": {name: "0.5"} for name in RATES},
    ValueError={
        f"{name}: expected 0 <= {name} < 1, got {value}": {name: value}
        for name, value in zip(RATES, (1.0, -0.5, np.nan), strict=True)
    },
)
@cells
def test_bad_rates(cell: str, bad: Any, error: Any, message: str) -> None:
    with raises(error, message):
        class_of(cell)(I, H, **bad)
