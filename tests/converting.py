"""What the tests of conversions share."""

from typing import Any

import numpy as np

T, N, V, I, H = 5, 3, 7, 4, 6  # noqa: E741


def draw(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def forward(module: Any, x: Any) -> Any:
    import torch

    found = module(torch.tensor(x))
    found = found[0] if isinstance(found, tuple) else found
    return found.detach().numpy()


def assert_same(layer: Any, x: Any, expected: Any) -> None:
    found = layer(x)
    found = found[0] if isinstance(found, tuple) else found
    np.testing.assert_allclose(found, expected, atol=2e-6)
