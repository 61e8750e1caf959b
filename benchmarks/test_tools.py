"""The benchmarks' own tools: their checks must be able to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.contestants.layers import RATES, LayerCall, prepare_fastrnn
from benchmarks.contestants.layers import compute_expected as expect_layer
from benchmarks.contestants.losses import LossCall, prepare_torch
from benchmarks.contestants.losses import prepare_fastrnn as prepare_loss
from benchmarks.layer_options import option_cost
from benchmarks.losses import CALLS, check_loss
from benchmarks.oracle import check_results, check_sequence, compute_expected
from benchmarks.timing import Spread, alternate, summarise
from benchmarks.workloads import Workload

SMALL = Workload("lstm", 5, 6, 3, 4)


@pytest.mark.parametrize("name", sorted(compute_expected(SMALL, "training")))
def test_check_finds_a_wrong_array(name: str) -> None:
    right = {n: a.astype("f4") for n, a in compute_expected(SMALL, "training").items()}
    check_sequence(right, SMALL, "training", "right")
    wrong = right | {name: np.roll(right[name], 1, axis=0)}
    with pytest.raises(AssertionError, match=f"wrong .*: {name}: relative error"):
        check_sequence(wrong, SMALL, "training", "wrong")


def test_check_finds_a_missing_array_a_shape_and_a_nan() -> None:
    right = {"y": np.ones((2, 3)), "h_n": np.ones(3)}
    with pytest.raises(AssertionError, match=r"missing or unknown: \['h_n'\]"):
        check_results({"y": right["y"]}, right, 1e-9, "float64", "who")
    with pytest.raises(AssertionError, match=r"who: y: expected .*got \(\(3, 2\)"):
        check_results(right | {"y": np.ones((3, 2))}, right, 1e-9, "float64", "who")
    nan = {"h_n": np.full(3, np.nan)}
    with pytest.raises(AssertionError, match="who: h_n: relative error nan"):
        check_results(right | nan, right, 1e-9, "float64", "who")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("option", ["bidirectional", "ragged", "resets", *RATES])
def test_a_layer_with_an_option_is_checked_against_the_oracle(
    option: str, cell: str
) -> None:
    value = True if option in ("bidirectional", "ragged") else 0.3
    plain = LayerCall(cell, 6, N=5, T=12)
    call = replace(plain, **{option: value})
    results = prepare_fastrnn(call, 1).results()
    check_results(results, expect_layer(call), 1e-5, "float32", "right")
    with pytest.raises(AssertionError, match=r"relative error|expected"):
        check_results(results, expect_layer(plain), 1e-5, "float32", "wrong")


def test_the_cost_of_an_option_is_that_of_a_valid_step() -> None:
    """Half the time for half the steps costs nothing; nor does equal time for all."""
    ratio = {"median": 2.0, "low": 1.0, "high": 4.0}  # time without ÷ time with
    assert option_cost(ratio, 0.5) == {"median": 1, "low": 0.5, "high": 2}
    assert option_cost(ratio, 1)["median"] == 0.5
    call = LayerCall("rnn", 6, N=5, T=12)
    assert call.valid_share == 1
    assert 0.1 < replace(call, ragged=True).valid_share < 1


def test_rounds_alternate_and_turn_round() -> None:
    seen: list[str] = []

    def turn(name: str) -> Callable[[], float]:
        def sample() -> float:
            seen.append(name)
            return float(len(seen))

        return sample

    samples = alternate({name: turn(name) for name in "abc"}, 2)
    assert samples == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}
    assert "".join(seen) == "abccba"


def test_summary_takes_ratios_within_rounds() -> None:
    samples = {
        ("fastrnn", 1): [1.0, 2.0, 4.0],  # seconds
        ("torch", 1): [2.0, 4.0, 8.0],
        ("fastrnn", 2): [0.5, 1.0, 2.0],
        ("peak", 1): [20.0, 10.0, 5.0],  # speed
    }
    summary = summarise(samples, work=10)
    one = summary["threads"]["1"]
    assert Spread(**one["ratio"]["torch"]) == Spread(2, 2, 2)
    assert Spread(**one["share"]) == Spread(0.5, 0.5, 0.5)
    assert one["speed"]["fastrnn"]["median"] == 5
    assert summary["scaling"] == {"fastrnn": {"median": 2, "low": 2, "high": 2}}


@pytest.mark.parametrize("call", [c for c in CALLS if c.V <= 30], ids=lambda c: c.name)
def test_losses_of_both_contestants_are_right(call: LossCall) -> None:
    right = prepare_loss(call, 1).results()
    check_loss(right, call, "right")
    with pytest.raises(AssertionError, match="relative error"):
        check_loss({name: 1.01 * a for name, a in right.items()}, call, "wrong")
    pytest.importorskip("torch")
    check_loss(prepare_torch(call, 1).results(), call, "torch")
