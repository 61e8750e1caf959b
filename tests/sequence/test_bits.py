"""Results that must be the same to the last bit."""

from typing import Any

import numpy as np
import pytest

from tests.comparing import assert_same_bits
from tests.implementations import FMA_ISAS, ISAS, Compiled, every_dtype, every_isa
from tests.problems import (
    CELLS,
    KINDS,
    VARIANTS,
    Problem,
    each,
    make_problem,
    rows_of,
    shift,
    size_id,
)

every_cell = pytest.mark.parametrize("cell", CELLS)
regularised_or_not = pytest.mark.parametrize(
    "regularised", [False, True], ids=["plain", "regularised"]
)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.skipif(len(FMA_ISAS) < 2, reason="one instruction set")
@every_dtype
@pytest.mark.parametrize("vocabulary", ["short", "long"])
@pytest.mark.parametrize(
    "size",
    [
        (3, 2, 17, 15),
        (2, 5, 7, 16),
        (7, 3, 1, 33),
        (40, 33, 9, 31),
        (3, 150, 16, 17),
        (9, 17, 65, 64),
    ],
    ids=size_id,
)
@every_kind
@pytest.mark.parametrize("variant", VARIANTS)
@regularised_or_not
def test_instruction_sets_with_fma_agree(
    regularised: bool, variant: str, kind: str, size: Any, vocabulary: str, dtype: Any
) -> None:
    V = 5 if vocabulary == "short" else 2000
    options: Any = {"V": V, "kind": kind, "dtype": dtype, "padding": "right"}
    problem = make_problem(
        variant, *size, resets=True, recurrent_mask=regularised, zoneout=regularised,
        **options,
    )  # fmt: skip
    first, *others = (problem.run(Compiled(isa)) for isa in FMA_ISAS)
    for other in others:
        assert_same_bits(other, first)


def test_the_baseline_differs() -> None:
    """Otherwise no instruction set was forced, and the test above compares nothing.

    Among many sums, some show the difference between two roundings and one.
    """
    if not 0 < len(FMA_ISAS) < len(ISAS):
        pytest.skip("no two kinds of instruction sets here")
    problem = make_problem("lstm", 5, 9, 17, 33)
    y = [problem.forward(Compiled(isa))[0] for isa in (FMA_ISAS[0], "baseline")]
    assert np.any(y[0] != y[1])


def run_forward(problem: Problem, module: Any, **changed: Any) -> dict[str, Any]:
    return problem.outputs(module, **changed)[0]


@every_dtype
@every_isa
@every_kind
@every_cell
@regularised_or_not
def test_a_row_does_not_depend_on_the_others(
    regularised: bool, cell: str, kind: str, isa: str, dtype: Any
) -> None:
    problem = make_problem(
        *(cell, 7, 33, 9, 19), V=20, kind=kind, dtype=dtype, padding="right",
        resets=True, recurrent_mask=regularised, zoneout=regularised,
    )  # fmt: skip
    module = Compiled(isa)
    whole = run_forward(problem, module)
    few = np.random.default_rng(0).permutation(33)
    for rows in ([0], [32], few[:2], few[:3], few[:5], few[:16], few):
        got = run_forward(problem.take_rows(rows), module)
        assert_same_bits(got, rows_of(whole, rows))


@every_isa
@every_cell
def test_every_number_of_rows(cell: str, isa: str) -> None:
    """As many rows as share a tile, one more, and the remainder of the last tile."""
    problem = make_problem(cell, 3, 40, 5, 19, dtype=np.float32)
    module = Compiled(isa)
    whole = run_forward(problem, module)
    for N in range(1, 40):
        rows = np.arange(40 - N, 40)
        got = run_forward(problem.take_rows(rows), module)
        assert_same_bits(got, rows_of(whole, rows))


@every_dtype
@every_isa
@every_kind
@every_cell
def test_padding_changes_nothing(cell: str, kind: str, isa: str, dtype: Any) -> None:
    """Each row gives the same alone, cut to its length, as among padded rows."""
    problem = make_problem(
        *(cell, 9, 6, 9, 19), V=20, kind=kind, dtype=dtype, padding="right",
    )  # fmt: skip
    module = Compiled(isa)
    whole = run_forward(problem, module)
    for n, length in enumerate(problem.options["lengths"]):
        alone = problem.take_rows([n])
        x = np.ascontiguousarray(alone.arrays["x"][:length])
        got = run_forward(alone, module, x=x, lengths=None)
        expected = {k: a if k in ("h_n", "c_n") else a[:length]
                    for k, a in rows_of(whole, [n]).items()}  # fmt: skip
        assert_same_bits(got, expected)


