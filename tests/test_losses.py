"""Mean squared error in particular, perplexity, bits per character, accuracy."""

import math
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises

T, N, O = 5, 3, 2  # noqa: E741
rng = np.random.default_rng(0)
Y, TARGETS = rng.standard_normal((2, T, N, O))
IDS = rng.integers(0, O, (T, N))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_mean_squared_error_against_torch(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    y, targets = Y.astype(dtype), TARGETS.astype(dtype)
    fed = torch.tensor(y, requires_grad=True)
    expected = torch.nn.functional.mse_loss(fed, torch.tensor(targets))
    expected.backward()
    loss, dy = fastrnn.mean_squared_error(y, targets)
    assert loss.dtype == dy.dtype == dtype
    tolerance = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss, expected.item(), rtol=tolerance)
    np.testing.assert_allclose(dy, fed.grad.numpy(), rtol=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_mean_squared_error_is_the_nearest_float32(seed: int) -> None:
    """Squares and their sum are computed in float64."""
    y = np.random.default_rng(seed).standard_normal(1001).astype(np.float32)
    loss, _ = fastrnn.mean_squared_error(y, np.zeros_like(y))
    assert loss == np.float32(np.mean(y.astype(np.float64) ** 2))


@pytest.mark.parametrize("shape", [(T,), (T, N), (T, N, O)], ids=str)
def test_what_is_masked_takes_no_part(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(1).random(shape) < 0.6
    kept = np.broadcast_to(mask.reshape(shape + (1,) * (3 - mask.ndim)), Y.shape)
    y = np.where(kept, Y, np.nan)
    loss, dy = fastrnn.mean_squared_error(y, TARGETS, mask=mask)
    expected, dkept = fastrnn.mean_squared_error(Y[kept], TARGETS[kept])
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(dy[kept], dkept)
    assert not dy[~kept].any()


def test_a_mean_of_nothing() -> None:
    loss, dy = fastrnn.mean_squared_error(Y, TARGETS, mask=np.zeros((T, N), bool))
    assert np.isnan(loss)
    assert not dy.any()
    assert math.isnan(fastrnn.accuracy(IDS, np.full((T, N), -100)))


@bad_values(
    TypeError={
        "y: expected a NumPy array, got list": {"y": [1.0]},
        "targets: expected dtype float64 (that of y), got float32": {
            "targets": TARGETS.astype(np.float32)
        },
        "mask: expected a bool dtype, got float64": {"mask": Y},
    },
    ValueError={
        f"targets: expected shape (...) of y = {Y.shape}, got {(T, N)}": {
            "targets": TARGETS[..., 0]
        },
        f"mask: expected shape {Y.shape} (that of y) or its leading sizes, got (3,)": {
            "mask": [True, False, True]
        },
    },
)
def test_bad_arguments(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.mean_squared_error(**{"y": Y, "targets": TARGETS, **bad})


def test_perplexity_and_bits() -> None:
    assert fastrnn.perplexity(math.log(50)) == pytest.approx(50)
    assert fastrnn.perplexity(np.float32(0)) == 1
    assert fastrnn.perplexity(1e4) == math.inf
    assert math.isnan(fastrnn.perplexity(math.nan))
    assert fastrnn.bits_per_character(math.log(8)) == pytest.approx(3)


def test_a_loss_without_dimensions_is_a_number() -> None:
    assert fastrnn.perplexity(np.array(0.0)) == 1  # type: ignore[arg-type]
    assert fastrnn.bits_per_character(np.float32(0)) == 0


@pytest.mark.parametrize(
    "function",
    [fastrnn.perplexity, fastrnn.bits_per_character],
    ids=lambda f: f.__name__,
)
def test_bad_losses(function: Any) -> None:
    for bad in ("0.5", None, [0.5], np.array([0.5]), True, 1j):
        kind = type(bad).__name__
        with raises(TypeError, f"loss: expected a number, got {kind}"):
            function(bad)
    with raises(
        ValueError, f"loss: expected a number that float64 can hold, got 1{'0' * 59}"
    ):
        function(10**400)


def test_losses_where_floating_point_errors_raise() -> None:
    tiny = np.full((2, 2), 1e-30, np.float32)
    huge = np.full((2, 2), 3e38, np.float32)
    with np.errstate(all="raise"):
        assert fastrnn.perplexity(-1e4) == 0
        assert fastrnn.perplexity(1e4) == math.inf
        assert fastrnn.mean_squared_error(tiny, -tiny)[0] == 0
        assert fastrnn.mean_squared_error(huge, -huge)[0] == math.inf
        assert fastrnn.accuracy(np.full((2, 2), np.nan), [0, 1]) == 0.5
        one = np.ones((1, 2), np.float32)
        loss, _ = fastrnn.linear_cross_entropy(
            huge, 1e-3 * one[:, :1] * one, None, [0, 0]
        )
        assert loss == 0


def test_accuracy() -> None:
    scores = np.zeros((T, N, O), np.float32)
    np.put_along_axis(scores, IDS[..., None], 1, 2)
    assert fastrnn.accuracy(scores, IDS) == 1
    assert fastrnn.accuracy(scores, 1 - IDS) == 0
    assert fastrnn.accuracy([1, 2, 3, 4], [1, 2, 0, 0]) == 0.5
    assert fastrnn.accuracy([1, 2, 3, 4], [1, 2, -100, 0]) == pytest.approx(2 / 3)
    assert fastrnn.accuracy([1, 2], [1, -1], ignore_index=-1) == 1


@bad_values(
    TypeError={
        "targets: expected an integer dtype, got float64": (IDS, Y),
        "predicted: expected dtype float32 or float64, got float16": (
            Y.astype(np.float16),
            IDS,
        ),
        "predicted: expected an integer dtype, got bool": (IDS > 0, IDS),
    },
    ValueError={
        f"targets: expected shape (...) of predicted = {(T,)}, got {(T, N)}": (
            IDS[:, 0],
            IDS,
        ),
        f"targets: expected shape (...) of predicted (..., V) = {(T, N)}, got (5,)": (
            Y,
            IDS[:, 0],
        ),
    },
)
def test_bad_arguments_of_accuracy(
    bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        fastrnn.accuracy(*bad)


def test_bad_ignored_targets() -> None:
    with raises(TypeError, "ignore_index: expected an int, got float"):
        fastrnn.accuracy([1], [1], ignore_index=1.0)  # type: ignore[arg-type]
    with raises(ValueError, f"ignore_index: expected a 64-bit int, got {2**63}"):
        fastrnn.accuracy([1], [1], ignore_index=2**63)
