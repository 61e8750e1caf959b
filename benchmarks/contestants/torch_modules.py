"""A model in plain PyTorch, and the same one after ``fastrnn.torch.accelerate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Results, Run
from .pytorch import version


@dataclass(frozen=True)
class Case:
    """A case to time: a module with autograd, packed rows, one step, a whole model."""

    kind: str  # "dense", "packed", "step" or "words"
    cell: str  # "lstm", "gru" or "rnn"
    H: int
    N: int
    T: int
    D: int = 1

    @property
    def name(self) -> str:
        if self.kind == "words":
            return "words: embedding, 2 LSTM, linear, loss, clipping, SGD"
        directions = " both ways" if self.D == 2 else ""
        return f"{self.cell.upper()}{directions}, {self.H}, {self.N}, {self.T}"


def prepare(case: Case, who: str, threads: int) -> Run:
    """``who``: "torch", "fastrnn", "accelerated" (words: its loss too is PyTorch's)."""
    version()
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    make = {"words": words, "step": step}.get(case.kind, train)
    call, to_numpy = make(case, who)
    return Run(call, to_numpy, lambda: torch.set_num_threads(threads))


def prepare_torch(case: Case, threads: int) -> Run:
    return prepare(case, "torch", threads)


def prepare_fastrnn(case: Case, threads: int) -> Run:
    return prepare(case, "fastrnn", threads)


def prepare_accelerated(case: Case, threads: int) -> Run:
    return prepare(case, "accelerated", threads)


def prepare_functions(case: Case, threads: int) -> Run:
    """One step by the bare function, on arrays, without the adapter."""
    version()
    import torch

    import fastrnn

    torch.manual_seed(0)
    module, x = make_module(case, "torch"), torch.randn(case.T, case.N, case.H)
    weights = [p.detach().numpy() for p in module.parameters()]
    forward = getattr(fastrnn, f"{case.cell}_forward")
    array = x.numpy()
    fastrnn.set_num_threads(threads)
    return Run(
        lambda: forward(array, *weights, training=False), lambda raw: {"y": raw[0]}
    )


def make_module(case: Case, who: str) -> Any:
    import torch

    import fastrnn.torch

    kinds = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    module = kinds[case.cell](case.H, case.H, bidirectional=case.D == 2)
    return module if who == "torch" else fastrnn.torch.accelerate(module)


Made = tuple[Callable[[], Any], Callable[[Any], Results]]


def train(case: Case, who: str) -> Made:
    """Forward and backward through autograd, with fresh gradients of everything."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    module = make_module(case, who)
    x = torch.randn(case.T, case.N, case.H, requires_grad=True)
    lengths = torch.randint(case.T // 10, case.T + 1, (case.N,))
    lengths[0] = case.T
    packed = case.kind == "packed"
    rows = (int(lengths.sum()),) if packed else (case.T, case.N)
    dy = torch.randn(*rows, case.D * case.H)
    leaves = [x, *module.parameters()]

    def call() -> Any:
        fed = pack_padded_sequence(x, lengths, enforce_sorted=False) if packed else x
        y = module(fed)[0]
        y = y.data if packed else y
        return y, torch.autograd.grad(y, leaves, dy)

    def to_numpy(raw: Any) -> Results:
        y, grads = raw
        named = {f"d{i}": g.numpy() for i, g in enumerate(grads)}
        return {"y": y.detach().numpy()} | named

    return call, to_numpy


def step(case: Case, who: str) -> Made:
    """One step without gradients, as a service or an agent takes it."""
    import torch

    module = make_module(case, who).eval()
    x = torch.randn(case.T, case.N, case.H)

    def call() -> Any:
        with torch.no_grad():
            return module(x)

    return call, lambda raw: {"y": raw[0].numpy()}


def words(case: Case, who: str) -> Made:
    """A training step of a word model, as in PyTorch's example."""
    import torch
    from torch import nn
    from torch.nn import functional

    import fastrnn.torch

    V, H = 10_000, case.H
    embedding, lstm = nn.Embedding(V, H), nn.LSTM(H, H, 2)
    head = nn.Linear(H, V)
    model = nn.ModuleList([embedding, lstm, head])
    if who != "torch":
        fastrnn.torch.accelerate(model)
    parameters = list(model.parameters())
    sgd = torch.optim.SGD(parameters, lr=1.0)
    tokens = torch.randint(V, (case.T + 1, case.N))

    def call() -> Any:
        y, _ = lstm(embedding(tokens[:-1]))
        if who == "fastrnn":
            loss = fastrnn.torch.linear_cross_entropy(
                y, head.weight, tokens[1:], linear_bias=head.bias
            )
        else:
            loss = functional.cross_entropy(head(y).flatten(0, 1), tokens[1:].flatten())
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.25)
        sgd.step()
        return loss

    def first_losses(first: Any) -> Results:
        losses = [first.item(), *(call().item() for _ in range(4))]
        return {"y": np.array(losses, np.float32)}

    return call, first_losses
