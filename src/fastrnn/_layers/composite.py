"""`Composite`: a layer that is made of others, which live in its flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from fastrnn._layers.base import Layer
from fastrnn._layers.describe import Line, code_of_row
from fastrnn._layers.parameters import Parameters, Views
from fastrnn._types import DType, FloatArray

CompositeT = TypeVar("CompositeT", bound="Composite")


class Composite(Layer):
    """The base class of layers that are made of others."""

    def __init__(self, layers: dict[str, Layer], dtype: DType) -> None:
        self._layers = layers
        shapes = {
            f"{name}.{key}": shape
            for name, layer in layers.items()
            for key, shape in layer._shapes.items()
        }
        super().__init__(shapes, dtype)

    @property
    def layers(self) -> Mapping[str, Any]:
        """The layers by name, in order; read-only."""
        return MappingProxyType(self._layers)

    @property
    def buffers(self) -> Mapping[str, FloatArray]:
        """The arrays that are not trained, by name. Write into them."""
        return Views(
            (f"{name}.{key}", a)
            for name, layer in self._layers.items()
            for key, a in layer.buffers.items()
        )

    def _children(self) -> Iterable[Parameters]:
        return self._layers.values()

    def _make_views(self) -> None:
        super()._make_views()
        start = 0
        for layer in self._layers.values():
            end = start + layer.flat_params.size
            layer._move(self, self._flat_params[start:end], self._flat_grads[start:end])
            start = end

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_flat_params"], state["_flat_grads"]  # the layers bring their own
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        size = sum(layer.flat_params.size for layer in state["_layers"].values())
        zeros = np.zeros(size, state["dtype"])
        super().__setstate__(state | {"_flat_params": zeros, "_flat_grads": zeros})

    def _code(self) -> list[Line]:
        return code_of_row(self, self._layers)

    def train(self: CompositeT) -> CompositeT:
        """Put all layers in training mode."""
        for layer in self._layers.values():
            layer.train()
        return super().train()

    def eval(self: CompositeT) -> CompositeT:
        """Put all layers in eval mode."""
        for layer in self._layers.values():
            layer.eval()
        return super().eval()

    def _require_no_call_since(self) -> None:
        """Refuse to go back if a layer was called by itself since the last call."""
        for name, then, now in zip(
            self._layers, self._recall("backward"), self._calls(), strict=True
        ):
            if now != then:
                raise RuntimeError(
                    f"backward: expected no call since that of the model, got one of "
                    f"its layer {name}"
                )

    def _calls(self) -> list[int]:
        """Return how many calls each layer has had in this thread."""
        return [layer._last_calls.here.count for layer in self._layers.values()]
