"""The compiled linear layer and loss against the reference in float64."""

from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from tests.comparing import assert_near
from tests.implementations import Compiled, every_dtype, every_isa
from tests.linear.problems import (
    call_linear,
    call_loss,
    double,
    draw_linear,
    draw_loss,
    every_bias,
    every_linear,
    every_loss,
)


@every_dtype
@every_isa
@every_bias
@every_linear
def test_linear(size: Any, bias: bool, isa: str, dtype: Any) -> None:
    arrays = draw_linear(size, dtype)
    expected = call_linear(reference, double(arrays), bias)
    assert_near(call_linear(Compiled(isa), arrays, bias), expected, max(size))


@pytest.mark.parametrize("reduction", ["sum", "none", "mean"])
@every_dtype
@every_isa
@every_bias
@every_loss
def test_loss(size: Any, bias: bool, isa: str, dtype: Any, reduction: str) -> None:
    arguments = draw_loss(size, dtype)
    arguments[3][1::7] = -100
    expected = call_loss(reference, double(arguments), bias, reduction=reduction)
    got = call_loss(Compiled(isa), arguments, bias, reduction=reduction)
    if reduction == "mean":
        count = float((arguments[3] >= 0).sum())
        for found in (got, expected):
            for name in found.keys() - {"loss"}:
                found[name] = found[name] * count
    # The entries of softmax and their sums over the vocabulary are at most 1.
    assert_near(got, expected, max(size[:2]))


@every_dtype
@every_isa
def test_every_size_up_to_forty(isa: str, dtype: Any) -> None:
    """Cover all tiles, and all remainders after them."""
    for k in range(1, 41):
        size = (k, 41 - k, 7 * k % 41)
        arrays, arguments = draw_linear(size, dtype), draw_loss(size, dtype)
        expected = call_linear(reference, double(arrays))
        assert_near(call_linear(Compiled(isa), arrays), expected, max(size))
        expected = call_loss(reference, double(arguments), reduction="sum")
        got = call_loss(Compiled(isa), arguments, reduction="sum")
        assert_near(got, expected, max(size))


@every_dtype
@every_isa
def test_large_logits(isa: str, dtype: Any) -> None:
    """A logit of 1e4 is off by a few roundings of 1e4, and so is the loss."""
    for size in ((129, 33, 257), (7, 1, 1000)):
        arguments = draw_loss(size, dtype, logit=1e4)
        expected = call_loss(reference, double(arguments), reduction="none")
        got = call_loss(Compiled(isa), arguments, reduction="none")
        tolerance = 20 * float(np.finfo(dtype).eps) * 4e4
        np.testing.assert_allclose(
            got["loss"], expected["loss"], rtol=0, atol=tolerance
        )
        for name in ("dy", "dw", "db"):
            assert np.isfinite(got[name]).all()
            if dtype == np.float64:
                most = np.abs(expected[name]).max()
                np.testing.assert_allclose(
                    got[name], expected[name], rtol=0, atol=tolerance * most
                )


@every_dtype
@every_isa
def test_a_logit_that_stands_alone(isa: str, dtype: Any) -> None:
    """Far below the other logits of its part, or in a part far below the others."""
    V = 600
    w = np.zeros((V, 1), dtype)
    w[[0, 300], 0] = -2e4, -1e4
    w[400:] = -5e3
    y = np.ones((V, 1), dtype)
    got = call_loss(Compiled(isa), [y, w, None, np.arange(V)], False, reduction="none")
    exact = np.log(np.float64((w == 0).sum())) - w[:, 0].astype(np.float64)
    np.testing.assert_allclose(got["loss"], exact, rtol=4 * np.finfo(dtype).eps)
    assert np.isfinite(got["dy"]).all()
    assert np.isfinite(got["dw"]).all()


@every_isa
def test_non_finite_numbers(isa: str) -> None:
    """They appear in the results where the reference has them, and only there."""
    arguments = draw_loss((130, 9, 300), np.float64)
    arrays = draw_linear((130, 9, 30), np.float64)
    rng = np.random.default_rng(0)
    for bad in (np.nan, np.inf, -np.inf):
        for call, given, names in (
            (call_loss, arguments, "ywb"),
            (call_linear, arrays, ["x", "w", "b", "dy"]),
        ):
            for k, name in enumerate(names):
                changed = list(given)
                changed[k] = given[k].copy()
                changed[k][tuple(rng.integers(given[k].shape))] = bad
                expected = call(reference, changed)
                got = call(Compiled(isa), changed)
                for key, a in expected.items():
                    finite = np.isfinite(a)
                    np.testing.assert_array_equal(
                        np.isfinite(got[key]), finite, f"{bad} in {name} -> {key}"
                    )


@every_isa
def test_ignored_rows_are_not_read(isa: str) -> None:
    """Their NaN affects no result, in whichever block of rows they are."""
    arguments = draw_loss((300, 9, 300), np.float32)
    y, targets = arguments[0], arguments[3]
    ignored = np.random.default_rng(0).random(300) < 0.4
    ignored[128:256] = True
    targets[ignored] = -7
    options: Any = {"ignore_index": -7, "reduction": "sum"}
    expected = call_loss(Compiled(isa), arguments, **options)
    y[ignored] = np.nan
    got = call_loss(Compiled(isa), arguments, **options)
    for name, a in expected.items():
        np.testing.assert_array_equal(got[name], a, name)
    assert not got["dy"][ignored].any()
    assert got["dy"][~ignored].all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@every_isa
def test_all_rows_ignored(isa: str, reduction: str) -> None:
    arguments = draw_loss((130, 9, 300), np.float32)
    arguments[3][:] = -100
    found = call_loss(Compiled(isa), arguments, reduction=reduction)
    loss = found.pop("loss")
    assert np.isnan(loss) if reduction == "mean" else not np.any(loss)
    for a in found.values():
        assert not a.any()
