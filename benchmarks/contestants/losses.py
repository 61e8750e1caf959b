"""Losses with their gradients: fastrnn, its reference, and PyTorch with autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..workloads import Array
from . import fastrnn_kernels, pytorch
from .base import Results, Run

DELTA, QUANTILE, SMOOTHING = 0.5, 0.9, 0.1
OF_NUMBERS = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "quantile_loss",
    "binary_cross_entropy",
)
OPTIONS: dict[str, dict[str, float]] = {
    "huber": {"delta": DELTA},
    "quantile_loss": {"quantile": QUANTILE},
}


@dataclass(frozen=True)
class LossCall:
    """A loss of ``T·N`` rows, each of ``V`` numbers or classes.

    ``weighted``: a weight for each row; for the cross-entropy also weights of classes
    and label smoothing. ``softmax`` and ``log_softmax`` have no gradient of their own.
    """

    loss: str
    V: int
    weighted: bool = False
    T: int = 100
    N: int = 32
    H: int = 64  # inputs of `linear_cross_entropy`
    S: int = 20  # labels of a row of `ctc_loss`
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"{self.loss}-V={self.V}" + "-weighted" * self.weighted


def make_inputs(call: LossCall) -> dict[str, Any]:
    """Arrays by the names of fastrnn's arguments; the same bits on every call."""
    rng = np.random.default_rng(4)
    rows, c = (call.T, call.N), call

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(c.dtype)

    if c.loss in ("softmax", "log_softmax"):
        return {"y": 3 * normal(*rows, c.V)}
    if c.loss == "ctc_loss":
        return {
            "logits": normal(*rows, c.V),
            "targets": rng.integers(1, c.V, (c.N, c.S)),
            "lengths": rng.integers(c.T // 2, c.T + 1, c.N),
            "target_lengths": rng.integers(c.S // 2, c.S + 1, c.N),
        }
    weights = {"weights": rng.random(rows).astype(c.dtype)} if c.weighted else {}
    if c.loss == "linear_cross_entropy":
        inputs = {"y": normal(*rows, c.H), "w": normal(c.V, c.H), "b": normal(c.V)}
        if c.weighted:
            weights["class_weights"] = (rng.random(c.V) + 0.5).astype(c.dtype)
        return inputs | {"targets": rng.integers(0, c.V, rows)} | weights
    targets = rng.random((*rows, c.V)).astype(c.dtype)
    return {"y": normal(*rows, c.V), "targets": targets} | weights


def of_module(module: Any, call: LossCall, inputs: dict[str, Any]) -> Callable[[], Any]:
    function, options = getattr(module, call.loss), dict(OPTIONS.get(call.loss, {}))
    if call.loss == "linear_cross_entropy" and call.weighted:
        options["label_smoothing"] = SMOOTHING
    return lambda: function(**inputs, **options)


def to_results(raw: Any) -> Results:
    """Return ``loss`` and gradients, or ``y``, from a call of fastrnn."""
    if not isinstance(raw, tuple):
        return {"y": raw}
    loss, grads = raw
    found = {"loss": np.asarray(loss)}
    if isinstance(grads, np.ndarray):
        return found | {"dy": grads}
    return found | {name: getattr(grads, name) for name in ("dy", "dw", "db")}


def prepare_fastrnn(call: LossCall, threads: int) -> Run:
    fastrnn_kernels.version()
    import fastrnn

    run = of_module(fastrnn, call, make_inputs(call))
    return Run(run, to_results, lambda: fastrnn.set_num_threads(threads))


def compute_expected(call: LossCall) -> Results:
    """Return results of the reference in float64 on the contestants' values."""
    inputs = {
        name: a.astype(np.float64) if a.dtype.kind == "f" else a
        for name, a in make_inputs(call).items()
    }
    reference = fastrnn_kernels.load_reference()
    return to_results(of_module(reference, call, inputs)())


def mean(losses: Any, inputs: dict[str, Any]) -> Any:
    """Return the mean, weighted by row, of losses [T, N] or [T, N, V]."""
    weights = inputs.get("weights")
    if weights is None:
        return losses.mean()
    if losses.ndim > weights.ndim:
        losses = losses.mean(-1)
    return (losses * weights).sum() / weights.sum()


def of_numbers(call: LossCall, inputs: dict[str, Any]) -> Any:
    from torch.nn import functional as f

    y, t = inputs["y"], inputs["targets"]
    # What takes part in the mean decides where it is taken: PyTorch's way is to pass
    # reduction="none" only where it is needed.
    reduction = "none" if call.weighted else "mean"
    if call.loss == "mean_squared_error":
        losses = f.mse_loss(y, t, reduction=reduction)
    elif call.loss == "mean_absolute_error":
        losses = f.l1_loss(y, t, reduction=reduction)
    elif call.loss == "huber":
        losses = f.huber_loss(y, t, reduction=reduction, delta=DELTA)
    elif call.loss == "binary_cross_entropy":
        losses = f.binary_cross_entropy_with_logits(y, t, reduction=reduction)
    else:  # PyTorch has none
        e = t - y
        losses = (QUANTILE * e).maximum((QUANTILE - 1) * e)
    return mean(losses, inputs)


def cross_entropy(call: LossCall, inputs: dict[str, Any]) -> Any:
    from torch.nn import functional as f

    targets = inputs["targets"].flatten()
    logits = f.linear(inputs["y"], inputs["w"], inputs["b"]).flatten(0, 1)
    if not call.weighted:
        return f.cross_entropy(logits, targets)
    of_class, weights = inputs["class_weights"], inputs["weights"].flatten()
    options = {"weight": of_class, "label_smoothing": SMOOTHING}
    losses = f.cross_entropy(logits, targets, reduction="none", **options)
    return (losses * weights).sum() / (weights * of_class[targets]).sum()


def prepare_torch(call: LossCall, threads: int) -> Run:
    pytorch.version()
    import torch
    from torch.nn import functional as f

    inputs = {name: torch.tensor(a) for name, a in make_inputs(call).items()}
    if call.loss in ("softmax", "log_softmax"):
        function = getattr(torch, call.loss)
        return Run(
            lambda: function(inputs["y"], -1),
            lambda y: {"y": y.numpy()},
            lambda: torch.set_num_threads(threads),
        )
    wanted = {"ctc_loss": ["logits"], "linear_cross_entropy": ["y", "w", "b"]}
    leaves = [inputs[n].requires_grad_() for n in wanted.get(call.loss, ["y"])]

    def loss() -> Any:
        if call.loss == "ctc_loss":
            logits, *rest = inputs.values()
            return f.ctc_loss(logits.log_softmax(-1), *rest)
        if call.loss == "linear_cross_entropy":
            return cross_entropy(call, inputs)
        return of_numbers(call, inputs)

    def run() -> Any:
        value = loss()
        return value, *torch.autograd.grad(value, leaves)

    def to_numpy(raw: Any) -> Results:
        names = ("loss", "dy", "dw", "db")
        return {n: v.detach().numpy() for n, v in zip(names, raw, strict=False)}

    return Run(run, to_numpy, lambda: torch.set_num_threads(threads))
