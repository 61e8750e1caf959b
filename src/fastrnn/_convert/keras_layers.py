"""Layers from Keras's layers and models, with their options."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import _cells
from fastrnn._convert.build import as_floating, assemble, feedforward, recurrent, refuse
from fastrnn._convert.keras_arrays import cell, dense
from fastrnn._convert.keras_models import chain, kind_of
from fastrnn._layers.activation import FUNCTIONS, Activation
from fastrnn._layers.base import Layer
from fastrnn._layers.dropout import Dropout
from fastrnn._layers.pooling import Last
from fastrnn._types import DType

# Options that `LayerReader.recurrent` looks at.
OF_CELLS = (
    "activation",
    "recurrent_activation",
    "recurrent_dropout",
    "reset_after",
    "return_sequences",
)
CELLS = ("SimpleRNN", "GRU", "LSTM")
EACH_STEP = ("Dense", "Activation")  # what TimeDistributed adds nothing to
SERVED = (
    "SimpleRNN, GRU, LSTM, Bidirectional, Dense, Embedding, Dropout, Activation, ReLU, "
    "Identity or TimeDistributed"
)
# Options that change no output and nothing in training, or that sizes tell.
WITHOUT_EFFECT = {
    "name",
    "dtype",
    "seed",
    "unroll",
    "implementation",
    "return_state",
    "zero_output_for_mask",
    "unit_forget_bias",
    "units",
    "input_dim",
    "output_dim",
    "use_bias",
}
# Options that are honoured for one value only; for all others, that is "nothing".
ONLY = {"trainable": True}
HINTS = {
    "mask_zero": "; with False, give lengths",
    "stateful": "; with False, pass on the state that a call returns",
}


class LayerReader:
    """Makes layers from a Keras layer or model."""

    def __init__(
        self,
        dtype: DType | None,
        nonlinearity: str | None,
        batch_first: bool,
        logits: bool,
        rng: np.random.Generator,
    ) -> None:
        self.dtype, self.rng, self.logits = dtype, rng, logits
        self.nonlinearity, self.batch_first = nonlinearity, batch_first

    def read(self, source: Any) -> Layer:
        """Return a layer for a layer, a `Sequential` for more."""
        found = chain(source)
        layers: list[tuple[str, Layer]] = []
        for i, layer in enumerate(found):
            layers += self.make(layer.name, layer, last=i == len(found) - 1)
        if not layers:
            raise ValueError("source: expected a model with layers, got none")
        return layers[0][1] if len(layers) == 1 else assemble(layers)

    def make(self, name: str, layer: Any, last: bool) -> list[tuple[str, Layer]]:
        """Return the layer, and those for its last step or activation after it."""
        kind = kind_of(layer)
        if kind == "TimeDistributed" and kind_of(layer.layer) in (
            "Dense",
            "Activation",
        ):
            return self.make(name, layer.layer, last)
        made: list[tuple[str, Layer]] = []
        if kind in CELLS:
            check_options(name, layer, *OF_CELLS)
            arrays = cell(name, self.weights(name, layer, 2))
            made = [(name, self.recurrent(name, layer, arrays))]
            made += last_step(name, layer, bidirectional=False)
        elif kind == "Bidirectional":
            made = [(name, self.bidirectional(name, layer))]
            made += last_step(name, layer.forward_layer, bidirectional=True)
        elif kind == "Dense":
            check_options(name, layer, "activation")
            made = [(name, feedforward(name, dense(self.weights(name, layer, 1))))]
            made += self.activation(f"{name}_activation", name, layer.activation, last)
        elif kind == "Embedding":
            check_options(name, layer)
            (table,) = self.weights(name, layer, 1)
            made = [(name, feedforward(name, {"weight": table}, embedding=True))]
        elif kind == "Dropout":
            check_options(name, layer, "rate")
            if not 0 <= layer.rate < 1:
                raise ValueError(
                    f"{name}: rate: expected 0 <= rate < 1, got {layer.rate}"
                )
            made = [(name, Dropout(float(layer.rate), seed=self.rng))]
        elif kind == "Activation":
            check_options(name, layer, "activation")
            made = self.activation(name, name, layer.activation, last)
        elif kind == "ReLU":
            check_options(name, layer)
            made = [(name, Activation("relu"))]
        elif kind == "Softmax" and self.logits and last and layer.axis == -1:
            pass
        elif kind == "Softmax":
            refuse_softmax(name)
        elif kind not in ("InputLayer", "Identity"):
            own = "" if kind else ", a class of your own: what it does is not known"
            got = f"{type(layer).__name__}{own}"
            raise ValueError(f"{name}: expected {SERVED}, got {got}")
        return made

    def activation(
        self, name: str, where: str, function: Any, last: bool
    ) -> list[tuple[str, Layer]]:
        """Return the layer of an activation; none for a linear one."""
        kind = name_of(function)
        if kind == "linear" or (
            last and self.logits and kind in ("softmax", "sigmoid")
        ):
            return []
        if kind == "softmax":
            refuse_softmax(where)
        if kind not in FUNCTIONS:
            expected = f"one of linear, {', '.join(FUNCTIONS)}"
            raise ValueError(f"{where}: activation: expected {expected}, got {kind}")
        return [(name, Activation(kind))]

    def recurrent(self, name: str, layer: Any, arrays: dict[str, Any]) -> Layer:
        kind, act = kind_of(layer), name_of(layer.activation)
        options: dict[str, Any] = {}
        if kind == "SimpleRNN":
            served = _cells.CELLS["rnn"].nonlinearities
            if act not in served:
                expected = f"one of {', '.join(served)}"
                raise ValueError(f"{name}: activation: expected {expected}, got {act}")
            if self.nonlinearity not in (None, act):
                raise ValueError(
                    f"nonlinearity: expected {act!r} (that of {name}) or None, "
                    f"got {self.nonlinearity!r}"
                )
            options["nonlinearity"] = act
            # One mask for all gates: what a GRU or LSTM here has, but not in Keras.
            options["recurrent_dropout"] = float(layer.recurrent_dropout)
        else:
            if act != "tanh":
                refuse(name, "activation", "tanh", act)
            gate = name_of(layer.recurrent_activation)
            if gate != "sigmoid":
                refuse(name, "recurrent_activation", "sigmoid", gate)
            if layer.recurrent_dropout:
                refuse(name, "recurrent_dropout", 0, layer.recurrent_dropout)
        if kind == "GRU":
            options["reset"] = "after" if layer.reset_after else "before"
        options |= {"batch_first": self.batch_first, "seed": self.rng}
        return recurrent(name, arrays, **options)

    def bidirectional(self, name: str, layer: Any) -> Layer:
        forward, backward = layer.forward_layer, layer.backward_layer
        if kind_of(forward) not in CELLS:
            got = type(forward).__name__
            raise ValueError(f"{name}: layer: expected {' or '.join(CELLS)}, got {got}")
        if layer.merge_mode != "concat":
            refuse(name, "merge_mode", "concat", repr(layer.merge_mode))
        check_options(name, layer, "layer", "backward_layer", "merge_mode")
        check_options(name, forward, *OF_CELLS)
        config, other = forward.get_config(), backward.get_config()
        if not other.pop("go_backwards", False):
            refuse(name, "backward_layer.go_backwards", True, False)
        if type(forward) is not type(backward):
            got = type(backward).__name__
            refuse(name, "backward_layer", type(forward).__name__, got)
        for option, value in config.items():
            if option in ("name", "go_backwards", "seed") or "initializer" in option:
                continue
            if other[option] != value:
                refuse(name, f"backward_layer.{option}", value, repr(other[option]))
        arrays = cell(name, self.weights(name, forward, 2))
        arrays |= cell(name, self.weights(name, backward, 2), "_reverse")
        return self.recurrent(name, forward, arrays)

    def weights(self, name: str, layer: Any, matrices: int) -> list[Any]:
        found = layer.get_weights()
        count = matrices + bool(getattr(layer, "use_bias", False))
        if len(found) != count:
            raise ValueError(
                f"{name}: expected a layer with {count} arrays, got {len(found)}"
                + ("" if found else ": it is not built yet")
            )
        return [
            as_floating(f"{name}: weights[{i}]", a, self.dtype)
            for i, a in enumerate(found)
        ]


def last_step(name: str, layer: Any, bidirectional: bool) -> list[tuple[str, Layer]]:
    """Return the layer for ``return_sequences=False``; none for True."""
    if layer.return_sequences:
        return []
    return [(f"{name}_last", Last(bidirectional=bidirectional))]


def check_options(name: str, layer: Any, *honoured: str) -> None:
    """Refuse an option that has a value for which nothing is done here."""
    for option, value in layer.get_config().items():
        if option in WITHOUT_EFFECT or option.endswith("_initializer"):
            continue
        served = value is ONLY[option] if option in ONLY else not value
        if served or option in honoured:
            continue
        plain = isinstance(value, (bool, int, float))
        expected = ONLY.get(option, type(value)() if plain else None)
        got = value.get("class_name") if isinstance(value, dict) else repr(value)
        refuse(name, option, expected, got, HINTS.get(option, ""))


def name_of(function: Any) -> str:
    """Return the name of one of Keras's activations."""
    if function is None:
        return "linear"
    name = getattr(function, "__name__", type(function).__name__)
    module = str(getattr(function, "__module__", ""))
    if module.startswith(("keras.", "tf_keras.")) and "activations" in module:
        return str(name)
    return f"another function, {name}"


def refuse_softmax(where: str) -> None:
    raise ValueError(
        f"{where}: activation: expected another than softmax, which logits=True leaves "
        f"off at the end of a model"
    )
