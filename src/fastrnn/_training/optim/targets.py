"""The arrays that an optimizer changes: as given, or those of a layer as it is now."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from fastrnn._gate.arguments import check_several, plain
from fastrnn._gate.memory import (
    RETIRED,
    addresses,
    allocation_of,
    layer_of,
    require_current,
)
from fastrnn._gate.training import require_writeable
from fastrnn._layers.base import Layer
from fastrnn._types import FloatArray

LayersOrArrays: TypeAlias = Layer | FloatArray | Iterable[Layer | FloatArray]


def arrays_of(name: str, value: Any, attribute: str) -> Any:
    """Return the value with an array of each layer in the layer's place."""
    value = listed(name, value)
    if isinstance(value, Layer):
        return getattr(value, attribute)
    if isinstance(value, np.ndarray):
        return value
    return [getattr(a, attribute) if isinstance(a, Layer) else a for a in value]


def listed(name: str, value: Any) -> Any:
    """Return a layer or an array as it is, and several of them as a list."""
    if isinstance(value, (Layer, np.ndarray)):
        return value
    return check_several(name, value, "a NumPy array or a sequence of them")


class LayerTarget:
    """The parameters of a layer, wherever they lie at the time."""

    def __init__(self, name: str, layer: Layer) -> None:
        self.name, self.layer = name, layer

    def current(self) -> FloatArray:
        """Return the array to write to; a ``ValueError`` if it is read-only."""
        array = self.layer._flat_params
        if not array.flags.writeable:
            require_writeable(self.name, array)
        return array

    def gradient(self) -> FloatArray:
        """Return the gradients of the parameters."""
        return self.layer.flat_grads


class ArrayTarget:
    """An array as given.

    If it is a part of a layer's parameters, then copies and pickles refer to the same
    part of the copied layer.
    """

    def __init__(self, name: str, array: FloatArray) -> None:
        self.name = name
        self.layer: Layer | None = layer_of(array)
        if self.layer is not None:
            offset = addresses(array)[0] - addresses(self.layer.flat_params)[0]
            self._start, self._shape = offset // array.itemsize, array.shape
        self._bind(array)

    def _bind(self, array: FloatArray) -> None:
        self._given: FloatArray | None = array
        self._array: FloatArray = plain(self.name, array)
        # A flag that is set later on one of these is not seen in the other.
        whole = allocation_of(array) if self.layer is None else self.layer.flat_params
        self._flagged = [array] if whole is array else [array, whole]

    def current(self) -> FloatArray:
        """Return the array to write to.

        Raises
        ------
        RuntimeError
            The layer has moved elsewhere.
        ValueError
            The array is read-only.
        """
        if self._given is None and self.layer is not None:
            stop = self._start + math.prod(self._shape)
            flat = self.layer.flat_params
            self._bind(flat[self._start : stop].reshape(self._shape))
        if RETIRED:
            require_current(self.name, self._array)
        for a in self._flagged:
            if not a.flags.writeable:
                require_writeable(self.name, a)
        return self._array

    def gradient(self) -> FloatArray:
        """Return the same part of the layer's gradients."""
        assert self.layer is not None
        stop = self._start + math.prod(self._shape)
        return self.layer.flat_grads[self._start : stop].reshape(self._shape)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {"name": self.name, "layer": self.layer}
        if self.layer is None:
            return state | {"_given": self._given}
        if self._given is not None and RETIRED:
            require_current(self.name, self._array)
        return state | {"_start": self._start, "_shape": self._shape, "_given": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # The layer may not be there in full yet, or move into its model in a moment.
        if self.layer is None:
            assert self._given is not None
            self._bind(self._given)


def require_owners(name: str, layers: list[Layer]) -> None:
    """Refuse layers that use parameters of another one that is not among them."""
    members: list[Any] = list(layers)
    for layer in members:  # which grows meanwhile
        members += layer._children()
    for layer in members:
        for owner in layer._borrowed():
            if owner.params and not any(owner is member for member in members):
                kind = type(owner).__name__
                raise ValueError(
                    f"{name}: expected the {kind} that a {type(layer).__name__} is "
                    f"tied to among the layers, got the latter alone"
                )


def make_targets(name: str, value: LayersOrArrays) -> list[LayerTarget | ArrayTarget]:
    """Return a target for each layer or array, named for messages."""
    single = isinstance(value, (Layer, np.ndarray))
    sources: Any = [value] if single else value
    require_owners(name, [a for a in sources if isinstance(a, Layer)])
    names = [name] if single else [f"{name}[{i}]" for i in range(len(sources))]
    return [
        LayerTarget(n, a) if isinstance(a, Layer) else ArrayTarget(n, a)
        for n, a in zip(names, sources, strict=True)
    ]
