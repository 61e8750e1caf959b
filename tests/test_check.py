"""The gate: every bad call gets its message, and good calls cost almost nothing."""

import re
import timeit
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from fastrnn._gate.arguments import check_ids
from fastrnn._gate.sequence import (
    check_backward,
    check_forward,
    check_lengths,
    check_tokens,
)
from fastrnn._gate.stepper import check_x, which_rows
from fastrnn._types.results import LSTMTape
from tests.bad_calls import (
    BACKWARD,
    FORWARD,
    BadCall,
    H,
    I,
    N,
    T,
    V,
    describe,
    f32,
    good_problem,
    ids,
)
from tests.problems import FUNCTIONS, TABLE, make_problem


@pytest.fixture(params=[reference, fastrnn], ids=["reference", "compiled"])
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("call", FORWARD, ids=describe)
def test_bad_forward(call: BadCall, module: Any) -> None:
    problem = good_problem(call.cell, call.kind)
    with pytest.raises(call.error, match=f"^{re.escape(call.message)}$"):
        problem.forward(module, **call.changed)


@pytest.mark.parametrize("call", BACKWARD, ids=describe)
def test_bad_backward(call: BadCall, module: Any) -> None:
    problem = good_problem(call.cell, call.kind)
    _, _, tape = problem.forward(module)
    changed = dict(call.changed)
    tape = changed.pop("tape", tape)
    with pytest.raises(call.error, match=f"^{re.escape(call.message)}$"):
        problem.backward(module, tape, **changed)


@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
@pytest.mark.parametrize("cell", FUNCTIONS)
def test_the_calls_are_good_unchanged(cell: str, kind: str, module: Any) -> None:
    problem = good_problem(cell, kind)
    _, _, tape = problem.forward(module)
    problem.backward(module, tape)


@pytest.mark.parametrize("other", FUNCTIONS)
@pytest.mark.parametrize("cell", FUNCTIONS)
def test_tape_of_another_cell(cell: str, other: str, module: Any) -> None:
    _, _, tape = good_problem(other, "floating").forward(module)
    if cell == other:
        good_problem(cell, "floating").backward(module, tape)
        return
    names = [f"{TABLE[c].tape.__name__} of {c}_forward" for c in (cell, other)]
    expected = "tape: expected {}, got {}".format(*names)
    with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
        good_problem(cell, "floating").backward(module, tape)


def test_dtype_comes_before_shape() -> None:
    with pytest.raises(TypeError, match="b_hh: expected dtype float32"):
        check_forward(
            "lstm", f32(T, N, I), f32(1, 1), f32(1, 1), f32(1), np.ones(1, np.float64)
        )


def test_sizes_of_a_sequence() -> None:
    for kind, sizes in [
        ("floating", (T, N, I, H, 3, 0)),
        ("onehot", (T, N, V, H, 3, V)),
        ("embedding", (T, N, I, H, 3, V)),
    ]:
        p = good_problem("gru", kind)
        s = check_forward("gru", **p.arrays, **p.options)
        assert sizes == (s.T, s.N, s.I, s.H, s.G, s.V)
        assert (s.x is None) == (kind != "floating")
        assert (s.tokens is None) == (kind == "floating")
        assert s.dtype == np.float32


def test_contiguous_arrays_are_not_copied() -> None:
    p = make_problem("lstm")
    s = check_forward("lstm", **p.arrays)
    for name, a in p.arrays.items():
        assert getattr(s, name) is a
    _, _, tape = p.forward(reference)
    up = check_backward("lstm", tape, **p.upstream)
    for name, a in p.upstream.items():
        assert getattr(up, name) is a


@pytest.mark.parametrize("layout", ["fortran", "reversed", "broadcast", "misaligned"])
def test_other_layouts_are_copied(layout: str) -> None:
    p = make_problem("lstm", T=3, N=2, I=4)
    x = p.arrays["x"]
    if layout == "fortran":
        strange = np.asfortranarray(x)
    elif layout == "reversed":
        strange = x[::-1, :, ::-1]
    elif layout == "broadcast":
        strange = np.broadcast_to(x[:1], x.shape)
    else:
        strange = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        strange[...] = x
    got = check_forward("lstm", **{**p.arrays, "x": strange}).x
    assert got is not None
    assert got.flags.c_contiguous
    assert got.flags.aligned
    np.testing.assert_array_equal(got, strange)


