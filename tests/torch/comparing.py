"""PyTorch's module and ours on the same inputs, forward and backward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import fastrnn.torch

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
T, N, I, H = 7, 4, 5, 6  # noqa: E741
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
}  # sums of some dozen terms near 1
UNSORTED = torch.tensor([3, 7, 1, 6])
SORTED = torch.tensor([7, 5, 5, 1])


def make_pair(cell: str, *sizes: int, **options: Any) -> tuple[Any, Any]:
    """Return PyTorch's module and its accelerated copy."""
    torch.manual_seed(0)
    theirs = CELLS[cell](*(sizes or (I, H)), **options)
    ours = fastrnn.torch.accelerate(copy.deepcopy(theirs))
    assert type(ours) is getattr(fastrnn.torch, cell.upper())
    return theirs, ours


def draw_input(module: Any, kind: str = "padded") -> torch.Tensor:
    shape = (T, I) if kind == "unbatched" else (T, N, I)
    if module.batch_first and kind != "unbatched":
        shape = (N, T, I)
    return torch.randn(shape, dtype=module.weight_ih_l0.dtype)


def draw_states(module: Any, kind: str = "padded") -> list[torch.Tensor]:
    count = module.num_layers * (2 if module.bidirectional else 1)
    shape = (count, H) if kind == "unbatched" else (count, N, H)
    names = 2 if isinstance(module, nn.LSTM) else 1
    return [torch.randn(shape, dtype=module.weight_ih_l0.dtype) for _ in range(names)]


def feed(module: Any, x: torch.Tensor, kind: str) -> Any:
    """Return the inputs of the module."""
    lengths = {"sorted": SORTED, "unsorted": UNSORTED}.get(kind)
    if lengths is None:
        return x
    return pack_padded_sequence(
        x, lengths, batch_first=module.batch_first, enforce_sorted=kind == "sorted"
    )


def flatten(outputs: Any) -> list[torch.Tensor]:
    if isinstance(outputs, PackedSequence):
        return [outputs.data]
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [a for one in outputs for a in flatten(one)]


def weigh(outputs: list[torch.Tensor]) -> torch.Tensor:
    """Return a loss whose gradient is random for every number of every output."""
    generator = torch.Generator().manual_seed(1)
    total = outputs[0].new_zeros(())
    for a in outputs:
        weights = torch.randn(a.shape, generator=generator, dtype=torch.float64)
        total = total + (a * weights.to(a.dtype)).sum()
    return total


def results_of(
    module: Any, call: Callable[[Any, Any, Any], Any], x: Any, states: Any = ()
) -> list[torch.Tensor]:
    """Return outputs and all gradients; ``call`` gets the module, x and states."""
    x = x.detach().clone().requires_grad_()
    states = [s.detach().clone().requires_grad_() for s in states]
    module.zero_grad()
    torch.manual_seed(2)  # of dropout
    outputs = flatten(call(module, x, states))
    weigh(outputs).backward()
    gradients = [a.grad for a in (x, *states, *module.parameters())]
    return [a.detach() for a in outputs] + gradients


def hx_of(module: Any, states: Any) -> Any:
    if not states:
        return None
    return tuple(states) if isinstance(module, nn.LSTM) else states[0]


def assert_same(got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            largest = b.abs().max().item() if b.numel() else 0.0
            tolerance = TOLERANCE[b.dtype] * (1 + largest)
            torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
