"""One step at a time, one row: fastrnn from Python and from Cython, PyTorch's cells.

A call takes ``T`` steps, each with the state of the previous one. Users of PyTorch have
``LSTMCell`` for this.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..cython_loop import build_step_loop
from ..workloads import Inputs, Workload
from .base import Results, Run, SkippedError


def make_stepper(workload: Workload, inputs: Inputs) -> Any:
    import fastrnn

    a = inputs
    fastrnn.set_num_threads(1)
    layer = fastrnn.LSTM(workload.I, workload.H)
    values = (a.w_ih, a.w_hh, a.b_ih, a.b_hh)
    layer.load_state_dict(dict(zip(layer.params, values, strict=True)))
    return fastrnn.Stepper(layer)


def prepare_fastrnn(workload: Workload, inputs: Inputs, threads: int) -> Run:
    stepper = make_stepper(workload, inputs)
    rows = list(inputs.x[:, 0])
    state = inputs.h0[None], inputs.c0[None]

    def call() -> Any:
        stepper.state = state
        return [stepper.step(x) for x in rows]

    return Run(call, lambda steps: {"y": np.stack(steps)[:, None]})


def prepare_cython(workload: Workload, inputs: Inputs, threads: int) -> Run:
    try:
        loop = build_step_loop(Path(tempfile.mkdtemp(prefix="fastrnn-steps-")))
    except RuntimeError as error:
        raise SkippedError(str(error)) from error
    stepper = make_stepper(workload, inputs)
    state = inputs.h0[None], inputs.c0[None]
    y = np.empty((workload.T, 1, workload.H), np.float32)

    def call() -> Any:
        stepper.state = state
        loop.run_float(stepper, inputs.x, y)
        return y

    return Run(call, lambda y: {"y": y})


def prepare_torch(workload: Workload, inputs: Inputs, threads: int) -> Run:
    try:
        import torch
    except ImportError as error:
        raise SkippedError(f"torch: {error}") from error

    a = inputs
    cell = torch.nn.LSTMCell(workload.I, workload.H)
    values = (a.w_ih, a.w_hh, a.b_ih, a.b_hh)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    tensors = map(torch.tensor, values)
    cell.load_state_dict(dict(zip(names, tensors, strict=True)))
    rows = list(torch.tensor(a.x))
    state = torch.tensor(a.h0), torch.tensor(a.c0)

    @torch.inference_mode()
    def call() -> Any:
        h, c = state
        steps = []
        for x in rows:
            h, c = cell(x, (h, c))
            steps.append(h)
        return steps

    def to_numpy(steps: Any) -> Results:
        return {"y": torch.stack(steps).numpy()}

    return Run(call, to_numpy, lambda: torch.set_num_threads(1))
