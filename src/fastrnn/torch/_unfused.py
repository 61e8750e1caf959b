"""The same layers in PyTorch's own operations, step by step.

Slow, and differentiable as often and in whatever mode one likes: this is what second
derivatives are taken of, and what runs ``lengths`` and ``resets`` where the kernels
cannot (other dtypes and devices, function transforms).
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

States = tuple[Tensor, ...]  # h, for LSTM h and c: [N, H]
Product = Callable[[Tensor], Tensor]  # from a state h: w_hh h + b_hh


def forward(
    mode: str,
    layout: str,
    reverse: bool,
    training: bool,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    lengths: Tensor | None,
    resets: Tensor | None,
) -> tuple[Any, ...]:
    """As `fastrnn.torch._kernels.forward`, without gates; c is LSTM's alone."""
    index = valid = None
    if layout == "packed":
        index, valid = unpack(lengths)
        x, resets = x[index], None if resets is None else resets[index]
    elif layout == "batch":
        x, resets = (
            x.transpose(0, 1),
            None if resets is None else resets.transpose(0, 1),
        )
    T, N, _ = x.shape
    if valid is None and lengths is not None:
        times = torch.arange(T, device=x.device)
        valid = times[:, None] < lengths.to(x.device)
    cut = None if resets is None else resets.to(x.device).bool()
    if cut is not None and valid is not None:
        cut = cut & valid

    step = STEPS[mode]
    product = functools.partial(functional.linear, weight=w_hh, bias=b_hh)
    z = functional.linear(x, w_ih, b_ih)
    zeros = z.new_zeros(N, w_hh.shape[1])
    states: States = (zeros if h0 is None else h0[0].to(z.dtype),)
    if mode == "LSTM":
        states = (*states, zeros if c0 is None else c0[0].to(z.dtype))
    outputs: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        at = t + 1 if reverse else t  # the reset between this step and the one before
        if cut is not None and at < T:
            states = tuple(s.where(~cut[at][:, None], 0) for s in states)
        new = step(z[t], product, states)
        if valid is None:
            states = outputs[t] = new
        else:
            here = valid[t][:, None]
            states = tuple(a.where(here, b) for a, b in zip(new, states, strict=True))
            outputs[t] = tuple(a.where(here, 0) for a in new)

    stacked = [torch.stack(a) for a in zip(*outputs, strict=True)]
    if layout == "packed":
        stacked = [a[valid] for a in stacked]
    elif layout == "batch":
        stacked = [a.transpose(0, 1) for a in stacked]
    y, c = stacked if mode == "LSTM" else (stacked[0], None)
    c_n = states[1][None] if mode == "LSTM" else None
    return y, states[0][None], c_n, None, c


def unpack(batch_sizes: Any) -> tuple[Tensor, Tensor]:
    """Return for [T, N] which packed row it is (0 on padding), and what is valid."""
    rows = torch.arange(int(batch_sizes[0]), device=batch_sizes.device)
    valid = rows < batch_sizes[:, None]
    first = batch_sizes.cumsum(0) - batch_sizes
    return (first[:, None] + rows).where(valid, 0), valid


def step_tanh(z: Tensor, product: Product, states: States) -> States:
    return (torch.tanh(z + product(states[0])),)


def step_relu(z: Tensor, product: Product, states: States) -> States:
    return (torch.relu(z + product(states[0])),)


def step_gru(
    z: Tensor, product: Product, states: States, before: bool = False
) -> States:
    (h,) = states
    z_r, z_z, z_n = z.chunk(3, 1)
    u_r, u_z, u_n = product(h).chunk(3, 1)
    r, update = torch.sigmoid(z_r + u_r), torch.sigmoid(z_z + u_z)
    reset = product(r * h).chunk(3, 1)[2] if before else r * u_n
    n = torch.tanh(z_n + reset)
    return (n + update * (h - n),)


def step_lstm(z: Tensor, product: Product, states: States) -> States:
    i, f, g, o = (z + product(states[0])).chunk(4, 1)
    c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


Step = Callable[[Tensor, Product, States], States]
STEPS: dict[str, Step] = {
    "RNN_TANH": step_tanh,
    "RNN_RELU": step_relu,
    "GRU": step_gru,
    "GRU_BEFORE": functools.partial(step_gru, before=True),
    "LSTM": step_lstm,
}
