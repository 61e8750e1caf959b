"""Lengths, padding, resets and reverse: each equals dense runs of the pieces.

Each row is taken alone, its valid steps are cut at its resets, and each piece is run
without options (in reverse: flipped). This is the contract, written a second time.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import reference
from tests.comparing import assert_same_bits
from tests.problems import CELLS, STATES, Problem, each, make_problem

GRADS = ("dw_ih", "dw_hh", "db_ih", "db_hh")
OWN = ("nonlinearity", "reset", "coupled")  # what a piece is run with


def pieces(problem: Problem, n: int) -> list[Any]:
    """Return the steps of row ``n`` in the order they are processed, piece by piece."""
    steps = np.flatnonzero(problem.valid()[:, n])
    resets = problem.options.get("resets")
    parts = [steps]
    if resets is not None and len(steps):
        parts = np.split(steps, np.flatnonzero(resets[steps, n]))
        # A reset at the first step leaves an empty piece, which takes the old state
        # in (forwards) or lets it through (in reverse).
        if problem.options["reverse"] and len(parts[0]) == 0:
            parts = parts[1:]
    if problem.options["reverse"]:
        parts = [part[::-1] for part in parts[::-1]]
    return parts


def run_in_pieces(problem: Problem) -> dict[str, Any]:
    """Return all outputs and gradients, from dense runs of one row at a time."""
    x, dy = problem.arrays["x"], problem.upstream["dy"]
    y = np.zeros_like(dy)
    out: dict[str, Any] = {"y": y, "dx": np.zeros_like(x), "dh": np.zeros_like(dy)}
    states = STATES[problem.cell]
    for s in states:
        out[f"{s}_n"] = problem.arrays[f"{s}0"].copy()
        out[f"d{s}0"] = problem.upstream[f"d{s}_n"].copy()
    for name in GRADS:
        out[name] = np.zeros_like(problem.arrays[name[1:]])
    plain = problem._replace(options={k: v for k, v in problem.options.items()
                                      if k in OWN})  # fmt: skip
    mask, zoneout = (problem.options.get(k) for k in ("recurrent_mask", "zoneout"))
    for n in range(x.shape[1]):
        parts = pieces(problem, n)
        row = slice(n, n + 1)
        for k, part in enumerate(parts):
            first, last = k == 0, k == len(parts) - 1
            zero = {k: np.zeros_like(problem.arrays[f"{k}0"][row]) for k in states}
            given = {f"{s}0": problem.arrays[f"{s}0"][row] for s in states}
            given = given if first else {f"{s}0": zero[s] for s in states}
            if mask is not None:
                given["recurrent_mask"] = mask[row]
            if zoneout is not None:
                place = np.ix_(part, [n])
                given["zoneout"] = each(zoneout, lambda a, i=place: a[i])
            _, final, tape = plain.forward(reference, x=x[part][:, row], **given)
            y[part, n] = tape.y[:, 0]
            up = {f"d{s}_n": problem.upstream[f"d{s}_n"][row] for s in states}
            up = up if last else {f"d{s}_n": zero[s] for s in states}
            grads = plain.backward(
                reference, tape, dy=dy[part][:, row], return_dh=True, **up
            )
            out["dx"][part, n] = grads.dx[:, 0]
            out["dh"][part, n] = grads.dh[:, 0]
            for name in GRADS:
                out[name] += getattr(grads, name)
            for s, a in zip(states, final, strict=True):
                if last:
                    out[f"{s}_n"][n] = a[0]
                if first:
                    out[f"d{s}0"][n] = getattr(grads, f"d{s}0")[0]
    return out


def run_at_once(problem: Problem, module: Any) -> dict[str, Any]:
    y, final, tape = problem.forward(module)
    grads = problem.backward(module, tape, return_dh=True)
    states = STATES[problem.cell]
    out = {f"{s}_n": a for s, a in zip(states, final, strict=True)}
    names = ("dx", "dh", *GRADS, *(f"d{s}0" for s in states))
    return {"y": y, **out, **{name: getattr(grads, name) for name in names}}


@pytest.mark.parametrize("cell", CELLS)
@settings(deadline=None, max_examples=60)
@given(
    T=st.integers(1, 7),
    N=st.integers(1, 4),
    padding=st.sampled_from([None, "right", "left"]),
    resets=st.booleans(),
    reverse=st.booleans(),
    recurrent_mask=st.booleans(),
    zoneout=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_options_equal_pieces(
    cell: str,
    module: Any,
    T: int,
    N: int,
    **options: Any,
) -> None:
    problem = make_problem(cell, T, N, **options)
    expected = run_in_pieces(problem)
    got = run_at_once(problem, module)
    assert got.keys() == expected.keys()
    for name, a in got.items():
        scale = 1 + np.abs(expected[name]).max()
        np.testing.assert_allclose(
            a, expected[name], rtol=0, atol=1e-12 * scale, err_msg=name
        )


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_not_read(
    cell: str, kind: str, padding: str, reverse: bool, module: Any
) -> None:
    """NaN, ids of -1, resets and zoneout on padding change no bit."""
    problem = make_problem(
        cell, kind=kind, padding=padding, reverse=reverse, resets=True,
        recurrent_mask=True, zoneout=True,
    )  # fmt: skip
    valid = problem.valid()
    x, dy = problem.arrays["x"].copy(), problem.upstream["dy"].copy()
    x[~valid] = np.nan if kind == "floating" else -1
    dy[~valid] = np.nan
    resets = problem.options["resets"] | ~valid
    zoneout = each(problem.options["zoneout"], lambda a: a | ~valid[..., None])
    y, final, tape = problem.forward(module)
    grads = problem.backward(module, tape, return_dh=True)
    y2, final2, tape2 = problem.forward(module, x=x, resets=resets, zoneout=zoneout)
    grads2 = problem.backward(module, tape2, dy=dy, return_dh=True)
    for a, b in zip((y, *final, *grads), (y2, *final2, *grads2), strict=True):
        np.testing.assert_array_equal(a, b)
    kept = (y2, tape2.gates, grads2.dh, grads2.dx)
    kept += tuple(getattr(tape2, s) for s in STATES[cell][1:])
    for a in kept:
        assert a is None or not a[~valid].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_any_byte_but_0_is_true(cell: str, dtype: Any, module: Any) -> None:
    """Bools made from foreign memory may hold other bytes than 0 and 1."""

    def foreign(a: Any) -> Any:
        bytes_ = a.astype(np.uint8) * np.resize(np.uint8([2, 128, 255]), a.shape)
        return np.frombuffer(bytes_.tobytes(), np.bool_).reshape(a.shape)

    # More units than any vector has lanes: H is read by vectors, and what is left.
    problem = make_problem(cell, H=21, dtype=dtype, resets=True, zoneout=True)
    masks = {k: each(problem.options[k], foreign) for k in ("resets", "zoneout")}
    assert masks["resets"].view(np.uint8).max() == 255
    assert_same_bits(problem.run(module, **masks), problem.run(module))


@pytest.mark.parametrize("cell", CELLS)
def test_reset_at_the_first_step(cell: str, module: Any) -> None:
    """Forwards, it discards the initial state; in reverse, it cuts nothing."""
    problem = make_problem(cell)
    T, N = problem.arrays["x"].shape[:2]
    resets = np.zeros((T, N), bool)
    resets[0] = True
    initial = [k for k in ("h0", "c0") if k in problem.arrays]
    zero = {k: np.zeros_like(problem.arrays[k]) for k in initial}
    y, _, tape = problem.forward(module, resets=resets)
    np.testing.assert_array_equal(y, problem.forward(module, **zero)[0])
    grads = problem.backward(module, tape)
    assert not any(getattr(grads, f"d{s}0").any() for s in STATES[cell])
    y, _, tape = problem.forward(module, resets=resets, reverse=True)
    np.testing.assert_array_equal(y, problem.forward(module, reverse=True)[0])
    assert problem.backward(module, tape).dh0.all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("T", "N"), [(0, 3), (4, 0), (0, 0)])
@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
@pytest.mark.parametrize("cell", CELLS)
def test_empty(cell: str, kind: str, T: int, N: int, dtype: Any, module: Any) -> None:
    """Without steps or rows, state and gradient pass through."""
    problem = make_problem(cell, T, N, kind=kind, dtype=dtype)
    y, final, tape = problem.forward(module)
    assert y.shape == problem.upstream["dy"].shape
    grads = problem.backward(module, tape, return_dh=True)
    for s, a in zip("hc", final, strict=False):
        np.testing.assert_array_equal(a, problem.arrays[f"{s}0"])
        assert not np.shares_memory(a, problem.arrays[f"{s}0"]) or a.size == 0
        np.testing.assert_array_equal(
            getattr(grads, f"d{s}0"), problem.upstream[f"d{s}_n"]
        )
    for name in GRADS:
        a = getattr(grads, name)
        assert a.shape == problem.arrays[name[1:]].shape
        assert not a.any()
    for a in (y, *final, *grads):
        assert a is None or a.dtype == dtype


@pytest.mark.parametrize("cell", CELLS)
def test_reverse_alone(cell: str, module: Any) -> None:
    """Running in reverse means flip, run, flip back."""
    p = make_problem(cell)
    y, final, tape = p.forward(module, reverse=True)
    grads = p.backward(module, tape)
    flipped = np.ascontiguousarray(p.arrays["x"][::-1])
    y2, final2, tape2 = p.forward(module, x=flipped)
    dy = np.ascontiguousarray(p.upstream["dy"][::-1])
    grads2 = p.backward(module, tape2, dy=dy)
    for a, b in zip((y, grads.dx), (y2, grads2.dx), strict=True):
        np.testing.assert_allclose(a, b[::-1], rtol=1e-12, atol=1e-14)
    for a, b in zip((*final, *grads[1:6]), (*final2, *grads2[1:6]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
