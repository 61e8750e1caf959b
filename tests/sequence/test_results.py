"""Results: dtypes, None where stated, read-only tapes, untouched inputs."""

import copy
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from fastrnn._types import valid_steps
from tests.problems import CELLS, GATES, STATES, each, make_problem

FIELDS = ("dx", "dw_ih", "dw_hh", "db_ih", "db_hh", "dh0", "dembedding", "dh")


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", ["floating", "onehot", "embedding"])
@pytest.mark.parametrize("cell", CELLS)
def test_dtypes_and_nones(cell: str, kind: str, dtype: Any, module: Any) -> None:
    problem = make_problem(cell, kind=kind, dtype=dtype)
    y, final, tape = problem.forward(module)
    grads = problem.backward(module, tape)
    initial = tuple(f"d{s}0" for s in STATES[cell])
    own = ("dpeephole", "dprojection") if problem.cell == "lstm" else ()
    assert grads._fields == (*FIELDS[:5], *initial, *FIELDS[6:], *own)
    absent = {"dh", "dx" if kind != "floating" else "dembedding"}
    absent |= {"dembedding"} if kind == "onehot" else set()
    absent |= {name for name in own if name[1:] not in problem.arrays}
    assert {k for k, v in grads._asdict().items() if v is None} == absent
    for a in (y, *final, *grads, tape.y, tape.gates):
        assert a is None or a.dtype == dtype
    bare = make_problem(cell, kind=kind, dtype=dtype, bias=False, state=False)
    _, _, tape = bare.forward(module)
    grads = bare.backward(module, tape)
    assert grads.db_ih is None
    assert grads.db_hh is None
    assert grads.dh0.shape == problem.upstream["dh_n"].shape


