"""Linear layer and cross-entropy, forward and backward: fastrnn and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..workloads import Array
from . import fastrnn_kernels, pytorch
from .base import Results, Run

NAMES = ("loss", "dy", "dw", "db")


@dataclass(frozen=True)
class Head:
    """Rows of hidden states to the mean loss over a vocabulary."""

    rows: int
    H: int = 256
    V: int = 10_000
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"rows={self.rows}-H={self.H}-V={self.V}"

    @property
    def flops(self) -> float:
        """Logits, and their gradient with respect to rows and weights."""
        return 3 * 2.0 * self.rows * self.H * self.V


def make_inputs(head: Head) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """``y [rows, H], w [V, H], b [V], targets [rows]``, the same bits on every call."""
    rng = np.random.default_rng(3)
    bound = head.H**-0.5
    y = np.tanh(rng.standard_normal((head.rows, head.H)))
    w = rng.uniform(-bound, bound, (head.V, head.H))
    b = rng.uniform(-bound, bound, head.V)
    targets = rng.integers(0, head.V, head.rows)
    return y.astype(head.dtype), w.astype(head.dtype), b.astype(head.dtype), targets


def prepare_fastrnn(head: Head, threads: int) -> Run:
    fastrnn_kernels.version()
    import fastrnn

    inputs = make_inputs(head)
    return Run(
        lambda: fastrnn.linear_cross_entropy(*inputs),
        from_fastrnn,
        lambda: fastrnn.set_num_threads(threads),
    )


def load_reference() -> Callable[..., Any]:
    function: Callable[..., Any] = fastrnn_kernels.load_reference().linear_cross_entropy
    return function


def prepare_reference(head: Head, threads: int) -> Run:
    del threads  # NumPy's BLAS has those that the environment gave it
    reference, inputs = load_reference(), make_inputs(head)
    return Run(lambda: reference(*inputs), from_fastrnn)


def from_fastrnn(raw: Any) -> Results:
    """``loss, grads`` in the common form."""
    loss, grads = raw
    values = (np.asarray(loss), grads.dy, grads.dw, grads.db)
    return dict(zip(NAMES, values, strict=True))


def prepare_torch(head: Head, threads: int) -> Run:
    pytorch.version()
    import torch
    from torch.nn import functional

    y, w, b, targets = (torch.tensor(array) for array in make_inputs(head))
    leaves = [array.requires_grad_() for array in (y, w, b)]

    def call() -> Any:
        loss = functional.cross_entropy(functional.linear(y, w, b), targets)
        return loss, *torch.autograd.grad(loss, leaves)

    def to_numpy(raw: Any) -> Results:
        return {n: v.detach().numpy() for n, v in zip(NAMES, raw, strict=True)}

    return Run(call, to_numpy, lambda: torch.set_num_threads(threads))
