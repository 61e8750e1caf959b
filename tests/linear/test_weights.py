"""weights=, class_weights= and label_smoothing= of the cross-entropy."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.implementations import DTYPES, FMA_ISAS, IMPLEMENTATIONS, Compiled
from tests.linear.problems import call_loss, draw_loss, every_loss

modules = pytest.mark.parametrize(
    "module", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
OPTIONS = ("weights", "class_weights", "label_smoothing")


def draw(size: Any, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments, some targets ignored, and the three options."""
    arguments = draw_loss(size, dtype)
    arguments[3][::5] = -100
    rng = np.random.default_rng(2)
    weights = (rng.random(size[0]) + 0.1).astype(dtype)
    weights[2::7] = 0
    class_weights = (rng.random(size[2]) + 0.1).astype(dtype)
    values = weights, class_weights, 0.15
    return arguments, dict(zip(OPTIONS, values, strict=True))


def chosen(options: dict[str, Any], bits: int) -> dict[str, Any]:
    return {k: v for i, (k, v) in enumerate(options.items()) if bits >> i & 1}


@dtypes
@reductions
@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("size", [(129, 9, 5), (300, 7, 700)], ids=str)
def test_against_torch(dtype: Any, reduction: str, bits: int, size: Any) -> None:
    torch = pytest.importorskip("torch")
    arguments, options = draw(size, dtype)
    options = chosen(options, bits)
    y, w, b, targets = arguments
    fed = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in (y, w, b)]
    rows = torch.tensor(options.get("weights", np.ones(size[0], dtype)).astype(float))
    classes = torch.tensor(
        options.get("class_weights", np.ones(size[2], dtype)).astype(float)
    )
    ids = torch.tensor(targets)
    each = torch.nn.functional.cross_entropy(
        fed[0] @ fed[1].T + fed[2], ids, classes, reduction="none",
        label_smoothing=options.get("label_smoothing", 0.0),
    )  # fmt: skip
    expected = each * rows
    if reduction == "sum":
        expected = expected.sum()
    elif reduction == "mean":
        counts = torch.where(ids >= 0, rows * classes[ids.clamp(min=0)], 0)
        expected = expected.sum() / counts.sum()
    expected.sum().backward()
    found = call_loss(fastrnn, arguments, reduction=reduction, **options)
    tolerance = TOLERANCE[dtype]
    wanted = {"loss": expected.detach(), "dy": fed[0].grad, "dw": fed[1].grad}
    for name, a in {**wanted, "db": fed[2].grad}.items():
        atol = tolerance * (1 + abs(a).max().item())
        np.testing.assert_allclose(found[name], a.numpy(), rtol=0, atol=atol)
        assert found[name].dtype == dtype


@pytest.mark.parametrize("bits", range(1, 8))
def test_mean_is_that_of_torch_itself(bits: int) -> None:
    """With class weights and smoothing alone, PyTorch has the same mean."""
    torch = pytest.importorskip("torch")
    arguments, options = draw((50, 6, 9), np.float64)
    del options["weights"]
    options = chosen(options, bits & 3)
    y, w, b, targets = map(torch.tensor, arguments)
    expected = torch.nn.functional.cross_entropy(
        y @ w.T + b, targets,
        torch.tensor(options["class_weights"]) if "class_weights" in options else None,
        label_smoothing=options.get("label_smoothing", 0.0),
    )  # fmt: skip
    loss = call_loss(fastrnn, arguments, **options)["loss"]
    assert loss == pytest.approx(expected.item(), rel=1e-13)


@modules
@dtypes
@reductions
@every_loss
@pytest.mark.parametrize("bits", [1, 2, 4, 7])
def test_against_the_reference(
    module: Any, dtype: Any, reduction: str, size: Any, bits: int
) -> None:
    arguments, options = draw(size, dtype)
    options = {**chosen(options, bits), "reduction": reduction}
    found = call_loss(module, arguments, **options)
    double = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arguments]
    exact = {
        k: v.astype(np.float64) if isinstance(v, np.ndarray) else v
        for k, v in options.items()
    }
    expected = call_loss(fastrnn.reference, double, **exact)
    for name, a in expected.items():
        atol = TOLERANCE[dtype] * (1 + np.abs(a).max())
        np.testing.assert_allclose(found[name], a, rtol=0, atol=atol, err_msg=name)


@modules
@pytest.mark.parametrize("bits", range(1, 8))
def test_gradients_by_differences(module: Any, bits: int) -> None:
    arguments, options = draw((7, 5, 4), np.float64)
    options = chosen(options, bits)
    found = call_loss(module, arguments, **options)
    for name, a in zip(("dy", "dw", "db"), arguments, strict=False):
        for i in np.random.default_rng(0).choice(a.size, 4, replace=False):
            values = []
            for step in (1e-6, -2e-6):
                a.flat[i] += step
                values.append(call_loss(module, arguments, **options)["loss"])
            a.flat[i] += 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert found[name].flat[i] == pytest.approx(difference, abs=1e-8)