def test_subclasses_count_as_plain_arrays(tmp_path: Any) -> None:
    p = make_problem("lstm")
    w_ih = np.memmap(tmp_path / "w", np.float64, "w+", shape=p.arrays["w_ih"].shape)
    w_ih[...] = p.arrays["w_ih"]
    got = check_forward("lstm", **{**p.arrays, "w_ih": w_ih}).w_ih
    assert type(got) is np.ndarray
    assert np.shares_memory(got, w_ih)


def test_indices_are_private_copies() -> None:
    """Changing them after the check must not lead a kernel out of bounds."""
    p = good_problem("gru", "onehot")
    resets = np.zeros((T, N), bool)
    s = check_forward("gru", **p.arrays, **p.options, resets=resets)
    assert s.tokens is not None
    assert not np.shares_memory(s.tokens, p.arrays["x"])
    assert s.lengths is not None
    assert not np.shares_memory(s.lengths, p.options["lengths"])
    assert s.resets is not None
    assert not np.shares_memory(s.resets, resets)
    assert (s.tokens.dtype, s.lengths.dtype) == (np.int64, np.int64)
    assert s.resets.dtype == np.bool_


def check_stepper_tokens(a: Any) -> Any:
    return check_x(a, V, np.dtype(np.float32), None)[0]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (lambda a: check_lengths(a, V - 1, a.size), 0, V),
        (lambda a: check_tokens(a[:, None], V, None, "right"), 0, V),
        (lambda a: check_ids("targets", "target", a, V), 0, 10**9),
        (check_stepper_tokens, 0, -1),
        (lambda a: which_rows(a, V), 0, -1),
    ],
    ids=["lengths", "tokens", "ids", "tokens of a stepper", "rows of a stepper"],
)
def test_indices_are_checked_where_no_one_else_can_write(
    check: Any, good: int, bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may write just before the copy, and put it right just after."""
    shared, array = np.full(5, good), np.array

    def copy_meanwhile(*arguments: Any, **options: Any) -> Any:
        shared[:] = bad
        try:
            return array(*arguments, **options)
        finally:
            shared[:] = good

    check(shared)
    monkeypatch.setattr(np, "array", copy_meanwhile)
    with pytest.raises(
        ValueError, match=f" {bad} at .*is out of range|row {bad} is out"
    ):
        check(shared)


@pytest.mark.parametrize("empty", [[], (), np.zeros(0, int)], ids=repr)
def test_empty_lengths(empty: Any) -> None:
    """An empty list has no integer dtype and is accepted."""
    s = check_forward("rnn", f32(T, 0, I), f32(H, I), f32(H, H), lengths=empty)
    assert s.lengths is not None
    assert s.lengths.shape == (0,)


def test_tokens_on_padding_are_not_looked_at() -> None:
    p = good_problem("gru", "onehot")
    x = ids(t1n1=-1, t2n1=10**9)
    check_forward("gru", **{**p.arrays, "x": x}, **p.options)


def test_numpy_flags_are_flags() -> None:
    p = make_problem("rnn")
    s = check_forward("rnn", **p.arrays, reverse=np.bool_(True))
    assert s.reverse is True


def test_tape_describes_itself() -> None:
    _, _, tape = make_problem("lstm").forward(reference)
    assert type(tape) is LSTMTape
    assert repr(tape) == "LSTMTape(T=6, N=4, I=3, H=5, float64)"


def test_the_gate_is_cheap() -> None:
    """It took 3 µs when this was written; small models call it every step."""
    p = make_problem("lstm", T=1, N=1, I=32, H=32)

    def call() -> None:
        check_forward("lstm", **p.arrays)

    assert min(timeit.repeat(call, number=1000, repeat=20)) / 1000 < 30e-6
