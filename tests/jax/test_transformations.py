"""`fastrnn.jax` under the transformations of JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import fastrnn.jax  # noqa: E402
from tests.comparing import assert_near, assert_same_bits  # noqa: E402
from tests.jax.running import floating, forward, x64  # noqa: E402, F401
from tests.problems import make_problem  # noqa: E402
from tests.processes import run_program  # noqa: E402

every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
WEIGHTS = ("w_ih", "w_hh", "b_ih", "b_hh")
B = 3


def problem_of(cell: str, **options: Any) -> Any:
    return make_problem(cell, T=5, N=2, padding="left", resets=True, **options)


def members(a: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return ``B`` different ones of some arrays, in a new first axis."""
    return {k: jnp.stack([a[k] * (1 + b / 4) for b in range(B)]) for k in names}


def loops(function: Any, *arguments: Any) -> int:
    text = str(jax.make_jaxpr(function)(*arguments))
    return text.count("scan[") + text.count("while[")


@every_cell
def test_vmap_joins_rows(cell: str) -> None:
    problem = problem_of(cell)
    a = floating(problem)
    many = members(a, ("x", "h0"))
    mapped = jax.vmap(lambda m: forward(problem, {**a, **m}))
    assert loops(mapped, many) == 0
    for b, got in enumerate(zip(*mapped(many), strict=True)):
        one = {**a, **{k: m[b] for k, m in many.items()}}
        for x, y in zip(got, forward(problem, one), strict=True):
            assert_same_bits(x, y)


@every_cell
def test_grad_of_vmap_is_one_call(cell: str) -> None:
    problem = problem_of(cell)
    a = floating(problem)
    many = members(a, ("x",))

    def loss(a: Any, many: Any) -> Any:
        outputs = jax.vmap(lambda m: forward(problem, {**a, **m}))(many)
        return sum((y**2).sum() for y in outputs)

    def one_by_one(a: Any, many: Any) -> Any:
        each = [forward(problem, {**a, "x": many["x"][b]}) for b in range(B)]
        return sum((y**2).sum() for outputs in each for y in outputs)

    assert loops(jax.grad(loss, (0, 1)), a, many) == 0
    got = jax.grad(loss, (0, 1))(a, many)
    expected = jax.grad(one_by_one, (0, 1))(a, many)
    for g, e in zip(got, expected, strict=True):
        assert_near(jax.tree.map(np.asarray, g), jax.tree.map(np.asarray, e), 100)


@every_cell
@pytest.mark.parametrize("axis", [0, 2])
def test_vmap_of_grad_is_for_each_member(cell: str, axis: int) -> None:
    problem = problem_of(cell)
    a = floating(problem)

    def loss(a: Any, x: Any) -> Any:
        return sum((y**2).sum() for y in forward(problem, {**a, "x": x}))

    many = members(a, ("x",))["x"]
    moved = jnp.moveaxis(many, 0, axis)
    got = jax.vmap(jax.grad(loss), (None, axis))(a, moved)
    for b in range(B):
        expected = jax.grad(loss)(a, many[b])
        for name, d in expected.items():
            if name != "x":
                assert_near(np.asarray(got[name][b]), np.asarray(d), 100, name)


@every_cell
def test_members_with_weights_of_their_own(cell: str) -> None:
    problem = problem_of(cell)
    a = floating(problem)
    many = members(a, WEIGHTS)

    def loss(m: Any) -> Any:
        return sum((y**2).sum() for y in forward(problem, {**a, **m}))

    got = jax.vmap(jax.value_and_grad(loss))(many)
    for b in range(B):
        value, gradients = jax.value_and_grad(loss)({k: m[b] for k, m in many.items()})
        assert_same_bits(got[0][b], value)
        for name, d in gradients.items():
            assert_same_bits(got[1][name][b], d, name)


def test_vmap_of_lengths_and_of_vmap() -> None:
    problem = make_problem("lstm", T=4, N=2)
    a = floating(problem)
    lengths = jnp.array([[[4, 1], [0, 2]], [[3, 3], [2, 4]]])

    def run(lengths: Any) -> Any:
        return fastrnn.jax.lstm(**a, lengths=lengths)[0]

    got = jax.vmap(jax.vmap(run))(lengths)
    for i in range(2):
        for j in range(2):
            assert_same_bits(got[i, j], run(lengths[i, j]))


