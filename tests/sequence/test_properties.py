"""Bit-exact properties, for random combinations of all options."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.comparing import assert_same_bits
from tests.implementations import ISAS, Compiled
from tests.problems import CELLS, VARIANTS, Problem, each, rows_of, shift
from tests.sequence.test_random import problems
from tests.sequence.test_threads import SHARES, sizes_of

variants = pytest.mark.parametrize("variant", VARIANTS)
some = settings(deadline=None, max_examples=40)
isas = st.sampled_from(ISAS)


@variants
@some
@given(data=st.data(), isa=isas)
def test_padding_may_hold_anything(variant: str, data: Any, isa: str) -> None:
    """NaN in ``x`` and ``dy``, invalid ids, resets and zoneout there change no bit."""
    problem = data.draw(problems(variant, padding=st.sampled_from(["right", "left"])))
    padding = ~problem.valid()
    x = problem.arrays["x"].copy()
    x[padding] = np.nan if x.dtype.kind == "f" else -1
    changed: dict[str, Any] = {"x": x}
    if "dy" in problem.upstream:
        changed["dy"] = problem.upstream["dy"].copy()
        changed["dy"][padding] = np.nan
    if "resets" in problem.options:
        changed["resets"] = problem.options["resets"] | padding
    if "zoneout" in problem.options:
        zoneout = problem.options["zoneout"]
        changed["zoneout"] = each(zoneout, lambda a: a | padding[..., None])
    module = Compiled(isa)
    got = problem.run(module, **changed)
    assert_same_bits(got, problem.run(module))
    for name in {"y", "gates", "c", "dx", "dh"} & got.keys():
        assert not got[name][padding].any()


@variants
@some
@given(data=st.data(), isa=isas)
def test_left_padding_is_right_padding_shifted(
    variant: str, data: Any, isa: str
) -> None:
    problem = data.draw(problems(variant, padding=st.just("right")))
    module = Compiled(isa)
    got = problem.padded_left().run(module)
    for name in {"y", "gates", "c", "dx", "dh"} & got.keys():
        got[name] = shift(got[name], problem.options["lengths"], back=True)
    assert_same_bits(got, problem.run(module))


@variants
@some
@given(data=st.data(), isa=isas)
def test_a_row_does_not_depend_on_the_others(variant: str, data: Any, isa: str) -> None:
    problem = data.draw(problems(variant))
    N = problem.arrays["x"].shape[1]
    rows = data.draw(st.lists(st.integers(0, max(N - 1, 0)), max_size=N, unique=True))
    module = Compiled(isa)
    got, _ = problem.take_rows(np.array(rows, int)).outputs(module)
    assert_same_bits(got, rows_of(problem.outputs(module)[0], rows))


def in_two_pieces(problem: Problem, at: int, module: Any) -> dict[str, Any]:
    """Return the outputs of the steps before ``at`` and those after, joined."""
    T = problem.arrays["x"].shape[0]
    timed = {"x": problem.arrays["x"]}
    timed |= {k: v for k, v in problem.options.items() if k in ("resets", "zoneout")}
    lengths, left = problem.options.get("lengths"), problem.options.get("padding")
    pieces, states, outputs = [slice(0, at), slice(at, T)], {}, {}
    for piece in reversed(pieces) if problem.options["reverse"] else pieces:
        part = {k: each(a, lambda b, p=piece: b[p]) for k, a in timed.items()}
        if lengths is not None:
            first = T - lengths if left == "left" else 0 * lengths
            inside = np.clip([first, first + lengths], piece.start, piece.stop)
            part["lengths"] = inside[1] - inside[0]
        found, _ = problem.outputs(module, **part, **states)
        states = {f"{s}0": found.pop(f"{s}_n") for s in "hc" if f"{s}_n" in found}
        outputs[piece.start > 0 or at == 0] = found
    joined = {k: np.concatenate([outputs[i][k] for i in sorted(outputs)])
              for k in found}  # fmt: skip
    return joined | {f"{k[0]}_n": a for k, a in states.items()}


@variants
@some
@given(data=st.data(), isa=isas)
def test_a_sequence_in_pieces(variant: str, data: Any, isa: str) -> None:
    """The state is carried; a reset at the cut acts in the second piece."""
    problem = data.draw(problems(variant, shortest=2))
    at = data.draw(st.integers(1, len(problem.arrays["x"]) - 1))
    if problem.options["reverse"] and "resets" in problem.options:
        problem.options["resets"][at] = False  # it cuts where the pieces join
    module = Compiled(isa)
    assert_same_bits(in_two_pieces(problem, at, module), problem.outputs(module)[0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("share", SHARES)
@settings(deadline=None, max_examples=8)
@given(data=st.data(), isa=isas, threads=st.integers(2, 4))
def test_the_number_of_threads(
    share: str, cell: str, data: Any, isa: str, threads: int
) -> None:
    T, N, H = sizes_of(share, cell)
    # Twice as many rows, for the padding leaves half of them.
    sizes = {"T": T, "N": N if share == "units" else 2 * N, "I": 23, "H": H + 80}
    problem = data.draw(problems(cell, **sizes))
    one = problem.run(Compiled(isa))
    got = problem.run(Compiled(isa, threads))
    assert_same_bits(got, one)
