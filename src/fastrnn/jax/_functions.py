"""The public functions: types first, then one compiled call."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import jax

from fastrnn.jax._check import as_array, as_numbers, check_arrays, check_options
from fastrnn.jax._primitives import Options, absent, forward

Array: TypeAlias = jax.Array


def rnn(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    h0: Array | None = None,
    lengths: Any = None,
    padding: str = "right",
    resets: Any = None,
    reverse: bool = False,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array]:
    """Run a simple recurrent layer over whole sequences of JAX arrays.

    The function is `fastrnn.rnn_forward`, with the same bits. It can be transformed by
    ``jit``, ``grad`` and ``vmap``, and used inside ``scan``, ``checkpoint`` and
    ``shard_map``. All floating arrays share one dtype, float32 or float64.

    Parameters
    ----------
    x : [T, N, I] floating, or [T, N] integer
        Integers are token ids: one-hot inputs.
    w_ih : [H, I]
        Multiplies the input.
    w_hh : [H, H]
        Multiplies the state before.
    b_ih, b_hh : [H], optional
        None is zero.
    h0 : [N, H], optional
        The initial state; zeros if omitted.
    lengths : [N] integer, optional
        Number of valid steps of each row, ``0 .. T``.
    padding : {"right", "left"}
        On which side the padding is.
    resets : [T, N] bool or integer, optional
        Where True, step ``t`` starts a new sequence.
    reverse : bool
        Process time backwards.
    nonlinearity : {"tanh", "relu", "elu"}
        ``elu`` has alpha 1.

    Returns
    -------
    y : [T, N, H]
        The state at every step, 0 on padding.
    h_n : [N, H]
        The state after each row's last step.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or option is wrong; a value too, if it is not in a JAX array.
    jax.errors.JaxRuntimeError
        A length or a token in a JAX array is out of range. It is raised when the call
        runs, as XLA has it.
    NotImplementedError
        A second derivative is asked for.

    Notes
    -----
    Under ``vmap`` the rows of all members are joined and run at once. Members with
    weights of their own, and gradients of weights for each member, run one by one.
    Derivatives are those of ``grad`` and ``vjp``; forward mode raises.
    """
    options = check_options("rnn", nonlinearity, padding, reverse)
    y, h_n, _ = call(options, x, w_ih, w_hh, b_ih, b_hh, h0, None, lengths, resets)
    return y, h_n


def gru(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    h0: Array | None = None,
    lengths: Any = None,
    padding: str = "right",
    resets: Any = None,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """Run a GRU over whole sequences of JAX arrays, as `fastrnn.gru_forward` does.

    Parameters and returns are those of `rnn`, with ``w_ih [3*H, I]``, ``w_hh [3*H, H]``
    and biases ``[3*H]`` in the gate order r, z, n.
    """
    options = check_options("gru", "tanh", padding, reverse)
    y, h_n, _ = call(options, x, w_ih, w_hh, b_ih, b_hh, h0, None, lengths, resets)
    return y, h_n


def lstm(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    h0: Array | None = None,
    c0: Array | None = None,
    lengths: Any = None,
    padding: str = "right",
    resets: Any = None,
    reverse: bool = False,
) -> tuple[Array, tuple[Array, Array]]:
    """Run an LSTM over whole sequences of JAX arrays, as `fastrnn.lstm_forward` does.

    Parameters are those of `rnn`, with ``w_ih [4*H, I]``, ``w_hh [4*H, H]`` and biases
    ``[4*H]`` in the gate order i, f, g, o, and the initial cell state ``c0 [N, H]``.

    Returns
    -------
    y : [T, N, H]
    (h_n, c_n) : [N, H] each
    """
    options = check_options("lstm", "tanh", padding, reverse)
    y, h_n, c_n = call(options, x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, resets)
    return y, (h_n, c_n)


def call(
    options: Options,
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    h0: Any,
    c0: Any,
    lengths: Any,
    resets: Any,
) -> Any:
    if x is None or w_ih is None or w_hh is None:
        missing = "x" if x is None else "w_ih" if w_ih is None else "w_hh"
        raise TypeError(f"{missing}: expected a JAX array, got NoneType")
    x = as_array("x", x)
    return compiled(
        options,
        x,
        as_array("w_ih", w_ih),
        as_array("w_hh", w_hh),
        as_array("b_ih", b_ih),
        as_array("b_hh", b_hh),
        as_array("h0", h0),
        as_array("c0", c0),
        as_numbers("lengths", lengths, x),
        as_numbers("resets", resets, x),
    )


@partial(jax.jit, static_argnums=0)
def compiled(options: Options, *arrays: Any) -> tuple[Array, Array, Array]:
    check_arrays(options, *arrays)
    none = absent(arrays[1].dtype)
    given = alike([none if a is None else a for a in arrays])
    y, h_n, c_n, _, _ = forward(options, given, tape=False)
    return y, h_n, c_n


def alike(arrays: list[Any]) -> list[Any]:
    """Let all arrays vary over the axes of a mesh that any of them varies over.

    Inside ``shard_map``; the sum over devices of a weight's gradient follows from it.
    """
    axes = [varying(a) for a in arrays]
    every = frozenset().union(*axes)
    if not every:
        return arrays
    return [
        vary(a, tuple(every - own)) if every - own else a
        for a, own in zip(arrays, axes, strict=True)
    ]


def varying(a: Any) -> frozenset[Any]:
    kind = jax.typeof(a)
    if hasattr(kind, "manual_axis_type"):  # of recent JAX
        axes: frozenset[Any] = kind.manual_axis_type.varying
    else:
        axes = getattr(kind, "vma", frozenset())
    return axes


def vary(a: Any, axes: tuple[Any, ...]) -> Any:
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(a, axes, to="varying")
    return jax.lax.pvary(a, axes)
