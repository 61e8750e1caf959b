"""The compiled functions against the reference in float64, at awkward sizes.

Hidden and input sizes lie around the number of lanes, rows and steps around the chunks
(256 rows forward, 512 backward) in which input products and weight gradients are
computed. Vocabularies are both shorter and longer than the sequence, which the kernels
treat differently.
"""

from typing import Any

import pytest

from fastrnn import reference
from tests.comparing import assert_near
from tests.implementations import DTYPES, ISAS, Compiled, every_dtype, every_isa, lanes
from tests.problems import CELLS, VARIANTS, make_problem, size_id


def sizes(L: int) -> tuple[tuple[int, int, int, int], ...]:
    """Return T, N, I, H for vectors of ``L`` lanes."""
    return (
        (1, 1, 1, 1),
        (3, 2, L + 1, L - 1),
        (2, 5, L - 1, L),
        (7, 3, 1, L + 1),
        (5, 33, L, 4 * L + 1),
        (40, 1, 4 * L + 1, 65),
        (40, 33, 65, L - 1),
        (3, 150, L, L + 1),
    )


CASES = [
    pytest.param(size, isa, dtype, id=f"{size_id(size)}-{isa}-{dtype.__name__}")
    for isa in ISAS
    for dtype in DTYPES
    for size in sizes(lanes(isa, dtype))
]


@pytest.mark.parametrize(("size", "isa", "dtype"), CASES)
@pytest.mark.parametrize("vocabulary", ["short", "long"])
@pytest.mark.parametrize("kind", ["onehot", "embedding"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens(
    variant: str, kind: str, vocabulary: str, size: Any, isa: str, dtype: Any
) -> None:
    T, N, _, _ = size
    V = min(5, T * N) if vocabulary == "short" else T * N + 3
    compare(make_problem(variant, *size, kind=kind, V=V, dtype=dtype), isa)


@pytest.mark.parametrize(("size", "isa", "dtype"), CASES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_floating_input(variant: str, size: Any, isa: str, dtype: Any) -> None:
    compare(make_problem(variant, *size, dtype=dtype), isa)


@pytest.mark.parametrize("kind", ["floating", "embedding"])
@every_dtype
@every_isa
@pytest.mark.parametrize("cell", CELLS)
def test_every_number_of_rows_and_units(
    cell: str, isa: str, dtype: Any, kind: str
) -> None:
    """Cover all tiles, and all remainders after them."""
    for k in range(1, 41):
        N, I, H = k, 41 - k, 7 * k % 41  # noqa: E741
        compare(make_problem(cell, 2, N, I, H, kind=kind, dtype=dtype), isa)


@every_dtype
@every_isa
@pytest.mark.parametrize("cell", CELLS)
def test_more_than_a_cache_holds(cell: str, isa: str, dtype: Any) -> None:
    """Weight gradients of a full chunk take h and x in parts, and split the sums."""
    compare(make_problem(cell, T=32, N=16, I=40, H=520, dtype=dtype), isa)


def compare(problem: Any, isa: str) -> None:
    problem = problem.contracting()
    expected = problem.converted("float64").run(reference)
    assert_near(problem.run(Compiled(isa)), expected, problem.terms())