@every_cell
def test_inside_jit_scan_and_checkpoint(cell: str) -> None:
    problem = make_problem(cell, I=5, H=5)
    a = floating(problem)

    def layers(a: Any, wrap: Any, stack: Any) -> Any:
        def layer(x: Any, _: Any) -> Any:
            return forward(problem, {**a, "x": x})[0], None

        return (stack(wrap(layer), a["x"]) ** 2).sum()

    def by_scan(layer: Any, x: Any) -> Any:
        return jax.lax.scan(layer, x, None, length=3)[0]

    def by_hand(layer: Any, x: Any) -> Any:
        for _ in range(3):
            x, _ = layer(x, None)
        return x

    expected = jax.grad(partial(layers, wrap=lambda f: f, stack=by_hand))(a)
    for wrap in (lambda f: f, jax.checkpoint, jax.jit):
        got = jax.jit(jax.grad(partial(layers, wrap=wrap, stack=by_scan)))(a)
        for name, d in expected.items():
            assert_near(np.asarray(got[name]), np.asarray(d), 100, name)


def test_what_there_is_no_kernel_for() -> None:
    problem = make_problem("gru")
    a = floating(problem)

    def run(x: Any) -> Any:
        return fastrnn.jax.gru(**{**a, "x": x})[0].sum()

    with pytest.raises(TypeError, match="can't apply forward-mode"):
        jax.jvp(run, (a["x"],), (a["x"],))
    for twice in (jax.hessian(run), jax.grad(lambda x: jax.grad(run)(x).sum())):
        with pytest.raises(NotImplementedError, match=r"fastrnn\.jax: expected one"):
            twice(a["x"])


def test_debug_nans_finds_none_on_padding() -> None:
    problem = make_problem("lstm", padding="right")
    a = floating(problem)
    jax.config.update("jax_debug_nans", True)
    try:
        jax.grad(lambda a: forward(problem, a)[0].sum())(a)
    finally:
        jax.config.update("jax_debug_nans", False)


PROGRAM = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import fastrnn.jax

T, N, I, H = 6, 4, 3, 5
rng = np.random.default_rng(0)
shapes = (T, N, I), (4 * H, I), (4 * H, H)
x, w_ih, w_hh = (jnp.array(rng.standard_normal(s), jnp.float32) for s in shapes)
lengths = jnp.array([6, 0, 3, 2])
mesh = Mesh(np.array(jax.devices()), ("rows",))
rows = P(None, "rows")

def run(x, w_ih, lengths):
    return fastrnn.jax.lstm(x, w_ih, w_hh, lengths=lengths)[0]

mapped = jax.jit(jax.shard_map(
    run, mesh=mesh, in_specs=(rows, P(), P("rows")), out_specs=rows
))
assert len(jax.devices()) == 2
assert np.array_equal(mapped(x, w_ih, lengths), run(x, w_ih, lengths))
def gradient(f):
    return jax.grad(lambda x, w: (f(x, w, lengths) ** 2).sum(), (0, 1))(x, w_ih)
for got, expected in zip(gradient(mapped), gradient(run)):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
sharded = jax.device_put(x, NamedSharding(mesh, rows))
assert np.array_equal(run(sharded, w_ih, lengths), run(x, w_ih, lengths))
print("done")
"""


def test_shard_map_over_two_devices() -> None:
    assert run_program(PROGRAM) == "done"


def test_many_threads_at_once() -> None:
    program = """
import threading
import jax, jax.numpy as jnp, numpy as np
import fastrnn.jax

x, w_ih, w_hh = jnp.ones((50, 8, 16)), jnp.ones((96, 16)) / 9, jnp.ones((96, 32)) / 9
expected = np.asarray(fastrnn.jax.gru(x, w_ih, w_hh)[0])
found = []

def work():
    for _ in range(20):
        found.append(np.asarray(fastrnn.jax.gru(x, w_ih, w_hh)[0]))

threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert all(np.array_equal(y, expected) for y in found) and len(found) == 80
print("done")
"""
    assert run_program(program) == "done"
