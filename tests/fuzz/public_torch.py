"""The public callables of `fastrnn.torch`, and tensors that are hostile to them.

Of the modules only what PyTorch's own have not: their other arguments are checked by
PyTorch, and its errors are documented as such.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

import fastrnn.torch
from tests.fuzz.public import LENGTHS, TARGETS, Good, H, I, N, T, V, good, ones

MODULES = ("RNN", "GRU", "LSTM")


@good("torch.linear_cross_entropy")
def linear_cross_entropy(_: str) -> Good:
    tensors = {
        "input": ones(T, N, H),
        "linear_weight": ones(V, H),
        "target": TARGETS,
        "linear_bias": ones(V),
    }
    arguments: dict[str, Any] = {k: torch.from_numpy(a) for k, a in tensors.items()}
    arguments |= {"reduction": "mean", "ignore_index": -100}
    return Good(fastrnn.torch.linear_cross_entropy, arguments, ("targets",))


@good(*(f"torch.{name}" for name in ("accelerate", "report", "restore")))
def on_a_model(name: str) -> Good:
    model = torch.nn.Sequential(torch.nn.LSTM(I, H), torch.nn.Linear(H, 2))
    return Good(getattr(fastrnn.torch, name.partition(".")[2]), {"model": model})


@good(*(f"torch.{name}.forward" for name in MODULES))
def forward(name: str) -> Good:
    kind = name.split(".")[1]
    module = getattr(fastrnn.torch, kind)(I, H)
    arguments: dict[str, Any] = {"lengths": torch.from_numpy(LENGTHS)}
    arguments["resets"] = torch.zeros(T, N, dtype=torch.bool)
    if kind == "LSTM":
        arguments["return_cells"] = True
    return Good(partial(module, torch.from_numpy(ones(T, N, I))), arguments)


def public_names() -> Iterator[str]:
    for name in fastrnn.torch.__all__:
        value = getattr(fastrnn.torch, name)
        if not inspect.isclass(value):
            yield f"torch.{name}"
        elif not issubclass(value, tuple):
            yield f"torch.{name}.forward"


def tensors() -> Iterator[Any]:
    """Yield tensors of strange shapes, dtypes, layouts, devices and ownership."""
    for dtype in (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool):
        for shape in (), (0,), (1,), (N,), (T, N), (2, 0, 3), (V, H):
            yield torch.ones(shape, dtype=dtype)
    for dtype in (torch.float16, torch.bfloat16, torch.complex64, torch.int32):
        yield torch.ones(N, dtype=dtype)
    yield torch.ones(N, device="meta")
    yield torch.ones(T, N, dtype=torch.int64, device="meta")
    yield torch.ones(N, requires_grad=True)
    yield torch.ones(T, N).to_sparse()
    yield torch.tensor([-1, 2**62])
    yield torch.full((T, N), -1)
    freed = torch.ones(N, dtype=torch.int64)
    freed.untyped_storage().resize_(0)
    yield freed
    yield torch.ones(N, dtype=torch.int64).as_strided((N,), (0,))
    yield torch.nn.Linear(2, 3)
    yield torch.nn.LSTM(2, 3, proj_size=2)
    yield torch.float32


def near(good: Any) -> list[Any]:
    """Return what is nearly a good tensor."""
    dtypes = (torch.float16, torch.float64, torch.int32, torch.bool, torch.complex64)
    found = [good.to(dtype) for dtype in dtypes]
    found += [good[None], good[..., None], good[:0], good[..., :0], good[1:]]
    found += [good.mT] if good.ndim > 1 else []
    found += [good.flip(0), good.numpy(), good.tolist(), good.to("meta")]
    found += [good.detach().clone().as_strided(good.shape, [0] * good.ndim)]
    freed = good.clone()
    freed.untyped_storage().resize_(0)
    found.append(freed)
    if good.is_floating_point():
        found += [torch.full_like(good, n) for n in (math.nan, math.inf, 1e38)]
        found += [good.clone().requires_grad_(), good.to(torch.bfloat16)]
    else:
        found += [
            torch.full_like(good, n) for n in (100, 3) if good.dtype != torch.bool
        ]
        found += [torch.full(good.shape, n) for n in (-1, 2**31, 2**62)]
    return found
