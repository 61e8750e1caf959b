"""``fastrnn.jax``: the kernels, called by XLA, under ``jit`` and ``vjp``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..workloads import Inputs, Workload
from .base import Results, Run, SkippedError
from .fastrnn_kernels import version as version
from .jax_scan import limit_threads
from .jax_scan import version as jax_version


def prepare(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    limit_threads(threads)
    version()
    jax_version()
    try:
        import fastrnn.jax
    except ImportError as error:
        raise SkippedError(f"fastrnn.jax: {error}") from error
    import jax
    import jax.numpy as jnp

    if workload.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    function = getattr(fastrnn.jax, workload.cell)
    names = ("h0", "c0")[: 2 if workload.cell == "lstm" else 1]

    def layer(
        x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *state: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        given = dict(zip(names, state, strict=True))
        y, state_n = function(x, w_ih, w_hh, b_ih, b_hh, **given)
        return y, state_n if len(names) == 2 else (state_n,)

    a = inputs
    arrays = (a.x, a.w_ih, a.w_hh, a.b_ih, a.b_hh, a.h0, a.c0)[: 5 + len(names)]
    args = [jnp.array(array) for array in arrays]
    upstream = tuple(jnp.array(d) for d in (a.dh_n, a.dc_n)[: len(names)])
    d_outputs = jnp.array(a.dy), upstream

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
            every = ("dx", "dw_ih", "dw_hh", "db_ih", "db_hh", "dh0", "dc0")
            values |= dict(zip(every, grads, strict=False))
        return {name: np.asarray(value) for name, value in values.items()}

    return Run(call, to_numpy, lambda: fastrnn.set_num_threads(threads))
