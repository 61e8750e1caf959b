"""Layers from PyTorch's modules, with their options."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastrnn._convert.build import Arrays, assemble, feedforward, recurrent, refuse
from fastrnn._convert.tensors import as_weight
from fastrnn._layers.activation import Activation
from fastrnn._layers.base import Layer
from fastrnn._layers.dropout import Dropout
from fastrnn._types import DType

ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "GELU": "gelu"}
CELLS = ("RNNCell", "GRUCell", "LSTMCell")
RECURRENT = ("RNN", "GRU", "LSTM")
SERVED = (
    "nn.Sequential, nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell, "
    "nn.Linear, nn.Embedding, nn.Dropout, nn.Identity, nn.ReLU, nn.Tanh, nn.Sigmoid "
    "or nn.GELU"
)
# Modules that run the one inside them, and its attribute.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")  # there is no module without it
    return torch is not None and isinstance(value, torch.nn.Module)


def kind_of(module: Any) -> str:
    """Return the name of a class of PyTorch's; a class of another's has none."""
    kind = type(module)
    ours = kind.__module__.startswith(("torch.nn.modules.", "fastrnn.torch."))
    return kind.__name__ if ours or kind.__name__ in WRAPPERS else ""


class ModuleReader:
    """Makes layers from a module and those inside it."""

    def __init__(
        self,
        dtype: DType | None,
        nonlinearity: str | None,
        batch_first: bool | None,
        rng: np.random.Generator,
    ) -> None:
        self.dtype, self.rng = dtype, rng
        self.nonlinearity, self.batch_first = nonlinearity, batch_first
        self.layers: list[tuple[str, Layer]] = []
        self.owners: dict[int, str] = {}  # of parameters, by their id

    def read(self, module: Any) -> Layer:
        """Return a layer for a module, in its mode."""
        while kind_of(module) in WRAPPERS:
            module = getattr(module, WRAPPERS[kind_of(module)])
        self.walk("", module)
        if not self.layers:
            raise ValueError("source: expected a module with layers, got none")
        modes = [layer.training for _, layer in self.layers]
        model = assemble(self.layers)
        if not any(modes):
            model.eval()
        return model

    def walk(self, name: str, module: Any) -> None:
        where, kind = name or "source", kind_of(module)
        check_flow(where, module, kind)
        if kind == "Sequential":
            for key, child in module._modules.items():
                self.walk(f"{name}.{key}" if name else key, child)
        elif kind != "Identity":
            layer = self.make(where, kind, module)
            if not module.training:
                layer.eval()
            self.layers.append((name, layer))

    def make(self, where: str, kind: str, module: Any) -> Layer:
        """Return the layer of a module without others in it."""
        if kind in ACTIVATIONS:
            if getattr(module, "approximate", "none") != "none":
                refuse(where, "approximate", "none", repr(module.approximate))
            return Activation(ACTIVATIONS[kind])
        if kind == "Dropout":
            check_dropout(where, "p", module.p)
            return Dropout(float(module.p), seed=self.rng)
        arrays = self.weights(where, module)
        if kind in RECURRENT or kind in CELLS:
            options = self.options(where, module)
            if kind in CELLS:
                arrays = {f"{key}_l0": a for key, a in arrays.items()}
            return recurrent(where, arrays, **options, seed=self.rng)
        if kind == "Embedding":
            for option in ("max_norm", "scale_grad_by_freq"):
                if getattr(module, option) not in (None, False):
                    refuse(where, option, None, getattr(module, option))
            return feedforward(where, arrays, embedding=True)
        return feedforward(where, arrays)

    def weights(self, where: str, module: Any) -> Arrays:
        arrays = {}
        for key, parameter in module.named_parameters():
            if (owner := self.owners.setdefault(id(parameter), where)) != where:
                raise ValueError(
                    f"{where}: {key}: expected a parameter of its own, "
                    f"got that of {owner}"
                )
            name = key if where == "source" else f"{where}.{key}"
            arrays[key] = as_weight("source", name, parameter, self.dtype)
        return arrays

    def options(self, where: str, module: Any) -> dict[str, Any]:
        """Return the options that weights do not tell, and check the others."""
        own = {
            "nonlinearity": getattr(module, "nonlinearity", None),
            "batch_first": getattr(module, "batch_first", None),
        }
        for option, value in own.items():
            given = getattr(self, option)
            if None not in (given, value) and given != value:
                raise ValueError(
                    f"{option}: expected {value!r} (that of {where}) or None, "
                    f"got {given!r}"
                )
        dropout = getattr(module, "dropout", 0)
        check_dropout(where, "dropout", dropout)
        return {
            "nonlinearity": own["nonlinearity"] or "tanh",
            "batch_first": bool(own["batch_first"] or self.batch_first),
            "dropout": float(dropout),
        }


def check_flow(where: str, module: Any, kind: str) -> None:
    """Refuse a module whose computation is not that of its class."""
    if kind not in (*ACTIVATIONS, *CELLS, *RECURRENT) and kind not in (
        "Sequential",
        "Linear",
        "Embedding",
        "Dropout",
        "Identity",
    ):
        own = type(module).__name__
        raise ValueError(
            f"{where}: expected {SERVED}, got {own}, of which it is not known what it "
            f"does; if it calls its modules one after another, pass its state_dict()"
        )
    if "forward" in vars(module):
        refuse(where, "forward", "that of its class", "another")
    if module._forward_pre_hooks or module._forward_hooks:
        raise ValueError(f"{where}: forward hooks: expected none, got some")


def check_dropout(where: str, option: str, p: Any) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"{where}: {option}: expected 0 <= {option} < 1, got {p}")
