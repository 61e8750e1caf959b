"""Two primitives of JAX, forward and backward, and how transformations treat them.

A call is `forward` without a tape. Where it is differentiated, its rule puts a
``custom_vjp`` in its place, whose forward keeps a tape. So ``vmap`` inside ``grad``
joins rows before anything else happens, and weight gradients are one sum over all.

Arguments and results have fixed places. What is absent has the shape ``(0,)``: XLA
knows no None.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from fastrnn import _core
from fastrnn._cells import CELLS

# The arguments, and for each the axis of the rows; weights have none. csrc's
# register_xla.cpp has the same order.
ROWS = {
    "x": 1, "w_ih": None, "w_hh": None, "b_ih": None, "b_hh": None, "h0": 0, "c0": 0,
    "lengths": 0, "resets": 1,
}  # fmt: skip
ROWS_BACKWARD = {**ROWS, "y": 1, "gates": 1, "c": 1, "dy": 1, "dh_n": 0, "dc_n": 0}
RESULT_ROWS = {"y": 1, "h_n": 0, "c_n": 0, "gates": 1, "c": 1}
RESULT_ROWS_BACKWARD = {
    "dx": 1, "dw_ih": None, "dw_hh": None, "db_ih": None, "db_hh": None, "dh0": 0,
    "dc0": 0,
}  # fmt: skip
WEIGHTS = slice(1, 5)  # among the arguments, and among the gradients
ABSENT = (0,)


class Options(NamedTuple):
    """What a call is compiled for, besides shapes."""

    cell: str
    nonlinearity: str
    padding: str
    reverse: bool


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Wanted:
    """The arguments of which gradients are wanted."""

    flags: tuple[bool, ...]


FORWARD = Primitive("fastrnn_forward")
BACKWARD = Primitive("fastrnn_backward")


def forward(options: Options, arrays: Sequence[Any], *, tape: bool) -> list[Any]:
    """Return y, h_n, c_n, gates and c."""
    return FORWARD.bind(*arrays, **options._asdict(), tape=tape)


def absent(dtype: Any) -> Any:
    return jnp.zeros(ABSENT, dtype)


# --- shapes --------------------------------------------------------------------------


def shaped(shapes: Sequence[tuple[int, ...]], like: Any) -> list[Any]:
    """Return results of ``like``'s dtype, that vary over a mesh's axes as it does."""
    mesh = like.sharding.mesh
    return [
        like.update(
            shape=shape,
            sharding=NamedSharding(mesh, PartitionSpec(*[None] * len(shape))),
        )
        for shape in shapes
    ]


def forward_shapes(
    x: Any, w_ih: Any, w_hh: Any, *others: Any, cell: str, tape: bool, **options: Any
) -> list[Any]:
    (T, N), H, row = x.shape[:2], w_hh.shape[1], CELLS[cell]
    return shaped(
        [
            (T, N, H),
            (N, H),
            (N, H) if "c" in row.states else ABSENT,
            (T, N, row.gates * H) if tape and row.gates > 1 else ABSENT,
            (T, N, H) if tape and row.gates > 1 else ABSENT,
        ],
        w_hh,
    )


def backward_shapes(
    *arrays: Any, cell: str, wanted: tuple[bool, ...], **options: Any
) -> list[Any]:
    w_hh = arrays[2]
    state = arrays[0].shape[1], w_hh.shape[1]
    shapes = [a.shape if w else ABSENT for a, w in zip(arrays, wanted, strict=False)]
    return shaped(
        [*shapes[:5], state, state if "c" in CELLS[cell].states else ABSENT], w_hh
    )


# --- derivatives ---------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def differentiable(options: Options, *arrays: Any) -> Any:
    return forward(options, arrays, tape=False)


def forward_with_tape(options: Options, *arguments: Any) -> tuple[Any, Any]:
    arrays = [a.value for a in arguments]
    wanted = Wanted(tuple(a.perturbed for a in arguments))
    y, h_n, c_n, gates, c = forward(options, arrays, tape=True)
    none = absent(y.dtype)
    return [y, h_n, c_n, none, none], (arrays, y, gates, c, wanted)


def backward(options: Options, kept: Any, upstream: Any) -> tuple[Any, ...]:
    arrays, y, gates, c, wanted = kept
    flags = wanted.flags[:5]
    given = [
        absent(y.dtype) if isinstance(d, SymbolicZero) else d for d in upstream[:3]
    ]
    found = BACKWARD.bind(
        *arrays, y, gates, c, *given, **options._asdict(), wanted=flags
    )
    gradients = [*found, None, None]  # lengths and resets have none
    return tuple(
        d if want else None for d, want in zip(gradients, wanted.flags, strict=True)
    )


differentiable.defvjp(forward_with_tape, backward, symbolic_zeros=True)


def differentiate(
    primals: Sequence[Any], tangents: Sequence[Any], *, tape: bool, **options: Any
) -> Any:
    """Call `differentiable` with what moves; the rest counts as constant."""
    if tape:
        refuse_second()
    moving = [i for i, t in enumerate(tangents) if type(t) is not ad.Zero]

    def call(*moved: Any) -> Any:
        arrays = list(primals)
        for i, a in zip(moving, moved, strict=True):
            arrays[i] = a
        return differentiable(Options(**options), *arrays)

    return jax.jvp(call, [primals[i] for i in moving], [tangents[i] for i in moving])


def refuse_second(*arguments: Any, **options: Any) -> Any:
    raise NotImplementedError(
        "fastrnn.jax: expected one derivative, by grad or vjp, got a second, or one "
        "in forward mode of the gradient; there are no kernels for these"
    )


# --- vmap ----------------------------------------------------------------------------


def batch(
    primitive: Primitive,
    rows: tuple[int | None, ...],
    result_rows: tuple[int | None, ...],
    arrays: Sequence[Any],
    axes: Sequence[int | None],
    **options: Any,
) -> tuple[list[Any], list[int | None]]:
    """Join the rows of all members; with weights of their own, call one by one."""
    pairs = zip(arrays, axes, strict=True)
    size = next(a.shape[axis] for a, axis in pairs if axis is not None)
    own_weights = any(axis is not None for axis in axes[WEIGHTS])
    if own_weights or any(options.get("wanted", ())[WEIGHTS]):
        return one_by_one(primitive, arrays, axes, options)
    joined = [
        join(a, axis, row, size)
        for a, axis, row in zip(arrays, axes, rows, strict=True)
    ]
    found = primitive.bind(*joined, **options)
    split = [
        (a, None) if a.shape == ABSENT or row is None
        else (divide(a, row, size), row)
        for a, row in zip(found, result_rows, strict=True)
    ]  # fmt: skip
    return [a for a, _ in split], [axis for _, axis in split]


def join(a: Any, axis: int | None, row: int | None, size: int) -> Any:
    """Return ``a`` with the rows of all ``size`` members in one axis."""
    if row is None or a.shape == ABSENT:
        return a
    if axis is None:
        a = jnp.repeat(jnp.expand_dims(a, row), size, axis=row)
    else:
        a = jnp.moveaxis(a, axis, row)
    return a.reshape(*a.shape[:row], size * a.shape[row + 1], *a.shape[row + 2 :])


def divide(a: Any, row: int, size: int) -> Any:
    """Undo `join`; the members' axis is in the place of the rows'."""
    return a.reshape(*a.shape[:row], size, a.shape[row] // size, *a.shape[row + 1 :])


def one_by_one(
    primitive: Primitive,
    arrays: Sequence[Any],
    axes: Sequence[int | None],
    options: Any,
) -> tuple[list[Any], list[int | None]]:
    each = [i for i, axis in enumerate(axes) if axis is not None]

    def call(members: list[Any]) -> Any:
        chosen = list(arrays)
        for i, a in zip(each, members, strict=True):
            chosen[i] = a
        return primitive.bind(*chosen, **options)

    found = jax.lax.map(call, [jnp.moveaxis(arrays[i], axes[i], 0) for i in each])
    axes = [None if a.shape[1:] == ABSENT else 0 for a in found]
    found = [a if axis == 0 else a[0] for a, axis in zip(found, axes, strict=True)]
    return found, axes


# --- registration --------------------------------------------------------------------


def define(
    primitive: Primitive,
    shapes: Any,
    rows: Mapping[str, int | None],
    result_rows: Mapping[str, int | None],
    jvp: Any,
    handler: Any,
) -> None:
    primitive.multiple_results = True
    primitive.def_impl(partial(run, primitive))
    primitive.def_abstract_eval(shapes)
    ad.primitive_jvps[primitive] = jvp
    batching.primitive_batchers[primitive] = partial(
        batch, primitive, tuple(rows.values()), tuple(result_rows.values())
    )
    jax.ffi.register_ffi_target(primitive.name, handler, platform="cpu")
    mlir.register_lowering(primitive, partial(lower, primitive.name), platform="cpu")


def lower(name: str, context: Any, *operands: Any, **options: Any) -> Any:
    """Lower to a call of the handler, which finds out from shapes what is wanted."""
    attributes = {option: options[option] for option in Options._fields}
    return jax.ffi.ffi_lowering(name)(context, *operands, **attributes)


def run(primitive: Primitive, *arrays: Any, **options: Any) -> Any:
    return compiled(primitive, *options.items())(*arrays)


@functools.cache
def compiled(primitive: Primitive, *options: tuple[str, Any]) -> Any:
    return jax.jit(partial(primitive.bind, **dict(options)))


HANDLERS = _core.xla_handlers()
define(
    FORWARD, forward_shapes, ROWS, RESULT_ROWS, differentiate,
    HANDLERS[FORWARD.name],
)  # fmt: skip
define(
    BACKWARD, backward_shapes, ROWS_BACKWARD, RESULT_ROWS_BACKWARD, refuse_second,
    HANDLERS[BACKWARD.name],
)  # fmt: skip
