"""The linear layer and its loss: finite differences, edges, leading sizes."""

from typing import Any

import numpy as np
import pytest

STEP, TOLERANCE = 1e-5, 1e-8


def draw(*shapes: tuple[int, ...], dtype: Any = np.float64) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def differences(f: Any, a: Any) -> Any:
    out = np.zeros_like(a)
    for index in np.ndindex(a.shape):
        step = np.zeros_like(a)
        step[index] = STEP
        out[index] = (f(a + step) - f(a - step)) / (2 * STEP)
    return out


@pytest.mark.parametrize("lead", [(), (4,), (3, 2), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_linear(lead: tuple[int, ...], bias: bool, module: Any) -> None:
    x, w, b, dy = draw((*lead, 3), (5, 3), (5,), (*lead, 5))
    b = b if bias else None
    y = module.linear_forward(x, w, b)
    assert y.shape == (*lead, 5)
    np.testing.assert_allclose(
        y, np.einsum("...i,oi->...o", x, w) + (0 if b is None else b), atol=1e-14
    )
    grads = module.linear_backward(x, w, dy, bias=bias)
    assert grads._fields == ("dx", "dw", "db")

    def loss(x: Any = x, w: Any = w, b: Any = b) -> Any:
        return np.sum(module.linear_forward(x, w, b) * dy)

    np.testing.assert_allclose(
        grads.dx, differences(lambda a: loss(x=a), x), atol=TOLERANCE
    )
    np.testing.assert_allclose(
        grads.dw, differences(lambda a: loss(w=a), w), atol=TOLERANCE
    )
    if bias:
        np.testing.assert_allclose(
            grads.db, differences(lambda a: loss(b=a), b), atol=TOLERANCE
        )
    else:
        assert grads.db is None


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("lead", [(), (4,), (3, 2)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_cross_entropy(
    lead: tuple[int, ...], bias: bool, reduction: str, module: Any
) -> None:
    y, w, b = draw((*lead, 3), (5, 3), (5,))
    b = b if bias else None
    targets = np.random.default_rng(1).integers(0, 5, lead)
    if lead:
        targets[0] = -100

    def loss(y: Any = y, w: Any = w, b: Any = b) -> Any:
        result, nothing = module.linear_cross_entropy(
            y, w, b, targets, reduction=reduction, training=False
        )
        assert nothing is None
        return np.sum(result)

    value, grads = module.linear_cross_entropy(y, w, b, targets, reduction=reduction)
    assert grads._fields == ("dy", "dw", "db")
    assert np.shape(value) == (lead if reduction == "none" else ())
    np.testing.assert_array_equal(np.sum(value), loss())
    np.testing.assert_allclose(
        grads.dy, differences(lambda a: loss(y=a), y), atol=TOLERANCE
    )
    np.testing.assert_allclose(
        grads.dw, differences(lambda a: loss(w=a), w), atol=TOLERANCE
    )
    if bias:
        np.testing.assert_allclose(
            grads.db, differences(lambda a: loss(b=a), b), atol=TOLERANCE
        )
    else:
        assert grads.db is None


def test_cross_entropy_by_hand(module: Any) -> None:
    """``log(1 + e)`` and ``log(1 + e) - 1`` for logits 0 and 1."""
    y, w = np.ones((2, 1)), np.array([[0.0], [1.0]])
    loss, _ = module.linear_cross_entropy(y, w, None, [0, 1], reduction="none")
    np.testing.assert_allclose(loss, np.log(1 + np.e) - [0, 1], rtol=1e-15)
    loss, _ = module.linear_cross_entropy(y, w, None, [0, 1])
    np.testing.assert_allclose(loss, np.log(1 + np.e) - 0.5, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_large_logits(dtype: Any, module: Any) -> None:
    """Logits of 1e4 and -1e4 neither overflow nor warn."""
    y, w = np.full((2, 1), 1e4, dtype), np.array([[1], [-1], [1]], dtype)
    loss, grads = module.linear_cross_entropy(y, w, None, [0, 1], reduction="none")
    np.testing.assert_allclose(loss, [np.log(2), 2e4 + np.log(2)], rtol=1e-6)
    assert loss.dtype == dtype
    for a in grads[:2]:
        assert a.dtype == dtype
        assert np.isfinite(a).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_empty_batch(dtype: Any, module: Any) -> None:
    y, w, b = draw((0, 4, 3), (5, 3), (5,), dtype=dtype)
    assert module.linear_forward(y, w, b).shape == (0, 4, 5)
    grads = module.linear_backward(y, w, np.zeros((0, 4, 5), dtype))
    assert grads.dx.shape == (0, 4, 3)
    assert not grads.dw.any()
    assert not grads.db.any()
    targets = np.zeros((0, 4), int)
    for reduction, expected in [("mean", np.nan), ("sum", 0)]:
        loss, grads = module.linear_cross_entropy(y, w, b, targets, reduction=reduction)
        np.testing.assert_array_equal(loss, expected)
        assert loss.dtype == dtype
        assert grads.dy.shape == y.shape
        assert not grads.dw.any()
        assert not grads.db.any()
    loss, _ = module.linear_cross_entropy(y, w, b, targets, reduction="none")
    assert loss.shape == (0, 4)


def test_ignored_rows_are_not_read(module: Any) -> None:
    y, w, b = draw((4, 3), (5, 3), (5,))
    y[2] = np.nan
    targets = [1, 4, 7, 0]
    loss, grads = module.linear_cross_entropy(y, w, b, targets, ignore_index=7)
    kept = [0, 1, 3]
    expected, expected_grads = module.linear_cross_entropy(
        y[kept], w, b, [1, 4, 0], ignore_index=7
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-15)
    np.testing.assert_allclose(grads.dy[kept], expected_grads.dy, atol=1e-16)
    assert not grads.dy[2].any()
    np.testing.assert_allclose(grads.dw, expected_grads.dw, atol=1e-15)
    np.testing.assert_allclose(grads.db, expected_grads.db, atol=1e-15)


def test_other_rows_keep_nan(module: Any) -> None:
    y, w, b = draw((4, 3), (5, 3), (5,))
    y[2, 0] = np.nan
    loss, grads = module.linear_cross_entropy(y, w, b, [0] * 4, reduction="none")
    assert list(np.isnan(loss)) == [False, False, True, False]
    assert list(np.isnan(grads.dy).any(axis=1)) == [False, False, True, False]


@pytest.mark.parametrize("wanted", [(), ("dy",), ("dw",), ("db",), ("db", "dy")])
@pytest.mark.parametrize("rows", [0, 3, 300])
def test_only_wanted_gradients(wanted: tuple[str, ...], rows: int, module: Any) -> None:
    y, w, b = draw((rows, 9), (300, 9), (300,))
    targets = np.arange(rows)
    loss, every = module.linear_cross_entropy(y, w, b, targets)
    got, grads = module.linear_cross_entropy(y, w, b, targets, wanted=wanted)
    np.testing.assert_array_equal(got, loss)
    for name in every._fields:
        if name in wanted:
            np.testing.assert_array_equal(getattr(grads, name), getattr(every, name))
        else:
            assert getattr(grads, name) is None
