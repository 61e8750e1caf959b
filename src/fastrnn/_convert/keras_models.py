"""The layers of a Keras model, in the order in which data goes through them."""

from __future__ import annotations

from typing import Any


def kind_of(layer: Any) -> str:
    """Return the name of a class of Keras's; a class of another's has none."""
    kind = type(layer)
    root = kind.__module__.partition(".")[0]
    return kind.__name__ if root in ("keras", "tf_keras") else ""


def chain(source: Any) -> list[Any]:
    """Return the layers of a model without the models among them, or the layer.

    Raises
    ------
    ValueError
        Data does not go through one layer after another, or that is not known.
    """
    kind = kind_of(source)
    if kind == "Sequential":
        layers = list(source.layers)
    elif kind == "Functional":
        layers = walk_back(source)
    elif hasattr(source, "layers"):
        raise ValueError(
            f"{source.name}: expected a Sequential or functional model, got "
            f"{type(source).__name__}, whose call is not known; convert its layers, or "
            f"pass get_weights() if they follow one another"
        )
    else:
        return [source]
    inner = [found for layer in layers for found in chain(layer)]
    seen: set[int] = set()
    for layer in inner:
        if id(layer) in seen:
            raise ValueError(f"{layer.name}: expected a layer used once, got it twice")
        seen.add(id(layer))
    return inner


def walk_back(model: Any) -> list[Any]:
    """Return the layers between the input and the output of a functional model."""
    for what, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise ValueError(
                f"{model.name}: expected one {what}, got {len(tensors)}: a branch"
            )
    layers = []
    tensor = model.outputs[0]
    while True:
        operation, node_index, tensor_index = tensor._keras_history[:3]
        node = operation._inbound_nodes[node_index]
        inputs = node.input_tensors
        layers.append(operation)
        if not inputs:
            return layers[::-1]
        name = operation.name
        if not hasattr(operation, "get_weights"):
            got = type(operation).__name__
            raise ValueError(f"{name}: expected a layer, got the operation {got}")
        if len(inputs) != 1:
            raise ValueError(f"{name}: expected one input, got {len(inputs)}: a branch")
        if tensor_index:
            raise ValueError(f"{name}: expected its first output, got another: a state")
        arguments = node.arguments
        given = [f"{k}={v!r}" for k, v in arguments.kwargs.items() if v is not None]
        if given == ["training=False"] and not drops_out(operation):
            given = []
        if len(arguments.args) > 1 or given:
            raise ValueError(
                f"{name}: expected a call with nothing but the input, "
                f"got {', '.join(given) or 'other arguments'}"
            )
        tensor = inputs[0]


def drops_out(layer: Any) -> bool:
    """Say whether a layer may compute something else in training."""
    signs = ("rate", "dropout", "recurrent_dropout", "layers", "layer")
    return any(getattr(layer, sign, None) for sign in signs)
