"""PyTorch: ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``; autograd for the gradients."""

from __future__ import annotations

from typing import Any

from ..workloads import Inputs, Workload
from .base import Results, Run, SkippedError


def version() -> str:
    try:
        import torch
    except ImportError as error:
        raise SkippedError(f"torch: {error}") from error
    return str(torch.__version__)


def prepare(workload: Workload, inputs: Inputs, mode: str, threads: int) -> Run:
    version()
    import torch

    is_lstm = workload.cell == "lstm"
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[
        workload.cell
    ]
    dtype = getattr(torch, workload.dtype)
    layer = kind(workload.I, workload.H, dtype=dtype)
    layer.load_state_dict(
        {
            "weight_ih_l0": torch.tensor(inputs.w_ih),
            "weight_hh_l0": torch.tensor(inputs.w_hh),
            "bias_ih_l0": torch.tensor(inputs.b_ih),
            "bias_hh_l0": torch.tensor(inputs.b_hh),
        }
    )
    training = mode == "training"
    layer.train(training)
    x = torch.tensor(inputs.x, requires_grad=training)
    h0 = torch.tensor(inputs.h0[None], requires_grad=training)
    c0 = torch.tensor(inputs.c0[None], requires_grad=training)
    state = (h0, c0) if is_lstm else h0
    upstream = [torch.tensor(inputs.dy), torch.tensor(inputs.dh_n[None])]
    upstream += [torch.tensor(inputs.dc_n[None])] if is_lstm else []
    leaves = [x, *layer.parameters(), h0, *([c0] if is_lstm else [])]

    def infer() -> Any:
        with torch.inference_mode():
            y, state_n = layer(x, state)
        return [y, *(state_n if is_lstm else [state_n])], []

    def train() -> Any:
        y, state_n = layer(x, state)
        outputs = [y, *(state_n if is_lstm else [state_n])]
        return outputs, torch.autograd.grad(outputs, leaves, upstream)

    def to_numpy(raw: Any) -> Results:
        outputs, grads = raw
        names = ["y", "h_n", "c_n"][: len(outputs)]
        values = dict(zip(names, outputs, strict=True))
        names = ["dx", "dw_ih", "dw_hh", "db_ih", "db_hh", "dh0", "dc0"][: len(grads)]
        values |= dict(zip(names, grads, strict=True))
        states = ("h_n", "c_n", "dh0", "dc0")  # [1, N, H] in PyTorch
        return {
            name: (value[0] if name in states else value).detach().numpy()
            for name, value in values.items()
        }

    def use_threads() -> None:
        torch.set_num_threads(threads)

    return Run(train if training else infer, to_numpy, use_threads)
