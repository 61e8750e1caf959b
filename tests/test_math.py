"""exp, expm1, sigmoid and tanh of the kernels: accuracy, special values, equal bits.

The bounds are those that csrc/kernels/math.h states. Results of higher precision stand
for exact values: float64 for float32, and longdouble, where it is wider, for float64.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import _core
from tests.comparing import assert_same_bits
from tests.implementations import FMA_ISAS, every_dtype, every_isa, lanes, using

FUNCTIONS = ("exp", "expm1", "sigmoid", "tanh")
# ulp; without fused multiply-add there are more roundings.
BOUNDS = {
    "exp": {"fma": 1.1, "baseline": 1.1},
    "expm1": {"fma": 1.2, "baseline": 1.3},
    "sigmoid": {"fma": 2.9, "baseline": 3.8},
    "tanh": {"fma": 3.3, "baseline": 3.8},
}
# Below, exp and sigmoid are 0.
UNDERFLOW = {np.float32: -87.3, np.float64: -708.3}
WIDER = {np.float32: np.float64, np.float64: np.longdouble}

every_function = pytest.mark.parametrize("function", FUNCTIONS)


def apply(function: str, isa: str, x: Any) -> Any:
    with using(isa):
        return _core.apply_math(function, x)


def evaluate(function: str, x: Any) -> Any:
    if function == "sigmoid":
        e = np.exp(-np.abs(x))
        return np.where(x < 0, e, 1) / (1 + e)
    return getattr(np, function)(x)


def sweep(function: str, dtype: Any) -> Any:
    """Return numbers all over the range: evenly, and at every order of magnitude."""
    rng = np.random.default_rng(0)
    even = np.concatenate([rng.uniform(0, end, 60_000) for end in (1, 10, 45)])
    most = -UNDERFLOW[dtype]
    tiny = np.finfo(dtype).tiny
    orders = np.exp(rng.uniform(np.log(tiny), np.log(most), 60_000))
    a = np.concatenate([even, orders, rng.uniform(0, most, 60_000)])
    a = a.astype(dtype)
    return -a if function in ("exp", "expm1") else np.concatenate([a, -a])


@every_function
@every_dtype
@every_isa
def test_accuracy(isa: str, dtype: Any, function: str) -> None:
    wider = WIDER[dtype]
    if np.finfo(wider).eps == np.finfo(dtype).eps:
        pytest.skip("longdouble is float64 here")
    x = sweep(function, dtype)
    exact = evaluate(function, x.astype(wider))
    ulp = np.spacing(np.abs(exact).astype(dtype))
    errors = np.abs(apply(function, isa, x) - exact) / ulp
    worst = errors.argmax()
    bound = BOUNDS[function]["fma" if isa in FMA_ISAS else isa]
    assert errors[worst] <= bound, f"{errors[worst]} ulp at {x[worst]}"
    # Otherwise the sweep is not dense, or the bound is too generous.
    assert errors[worst] > 0.75 * bound, f"{errors[worst]} ulp is the most"


def test_the_bounds_are_those_that_the_kernels_state() -> None:
    header = Path(__file__).parents[1] / "csrc" / "kernels" / "math.h"
    if not header.exists():
        pytest.skip("no sources here")
    text = header.read_text(encoding="utf-8")
    for function, bounds in BOUNDS.items():
        (stated,) = re.findall(rf"^// +{function} .* ([\d.]+) +([\d.]+)", text, re.M)
        assert [float(number) for number in stated] == list(bounds.values()), function


# exp and expm1 never get positive numbers. expm1(-0) has no sign to keep.
SPECIAL: dict[str, list[tuple[float, float]]] = {
    "exp": [(-np.inf, 0), (-0.0, 1), (0.0, 1)],
    "expm1": [(-np.inf, -1), (0.0, 0.0)],
    "sigmoid": [(-np.inf, 0), (np.inf, 1), (-0.0, 0.5), (0.0, 0.5)],
    "tanh": [(-np.inf, -1), (np.inf, 1), (-0.0, -0.0), (0.0, 0.0)],
}


@every_function
@every_dtype
@every_isa
def test_special_values(isa: str, dtype: Any, function: str) -> None:
    """Check every lane, and the remainder after the last whole vector."""
    info = np.finfo(dtype)
    least, most = info.smallest_subnormal, info.max
    values = [(np.nan, np.nan), *SPECIAL[function], (-most, SPECIAL[function][0][1])]
    both = (least, -least) if function in ("sigmoid", "tanh") else (-least,)
    values += [(x, evaluate(function, x)) for x in both]
    values += [(most, 1)] if function in ("sigmoid", "tanh") else []
    for value, expected in values:
        for count in range(1, 2 * lanes(isa, dtype) + 2):
            got = apply(function, isa, np.full(count, value, dtype))
            np.testing.assert_array_equal(got, np.full(count, expected, dtype))
            if not np.isnan(expected):
                assert (np.signbit(got) == np.signbit(expected)).all()


@every_function
@every_dtype
@every_isa
def test_saturation(isa: str, dtype: Any, function: str) -> None:
    """Where the result is the limit, or too small a number, it is that exactly."""
    x = -np.linspace(0, 2, 1001, dtype=dtype) * dtype(-UNDERFLOW[dtype])
    got = apply(function, isa, x)
    exact = evaluate(function, x.astype(np.float64))
    if function in ("exp", "sigmoid"):
        below = x < dtype(UNDERFLOW[dtype])
        assert not got[below].any()
        assert (got[~below] >= np.finfo(dtype).tiny).all()
    else:
        limit = exact <= -1 + float(np.finfo(dtype).eps) / 8
        assert limit.sum() > 850
        assert (got[limit] == -1).all()
    assert (np.abs(got) <= 1).all()


@every_function
@every_dtype
@every_isa
def test_order_is_kept(isa: str, dtype: Any, function: str) -> None:
    """Among numbers a few hundred roundings apart, and never beyond the limits."""
    x = np.linspace(-30, 0 if function in ("exp", "expm1") else 30, 20_001, dtype=dtype)
    got = apply(function, isa, x)
    assert (np.diff(got) >= -4 * np.finfo(dtype).eps * np.abs(got[1:])).all()
    low, high = {"tanh": (-1, 1), "expm1": (-1, 0)}.get(function, (0, 1))
    assert got.min() >= low
    assert got.max() <= high


@every_function
@every_dtype
@pytest.mark.parametrize("isa", FMA_ISAS[1:])
def test_instruction_sets_with_fma_agree(isa: str, dtype: Any, function: str) -> None:
    x = sweep(function, dtype)
    assert_same_bits(apply(function, isa, x), apply(function, FMA_ISAS[0], x))


@pytest.mark.parametrize("function", ["tanh", "sigmoid"])
@every_dtype
@every_isa
def test_symmetry(isa: str, dtype: Any, function: str) -> None:
    """Bit for bit, tanh is odd; sigmoid(x) + sigmoid(-x) is 1 up to rounding."""
    x = sweep(function, dtype)
    there, back = apply(function, isa, x), apply(function, isa, -x)
    if function == "tanh":
        assert_same_bits(back, -there)
    else:
        np.testing.assert_allclose(there + back, 1, rtol=4 * np.finfo(dtype).eps)


def test_unknown_function() -> None:
    message = "^name: expected exp, sigmoid, tanh or expm1, got cos$"
    with pytest.raises(ValueError, match=message):
        _core.apply_math("cos", np.ones(3))


@every_dtype
@every_isa
def test_log1p(isa: str, dtype: Any) -> None:
    """From 0 to 1, in every order of magnitude: within 2 ulp, as log.h states."""
    rng = np.random.default_rng(0)
    small = np.exp(rng.uniform(np.log(4 * np.finfo(dtype).tiny), 0, 50_000))
    e = np.concatenate([rng.random(50_000), small, [0, 1]]).astype(dtype)
    exact = np.log1p(e.astype(WIDER[dtype]))
    ulp = np.spacing(exact.astype(dtype))
    assert (np.abs(apply("log1p", isa, e) - exact) <= 2 * ulp).all()
    assert np.isnan(apply("log1p", isa, np.full(3, np.nan, dtype))).all()


@every_isa
def test_log(isa: str) -> None:
    """From 1 on, in every order of magnitude: within 2.1 ulp, as log.h states."""
    rng = np.random.default_rng(0)
    near = 1 + np.exp(rng.uniform(np.log(2.0**-52), 0, 50_000))
    far = np.exp(rng.uniform(0, np.log(1e30), 50_000))
    x = np.concatenate([near, far, 2.0 ** np.arange(100), [1]])
    exact = np.log(x.astype(np.longdouble))
    ulp = np.spacing(exact.astype(np.float64))
    found = apply("log", isa, x)
    assert (np.abs(found - exact) <= 2.1 * ulp).all()
    assert found[-1] == 0
    assert np.isnan(apply("log", isa, np.full(3, np.nan))).all()
    if isa in FMA_ISAS:
        assert_same_bits(found, apply("log", FMA_ISAS[0], x))
