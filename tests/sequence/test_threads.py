"""Every number of threads gives the same bits, and the threads are really used.

Kernels share a step among threads either by rows or by hidden units
(csrc/kernels/plan.h), and small calls stay on one thread. The sizes here start a team;
if those thresholds move, the first assertion fails.
"""

import math
from typing import Any

import numpy as np
import pytest

from fastrnn import _core
from tests.comparing import assert_same_bits
from tests.implementations import ISAS, Compiled, every_dtype
from tests.problems import CELLS, GATES, KINDS, make_problem
from tests.threads import run_as_team

NUMBERS = (1, 2, 3, 5)
MORE_THAN_ROWS = 9

# T, N and G*H*H: many rows are shared; with few rows and a large step, units are, and
# there can be more threads than rows.
SHARES = {"rows": (12, 40, 13_300), "units": (17, 7, 77_000)}


def sizes_of(share: str, cell: str) -> tuple[int, int, int]:
    """Return T, N and an odd H."""
    T, N, weights = SHARES[share]
    return T, N, math.isqrt(weights // GATES[cell]) | 1


def run_with_threads(problem: Any, isa: str, threads: int) -> dict[str, Any]:
    module = Compiled(isa, threads)
    outputs, tape = run_as_team(lambda: problem.outputs(module), threads)
    grads = run_as_team(lambda: problem.backward(module, tape, return_dh=True), threads)
    return outputs | {k: a for k, a in grads._asdict().items() if a is not None}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("share", SHARES)
def test_floating_input(share: str, cell: str, ragged: bool, isa: str) -> None:
    T, N, H = sizes_of(share, cell)
    options: Any = {}
    if ragged:
        names = ("resets", "recurrent_mask", "zoneout")
        options = {"padding": "right", **dict.fromkeys(names, True)}
    problem = make_problem(cell, T, N, 23, H, dtype=np.float32, **options)
    numbers = NUMBERS if share == "rows" else (*NUMBERS, MORE_THAN_ROWS)
    one, *others = (run_with_threads(problem, isa, n) for n in numbers)
    for other in others:
        assert_same_bits(other, one)


@every_dtype
@pytest.mark.parametrize("V", [11, 700], ids=["short", "long"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("share", SHARES)
def test_kinds_of_input(share: str, cell: str, kind: str, V: int, dtype: Any) -> None:
    T, N, H = sizes_of(share, cell)
    problem = make_problem(
        *(cell, T, N, 23, H),
        **{"V": V, "kind": kind, "dtype": dtype, "padding": "left", "reverse": True},
    )
    one, three = (run_with_threads(problem, ISAS[0], n) for n in (1, 3))
    assert_same_bits(three, one)


def test_large_weights_are_shared_out_with_many_rows_too() -> None:
    """Weights of 1 MiB and more are shared by units."""
    problem = make_problem("lstm", 3, 30, 23, 185)
    one, *others = (run_with_threads(problem, ISAS[0], n) for n in NUMBERS)
    for other in others:
        assert_same_bits(other, one)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("share", SHARES)
def test_smaller_teams_than_planned(share: str, cell: str) -> None:
    """As on busy cores, the work is shared among the threads that there are."""
    T, N, H = sizes_of(share, cell)
    problem = make_problem(cell, T, N, 23, H, dtype=np.float32)
    module = Compiled(threads=5)
    planned = problem.run(module)
    try:
        for members in (4, 2, 1):
            _core.shrink_teams(members)
            assert_same_bits(problem.run(module), planned)
    finally:
        _core.shrink_teams(0)


def test_small_calls_keep_to_one_thread() -> None:
    problem = make_problem("lstm", 20, 1, 32, 32)
    module = Compiled(threads=4)
    run_as_team(lambda: problem.run(module), 1)


def test_more_threads_than_rows_and_units() -> None:
    problem = make_problem("rnn", 2, 3, 700_000, 2, dtype=np.float32)
    one, many = (problem.run(Compiled(threads=n)) for n in (1, 9))
    assert_same_bits(many, one)
