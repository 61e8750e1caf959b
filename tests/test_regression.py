"""Losses of numbers: differences, PyTorch, reference, weights, masks, bad arguments."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises
from tests.implementations import FMA_ISAS, IMPLEMENTATIONS, Compiled

T, N, O = 7, 5, 3  # noqa: E741
LOSSES: dict[str, dict[str, Any]] = {
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "huber": {"delta": 0.6},
    "quantile_loss": {"quantile": 0.9},
    "binary_cross_entropy": {},
}
TOLERANCE = {np.float32: 5e-7, np.float64: 1e-15}

losses = pytest.mark.parametrize("name", LOSSES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f32", "f64"])


def draw(*shape: int, dtype: Any = np.float64) -> Any:
    """Return y, targets within 0 .. 1, and weights."""
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal(shape), rng.random(shape)
    return y.astype(dtype), t.astype(dtype), (rng.random(shape) + 0.1).astype(dtype)


def call(name: str, *args: Any, module: Any = fastrnn, **options: Any) -> Any:
    return getattr(module, name)(*args, **LOSSES[name], **options)


def torch_loss(name: str, torch: Any, y: Any, t: Any) -> Any:
    """Return PyTorch's loss of each number; it has no quantile loss."""
    f, options = torch.nn.functional, {"reduction": "none"}
    if name == "quantile_loss":
        return torch.maximum(0.9 * (t - y), -0.1 * (t - y))
    if name == "huber":
        return f.huber_loss(y, t, delta=0.6, **options)
    names = {
        "mean_squared_error": f.mse_loss,
        "mean_absolute_error": f.l1_loss,
        "binary_cross_entropy": f.binary_cross_entropy_with_logits,
    }
    return names[name](y, t, **options)


@losses
@dtypes
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("shape", [(), (1,), (33, 3), (T, N, O), (9001,)], ids=str)
def test_against_torch(
    name: str, dtype: Any, weighted: bool, shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    y, t, w = (np.asarray(a, dtype) for a in draw(*shape, dtype=dtype))
    fed, weights = torch.tensor(y, requires_grad=True), torch.tensor(w)
    each = torch_loss(name, torch, fed, torch.tensor(t))
    expected = (each * weights).sum() / weights.sum() if weighted else each.mean()
    expected.backward()
    before = y.copy()
    loss, dy = call(name, y, t, weights=w if weighted else None)
    assert loss.dtype == dy.dtype == dtype
    assert dy.shape == shape
    np.testing.assert_allclose(loss, expected.item(), rtol=20 * TOLERANCE[dtype])
    scale = np.abs(fed.grad.numpy()).max()
    atol = 4 * TOLERANCE[dtype] * max(scale, 1e-3)
    np.testing.assert_allclose(dy, fed.grad.numpy(), rtol=0, atol=atol)
    np.testing.assert_array_equal(y, before)


@losses
def test_gradient_by_differences(name: str) -> None:
    y, t, w = draw(T, N, O)
    mask = np.random.default_rng(2).random((T, N)) < 0.7
    _, dy = call(name, y, t, weights=w, mask=mask)
    step = 1e-6
    for i in np.random.default_rng(1).choice(y.size, 20, replace=False):
        found = []
        for sign in (1, -1):
            moved = y.copy()
            moved.flat[i] += sign * step
            found.append(call(name, moved, t, weights=w, mask=mask)[0])
        difference = (found[0] - found[1]) / (2 * step)
        assert dy.flat[i] == pytest.approx(difference, abs=1e-9)


@losses
@dtypes
def test_against_the_reference(name: str, dtype: Any) -> None:
    y, t, w = draw(T, N, O, dtype=dtype)
    mask = np.random.default_rng(2).random(T) < 0.7
    for options in ({}, {"weights": w[:, :, 0].copy()}, {"weights": w, "mask": mask}):
        ours = call(name, y, t, **options)
        theirs = call(name, y, t, module=fastrnn.reference, **options)
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=10 * TOLERANCE[dtype], atol=1e-8)