@every_isa
@every_kind
@every_cell
@regularised_or_not
def test_left_padding_is_right_padding_shifted(
    regularised: bool, cell: str, kind: str, isa: str
) -> None:
    problem = make_problem(
        *(cell, 9, 20, 9, 19), V=20, kind=kind, padding="right", resets=True,
        recurrent_mask=regularised, zoneout=regularised,
    )  # fmt: skip
    module = Compiled(isa)
    got = problem.padded_left().run(module)
    for name in {"y", "gates", "c", "dx", "dh"} & got.keys():
        got[name] = shift(got[name], problem.options["lengths"], back=True)
    assert_same_bits(got, problem.run(module))


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@every_dtype
@every_isa
@every_kind
@every_cell
@regularised_or_not
def test_a_sequence_in_pieces(
    regularised: bool, cell: str, kind: str, isa: str, dtype: Any, reverse: bool
) -> None:
    """The carried state is all that the second part needs."""
    problem = make_problem(
        *(cell, 40, 5, 9, 19), V=11, kind=kind, dtype=dtype, resets=True,
        reverse=reverse, recurrent_mask=regularised, zoneout=regularised,
    )  # fmt: skip
    module = Compiled(isa)
    resets = problem.options["resets"].copy()
    resets[[1, 13]] = False
    whole = run_forward(problem, module, resets=resets)
    pieces = [slice(0, 1), slice(1, 13), slice(13, 40)]
    states, found = {}, {}
    for piece in reversed(pieces) if reverse else pieces:
        changed = {"x": problem.arrays["x"][piece], "resets": resets[piece], **states}
        if regularised:
            keep = each(problem.options["zoneout"], lambda a, p=piece: a[p])
            changed["zoneout"] = keep
        outputs = run_forward(problem, module, **changed)
        states = {f"{s}0": outputs.pop(f"{s}_n") for s in "hc" if f"{s}_n" in outputs}
        found[piece.start] = outputs
    for name in found[0]:
        joined = np.concatenate([found[piece.start][name] for piece in pieces])
        assert_same_bits(joined, whole[name], name)
    for name, state in states.items():
        assert_same_bits(state, whole[f"{name[0]}_n"], name)


@every_isa
@every_cell
def test_resets_are_new_sequences(cell: str, isa: str) -> None:
    problem = make_problem(cell, 20, 3, 9, 19)
    resets = np.zeros((20, 3), bool)
    resets[[4, 5, 17]] = True
    module = Compiled(isa)
    whole = run_forward(problem, module, resets=resets)
    states = {k: problem.arrays[k] for k in ("h0", "c0") if k in problem.arrays}
    for begin, end in [(0, 4), (4, 5), (5, 17), (17, 20)]:
        x = problem.arrays["x"][begin:end]
        piece = run_forward(problem, module, x=x, **states)
        assert_same_bits(piece["y"], whole["y"][begin:end])
        states = {k: np.zeros_like(a) for k, a in states.items()}
    assert_same_bits(piece["h_n"], whole["h_n"])


@every_dtype
@every_isa
@every_kind
@every_cell
def test_no_tape(cell: str, kind: str, isa: str, dtype: Any) -> None:
    for N in (1, 33):
        problem = make_problem(
            *(cell, 9, N, 9, 19), kind=kind, dtype=dtype, padding="left", resets=True
        )
        module = Compiled(isa)
        expected, tape = problem.outputs(module)
        got, none = problem.outputs(module, training=False)
        assert tape is not None
        assert none is None
        assert_same_bits(got, {k: expected[k] for k in got})


@every_dtype
@every_isa
@every_cell
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("V", [5, 100], ids=["short", "long"])
def test_tokens_are_one_hot_rows(
    V: int, bias: bool, cell: str, isa: str, dtype: Any
) -> None:
    """Adding zeros changes no bit, so forward can pick the column instead."""
    problem = make_problem(
        *(cell, 6, 7, 1, 19), V=V, kind="onehot", dtype=dtype, bias=bias
    )
    module = Compiled(isa)
    one_hot = np.eye(V, dtype=dtype)[problem.arrays["x"]]
    expected = run_forward(problem, module, x=one_hot)
    assert_same_bits(run_forward(problem, module), expected)


@every_dtype
@every_isa
@every_cell
@pytest.mark.parametrize("V", [5, 100], ids=["short", "long"])
def test_an_embedding_is_its_rows(V: int, cell: str, isa: str, dtype: Any) -> None:
    problem = make_problem(
        *(cell, 6, 30, 9, 19), V=V, kind="embedding", dtype=dtype, padding="right"
    )
    module = Compiled(isa)
    rows = problem.arrays["embedding"][problem.arrays["x"]]
    expected = problem.run(module, x=rows, embedding=None)
    got = problem.run(module)
    del got["dembedding"], expected["dx"]
    assert_same_bits(got, expected)