@pytest.mark.parametrize("cell", CELLS)
def test_training_changes_no_bit(cell: str, module: Any) -> None:
    problem = make_problem(cell, padding="right", resets=True)
    y, final, _ = problem.forward(module)
    y2, final2, tape = problem.forward(module, training=False)
    assert tape is None
    for a, b in zip((y, *final), (y2, *final2), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_tape_is_read_only_and_reusable(cell: str, module: Any) -> None:
    problem = make_problem(cell, padding="left", resets=True)
    y, _, tape = problem.forward(module)
    names = ("y", "gates", *STATES[cell][1:])
    for name in names:
        with pytest.raises(ValueError, match="read-only"):
            getattr(tape, name)[0] = 1
    assert tape.gates.shape == (6, 4, GATES[cell] * 5)
    assert np.shares_memory(tape.y, y)
    assert y.flags.writeable
    before = [getattr(tape, name).copy() for name in names]
    first = problem.backward(module, tape)
    second = problem.backward(module, tape)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, a in zip(names, before, strict=True):
        np.testing.assert_array_equal(getattr(tape, name), a)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_tape_is_0_on_padding(cell: str, padding: str) -> None:
    """Even in memory that was used before: blocks of this size are kept when freed."""
    sizes = {"T": 20, "N": 32, "I": 3, "H": 33}
    whole = make_problem(cell, **sizes)
    _, _, used = whole.forward(fastrnn)
    assert used.gates.any()
    del used
    _, _, tape = make_problem(cell, padding=padding, **sizes).forward(fastrnn)
    valid = valid_steps(20, 32, tape.sequence.lengths, padding)
    assert not valid.all()
    for a in (tape.y, *(getattr(tape, name) for name in ("gates", *STATES[cell][1:]))):
        assert a[valid].any()
        assert not a[~valid].any()


@pytest.mark.parametrize("cell", CELLS)
def test_a_tape_of_the_reference(cell: str, module: Any) -> None:
    """The compiled functions accept it unless their own holds more, as for GRU."""
    problem = make_problem(cell, padding="left", resets=True)
    _, _, tape = problem.forward(reference)
    _, _, own = problem.forward(module)
    if tape._extra is None and own._extra is not None:
        function = f"fastrnn.{problem.cell}_forward"
        message = f"tape: expected that of {function}, got that of fastrnn"
        with pytest.raises(TypeError, match=f"^{message}"):
            problem.backward(module, tape)
        return
    grads = zip(
        problem.backward(module, tape), problem.backward(module, own), strict=True
    )
    for a, b in grads:
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_a_tape_for_the_reference(cell: str, module: Any) -> None:
    problem = make_problem(cell, padding="left", resets=True)
    _, _, tape = problem.forward(module)
    _, _, own = problem.forward(reference)
    for a, b in zip(
        problem.backward(reference, tape), problem.backward(reference, own), strict=True
    ):
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_are_not_written(cell: str, module: Any) -> None:
    problem = make_problem(
        cell, kind="embedding", padding="right", resets=True, recurrent_mask=True
    )
    problem.options["recurrent_mask"].flags.writeable = False
    for d in (problem.arrays, problem.upstream):
        for a in d.values():
            a.flags.writeable = False
    before = copy.deepcopy(problem)
    y, final, tape = problem.forward(module)
    grads = problem.backward(module, tape)
    given = (*problem.arrays.values(), *problem.upstream.values())
    was = (*before.arrays.values(), *before.upstream.values())
    for a, b in zip(given, was, strict=True):
        np.testing.assert_array_equal(a, b)
        for out in (y, *final, *grads):
            assert out is None or not np.shares_memory(a, out)


@pytest.mark.parametrize("cell", CELLS)
def test_strided_arrays_and_any_integers(cell: str, module: Any) -> None:
    """Layout and integer dtype change no bit; indices may be lists."""
    problem = make_problem(
        cell, kind="embedding", padding="right", resets=True, recurrent_mask=True,
        zoneout=True,
    )  # fmt: skip
    y, final, tape = problem.forward(module)
    grads = problem.backward(module, tape)
    strided = {k: np.asfortranarray(a) for k, a in problem.arrays.items()}
    for name in ("recurrent_mask", "zoneout"):
        strided[name] = each(problem.options[name], np.asfortranarray)
    lengths, resets = problem.options["lengths"], problem.options["resets"]
    for x, ints, flags in [
        (strided["x"].astype(np.uint8), lengths.astype(np.int8), resets * 3),
        (strided["x"].tolist(), tuple(lengths.tolist()), resets.tolist()),
    ]:
        changed = {**strided, "x": x, "lengths": ints, "resets": flags}
        y2, final2, tape = problem.forward(module, **changed)
        up = {k: np.asfortranarray(a) for k, a in problem.upstream.items()}
        grads2 = problem.backward(module, tape, **up)
        for a, b in zip((y, *final, *grads), (y2, *final2, *grads2), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_non_finite_data_pass_through(cell: str, module: Any) -> None:
    """Without a warning, and only in the row they belong to."""
    problem = make_problem(cell)
    x = problem.arrays["x"].copy()
    x[2, 1] = np.nan
    x[3, 2] = np.inf
    y, _, tape = problem.forward(module, x=x)
    problem.backward(module, tape)
    clean, _, _ = problem.forward(module)
    np.testing.assert_array_equal(y[:, [0, 3]], clean[:, [0, 3]])
    np.testing.assert_array_equal(y[:2], clean[:2])
    assert np.isnan(y[2:, 1]).all()
    assert not np.isnan(y[:3, 2]).any()


def test_relu_keeps_nan(module: Any) -> None:
    problem = make_problem("rnn", nonlinearity="relu")
    x = problem.arrays["x"].copy()
    x[0, 0, 0] = np.nan
    assert np.isnan(problem.forward(module, x=x)[0][0, 0]).all()


def test_gates_are_activated_and_in_order(module: Any) -> None:
    """The tape's gates reproduce the states by the contract's equations."""
    problem = make_problem("gru")
    _, _, tape = problem.forward(module)
    r, z, n = np.split(tape.gates, 3, axis=-1)
    h_prev = np.concatenate([problem.arrays["h0"][None], tape.y[:-1]])
    np.testing.assert_allclose(tape.y, (1 - z) * n + z * h_prev, rtol=1e-13)
    a = problem.arrays
    p_r = a["x"] @ a["w_ih"][:5].T + a["b_ih"][:5]
    q_r = h_prev @ a["w_hh"][:5].T + a["b_hh"][:5]
    np.testing.assert_allclose(r, 1 / (1 + np.exp(-p_r - q_r)), rtol=1e-13)

    problem = make_problem("lstm")
    _, _, tape = problem.forward(module)
    i, f, g, o = np.split(tape.gates, 4, axis=-1)
    c_prev = np.concatenate([problem.arrays["c0"][None], tape.c[:-1]])
    np.testing.assert_allclose(tape.c, f * c_prev + i * g, rtol=1e-13)
    np.testing.assert_allclose(tape.y, o * np.tanh(tape.c), rtol=1e-13)
    assert i.min() > 0 > g.min()

    _, _, tape = make_problem("rnn").forward(module)
    np.testing.assert_array_equal(tape.gates, tape.y)


@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_near_float64(cell: str, module: Any) -> None:
    """Compare within a few hundred roundings of the largest entry."""
    single = make_problem(cell, dtype=np.float32, padding="right", resets=True)
    double = single._replace(
        arrays={k: a.astype(np.float64) for k, a in single.arrays.items()},
        upstream={k: a.astype(np.float64) for k, a in single.upstream.items()},
    )
    results = []
    for problem in (single, double):
        y, final, tape = problem.forward(module)
        results.append((y, *final, *problem.backward(module, tape)))
    for a, b in zip(*results, strict=True):
        if b is not None:
            tolerance = 300 * np.finfo(np.float32).eps * np.abs(b).max()
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
