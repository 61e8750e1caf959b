"""JAX: ``lax.scan`` under ``jit``, as a practised user writes it, in two forms.

Both: the input product of all steps is one matrix product before the scan, the biases
are added there, and weights lie as ``[in, out]`` so that no product transposes.

``prepare`` (``jax``): gradients by ``vjp`` of the scan.
``prepare_vjp`` (``jax-vjp``): the recurrent weight's gradient by hand, as one product
after the scan. Autodiff adds it up inside the scan, one thin product per step; taking
it out gained up to 1.3x at N >= 16 and 1.7x at N = 1 (H >= 256).

JAX fixes its number of threads when it starts: ``limit_threads`` has to run before the
first import. ``worker.py`` gives each thread count its own process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..workloads import Inputs, Workload
from .base import Results, Run, SkippedError

_THREADS = "NPROC"  # read by XLA's CPU client when it builds its thread pool


def limit_threads(threads: int) -> None:
    """Choose this process's thread count; has no effect once JAX is imported."""
    if "jax" not in sys.modules:
        os.environ[_THREADS] = str(threads)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")


def version() -> str:
    try:
        import jax
    except ImportError as error:
        raise SkippedError(f"jax: {error}") from error
    return str(jax.__version__)


def choose_unroll(workload: Workload, mode: str, by_hand: bool) -> int:
    """Return the steps per loop turn: the fastest of 1, 2, 5, 10 as measured.

    With N >= 16, unrolling lost in training (LSTM 64, N = 32: 59 GFLOP/s at 1, 29 at
    10) and changed little in inference. With one row it won, except in autodiff of the
    RNN.
    """
    if mode == "inference" or workload.N > 1:
        return 1
    return 5 if by_hand or workload.cell == "lstm" else 1


def _step(cell: str) -> Callable[..., Any]:
    """One step: ``state, xw_t, w_hh, b_hn -> state, h_t``; the biases are in xw_t."""
    import jax
    import jax.numpy as jnp

    def rnn(state: Any, xw_t: Any, w_hh: Any, b_hn: Any) -> Any:
        h = jnp.tanh(xw_t + state[0] @ w_hh)
        return (h,), h

    def gru(state: Any, xw_t: Any, w_hh: Any, b_hn: Any) -> Any:
        (h,) = state
        xr, xz, xn = jnp.split(xw_t, 3, axis=-1)
        hr, hz, hn = jnp.split(h @ w_hh, 3, axis=-1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + r * (hn + b_hn))
        h = (1 - z) * n + z * h
        return (h,), h

    def lstm(state: Any, xw_t: Any, w_hh: Any, b_hn: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(xw_t + h @ w_hh, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return {"rnn": rnn, "gru": gru, "lstm": lstm}[cell]


def _scan(cell: str, unroll: int) -> Callable[..., Any]:
    """All steps after the input product: ``xw [T, N, G·H], w_hh, b_hn, state``."""
    import jax

    step = _step(cell)

    def scan(xw: Any, w_hh: Any, b_hn: Any, state: Any) -> Any:
        state_n, y = jax.lax.scan(
            lambda state, xw_t: step(state, xw_t, w_hh, b_hn), state, xw, unroll=unroll
        )
        return y, state_n

    return scan


def _scan_by_hand(cell: str, unroll: int) -> Callable[..., Any]:
    """The same; ``dw_hh`` is one product of all steps: ``d_xw`` is also ``d_hw``."""
    import jax
    import jax.numpy as jnp

    if cell == "gru":  # there d_xw and d_hw differ in the n gate
        raise SkippedError("jax-vjp: written for the RNN and the LSTM")
    plain = _scan(cell, unroll)
    by_hand = jax.custom_vjp(plain)

    def forward(xw: Any, w_hh: Any, b_hn: Any, state: Any) -> Any:
        outputs, pull_back = jax.vjp(lambda xw, s: plain(xw, w_hh, b_hn, s), xw, state)
        y, h0 = outputs[0], state[0]
        return outputs, (pull_back, jnp.concatenate([h0[None], y[:-1]]))

    def backward(kept: Any, upstream: Any) -> Any:
        pull_back, h_prev = kept
        d_xw, d_state = pull_back(upstream)
        T, N, H = h_prev.shape
        dw_hh = h_prev.reshape(T * N, H).T @ d_xw.reshape(T * N, -1)
        return d_xw, dw_hh, None, d_state

    by_hand.defvjp(forward, backward)
    return by_hand


def _layer(cell: str, H: int, scan: Callable[..., Any]) -> Callable[..., Any]:
    """``x, w_ih [I, G·H], w_hh [H, G·H], b_ih, b_hh, state -> y, state_n``."""

    def layer(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, state: Any) -> Any:
        T, N, I = x.shape  # noqa: E741
        bias = b_ih + (b_hh.at[2 * H :].set(0) if cell == "gru" else b_hh)
        xw = (x.reshape(T * N, I) @ w_ih + bias).reshape(T, N, -1)
        return scan(xw, w_hh, b_hh[2 * H :] if cell == "gru" else None, state)

    return layer


def prepare(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    return _prepare(workload, inputs, mode, threads, by_hand=False)


def prepare_vjp(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    if mode == "inference":
        raise SkippedError("jax-vjp: the same as jax in inference")
    return _prepare(workload, inputs, mode, threads, by_hand=True)


def _prepare(
    workload: Workload, inputs: Inputs, mode: str, threads: int, *, by_hand: bool
) -> Run:
    limit_threads(threads)
    version()
    import jax
    import jax.numpy as jnp

    started = os.environ.get(_THREADS)
    if started != str(threads):
        text = f"jax: started with {started or 'all'} threads in this process"
        raise SkippedError(text)
    if workload.dtype == "float64":
        jax.config.update("jax_enable_x64", True)

    cell, is_lstm = workload.cell, workload.cell == "lstm"
    unroll = choose_unroll(workload, mode, by_hand)
    layer = _layer(
        cell, workload.H, (_scan_by_hand if by_hand else _scan)(cell, unroll)
    )
    a = inputs
    arrays = (a.x, a.w_ih.T, a.w_hh.T, a.b_ih, a.b_hh, (a.h0, a.c0)[: 1 + is_lstm])
    args = jax.tree.map(lambda array: jnp.array(np.ascontiguousarray(array)), arrays)
    d_outputs = jax.tree.map(jnp.array, (a.dy, (a.dh_n, a.dc_n)[: 1 + is_lstm]))

    @jax.jit
    def train(args: Any, d_outputs: Any) -> Any:
        outputs, pull_back = jax.vjp(layer, *args)
        return outputs, pull_back(d_outputs)

    infer = jax.jit(layer)

    def call() -> Any:
        raw = train(args, d_outputs) if mode == "training" else (infer(*args), None)
        return jax.block_until_ready(raw)

    def to_numpy(raw: Any) -> Results:
        (y, state_n), grads = raw
        values = {"y": y, **dict(zip(("h_n", "c_n"), state_n, strict=False))}
        if grads is not None:
            dx, dw_ih, dw_hh, db_ih, db_hh, d_state = grads
            values |= {"dx": dx, "dw_ih": dw_ih.T, "dw_hh": dw_hh.T}
            values |= {"db_ih": db_ih, "db_hh": db_hh}
            values |= dict(zip(("dh0", "dc0"), d_state, strict=False))
        return {name: np.asarray(value) for name, value in values.items()}

    return Run(call, to_numpy)
