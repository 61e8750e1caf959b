"""Random calls of the linear layer and of the loss, at awkward sizes.

The loss goes over the vocabulary in parts of 256 words, and over the rows in blocks of
128; the weight gradients of the linear layer are computed from 256 rows at a time.
"""

from typing import Any

import numpy as np
import pytest

# Rows, I, O.
LINEAR = ((1, 1, 1), (3, 17, 15), (127, 5, 33), (129, 65, 7), (300, 9, 257))
# Rows, H, V.
LOSS = (
    (1, 1, 1),
    (3, 17, 2),
    (127, 9, 255),
    (128, 15, 256),
    (129, 33, 257),
    (300, 7, 1000),
    (5, 65, 513),
)


def parametrize_sizes(sizes: Any, symbols: str) -> Any:
    def size_id(size: tuple[int, ...]) -> str:
        pairs = zip(symbols.split(), size, strict=True)
        return "-".join(f"{symbol}={n}" for symbol, n in pairs)

    return pytest.mark.parametrize("size", sizes, ids=size_id)


every_linear = parametrize_sizes(LINEAR, "rows I O")
every_loss = parametrize_sizes(LOSS, "rows H V")
every_bias = pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])


def draw(*shapes: tuple[int, ...], dtype: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def draw_loss(size: tuple[int, int, int], dtype: Any, logit: float = 1) -> list[Any]:
    """Return y, w, b with logits of about the given size, and targets."""
    rows, H, V = size
    y, w, b = draw((rows, H), (V, H), (V,), dtype=dtype)
    y *= dtype(logit / np.sqrt(H))
    targets = np.random.default_rng(1).integers(0, V, rows)
    return [y, w, b, targets]


def draw_linear(size: tuple[int, int, int], dtype: Any) -> list[Any]:
    """Return x, w, b and dy."""
    rows, I, O = size  # noqa: E741
    return draw((rows, I), (O, I), (O,), (rows, O), dtype=dtype)


def call_linear(module: Any, arrays: Any, bias: bool = True) -> dict[str, Any]:
    """Return all results by name, forward and backward."""
    x, w, b, dy = arrays
    y = module.linear_forward(x, w, b if bias else None)
    dx, dw, db = module.linear_backward(x, w, dy, bias=bias)
    return {"y": y, "dx": dx, "dw": dw, **({"db": db} if bias else {})}


def call_loss(module: Any, arguments: Any, bias: bool = True, **options: Any) -> Any:
    """Return all results by name."""
    y, w, b, targets = arguments
    loss, grads = module.linear_cross_entropy(
        y, w, b if bias else None, targets, **options
    )
    found = {} if grads is None else grads._asdict()
    return {"loss": loss, **{k: a for k, a in found.items() if a is not None}}


def double(arrays: list[Any]) -> list[Any]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