@modules
def test_weights_count_like_repetitions(module: Any) -> None:
    (y, w, b, targets), _ = draw((20, 5, 4), np.float64)
    counts = np.random.default_rng(0).integers(0, 3, 20)
    expected = call_loss(
        module, [np.repeat(y, counts, axis=0), w, b, np.repeat(targets, counts)]
    )
    y[counts == 0] = np.nan  # not read
    found = call_loss(module, [y, w, b, targets], weights=counts.astype(float))
    for name in ("loss", "dw", "db"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-14)
    assert not found["dy"][counts == 0].any()


@modules
@dtypes
def test_ones_and_no_smoothing_change_no_bit(module: Any, dtype: Any) -> None:
    arguments, _ = draw((161, 9, 300), dtype)
    plain = call_loss(module, arguments)
    ones = {
        "weights": np.ones(161, dtype),
        "class_weights": np.ones(300, dtype),
        "label_smoothing": 0,
    }
    weighted = call_loss(module, arguments, **ones)
    for name, a in plain.items():
        assert weighted[name].tobytes() == a.tobytes(), name


def test_a_policy_gradient() -> None:
    """Advantages of either sign, as weights of a sum."""
    (y, w, b, targets), _ = draw((6, 5, 4), np.float64)
    targets[:] = [0, 1, 2, 3, 0, 1]
    advantages = np.array([1.0, -2.0, 0.5, 0.0, 3.0, -1.0])
    options: Any = {"weights": advantages / 6, "reduction": "sum"}
    loss, grads = fastrnn.linear_cross_entropy(y, w, b, targets, **options)
    log_p = fastrnn.log_softmax(y @ w.T + b)[np.arange(6), targets]
    assert loss == pytest.approx(-(advantages * log_p).mean(), rel=1e-13)
    assert grads is not None


@dtypes
def test_bits_do_not_depend_on_isa_and_threads(dtype: Any) -> None:
    arguments, options = draw((333, 33, 1000), dtype)
    found = {
        b"".join(a.tobytes() for a in call_loss(m, arguments, **options).values())
        for m in (Compiled(isa, n) for isa in FMA_ISAS for n in (1, 2, 3))
    }
    assert len(found) == 1


@modules
def test_nothing_left(module: Any) -> None:
    arguments, _ = draw((6, 5, 4), np.float64)
    for options in (
        {"weights": np.zeros(6)},
        {"class_weights": np.zeros(4)},
        {"class_weights": np.zeros(4), "label_smoothing": 1.0},
    ):
        found = call_loss(module, arguments, **options)
        assert np.isnan(found.pop("loss"))
        for a in found.values():
            assert not a.any()
        assert call_loss(module, arguments, reduction="sum", **options)["loss"] == 0


def test_in_layers() -> None:
    rng = np.random.default_rng(0)
    (y, _, _, targets), options = draw((30, 5, 4), np.float64)
    layer = fastrnn.Linear(5, 4, dtype=np.float64, seed=rng)
    expected, grads = fastrnn.linear_cross_entropy(
        y, layer.params["weight"], layer.params["bias"], targets, **options
    )
    assert grads is not None
    assert layer.cross_entropy(y, targets, **options) == expected
    np.testing.assert_array_equal(layer.backward(), grads.dy)
    np.testing.assert_array_equal(layer.grads["weight"], grads.dw)
    model = fastrnn.Sequential(fastrnn.Dropout(0.0), layer)
    assert model.cross_entropy(y, targets, **options)[0] == expected


ARGUMENTS = draw((6, 5, 4), np.float64)[0]


@modules
@bad_values(
    TypeError={
        "weights: expected a NumPy array, got list": {"weights": [1.0] * 6},
        "weights: expected dtype float64 (that of y), got float32": {
            "weights": np.ones(6, np.float32)
        },
        "class_weights: expected a NumPy array, got list": {"class_weights": [1.0]},
        "label_smoothing: expected a number, got str": {"label_smoothing": "x"},
        "label_smoothing: expected a number, got bool": {"label_smoothing": True},
    },
    ValueError={
        "weights: expected shape (...) of y (..., H) = (6,), got (5,)": {
            "weights": np.ones(5)
        },
        "weights: expected weights >= 0, got -1.0 at [2]": {
            "weights": np.array([1.0, 0, -1, 0, 0, 0])
        },
        "class_weights: expected shape (V,) = (4,), got (6,)": {
            "class_weights": np.ones(6)
        },
        "class_weights: expected class_weights >= 0, got -0.5 at [0]": {
            "class_weights": np.array([-0.5, 1, 1, 1])
        },
        "label_smoothing: expected 0 <= label_smoothing <= 1, got 1.5": {
            "label_smoothing": 1.5
        },
        "label_smoothing: expected 0 <= label_smoothing <= 1, got nan": {
            "label_smoothing": np.nan
        },
    },
)
def test_bad_arguments(
    module: Any, bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        call_loss(module, ARGUMENTS, **bad)
