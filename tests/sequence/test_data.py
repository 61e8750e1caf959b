"""Data of any layout, NaN and infinities, and results that share no memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from tests.comparing import assert_same_bits
from tests.implementations import ISAS, Compiled, every_dtype, every_isa
from tests.problems import CELLS, KINDS, VARIANTS, make_problem

BAD = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf}


def reversed_axes(a: Any) -> Any:
    backwards = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[backwards])[backwards]


def every_second(a: Any) -> Any:
    spaced = np.zeros((*a.shape, 2), a.dtype)
    spaced[..., 0] = a
    return spaced[..., 0]


def shifted(a: Any, size: int) -> Any:
    """Return a copy that begins ``size`` bytes after a cache line."""
    memory = np.zeros(a.nbytes + 64 + size, np.uint8)
    begin = -memory.ctypes.data % 64 + size
    moved = memory[begin : begin + a.nbytes].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def read_only(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


def broadcast(a: Any) -> Any:
    return np.broadcast_to(a, (2, *a.shape))[1]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": np.asfortranarray,
    "reversed": reversed_axes,
    "every_second": every_second,
    "off_by_a_byte": lambda a: shifted(a, 1),
    "off_by_an_element": lambda a: shifted(a, a.itemsize),
    "read_only": read_only,
    "broadcast": broadcast,
}


@every_dtype
@every_isa
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_layouts(cell: str, kind: str, isa: str, dtype: Any) -> None:
    options: Any = {"kind": kind, "dtype": dtype, "padding": "right", "resets": True}
    problem = make_problem(cell, 5, 7, 9, 19, **options)
    module = Compiled(isa)
    expected = problem.run(module)
    given = {**problem.arrays, **problem.upstream, **problem.options}
    given = {k: a for k, a in given.items() if isinstance(a, np.ndarray)}
    for change in LAYOUTS.values():
        changed = {k: change(a) for k, a in given.items()}
        assert_same_bits(problem.run(module, **changed), expected)
        for k, a in changed.items():
            assert_same_bits(a, given[k], k)


@pytest.mark.parametrize("bad", BAD)
@every_dtype
@every_isa
@pytest.mark.parametrize("variant", VARIANTS)
def test_non_finite_numbers(variant: str, isa: str, dtype: Any, bad: str) -> None:
    """One in any argument appears where the reference has it, and only there."""
    problem = make_problem(variant, 4, 5, 9, 19, dtype=dtype).contracting()
    rng = np.random.default_rng(0)
    for name, a in {**problem.arrays, **problem.upstream}.items():
        changed = a.copy()
        changed[tuple(rng.integers(a.shape))] = BAD[bad]
        expected = problem.run(reference, **{name: changed})
        got = problem.run(Compiled(isa), **{name: changed})
        for key, b in expected.items():
            message = f"{name} -> {key}"
            np.testing.assert_array_equal(np.isnan(got[key]), np.isnan(b), message)
            infinite = np.isinf(b)
            np.testing.assert_array_equal(np.isinf(got[key]), infinite, message)
            np.testing.assert_array_equal(got[key][infinite], b[infinite], message)


@pytest.mark.parametrize("bad", BAD)
@every_isa
@pytest.mark.parametrize("kind", ["onehot", "embedding"])
@pytest.mark.parametrize("cell", CELLS)
def test_non_finite_rows_of_tables(cell: str, kind: str, isa: str, bad: str) -> None:
    """They affect only the steps that read them."""
    for V in (5, 100):
        problem = make_problem(cell, 4, 5, 9, 19, V=V, kind=kind)
        x = problem.arrays["x"].copy()
        x[2:, 1] = 3
        x[x == 3] = 4
        x[2, 1] = 3
        name = "w_ih" if kind == "onehot" else "embedding"
        table = problem.arrays[name].copy()
        if kind == "onehot":
            table[:, 3] = BAD[bad]
        else:
            table[3] = BAD[bad]
        module = Compiled(isa)
        clean, _ = problem.outputs(module, x=x)
        got, _ = problem.outputs(module, x=x, **{name: table})
        assert_same_bits(got["y"][:2], clean["y"][:2])
        others = [0, 2, 3, 4]
        assert_same_bits(got["y"][:, others], clean["y"][:, others])
        assert np.any(got["y"][2, 1] != clean["y"][2, 1])


@pytest.mark.parametrize("padding", ["right", "left"])
@every_isa
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_not_read_in_any_chunk(
    cell: str, kind: str, isa: str, padding: str
) -> None:
    problem = make_problem(cell, 12, 40, 9, 19, kind=kind, padding=padding)
    on_padding = ~problem.valid()
    x, dy = problem.arrays["x"].copy(), problem.upstream["dy"].copy()
    x[on_padding] = np.nan if kind == "floating" else -1
    dy[on_padding] = np.nan
    module = Compiled(isa)
    got = problem.run(module, x=x, dy=dy)
    assert_same_bits(got, problem.run(module))
    for name in {"y", "gates", "c", "dx", "dh"} & got.keys():
        assert not got[name][on_padding].any(), name


@pytest.mark.parametrize("length", [0, 3])
@every_isa
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_rows_without_steps(cell: str, kind: str, isa: str, length: int) -> None:
    """For all rows or all but one, whatever the memory held before."""
    problem = make_problem(cell, 5, 4, 9, 19, kind=kind)
    lengths = np.array([0, length, 0, 0])
    expected = problem.run(reference, lengths=lengths)
    got = problem.run(Compiled(isa), lengths=lengths)
    for name, a in expected.items():
        np.testing.assert_allclose(got[name], a, rtol=1e-12, atol=1e-12, err_msg=name)
        if name.startswith(("h", "c_", "dh0", "dc0")):
            rows = [0, 2, 3]
            assert_same_bits(got[name][rows], a[rows], name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_are_fresh(cell: str, kind: str) -> None:
    """Results share no memory with each other, with inputs or across calls."""
    problem = make_problem(cell, kind=kind)
    module = Compiled(ISAS[0])
    given = [*problem.arrays.values(), *problem.upstream.values()]
    for options in ({}, {"training": False}, {"lengths": [0] * 4}):
        found: list[Any] = []
        for _ in range(2):
            y, final, tape = problem.forward(module, **options)
            found += [y, *final]
            for _ in range(2 if tape is not None else 0):
                grads = problem.backward(module, tape, return_dh=True)
                found += [a for a in grads if a is not None]
        for i, a in enumerate(found):
            assert a.flags.writeable
            assert a.flags.c_contiguous
            assert not any(np.shares_memory(a, b) for b in [*found[:i], *given])


@every_dtype
@every_isa
@pytest.mark.parametrize("cell", CELLS)
def test_without_upstream_gradients(cell: str, isa: str, dtype: Any) -> None:
    problem = make_problem(cell, dtype=dtype)
    nothing = dict.fromkeys(problem.upstream)
    found = problem.run(Compiled(isa), **nothing)
    for name, a in found.items():
        if name.startswith("d"):
            assert not a.any(), name
