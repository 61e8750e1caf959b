"""Gradient clipping: the bits of the norm, PyTorch's numbers, non-finite values."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from fastrnn._gate.training import check_arrays
from tests.errors import bad_values, raises

DTYPES = (np.float32, np.float64)
# Around the 32 lanes and the 4096 elements of a block of the sum.
SIZES = (0, 1, 7, 31, 32, 33, 63, 65, 4095, 4096, 4097, 3 * 4096 + 37)
SHAPES = ((33,), (3, 5), (2, 2, 2), (1,))

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
every_isa = pytest.mark.parametrize("isa", fastrnn.available_isas())


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    isa, threads = fastrnn.isa(), fastrnn.get_num_threads()
    yield
    _core.select_isa(isa)
    fastrnn.set_num_threads(threads)


def draw(dtype: Any, shapes: Any = SHAPES) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def sum_of_squares(a: Any) -> float:
    """Return the sum in the order that the kernel promises."""
    total = 0.0
    for start in range(0, a.size, 4096):
        block = a[start : start + 4096].astype(np.float64)
        lanes = np.zeros(32)
        for first in range(0, len(block), 32):
            values = block[first : first + 32]
            lanes[: len(values)] += values * values
        while len(lanes) > 1:
            lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
        total += float(lanes[0])
    return total


@every_isa
@dtypes
@pytest.mark.parametrize("size", SIZES)
def test_norm_bits(size: int, dtype: Any, isa: str) -> None:
    _core.select_isa(isa)
    (a,) = draw(dtype, [(size + 1,)])
    a = a[1:]  # off the alignment of a vector
    norm = fastrnn.clip_grad_norm(a, np.inf)
    assert norm == math.sqrt(sum_of_squares(a))
    exact = math.sqrt(math.fsum(float(x) ** 2 for x in a))
    assert norm == pytest.approx(exact, rel=1e-14, abs=0)


@every_isa
@dtypes
@pytest.mark.parametrize("lane", [0, 13, 31])
def test_bits_of_one_lane(lane: int, dtype: Any, isa: str) -> None:
    """Among 32 sums of similar size, the last bits of one are lost and go untested."""
    _core.select_isa(isa)
    rng = np.random.default_rng(lane)
    for size in (64, 96, 128, 4096 + 64, 3 * 4096 + 64):
        a = np.zeros(size, dtype)
        few = a[lane :: 32 if size < 4096 else 4096]
        few[...] = rng.uniform(0.1, 1, few.shape)
        assert _core.sum_of_squares(a) == sum_of_squares(a)


@dtypes
def test_every_number_of_threads_gives_the_same_bits(dtype: Any) -> None:
    results = []
    for threads in (1, 2, 3):
        fastrnn.set_num_threads(threads)
        (a,) = draw(dtype, [(200_001,)])
        norm = fastrnn.clip_grad_norm(a, 2.0)
        fastrnn.clip_grad_value(a, 0.01)
        results.append((norm, a.tobytes()))
    assert results[1:] == results[:1] * 2
    assert np.abs(a).max() == dtype(0.01)


@every_isa
@dtypes
@pytest.mark.parametrize("size", SIZES[1:])
def test_scaling_and_limiting(size: int, dtype: Any, isa: str) -> None:
    _core.select_isa(isa)
    (a,) = draw(dtype, [(size + 2,)])
    before = a.copy()
    inner = a[1:-1]
    norm = fastrnn.clip_grad_norm(inner, 0.01)
    factor = dtype(0.01 / (norm + 1e-6))
    assert factor < 1
    expected = before.copy()
    expected[1:-1] *= factor
    np.testing.assert_array_equal(a, expected)
    bound = np.abs(inner).max() / 2
    fastrnn.clip_grad_value(inner, bound)
    expected[1:-1] = np.clip(expected[1:-1], -bound, bound)
    np.testing.assert_array_equal(a, expected)


@dtypes
@pytest.mark.parametrize("max_norm", [0, 0.5, 6.0, 1e3])
def test_norm_against_torch(max_norm: float, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    grads = draw(dtype)
    tensors = [torch.tensor(g) for g in grads]
    for tensor in tensors:
        tensor.grad = tensor.clone()
    expected = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    eps = float(np.finfo(dtype).eps)
    norm = fastrnn.clip_grad_norm(grads, max_norm)
    assert isinstance(norm, float)
    assert norm == pytest.approx(float(expected), rel=20 * eps)
    for tensor, g in zip(tensors, grads, strict=True):
        np.testing.assert_allclose(g, tensor.grad.numpy(), rtol=20 * eps)


@dtypes
def test_value_against_torch(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    grads = draw(dtype)
    tensors = [torch.tensor(g) for g in grads]
    for tensor in tensors:
        tensor.grad = tensor.clone()
    torch.nn.utils.clip_grad_value_(tensors, 0.3)
    assert fastrnn.clip_grad_value(grads, 0.3) is None
    for tensor, g in zip(tensors, grads, strict=True):
        np.testing.assert_array_equal(g, tensor.grad.numpy())


@pytest.mark.parametrize("max_norm", [6.0, np.inf], ids=["6", "inf"])
def test_a_small_norm_changes_nothing(max_norm: float) -> None:
    grads = [np.full(4, -2.0), np.zeros((2, 2)), np.full((3, 3), 1.0)]
    assert fastrnn.clip_grad_norm(grads, max_norm) == 5.0
    for g, value in zip(grads, (-2.0, 0.0, 1.0), strict=True):
        np.testing.assert_array_equal(g, value)


def test_no_gradients() -> None:
    assert fastrnn.clip_grad_norm([], 1.0) == 0.0
    fastrnn.clip_grad_value([], 1.0)


@dtypes
def test_squares_are_summed_in_double(dtype: Any) -> None:
    """The square of 1e30 is beyond float32."""
    a = np.array([3e30, 4e30], dtype)
    assert fastrnn.clip_grad_norm(a, 1.0) == pytest.approx(5e30)
    np.testing.assert_allclose(a, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("place", [0, 5, 40, 69], ids=lambda i: f"at_{i}")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@dtypes
def test_a_norm_that_is_not_finite(dtype: Any, bad: float, place: int) -> None:
    grads = [np.ones(5, dtype), np.ones(70, dtype), np.ones(3, dtype)]
    grads[1][place] = bad
    before = [g.copy() for g in grads]
    value = "nan" if np.isnan(bad) else "inf"
    message = rf"^grads\[1\]: expected a finite norm, got {value}$"
    with pytest.raises(ValueError, match=message):
        fastrnn.clip_grad_norm(grads, 1.0)
    for g, b in zip(grads, before, strict=True):
        np.testing.assert_array_equal(g, b)
    norm = fastrnn.clip_grad_norm(grads, 1.0, error_if_nonfinite=False)
    np.testing.assert_equal(norm, abs(bad))
    with np.errstate(invalid="ignore"):
        for g, b in zip(grads, before, strict=True):
            np.testing.assert_array_equal(g, b * dtype(1 / abs(bad)))


@dtypes
@every_isa
def test_limiting_passes_nan_and_limits_infinity(isa: str, dtype: Any) -> None:
    _core.select_isa(isa)
    values = np.array([np.nan, np.inf, -np.inf, 0.5, -0.5, -0.0, 3, -3], dtype)
    a = np.tile(values, 9)[:-1]
    fastrnn.clip_grad_value(a, 1.0)
    expected = np.array([np.nan, 1, -1, 0.5, -0.5, -0.0, 1, -1], dtype)
    np.testing.assert_array_equal(a, np.tile(expected, 9)[:-1])
    assert np.signbit(a[5])


READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
FLOAT32 = np.ones(3, np.float32)


@bad_values(
    TypeError={
        "grads: expected a NumPy array or a sequence of them, got float": 1.0,
        "grads[0]: expected a NumPy array, got float": [1.0],
        "grads: expected dtype float32 or float64, got int64": np.ones(3, np.int64),
        "grads[1]: expected dtype float64 (that of grads[0]), got float32": [
            np.ones(3),
            FLOAT32,
        ],
    },
    ValueError={
        "grads: expected a writeable array, got a read-only one": READ_ONLY,
        "grads: expected a C-contiguous array, got a strided one": FLOAT32[::2],
    },
)
def test_bad_grads(bad: Any, error: type[Exception], message: str) -> None:
    for clip in (fastrnn.clip_grad_norm, fastrnn.clip_grad_value):
        with raises(error, message):
            clip(bad, 1.0)


@bad_values(
    TypeError={
        "expected a number, got NoneType": None,
        "expected a number, got ndarray": np.ones(1),
    },
    ValueError={
        "expected a number >= 0, got -1.0": -1.0,
        "expected a number >= 0, got nan": math.nan,
    },
)
def test_bad_bounds(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, f"max_norm: {message}"):
        fastrnn.clip_grad_norm(np.ones(3), bad)
    with raises(error, f"clip_value: {message}"):
        fastrnn.clip_grad_value(np.ones(3), bad)


def test_subclasses_are_changed_in_place(tmp_path: Any) -> None:
    a = np.memmap(tmp_path / "grads", np.float64, "w+", shape=4)
    a[:] = 1
    assert fastrnn.clip_grad_norm(a, 1.0) == 2.0
    np.testing.assert_allclose(a, 0.5, rtol=1e-6)
    (checked,) = check_arrays("a", [a]).arrays
    assert type(checked) is np.ndarray