@losses
@pytest.mark.parametrize("shape", [(T,), (T, N), (T, N, O)], ids=str)
def test_weights_count_like_repetitions(name: str, shape: tuple[int, ...]) -> None:
    """A weight of 2 is two numbers, one of 0 none; NaN there is not read."""
    y, t, _ = draw(T, N, O)
    w = np.random.default_rng(3).integers(0, 3, shape)
    counts = np.broadcast_to(w.reshape(shape + (1,) * (3 - w.ndim)), y.shape).ravel()
    expected, _ = call(name, y.ravel().repeat(counts), t.ravel().repeat(counts))
    holed = np.where(counts.reshape(y.shape) == 0, np.nan, y)
    loss, dy = call(name, holed, t, weights=w.astype(float))
    assert loss == pytest.approx(expected, rel=1e-13)
    assert np.isfinite(dy).all()
    assert not dy.ravel()[counts == 0].any()
    masked, dmasked = call(name, holed, t, mask=w != 0)
    same, dsame = call(name, holed, t, weights=(w != 0).astype(float))
    assert masked == same
    np.testing.assert_array_equal(dmasked, dsame)


@losses
@pytest.mark.parametrize("module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def test_a_mean_of_nothing(name: str, module: Any) -> None:
    y, t, w = draw(T, N, O)
    for loss, dy in (
        call(name, y, t, weights=0 * w, module=module),
        call(name, y, t, mask=np.zeros((T, N), bool), module=module),
        call(name, y[:0], t[:0], module=module),
        call(name, y[:0], t[:0], weights=w[:0], mask=w[:0] > 0, module=module),
    ):
        assert np.isnan(loss)
        assert not dy.any()


@losses
@dtypes
def test_extremes(name: str, dtype: Any) -> None:
    """No warning; NaN and infinity give NaN and infinity."""
    most = np.finfo(dtype).max
    y = np.array([np.inf, -np.inf, most, -most, 500, -500], dtype)
    with np.errstate(all="raise"):
        each = [call(name, y[i : i + 1], np.zeros(1, dtype))[0] for i in range(6)]
        nan, dnan = call(name, np.full(1, np.nan, dtype), np.zeros(1, dtype))
    assert np.isnan(nan)
    assert np.isnan(dnan).all()
    assert not np.isnan(each).any()
    if name == "binary_cross_entropy":
        np.testing.assert_array_equal(each, [np.inf, 0, most, 0, 500, each[5]])
        assert 0 <= float(each[5]) < 1e-200
    else:
        np.testing.assert_array_equal(each[:2], [np.inf, np.inf])


def test_small_binary_losses_keep_their_digits() -> None:
    y = np.linspace(5, 80, 76)
    for z in y:
        loss, _ = fastrnn.binary_cross_entropy(np.array([z]), np.ones(1))
        assert loss == pytest.approx(np.log1p(np.exp(-z)), rel=1e-14)


@losses
def test_bits_do_not_depend_on_isa_and_threads(name: str) -> None:
    fused = [isa for isa in fastrnn.available_isas() if isa != "baseline"]
    threads, isa = fastrnn.get_num_threads(), fastrnn.isa()
    for dtype in TOLERANCE:
        y, t, w = draw(50_001, dtype=dtype)
        found = set()
        try:
            for chosen in fused:
                _core.select_isa(chosen)
                for count in (1, 2, 3):
                    fastrnn.set_num_threads(count)
                    for weights in (None, w):
                        loss, dy = call(name, y, t, weights=weights)
                        found.add((weights is None, loss.tobytes(), dy.tobytes()))
        finally:
            _core.select_isa(isa)
            fastrnn.set_num_threads(threads)
        assert len(found) == 2


GOOD = dict(zip(("y", "targets"), draw(T, N, O)[:2], strict=True))
W = np.ones((T, N))


@pytest.mark.parametrize("module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@losses
@bad_values(
    TypeError={
        "y: expected a NumPy array, got list": {"y": [1.0]},
        "y: expected dtype float32 or float64, got int64": {"y": np.ones(3, int)},
        "targets: expected dtype float64 (that of y), got int64": {
            "targets": np.ones((T, N, O), int)
        },
        "weights: expected a NumPy array, got list": {"weights": [1.0]},
        "weights: expected dtype float64 (that of y), got bool": {"weights": W > 0},
        "mask: expected a bool dtype, got float64": {"mask": W},
    },
    ValueError={
        f"targets: expected shape (...) of y = {(T, N, O)}, got {(T, N)}": {
            "targets": W
        },
        f"weights: expected shape {(T, N, O)} (that of y) or its leading sizes, "
        f"got {(N, T)}": {"weights": np.ones((N, T))},
        f"mask: expected shape {(T, N, O)} (that of y) or its leading sizes, "
        f"got {(N,)}": {"mask": [True] * N},
        "weights: expected weights >= 0, got -1.0 at [2, 1]": {
            "weights": W - 2 * (np.arange(T * N) == 2 * N + 1).reshape(T, N)
        },
    },
)
def test_bad_arguments(
    module: Any, name: str, bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        call(name, **{**GOOD, **bad}, module=module)


@pytest.mark.parametrize("module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def test_bad_numbers(module: Any) -> None:
    y, t, _ = draw(3)
    for name in ("delta", "quantile"):
        function = module.huber if name == "delta" else module.quantile_loss
        with raises(TypeError, f"{name}: expected a number, got str"):
            function(y, t, **{name: "x"})
    for delta in (0, -1, np.inf, np.nan):
        with raises(ValueError, f"delta: expected a finite delta > 0, got {delta}"):
            module.huber(y, t, delta=delta)
    for q in (0, 1, 2.5):
        with raises(ValueError, f"quantile: expected 0 < quantile < 1, got {q}"):
            module.quantile_loss(y, t, quantile=q)
    for value in (-1.0, 1.5):
        t[1] = value
        with raises(
            ValueError, f"targets: expected 0 <= targets <= 1, got {value} at [1]"
        ):
            module.binary_cross_entropy(y, t)
    mask = np.array([True, False, True])
    assert module.binary_cross_entropy(y, t, mask=mask)[0] > 0


@dtypes
@pytest.mark.parametrize("module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@pytest.mark.parametrize("V", [1, 2, 15, 16, 33, 300])
def test_softmax(dtype: Any, module: Any, V: int) -> None:
    y = 5 * np.random.default_rng(V).standard_normal((3, 2, V)).astype(dtype)
    exact = y.astype(np.longdouble)
    exact = exact - np.log(np.exp(exact).sum(-1, keepdims=True))
    for found, expected in (
        (module.log_softmax(y), exact),
        (module.softmax(y), np.exp(exact)),
    ):
        assert found.dtype == dtype
        atol = 8 * np.finfo(dtype).eps * max(np.abs(expected).max(), 1)
        np.testing.assert_allclose(found, expected.astype(dtype), rtol=0, atol=atol)
    np.testing.assert_array_equal(module.softmax(y)[1], module.softmax(y[1]))
    assert module.softmax(y[:0]).shape == (0, 2, V)


@dtypes
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_bits_of_softmax_do_not_depend_on_isa_threads_and_other_rows(
    name: str, dtype: Any
) -> None:
    """Rows are joined as many at once as a vector has lanes, or one by one."""
    for V in (1, 3, 7, 8, 9, 17, 30, 33, 2000, 20_000):
        rows = min(67, 200_000 // V)
        y = 5 * np.random.default_rng(V).standard_normal((rows, V)).astype(dtype)
        alone = np.stack([getattr(fastrnn, name)(row) for row in y])
        for isa in FMA_ISAS:
            for threads in (1, 3):
                found = getattr(Compiled(isa, threads), name)(y)
                assert_same_bits(found, alone)


@pytest.mark.parametrize("module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def test_softmax_of_extremes(module: Any) -> None:
    y = np.array([[1e30, 0, -1e30], [np.nan, 1, 2], [-np.inf, 0, 0], [0, 1, np.nan]])
    with np.errstate(all="raise"):
        found, logs = module.softmax(y), module.log_softmax(y)
    np.testing.assert_array_equal(found[0], [1, 0, 0])
    np.testing.assert_array_equal(logs[0], [0, -1e30, -2e30])
    assert np.isnan(found[[1, 3]]).all()
    np.testing.assert_array_equal(found[2], [0, 0.5, 0.5])
    with raises(ValueError, "y: expected shape (..., V), got ()"):
        module.softmax(np.array(1.0))
    with raises(TypeError, "y: expected a NumPy array, got list"):
        module.log_softmax([1.0])
