"""The linear layer and the loss against PyTorch in float64."""

from typing import Any

import numpy as np
import pytest

from tests.implementations import Compiled, every_dtype, every_isa
from tests.linear.problems import (
    double,
    draw_linear,
    draw_loss,
    every_linear,
    every_loss,
)

torch = pytest.importorskip("torch")

# Sums of at most a few hundred terms near 1, in another order.
TOLERANCE = 1e-12


def tensor(a: Any) -> Any:
    return torch.tensor(a, requires_grad=a.dtype.kind == "f")


def close(got: Any, expected: Any) -> None:
    expected = expected.detach().numpy()
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * scale)


def test_linear(module: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.random((3, 4, 5)), rng.random((6, 5)), rng.random(6)
    dy = rng.random((3, 4, 6))
    tensors = [tensor(a) for a in (x, w, b)]
    out = torch.nn.functional.linear(*tensors)
    out.backward(torch.tensor(dy))
    close(module.linear_forward(x, w, b), out)
    for got, expected in zip(module.linear_backward(x, w, dy), tensors, strict=True):
        close(got, expected.grad)


@pytest.mark.parametrize("scale", [1, 1e4])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_cross_entropy(
    ignore_index: int, reduction: str, scale: float, module: Any
) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((5, 4, 3)) * scale
    w, b = rng.standard_normal((7, 3)), rng.standard_normal(7)
    targets = rng.integers(0, 7, (5, 4))
    targets[1, 2] = ignore_index
    tensors = [tensor(a) for a in (y, w, b)]
    logits = torch.nn.functional.linear(*tensors)
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(20, 7),
        torch.tensor(targets).reshape(20),
        ignore_index=ignore_index,
        reduction=reduction,
    )
    expected.sum().backward()
    loss, grads = module.linear_cross_entropy(
        y, w, b, targets, ignore_index=ignore_index, reduction=reduction
    )
    assert np.shape(loss) == ((5, 4) if reduction == "none" else ())
    close(np.ravel(loss), expected.reshape(-1))
    for got, a in zip(grads, tensors, strict=True):
        close(got, a.grad)
    alone, nothing = module.linear_cross_entropy(
        y, w, b, targets,
        ignore_index=ignore_index, reduction=reduction, training=False,
    )  # fmt: skip
    assert nothing is None
    np.testing.assert_array_equal(alone, loss)


@every_dtype
@every_isa
@every_linear
def test_linear_at_awkward_sizes(size: Any, isa: str, dtype: Any) -> None:
    module = Compiled(isa)
    x, w, b, dy = draw_linear(size, dtype)
    tensors = [tensor(a) for a in double([x, w, b])]
    out = torch.nn.functional.linear(*tensors)
    out.backward(torch.tensor(np.float64(dy)))
    grads = module.linear_backward(x, w, dy)
    tolerance = 4 * np.finfo(dtype).eps * (8 + max(size))
    for got, a in [
        (module.linear_forward(x, w, b), out.detach()),
        *((g, a.grad) for g, a in zip(grads, tensors, strict=True)),
    ]:
        assert got.dtype == dtype
        np.testing.assert_allclose(got, a, rtol=0, atol=tolerance)


@every_dtype
@every_isa
@every_loss
def test_cross_entropy_at_awkward_sizes(size: Any, isa: str, dtype: Any) -> None:
    y, w, b, targets = draw_loss(size, dtype)
    targets[1::7] = -100
    tensors = [tensor(a) for a in double([y, w, b])]
    expected = torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(*tensors), torch.tensor(targets), reduction="sum"
    )
    expected.backward()
    loss, grads = Compiled(isa).linear_cross_entropy(y, w, b, targets, reduction="sum")
    tolerance = 4 * np.finfo(dtype).eps * (8 + max(size[:2]))
    np.testing.assert_allclose(loss, expected.item(), rtol=tolerance)
    for got, a in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(got, a.grad, rtol=0, atol=tolerance)


def test_all_targets_ignored(module: Any) -> None:
    """The mean of nothing is NaN, as in PyTorch; its gradients are 0."""
    y, w, b = np.ones((2, 3)), np.ones((4, 3)), np.ones(4)
    loss, grads = module.linear_cross_entropy(y, w, b, [-100, -100])
    assert np.isnan(loss)
    assert np.isnan(
        torch.nn.functional.cross_entropy(
            torch.ones(2, 4), torch.tensor([-100, -100])
        ).item()
    )
    for a in grads:
        assert not a.any()
