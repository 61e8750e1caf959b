"""A layer's call with its options, forward and backward: fastrnn, its oracle, PyTorch.

Inputs are as wide as the layer. Results are ``y``, ``dx`` and the gradients of all
parameters, in the order that both libraries use.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..workloads import Array
from .base import Results, Run, SkippedError
from .fastrnn_kernels import load_reference, version
from .pytorch import version as torch_version

RATES = ("recurrent_dropout", "zoneout", "weight_dropout")


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer of one cell, `H` inputs and units, in float32."""

    cell: str
    H: int
    N: int = 32
    T: int = 100
    bidirectional: bool = False
    ragged: bool = False  # lengths uniform in T/10 … T
    resets: float = 0.0  # share of the steps
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    weight_dropout: float = 0.0

    @property
    def name(self) -> str:
        words = [f"{self.cell}-H={self.H}-N={self.N}-T={self.T}"]
        for field in fields(self)[4:]:
            value = getattr(self, field.name)
            words += [field.name] if value is True else []
            words += (
                [f"{field.name}={value:g}"] if type(value) is float and value else []
            )
        return "-".join(words)

    @property
    def rates(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in RATES}

    @property
    def lengths(self) -> Any:
        if not self.ragged:
            return None
        return np.random.default_rng(0).integers(self.T // 10, self.T + 1, self.N)

    @property
    def valid_share(self) -> float:
        return float(self.lengths.mean() / self.T) if self.ragged else 1.0

    def options(self) -> dict[str, Any]:
        """Return the options of the layer's call."""
        found = {"lengths": self.lengths} if self.ragged else {}
        if self.resets:
            rng = np.random.default_rng(2)
            found["resets"] = rng.random((self.T, self.N)) < self.resets
        return found


def make_arrays(call: LayerCall) -> tuple[Array, Array]:
    """Return x and dy, the same bits on every call."""
    rng = np.random.default_rng(1)
    D = 2 if call.bidirectional else 1

    def draw(width: int) -> Array:
        return rng.standard_normal((call.T, call.N, width), np.float32)

    return draw(call.H), draw(D * call.H)


def make_layer(call: LayerCall) -> Any:
    version()
    import fastrnn

    kind = getattr(fastrnn, call.cell.upper())
    return kind(call.H, call.H, bidirectional=call.bidirectional, seed=0, **call.rates)


def prepare_fastrnn(call: LayerCall, threads: int) -> Run:
    layer, (x, dy), options = make_layer(call), make_arrays(call), call.options()
    import fastrnn

    def run() -> Any:
        layer.zero_grad()
        y, _ = layer(x, **options)
        dx, _ = layer.backward(dy)
        return y, dx

    def to_numpy(raw: Any) -> Results:
        y, dx = raw
        return {"y": y, "dx": dx, "dparams": layer.flat_grads.copy()}

    return Run(run, to_numpy, lambda: fastrnn.set_num_threads(threads))


@functools.lru_cache(maxsize=8)
def compute_expected(call: LayerCall) -> Results:
    """Results of ``fastrnn.reference`` in float64, with the draws of the first call."""
    from fastrnn._layers.regularisers import Rates, draw_call

    reference, layer = load_reference(), make_layer(call)
    forward = getattr(reference, f"{call.cell}_forward")
    backward = getattr(reference, f"{call.cell}_backward")
    x, dy = (a.astype(np.float64) for a in make_arrays(call))
    H, outputs, dparams, dx = call.H, [], [], 0
    states = ("h", "c") if call.cell == "lstm" else ("h",)
    for d in range(2 if call.bidirectional else 1):
        weights = list(layer.params.values())[4 * d : 4 * d + 4]
        drawn = draw_call(
            layer.rng, Rates(**call.rates), weights, (call.T, call.N), states, True
        )
        options = call.options()
        if "recurrent_mask" in drawn.fields:
            mask = drawn.fields["recurrent_mask"]
            options["recurrent_mask"] = mask.astype(np.float64)
        if "zoneout_h" in drawn.fields:
            kept = tuple(drawn.fields[f"zoneout_{state}"] for state in states)
            options["zoneout"] = kept if len(kept) > 1 else kept[0]
        exact = [a.astype(np.float64) for a in drawn.weights]
        y, _, tape = forward(x, *exact, reverse=d == 1, **options)
        grads = backward(tape, dy[:, :, d * H : (d + 1) * H])
        dw_hh = grads.dw_hh
        if drawn.weight_mask is not None:
            dw_hh = dw_hh * drawn.weight_mask
        outputs.append(y)
        dx = dx + grads.dx
        dparams += [grads.dw_ih, dw_hh, grads.db_ih, grads.db_hh]
    return {
        "y": np.concatenate(outputs, 2),
        "dx": np.asarray(dx),
        "dparams": np.concatenate([a.ravel() for a in dparams]),
    }


def prepare_torch(call: LayerCall, threads: int) -> Run:
    """Rows of unequal lengths as users of PyTorch run them: packed."""
    torch_version()
    import torch

    if call.resets or any(call.rates.values()):
        raise SkippedError("torch: a layer has no resets, recurrent dropout or zoneout")
    kind = getattr(torch.nn, call.cell.upper())
    layer = kind(call.H, call.H, bidirectional=call.bidirectional)
    ours = make_layer(call).state_dict()
    layer.load_state_dict({name: torch.tensor(a) for name, a in ours.items()})
    x, dy = make_arrays(call)
    x_in, dy_in = torch.tensor(x, requires_grad=True), torch.tensor(dy)
    lengths = torch.tensor(call.lengths) if call.ragged else None
    leaves = [x_in, *layer.parameters()]
    rnn = torch.nn.utils.rnn

    def run() -> Any:
        if lengths is None:
            y, _ = layer(x_in)
        else:
            packed = rnn.pack_padded_sequence(x_in, lengths, enforce_sorted=False)
            y, _ = rnn.pad_packed_sequence(layer(packed)[0], total_length=call.T)
        return y, torch.autograd.grad(y, leaves, dy_in)

    def to_numpy(raw: Any) -> Results:
        y, (dx, *dparams) = raw
        flat = np.concatenate([a.numpy().ravel() for a in dparams])
        return {"y": y.detach().numpy(), "dx": dx.numpy(), "dparams": flat}

    return Run(run, to_numpy, lambda: torch.set_num_threads(threads))
