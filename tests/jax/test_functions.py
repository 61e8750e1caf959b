"""`fastrnn.jax`: the bits of the NumPy functions, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import fastrnn  # noqa: E402
import fastrnn.jax  # noqa: E402
from tests.comparing import assert_same_bits  # noqa: E402
from tests.jax.running import run, x64  # noqa: E402, F401
from tests.problems import (  # noqa: E402
    CELLS,
    COMBINATIONS,
    OPTIONS,
    VARIANTS,
    combination_id,
    make_problem,
)

OURS = ("rnn", "gru", "lstm")
# Without the options that the functions here do not have.
PLAIN = [v for v in VARIANTS if not OPTIONS.keys() & v.split("-")]
SERVED = [c for c in COMBINATIONS if c[0] in OURS and c[1] != "embedding"]
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def expected(problem: Any) -> dict[str, Any]:
    found = problem.run(fastrnn)
    return {k: a for k, a in found.items() if k not in ("gates", "c", "dh")}


@pytest.mark.parametrize("combination", SERVED, ids=combination_id)
def test_bits(combination: Any) -> None:
    cell, kind, padding, resets, reverse = combination
    for dtype in (np.float32, np.float64):
        problem = make_problem(
            cell, dtype=dtype, kind=kind, padding=padding, resets=resets,
            reverse=reverse,
        )  # fmt: skip
        assert_same_bits(run(problem), expected(problem))


@both_dtypes
@pytest.mark.parametrize("variant", PLAIN)
@pytest.mark.parametrize("state", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_what_is_left_out(variant: str, state: bool, bias: bool, dtype: Any) -> None:
    problem = make_problem(variant, dtype=dtype, state=state, bias=bias)
    found = run(problem)
    every = expected(problem)
    assert_same_bits(found, {k: every[k] for k in found})
    assert ("dh0" in found, "db_ih" in found) == (state, bias)


@pytest.mark.parametrize("size", [(100, 32, 64, 64), (1, 1, 1, 1), (7, 3, 17, 33)])
@pytest.mark.parametrize("cell", OURS)
def test_sizes(cell: str, size: tuple[int, ...]) -> None:
    problem = make_problem(cell, *size, dtype=np.float32)
    assert_same_bits(run(problem), expected(problem))


@pytest.mark.parametrize("size", [(0, 3, 4, 5), (4, 0, 4, 5), (0, 0, 4, 5)])
@pytest.mark.parametrize("cell", OURS)
@pytest.mark.parametrize("kind", ["floating", "onehot"])
def test_empty(cell: str, size: tuple[int, ...], kind: str) -> None:
    problem = make_problem(cell, *size, dtype=np.float32, kind=kind, padding="right")
    assert_same_bits(run(problem), expected(problem))


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64"])
def test_dtypes_of_integers(dtype: str) -> None:
    problem = make_problem("lstm", kind="onehot", padding="left")
    lengths, tokens = problem.options["lengths"], problem.arrays["x"]
    changed = problem._replace(
        arrays={**problem.arrays, "x": jnp.array(tokens.astype(dtype))},
        options={**problem.options, "lengths": lengths.astype(dtype)},
    )
    assert_same_bits(run(changed), expected(problem))


def test_resets_may_be_integers_and_lengths_a_list() -> None:
    problem = make_problem("gru", padding="right", resets=True)
    y, _ = fastrnn.jax.gru(
        **problem.arrays,
        resets=jnp.array(problem.options["resets"].astype(np.int32)),
        lengths=problem.options["lengths"].tolist(),
    )
    assert_same_bits(y, problem.run(fastrnn)["y"])


def test_only_wanted_gradients_are_computed() -> None:
    problem = make_problem("lstm")
    a = {k: jnp.array(v) for k, v in problem.arrays.items()}

    def loss(w_hh: Any) -> Any:
        return fastrnn.jax.lstm(**{**a, "w_hh": w_hh})[0].sum()

    text = str(jax.make_jaxpr(jax.grad(loss))(a["w_hh"]))
    assert "wanted=(False, False, True, False, False)" in text


def test_without_x64_numpy_is_not_converted() -> None:
    problem = make_problem("rnn")
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(TypeError, match="x: expected a dtype that JAX keeps, got"):
        fastrnn.jax.rnn(**problem.arrays)


GOOD = make_problem("lstm", T=3, N=2, I=4, H=5, dtype=np.float32)
SHAPES = {
    "h0: expected shape (N, H) = (2, 5), got (2, 4)": {"h0": (2, 4)},
    "c0: expected shape (N, H) = (2, 5), got (2, 5, 1)": {"c0": (2, 5, 1)},
    "w_ih: expected shape (4*H, I) = (20, 4), got (20, 3)": {"w_ih": (20, 3)},
    "w_hh: expected shape (4*H, H) = (20, 5), got (19, 5)": {"w_hh": (19, 5)},
    "b_ih: expected shape (4*H,) = (20,), got (5,)": {"b_ih": (5,)},
    "x: expected shape (T, N, I), got (3, 2)": {"x": (3, 2)},
    "x: expected shape (T, N, I) with I >= 1, got (3, 2, 0)": {"x": (3, 2, 0)},
}


@pytest.mark.parametrize("message", SHAPES)
def test_bad_shapes(message: str) -> None:
    arrays = {k: jnp.array(a) for k, a in GOOD.arrays.items()}
    arrays |= {k: jnp.zeros(s, jnp.float32) for k, s in SHAPES[message].items()}
    for function in (fastrnn.jax.lstm, jax.jit(fastrnn.jax.lstm)):
        with pytest.raises(ValueError) as found:  # noqa: PT011 - JAX adds a note
            function(**arrays)
        assert str(found.value) == message


def refuse(error: type[Exception], message: str, **changed: Any) -> None:
    arrays = {k: jnp.array(a) for k, a in GOOD.arrays.items()}
    with pytest.raises(error) as found:
        fastrnn.jax.lstm(**{**arrays, **changed})
    assert str(found.value) == message  # JAX adds a note


def test_bad_types() -> None:
    refuse(TypeError, "x: expected a JAX array, got list", x=[1.0])
    refuse(TypeError, "w_hh: expected a JAX array, got NoneType", w_hh=None)
    refuse(
        TypeError,
        "h0: expected dtype float32 (that of x), got float64",
        h0=jnp.zeros((2, 5)),
    )
    refuse(
        TypeError,
        "x: expected dtype float32 or float64, or integer token ids, got bfloat16",
        x=jnp.zeros((3, 2, 4), jnp.bfloat16),
    )
    refuse(
        TypeError,
        "lengths: expected an integer dtype, got float64",
        lengths=jnp.zeros(2),
    )
    refuse(
        TypeError,
        "resets: expected a bool or integer dtype, got float64",
        resets=jnp.zeros((3, 2)),
    )
    refuse(TypeError, "reverse: expected a bool, got int", reverse=1)
    refuse(ValueError, "padding: expected 'right' or 'left', got 'up'", padding="up")
    refuse(
        ValueError,
        "lengths: expected shape (N,) = (2,), got (3,)",
        lengths=jnp.zeros(3, int),
    )
    refuse(
        ValueError,
        "lengths: length 4 at [n=1] is out of range 0 <= length <= T = 3",
        lengths=[3, 4],
    )


@pytest.mark.parametrize("bad", [-1, 4, -(2**31), 2**31 - 1])
def test_lengths_are_checked_when_the_call_runs(bad: int) -> None:
    arrays = {k: jnp.array(a) for k, a in GOOD.arrays.items()}
    lengths = jnp.array([3, bad], jnp.int32)
    expected = f"lengths: length {bad} at .n=1. is out of range 0 <= length <= T = 3"
    for function in (fastrnn.jax.lstm, jax.jit(fastrnn.jax.lstm)):
        with pytest.raises(jax.errors.JaxRuntimeError, match=expected):
            jax.block_until_ready(function(**arrays, lengths=lengths))


def test_tokens_are_checked_where_they_are_read() -> None:
    problem = make_problem("gru", T=3, N=2, kind="onehot", state=False)
    arrays = {k: jnp.array(a) for k, a in problem.arrays.items()}
    arrays["x"] = arrays["x"].at[2, 1].set(7)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"x: token 7 at .t=2, n=1."):
        jax.block_until_ready(fastrnn.jax.gru(**arrays))
    fastrnn.jax.gru(**arrays, lengths=jnp.array([3, 2]))


def test_threads_and_their_number() -> None:
    problem = make_problem("lstm", 20, 32, 64, 64, dtype=np.float32)
    before, results = fastrnn.get_num_threads(), []
    try:
        for threads in (1, 2):
            fastrnn.set_num_threads(threads)
            results.append(run(problem))
    finally:
        fastrnn.set_num_threads(before)
    assert_same_bits(*results)


def test_every_cell_is_thought_of() -> None:
    """A new cell is to be served too, or named here."""
    assert set(OURS) <= set(CELLS)
