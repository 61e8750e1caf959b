"""fastrnn itself, and its NumPy reference: the same functions from two modules."""

from __future__ import annotations

from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

from ..workloads import Inputs, Workload
from .base import Results, Run, SkippedError


def version() -> str:
    try:
        import fastrnn  # noqa: F401
    except ImportError as error:
        raise SkippedError(f"fastrnn: {error}") from error
    try:
        return metadata.version("fastrnn")
    except metadata.PackageNotFoundError:
        return "not installed, from a folder"


def prepare(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    version()
    import fastrnn

    def use_threads() -> None:
        fastrnn.set_num_threads(threads)

    if mode == "training":
        run = _prepare(fastrnn, workload, inputs, mode)
    else:
        run = _prepare_layer(fastrnn, workload, inputs)
    return Run(run.call, run.to_numpy, use_threads)


def _prepare_layer(fastrnn: Any, workload: Workload, inputs: Inputs) -> Run:
    """A layer in eval mode, which keeps packed weights as the peers keep theirs."""
    w, a = workload, inputs
    is_lstm = w.cell == "lstm"
    layer = getattr(fastrnn, w.cell.upper())(w.I, w.H, dtype=w.dtype)
    values = (a.w_ih, a.w_hh, a.b_ih, a.b_hh)
    layer.load_state_dict(dict(zip(layer.params, values, strict=True)))
    layer.eval()
    state = (a.h0[None], a.c0[None]) if is_lstm else a.h0[None]

    def to_numpy(raw: Any) -> Results:
        y, state_n = raw
        states = zip(("h_n", "c_n"), state_n if is_lstm else (state_n,), strict=False)
        return {"y": y, **{name: value[0] for name, value in states}}

    return Run(lambda: layer(a.x, state), to_numpy)


def prepare_call(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    """The function without a tape, instead of the layer in eval mode."""
    import fastrnn

    run = _prepare(fastrnn, workload, inputs, mode)
    return Run(run.call, run.to_numpy, lambda: fastrnn.set_num_threads(threads))


def prepare_reference(
    workload: Workload, inputs: Inputs, mode: str, threads: int
) -> Run:
    """NumPy; its BLAS has the threads that the environment set at the start."""
    return _prepare(load_reference(), workload, inputs, mode)


def load_reference() -> ModuleType:
    try:
        import fastrnn.reference
    except ImportError as error:
        raise SkippedError(f"fastrnn.reference: {error}") from error
    return fastrnn.reference


def _prepare(module: Any, workload: Workload, inputs: Inputs, mode: str) -> Run:
    forward = getattr(module, f"{workload.cell}_forward")
    backward = getattr(module, f"{workload.cell}_backward")
    is_lstm = workload.cell == "lstm"
    a = inputs
    weights = (a.w_ih, a.w_hh, a.b_ih, a.b_hh)
    state = {"h0": a.h0, "c0": a.c0} if is_lstm else {"h0": a.h0}
    upstream = {"dh_n": a.dh_n, "dc_n": a.dc_n} if is_lstm else {"dh_n": a.dh_n}

    def infer() -> Any:
        return forward(a.x, *weights, **state, training=False), None

    def train() -> Any:
        outputs = forward(a.x, *weights, **state)
        return outputs, backward(outputs[2], a.dy, **upstream)

    def to_numpy(raw: Any) -> Results:
        (y, state_n, _tape), grads = raw
        values = {"y": y}
        values |= dict(
            zip(("h_n", "c_n"), state_n if is_lstm else (state_n,), strict=False)
        )
        if grads is not None:
            names = ["dx", "dw_ih", "dw_hh", "db_ih", "db_hh", "dh0"]
            names += ["dc0"] if is_lstm else []
            values |= {name: getattr(grads, name) for name in names}
        return {name: np.asarray(value) for name, value in values.items()}

    return Run(train if mode == "training" else infer, to_numpy)
