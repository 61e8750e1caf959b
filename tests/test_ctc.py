"""ctc_loss: PyTorch's numbers, all alignments counted, differences, bad arguments."""

import itertools
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from tests.errors import bad_values, raises
from tests.implementations import IMPLEMENTATIONS

modules = pytest.mark.parametrize(
    "module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


def draw(
    T: int, N: int, V: int, S: int, *, blank: int = 0, dtype: Any = np.float64
) -> list[Any]:
    """Return the four arguments; some rows are short, empty, or have no target."""
    rng = np.random.default_rng(T + N)
    logits = 2 * rng.standard_normal((T, N, V)).astype(dtype)
    targets = rng.integers(0, V - 1, (N, S))
    targets += targets >= blank
    lengths = rng.integers(T - T // 3, T + 1, N)
    target_lengths = rng.integers(0, S + 1, N)
    target_lengths[0], target_lengths[1] = S, 0
    if N > 2:
        lengths[2] = target_lengths[2] = 0
    return [logits, targets, lengths, target_lengths]


def fits(targets: Any, lengths: Any, target_lengths: Any) -> Any:
    """Return which rows have an alignment: repeated labels take a blank more."""
    needed = []
    for row, S in zip(targets, target_lengths, strict=True):
        needed.append(S + (row[1:S] == row[: max(S - 1, 0)]).sum())
    return np.array(needed) <= lengths


@modules
@dtypes
@pytest.mark.parametrize(
    ("sizes", "blank"),
    [((20, 6, 5, 7), 0), ((3, 4, 3, 2), 2), ((60, 3, 40, 25), 7), ((1, 3, 2, 1), 0)],
    ids=str,
)
def test_against_torch(module: Any, dtype: Any, sizes: Any, blank: int) -> None:
    torch = pytest.importorskip("torch")
    logits, targets, lengths, target_lengths = draw(*sizes, blank=blank, dtype=dtype)
    good = fits(targets, lengths, target_lengths)
    assert good.any()
    arrays = [
        np.ascontiguousarray(logits[:, good]),
        targets[good],
        lengths[good],
        target_lengths[good],
    ]
    fed = torch.tensor(arrays[0].astype(np.float64), requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        fed.log_softmax(-1), *map(torch.tensor, arrays[1:]), blank=blank
    )
    expected.backward()
    before = arrays[0].copy()
    loss, dlogits = module.ctc_loss(*arrays, blank=blank)
    assert loss.dtype == dlogits.dtype == dtype
    assert loss == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
    atol = TOLERANCE[dtype]
    np.testing.assert_allclose(dlogits, fed.grad.numpy(), rtol=0, atol=atol)
    np.testing.assert_array_equal(arrays[0], before)


@modules
@pytest.mark.parametrize("target", [[], [1], [1, 1], [2, 1], [1, 2, 1]], ids=str)
@pytest.mark.parametrize("T", [0, 1, 2, 4])
def test_all_alignments_are_counted(module: Any, target: list[int], T: int) -> None:
    logits = np.random.default_rng(T).standard_normal((T, 1, 3))
    p = fastrnn.reference.softmax(logits)[:, 0]
    total = 0.0
    for path in itertools.product(range(3), repeat=T):
        labels = [k for k, _ in itertools.groupby(path) if k]
        if labels == target:
            total += np.prod([p[t, k] for t, k in enumerate(path)])
    targets = np.array([[*target, -1]])  # what is not counted is not read
    loss, dlogits = module.ctc_loss(logits, targets, [T], [len(target)])
    if total == 0:
        assert loss == np.inf
        assert not dlogits.any()
    else:
        assert loss == pytest.approx(-np.log(total) / max(len(target), 1), abs=1e-12)


@modules
def test_gradient_by_differences(module: Any) -> None:
    logits, *rest = draw(9, 4, 4, 3)
    _, dlogits = module.ctc_loss(logits, *rest)
    for i in np.random.default_rng(0).choice(logits.size, 30, replace=False):
        found = []
        for step in (1e-6, -1e-6):
            moved = logits.copy()
            moved.flat[i] += step
            found.append(module.ctc_loss(moved, *rest)[0])
        difference = (found[0] - found[1]) / 2e-6
        assert dlogits.flat[i] == pytest.approx(difference, abs=1e-8)


@modules
@dtypes
def test_rows_are_independent_and_padding_is_not_read(module: Any, dtype: Any) -> None:
    logits, targets, lengths, target_lengths = draw(30, 5, 6, 6, dtype=dtype)
    logits[20:, 3] = np.nan
    lengths[3], target_lengths[3] = 20, 4
    loss, dlogits = module.ctc_loss(logits, targets, lengths, target_lengths)
    assert np.isfinite(loss)
    total = 0.0
    for n in range(5):
        alone, dalone = module.ctc_loss(
            np.ascontiguousarray(logits[: lengths[n], n : n + 1]),
            targets[n : n + 1, : target_lengths[n]],
            lengths[n : n + 1],
            target_lengths[n : n + 1],
        )
        total += float(alone) / 5
        expected = np.zeros_like(dlogits[:, n])
        expected[: lengths[n]] = dalone[:, 0] / 5
        np.testing.assert_allclose(dlogits[:, n], expected, rtol=3e-7, atol=1e-8)
    assert loss == pytest.approx(total, rel=1e-6)


@modules
def test_an_impossible_row_and_nan(module: Any) -> None:
    logits, targets, lengths, target_lengths = draw(12, 3, 4, 5)
    lengths[:], target_lengths[:] = 12, 2
    _, dgood = module.ctc_loss(logits, targets, lengths, target_lengths)
    lengths[1] = 1
    loss, dlogits = module.ctc_loss(logits, targets, lengths, target_lengths)
    assert loss == np.inf
    assert not dlogits[:, 1].any()
    np.testing.assert_array_equal(dlogits[:, [0, 2]], dgood[:, [0, 2]])
    lengths[1] = 12
    with np.errstate(all="raise"):
        logits[3, 1, 2] = np.nan
        loss, dlogits = module.ctc_loss(logits, targets, lengths, target_lengths)
        assert np.isnan(loss)
        assert np.isnan(dlogits[:, 1]).all()
        np.testing.assert_array_equal(dlogits[:, [0, 2]], dgood[:, [0, 2]])
        logits[3, 1] = [0, -np.inf, 0, -np.inf]
        loss, dlogits = module.ctc_loss(logits, targets, lengths, target_lengths)
    assert np.isfinite(loss)
    assert np.isfinite(dlogits).all()


@modules
def test_long_and_certain(module: Any) -> None:
    """Probabilities of 1e-400 and below: logarithms do not underflow."""
    T, S = (2000, 300) if module is fastrnn else (100, 15)
    logits = np.zeros((T, 1, 3))
    logits[:, :, 0] = 60  # blank, at every step
    targets = np.tile([1, 2], S)[None, :S]
    loss, dlogits = module.ctc_loss(logits, targets, [T], [S])
    assert 55 < loss < 60
    assert np.isfinite(dlogits).all()
    np.testing.assert_allclose(dlogits.sum(axis=2), 0, atol=1e-12)
    assert (dlogits[:, 0, 0] > 0).all()


@modules
def test_nothing(module: Any) -> None:
    loss, dlogits = module.ctc_loss(np.ones((4, 0, 3)), np.ones((0, 2), int), [], [])
    assert np.isnan(loss)
    assert dlogits.shape == (4, 0, 3)
    loss, _ = module.ctc_loss(np.ones((0, 2, 3)), np.ones((2, 0), int), [0, 0], [0, 0])
    assert loss == 0
    loss, _ = module.ctc_loss(np.ones((5, 1, 1)), np.ones((1, 2), int), [5], [0])
    assert loss == 0  # blank alone


@dtypes
def test_bits_do_not_depend_on_isa_and_threads(dtype: Any) -> None:
    arguments = draw(80, 9, 50, 30, dtype=dtype)
    arguments[3] = np.minimum(arguments[3], arguments[2] // 3)
    found = set()
    threads, isa = fastrnn.get_num_threads(), fastrnn.isa()
    try:
        for chosen in fastrnn.available_isas():
            if chosen == "baseline":
                continue
            _core.select_isa(chosen)
            for count in (1, 2, 3):
                fastrnn.set_num_threads(count)
                loss, dlogits = fastrnn.ctc_loss(*arguments)
                assert np.isfinite(loss)
                found.add((loss.tobytes(), dlogits.tobytes()))
    finally:
        _core.select_isa(isa)
        fastrnn.set_num_threads(threads)
    assert len(found) == 1


LOGITS = np.zeros((6, 2, 4))
GOOD = {
    "logits": LOGITS,
    "targets": [[1, 2, 3], [3, 1, -1]],
    "lengths": [6, 5],
    "target_lengths": [3, 2],
}


@modules
@bad_values(
    TypeError={
        "logits: expected a NumPy array, got list": {"logits": [1.0]},
        "logits: expected dtype float32 or float64, got int64": {
            "logits": np.zeros((6, 2, 4), int)
        },
        "targets: expected an integer dtype, got float64": {"targets": [[1.0, 2, 3]]},
        "lengths: expected an integer dtype, got float64": {"lengths": [6.0, 5]},
        "target_lengths: expected an integer dtype, got float64": {
            "target_lengths": [3.0, 2]
        },
        "blank: expected an int, got float": {"blank": 0.0},
    },
    ValueError={
        "logits: expected shape (T, N, V), got (6, 2)": {"logits": LOGITS[..., 0]},
        "logits: expected shape (T, N, V) with V >= 1, got (6, 2, 0)": {
            "logits": LOGITS[..., :0]
        },
        "targets: expected shape (N, S), got (3,)": {"targets": [1, 2, 3]},
        "targets: expected shape (N, S) = (2, 3), got (1, 3)": {"targets": [[1, 2, 3]]},
        "lengths: expected shape (N,) = (2,), got (3,)": {"lengths": [6, 5, 4]},
        "lengths: length 7 at [n=1] is out of range 0 <= length <= T = 6": {
            "lengths": [6, 7]
        },
        "target_lengths: expected shape (N,) = (2,), got (1,)": {"target_lengths": [3]},
        "target_lengths: length 4 at [n=0] is out of range 0 <= length <= S = 3": {
            "target_lengths": [4, 2]
        },
        "target_lengths: length -1 at [n=1] is out of range 0 <= length <= S = 3": {
            "target_lengths": [3, -1]
        },
        "targets: target 4 at [n=1, s=0] is out of range 0 <= target < V = 4": {
            "targets": [[1, 2, 3], [4, 1, -1]]
        },
        "targets: target -1 at [n=1, s=2] is out of range 0 <= target < V = 4": {
            "target_lengths": [3, 3]
        },
        "targets: expected labels other than blank = 3, got it at [n=0, s=2]": {
            "blank": 3
        },
        "blank: expected blank >= 0, got -1": {"blank": -1},
        "blank: expected blank <= 3, got 4": {"blank": 4},
    },
)
def test_bad_arguments(
    module: Any, bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        module.ctc_loss(**{**GOOD, **bad})
