"""Every way to share a call among threads gives the same bits.

``FASTRNN_SHARE`` forces one; the number of threads that small calls start shows which
one is in use.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastrnn import _core
from tests.comparing import assert_same_bits
from tests.implementations import Compiled, every_dtype, every_isa, using
from tests.layers import as_tuple
from tests.problems import CELLS, make_problem
from tests.processes import run_program, run_python
from tests.stepper.test_bits import draw_input, draw_state, make_layer, run_stepper
from tests.threads import run_as_team

every_cell = pytest.mark.parametrize("cell", CELLS)
THREADS = (2, 3, 5)


@pytest.fixture(autouse=True)
def best_afterwards() -> Iterator[None]:
    yield
    _core.set_sharing("best")


def team_of(way: str, threads: int, N: int) -> int:
    return {"none": 1, "rows": min(threads, N), "units": threads}[way]


@pytest.mark.parametrize("N", [1, 2, 4])
@every_dtype
@every_isa
@every_cell
def test_forward_and_backward(cell: str, isa: str, dtype: Any, N: int) -> None:
    problem = make_problem(cell, 7, N, 5, 37, dtype=dtype, resets=True)
    expected = problem.run(Compiled(isa))
    for way in ("none", "rows", "units"):
        _core.set_sharing(way)
        for threads in THREADS:
            module = Compiled(isa, threads)
            team = team_of(way, threads, N)
            outputs, tape = run_as_team(lambda: problem.outputs(module), team)  # noqa: B023
            grads = run_as_team(
                lambda: problem.backward(module, tape, return_dh=True),  # noqa: B023
                team,
            )._asdict()
            outputs |= {k: a for k, a in grads.items() if a is not None}
            assert_same_bits(outputs, expected)


@pytest.mark.parametrize("weights", [None, "bfloat16"])
@pytest.mark.parametrize("tokens", [False, True], ids=["floating", "tokens"])
@pytest.mark.parametrize("N", [1, 3, 9])
@every_isa
@every_cell
def test_kept_weights(
    cell: str, isa: str, N: int, tokens: bool, weights: str | None
) -> None:
    layer = make_layer(cell, 9, 37, num_layers=2)
    x, state = draw_input(layer, N, tokens), draw_state(layer, N)
    with using(isa):
        in_the_call = layer(x, state)
        layer.eval(weights=weights)
        expected = layer(x, state)
        assert_same_bits(run_stepper(layer, x, state)[0], expected[0])
    if weights is None:
        assert_same_bits(expected[0], in_the_call[0])
    for way in ("none", "rows", "units"):
        _core.set_sharing(way)
        for threads in THREADS:
            with using(isa, threads):
                team = team_of(way, threads, N)
                got = run_as_team(lambda: layer(x, state), team)
            assert_same_bits(got[0], expected[0])
            for a, b in zip(as_tuple(got[1]), as_tuple(expected[1]), strict=True):
                assert_same_bits(a, b)


@pytest.mark.parametrize("weights", [None, "bfloat16"])
@every_cell
def test_bfloat16_is_rounding_the_matrices(cell: str, weights: str | None) -> None:
    """Bit for bit: widening is exact, and sums are float32."""
    layer = make_layer(cell, 9, 37, num_layers=2, bidirectional=True)
    x = draw_input(layer, 5)
    got = layer.eval(weights=weights)(x)[0]
    layer.train()
    if weights:
        for name, a in layer.params.items():
            if name.startswith("weight"):
                bits = a.view("u4")
                bits += 0x7FFF + ((bits >> 16) & 1)
                bits &= 0xFFFF0000
    assert_same_bits(got, layer(x)[0])


def test_bfloat16_keeps_nan() -> None:
    """Rounded as a number, this one would be −0."""
    layer = make_layer("rnn-tanh", 3, 5)
    layer.params["weight_ih_l0"].view("u4")[2] = 0x7FFFFFFF
    y, _ = layer.eval(weights="bfloat16")(draw_input(layer, 4, steps=1))
    assert np.isnan(y).any(axis=(0, 1)).tolist() == [False, False, True, False, False]


def test_bfloat16_errs_as_little_as_is_said() -> None:
    """Each weight is off by at most 2⁻⁸ of itself; outputs stay close to float32."""
    layer = make_layer("lstm", 64, 128)
    x = draw_input(layer, 4, steps=50)
    full = layer.eval()(x)[0]
    rounded = layer.eval(weights="bfloat16")(x)[0]
    assert 1e-5 < abs(full - rounded).max() < 2e-2


def test_the_variable() -> None:
    program = """
import numpy as np, fastrnn
from tests.threads import run_as_team
layer = fastrnn.LSTM(3, 40, seed=0)
fastrnn.set_num_threads(3)
run_as_team(lambda: layer(np.ones((4, 2, 3), np.float32)), {})
"""
    for way, team in (("none", 1), ("rows", 2), ("units", 3), ("best", 1), ("", 1)):
        run_program(program.format(team), FASTRNN_SHARE=way)
    done = run_python("-c", "import fastrnn", FASTRNN_SHARE="columns")
    assert done.returncode != 0
    message = "FASTRNN_SHARE: expected one of best, none, rows, units, got 'columns'"
    assert message in done.stderr
