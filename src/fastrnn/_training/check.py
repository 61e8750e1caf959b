"""The checks of what `fit` is given, before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import check_integer, check_number, check_several
from fastrnn._layers.base import Layer
from fastrnn._training.checkpoint import layers_of
from fastrnn._training.optim.base import Optimizer
from fastrnn._training.optim.targets import LayerTarget


def require_layer(model: Any) -> None:
    if not isinstance(model, Layer):
        raise TypeError(f"model: expected a layer, got {type(model).__name__}")


def gradients_of(optimizer: Optimizer, model: Layer) -> Any:
    """Return what the optimizer's ``step`` is given; None if it has layers alone."""
    inside = {id(layer) for layer in layers_of(model)}
    targets = optimizer._targets
    if not all(id(target.layer) in inside for target in targets):
        kind = type(optimizer).__name__
        raise ValueError(
            f"optimizer: expected one of the model's parameters, {kind}(model), "
            f"got one of others"
        )
    if all(isinstance(target, LayerTarget) for target in targets):
        return None
    found = [target.gradient() for target in targets]
    return found[0] if optimizer._single else found


class Numbers(NamedTuple):
    """The numbers that `fit` was given, checked."""

    epochs: int
    clip: float | None
    patience: int | None


def check_numbers(epochs: Any, clip: Any, patience: Any) -> Numbers:
    return Numbers(
        check_integer("epochs", epochs, 0),
        None if clip is None else check_number("clip", clip, infinite=True),
        None if patience is None else check_integer("patience", patience, 1),
    )


def check_model(model: Any, optimizer: Any) -> None:
    require_layer(model)
    if not isinstance(optimizer, Optimizer):
        kind = type(optimizer).__name__
        raise TypeError(
            f"optimizer: expected one such as fastrnn.Adam(model), got {kind}"
        )
    gradients_of(optimizer, model)


def check_functions(
    batches: Any, validation: Any, schedule: Any, callbacks: Any
) -> list[Any]:
    """Check what is gone through or called later; return a list of the callbacks."""
    for name, value in (("batches", batches), ("validation", validation)):
        if value is None and name == "validation":
            continue
        wrong = isinstance(value, (str, bytes, Mapping, np.ndarray))
        if wrong or not isinstance(value, Iterable):
            kind = type(value).__name__
            raise TypeError(f"{name}: expected an iterable of batches, got {kind}")
    listed = check_several("callbacks", callbacks, "a list of functions")
    functions = {f"callbacks[{i}]": function for i, function in enumerate(listed)}
    if schedule is not None:
        functions["schedule"] = schedule
    for name, function in functions.items():
        if not callable(function):
            kind = type(function).__name__
            raise TypeError(f"{name}: expected a function, got {kind}")
    return listed
