"""Every gradient of the reference against central differences, in float64."""

from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from tests.problems import (
    CELLS,
    COMBINATIONS,
    STATES,
    VARIANTS,
    Problem,
    combination_id,
    make_problem,
)

STEP = 1e-5
# Central differences err by STEP**2 times a third derivative plus eps / STEP, both
# near 1e-10 of the loss; a wrong formula errs by about 1.
TOLERANCE = 2e-8


def loss(problem: Problem, **changed: Any) -> float:
    """Return the sum of all outputs weighted by the upstream gradients."""
    y, final, _ = problem.forward(reference, training=False, **changed)
    outputs = (y, *final)
    weights = problem.upstream.values()
    return sum(float(np.sum(a * w)) for a, w in zip(outputs, weights, strict=True))


def difference(problem: Problem, name: str, direction: Any) -> float:
    a = problem.arrays[name]
    above = loss(problem, **{name: a + STEP * direction})
    below = loss(problem, **{name: a - STEP * direction})
    return (above - below) / (2 * STEP)


def gradient(problem: Problem, name: str) -> Any:
    _, _, tape = problem.forward(reference)
    return getattr(problem.backward(reference, tape), f"d{name}")


def floating(problem: Problem) -> list[str]:
    return [k for k, a in problem.arrays.items() if a.dtype.kind == "f"]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_directions(combination: tuple[Any, ...]) -> None:
    """Check along random directions, for every combination of options."""
    cell, kind, padding, resets, reverse = combination
    problem = make_problem(
        cell, kind=kind, padding=padding, resets=resets, reverse=reverse
    )
    rng = np.random.default_rng(1)
    for name in floating(problem):
        got = gradient(problem, name)
        for _ in range(2):
            direction = rng.standard_normal(got.shape)
            expected = difference(problem, name, direction)
            scale = 1 + np.linalg.norm(got) * np.linalg.norm(direction)
            assert np.sum(got * direction) == pytest.approx(
                expected, rel=0, abs=TOLERANCE * scale
            ), name


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_elements(variant: str, reverse: bool) -> None:
    """Check element by element, with all options at once."""
    problem = make_problem(
        variant, 5, 3, 2, 3, padding="left", resets=True, reverse=reverse, seed=3
    )  # fmt: skip
    for name in floating(problem):
        got = gradient(problem, name)
        expected = np.zeros_like(got)
        for index in np.ndindex(got.shape):
            direction = np.zeros_like(got)
            direction[index] = 1
            expected[index] = difference(problem, name, direction)
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=TOLERANCE * (1 + np.abs(got).max()),
            err_msg=name,
        )  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
def test_dh_is_the_gradient_of_the_state(cell: str, reverse: bool) -> None:
    """``dh[t]`` is ``dh0`` of the second part when the sequence is split at ``t``."""
    T = 5
    problem = make_problem(cell, T, reverse=reverse)
    _, _, tape = problem.forward(reference)
    dh = problem.backward(reference, tape, return_dh=True).dh
    first, last = (T - 1, 0) if reverse else (0, T - 1)
    np.testing.assert_allclose(
        dh[last], problem.upstream["dy"][last] + problem.upstream["dh_n"], rtol=1e-13
    )
    rest = slice(None, first) if reverse else slice(1, None)
    states = {"h0": tape.y[first]}
    states |= {f"{s}0": getattr(tape, s)[first] for s in STATES[cell][1:]}
    _, _, tape = problem.forward(reference, x=problem.arrays["x"][rest], **states)
    grads = problem.backward(reference, tape, dy=problem.upstream["dy"][rest])
    np.testing.assert_allclose(
        dh[first], problem.upstream["dy"][first] + grads.dh0, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("cell", "given"),
    [
        (cell, given)
        for cell in CELLS
        for given in ("dy", *(f"d{s}_n" for s in STATES[cell]))
    ],
)
def test_upstream_gradients_add_up(cell: str, given: str) -> None:
    """An omitted gradient counts as zero."""
    problem = make_problem(cell, padding="right")
    _, _, tape = problem.forward(reference)
    every = problem.backward(reference, tape)
    alone = {k: v if k == given else None for k, v in problem.upstream.items()}
    others = {k: None if k == given else v for k, v in problem.upstream.items()}
    one = problem.backward(reference, tape, **alone)
    rest = problem.backward(reference, tape, **others)
    for name in ("dx", "dw_ih", "dw_hh", "db_ih", "db_hh", "dh0"):
        total = getattr(one, name) + getattr(rest, name)
        np.testing.assert_allclose(getattr(every, name), total, atol=1e-12)
        assert np.any(getattr(one, name)), name
