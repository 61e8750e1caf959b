"""Problems as calls of `fastrnn.jax`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastrnn.jax
from tests.problems import Problem


@pytest.fixture(autouse=True)
def x64() -> Iterator[None]:
    """Let JAX hold float64 and int64, for one test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def floating(problem: Problem) -> dict[str, Any]:
    """Return the arrays that have gradients, as JAX's."""
    return {
        name: jnp.array(a)
        for name, a in problem.arrays.items()
        if np.asarray(a).dtype.kind == "f"
    }


def forward(problem: Problem, arrays: dict[str, Any]) -> tuple[Any, ...]:
    """Return y, h_n and perhaps c_n, of these arrays in place of the problem's."""
    options = {
        name: jnp.array(a) if isinstance(a, np.ndarray) else a
        for name, a in problem.options.items()
    }
    y, final = getattr(fastrnn.jax, problem.cell)(
        **{**problem.arrays, **arrays, **options}
    )
    return (y, *(final if isinstance(final, tuple) else (final,)))


def run(problem: Problem) -> dict[str, Any]:
    """Return all results by name, forward and backward."""
    arrays = floating(problem)
    outputs, pull_back = jax.vjp(lambda a: forward(problem, a), arrays)
    (gradients,) = pull_back(tuple(jnp.array(d) for d in problem.upstream.values()))
    found = dict(zip(("y", "h_n", "c_n"), outputs, strict=False))
    found |= {f"d{name}": d for name, d in gradients.items()}
    return {name: np.asarray(a) for name, a in found.items()}
