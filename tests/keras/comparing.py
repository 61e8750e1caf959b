"""Keras's layers before and after `accelerate`, on the same inputs, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

import fastrnn.keras
from fastrnn.keras import _torch

CELLS = ("SimpleRNN", "GRU", "GRU-before", "LSTM")
N, T, I, H = 5, 7, 3, 6  # noqa: E741
TOLERANCE = {"float64": 1e-11, "float32": 2e-5}  # sums of some dozen terms near 1


def draw(seed: int, *shape: int, dtype: str = "float32") -> torch.Tensor:
    a = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return torch.from_numpy(a)


def masks() -> dict[str, Any]:
    """Return masks of every shape; one row of each but the first is never valid."""
    t = torch.arange(T)
    lengths = torch.tensor([T, 4, 0, 1, 6])[:, None]
    holes = torch.from_numpy(np.random.default_rng(3).random((N, T)) < 0.5)
    holes[2] = False
    holes[3] = True
    return {
        "none": None,
        "all": torch.ones(N, T, dtype=torch.bool),
        "right": t < lengths,
        "left": t >= T - lengths,
        "holes": holes,
    }


MASKS = masks()


def new(cell: str, units: int = H, **options: Any) -> Any:
    """Return a layer; "GRU-before" resets before the matrix product."""
    name, _, before = cell.partition("-")
    if before:
        options["reset_after"] = False
    return getattr(keras.layers, name)(units, **options)


def make(cell: str, dtype: str = "float32", units: int = H, **options: Any) -> Any:
    """Return a built layer in which every weight has its own value."""
    layer = new(cell, units, dtype=dtype, **options)
    layer.build((N, T, I))
    return randomise(layer)


def randomise(model: Any) -> Any:
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            0.4 * rng.standard_normal(a.shape).astype(a.dtype)
            for a in model.get_weights()
        ]
    )
    return model


def states_for(layer: Any, dtype: str = "float32") -> list[torch.Tensor]:
    count = 2 if isinstance(layer, keras.layers.LSTM) else 1
    return [draw(10 + k, N, H, dtype=dtype) for k in range(count)]


@contextmanager
def counting() -> Iterator[list[bool]]:
    """Yield a list to which each call of a layer adds whether it was served."""
    served: list[bool] = []
    run = _torch.run

    def counted(*arguments: Any) -> Any:
        results = run(*arguments)
        served.append(results is not None)
        return results

    fastrnn.keras.restore()
    _torch.run = counted
    try:
        fastrnn.keras.accelerate()
        yield served
    finally:
        fastrnn.keras.restore()
        _torch.run = run


def results_of(
    layer: Any, x: torch.Tensor, states: Any = None, **options: Any
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the outputs, and gradients of the inputs, the states and the weights."""
    inputs = [a.clone().requires_grad_() for a in (x, *(states or ()))]
    keras.utils.set_random_seed(7)
    for part in layer._flatten_layers():
        if hasattr(part, "seed_generator"):
            part.seed_generator.state.assign(np.array([5, 6]))
    given = {} if states is None else {"initial_state": inputs[1:]}
    found = layer(inputs[0], **given, **options)
    outputs = list(found) if isinstance(found, (tuple, list)) else [found]
    loss = sum(
        (a * draw(20 + k, *a.shape, dtype="float64").to(a.dtype)).sum()
        for k, a in enumerate(outputs)
    )
    weights = [v.value for v in layer.trainable_variables]
    grads = torch.autograd.grad(loss, [*inputs, *weights], allow_unused=True)
    return [a.detach() for a in outputs], list(grads)


def assert_same(ours: Any, theirs: Any, tolerance: float) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def compare(layer: Any, x: Any, states: Any = None, **options: Any) -> None:
    """Assert that a layer gives the same, served and not."""
    outputs, grads = results_of(layer, x, states, **options)
    with counting() as served:
        our_outputs, our_grads = results_of(layer, x, states, **options)
    assert served
    assert all(served)
    tolerance = TOLERANCE[str(x.dtype).split(".")[1]]
    assert_same(our_outputs, outputs, tolerance)
    assert_same(our_grads, grads, 10 * tolerance)
