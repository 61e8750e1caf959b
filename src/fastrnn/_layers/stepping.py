"""What a stepper runs: the layers of a model, one after another, and their states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastrnn._layers.activation import Activation
from fastrnn._layers.base import Layer
from fastrnn._layers.dropout import Dropout
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.normalise import BatchNorm, LayerNorm
from fastrnn._layers.recurrent import RecurrentLayer
from fastrnn._layers.sequential import Sequential, one_each
from fastrnn._types import DType, FloatArray

# StepKind in csrc/include/fastrnn/stepper.h.
KINDS = (
    "embedding", "recurrent", "linear", "relu", "tanh", "sigmoid", "gelu",
    "layer_norm", "batch_norm",
)  # fmt: skip

KNOWN: tuple[type[Layer], ...] = (
    Embedding, Linear, Activation, Dropout, LayerNorm, BatchNorm,
)  # fmt: skip
STEPPED = "RNN, GRU, LSTM, " + ", ".join(one.__name__ for one in KNOWN)


class Stage(NamedTuple):
    """A layer of a model that does something in eval mode."""

    kind: int  # its place in `KINDS`
    layer: Any
    inputs: int  # or of an embedding, its tokens
    outputs: int


class Plan(NamedTuple):
    """The layers of a model in order, and what they read."""

    stages: list[Stage]
    dtype: DType
    takes_tokens: bool
    takes_floats: bool
    owners: list[Layer]  # of the parameters
    watched: list[FloatArray]  # all that is read

    @property
    def inputs(self) -> int:
        """The numbers of a step's input, or of tokens: ``I``."""
        return self.stages[0].inputs

    @property
    def outputs(self) -> int:
        return self.stages[-1].outputs

    @property
    def recurrent(self) -> list[RecurrentLayer[Any]]:
        layers = [stage.layer for stage in self.stages]
        return [layer for layer in layers if isinstance(layer, RecurrentLayer)]


def make_plan(layer: Any) -> Plan:
    """Return how to step through a recurrent layer or a model.

    Raises
    ------
    TypeError
        It is no such layer, or has one that cannot go step by step.
    ValueError
        A layer has an option with which it cannot, or no layer is recurrent.
    """
    if not isinstance(layer, (RecurrentLayer, Sequential)):
        kind = type(layer).__name__
        raise TypeError(
            f"layer: expected a layer RNN, GRU or LSTM, or a Sequential, got {kind}"
        )
    leaves = list(leaves_of("", layer))
    for path, leaf in leaves:
        check_leaf(f" in its {path}" if path else "", leaf)
    layers = [leaf for _, leaf in leaves]
    if not any(isinstance(leaf, RecurrentLayer) for leaf in layers):
        raise ValueError("layer: expected at least one recurrent layer, got none")
    stages = make_stages(layers, layer.input_size)
    first = stages[0].layer
    for path, leaf in leaves:
        if isinstance(leaf, Embedding) and leaf is not first:
            raise ValueError(
                f"layer: expected an Embedding as the first layer only, got {path}"
            )
    if isinstance(first, Embedding) and layers[0] is not first:
        raise ValueError(
            f"layer: expected Embedding as the first layer, got "
            f"{type(layers[0]).__name__} before it"
        )
    takes_tokens = isinstance(layers[0], (Embedding, RecurrentLayer))
    owners, watched = read_by(layer, layers)
    return Plan(
        stages, layer.dtype, takes_tokens, not isinstance(first, Embedding),
        owners, watched,
    )  # fmt: skip


def leaves_of(path: str, layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the layers within a model, in order, with their names."""
    if type(layer).__call__ is not Sequential.__call__:
        yield path, layer
        return
    for name, inner in layer.layers.items():
        yield from leaves_of(f"{path}.{name}" if path else name, inner)


def check_leaf(where: str, layer: Any) -> None:
    if isinstance(layer, RecurrentLayer):
        if layer.bidirectional:
            raise ValueError(f"layer: expected bidirectional=False, got True{where}")
        if layer.zoneout > 0:
            raise ValueError(f"layer: expected zoneout=0, got {layer.zoneout:g}{where}")
        return
    # A class that is derived from one of these may compute something else.
    if not any(type(layer).__call__ is one.__call__ for one in KNOWN):
        raise TypeError(
            f"layer: expected layers that go step by step ({STEPPED}), "
            f"got {type(layer).__name__}{where}"
        )


def make_stages(layers: list[Any], width: Any) -> list[Stage]:
    """Return the stages of layers whose first takes ``width`` numbers."""
    stages = []
    for layer in layers:
        if isinstance(layer, Dropout):
            continue
        outputs = layer.output_size or width
        inputs = layer.input_size or width
        if isinstance(layer, Embedding):
            inputs = layer.num_embeddings
        stages.append(Stage(KINDS.index(kind_of(layer)), layer, inputs, outputs))
        width = outputs
    return stages


def kind_of(layer: Any) -> str:
    if isinstance(layer, RecurrentLayer):
        return "recurrent"
    if isinstance(layer, Activation):
        return layer.name
    names = {Embedding: "embedding", Linear: "linear", LayerNorm: "layer_norm"}
    return next((v for k, v in names.items() if isinstance(layer, k)), "batch_norm")


def read_by(
    model: Layer, layers: Iterable[Any]
) -> tuple[list[Layer], list[FloatArray]]:
    """Return the owners of the parameters of a model, and the arrays that it reads."""
    owners, watched = [model], [model.flat_params]
    inside = {id(layer) for layer in layers}
    for layer in layers:
        if isinstance(layer, Linear) and layer.tied is not None:
            tied = layer.tied
            if id(tied) not in inside:
                inside.add(id(tied))
                owners.append(tied)
                watched.append(tied.weight)
        watched.extend(layer.buffers.values())
    return owners, [a for a in watched if a.size]


# --- states --------------------------------------------------------------------------


def nest(layer: Any, states: Iterator[FloatArray]) -> Any:
    """Return the arrays of all recurrent layers as the model's state."""
    if isinstance(layer, Sequential):
        inner = layer.layers.values()
        return tuple(nest(one, states) for one in inner if one.has_state)
    own = tuple(next(states) for _ in layer._row.states)
    return own if len(own) > 1 else own[0]


def unnest(name: str, value: Any, layer: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the state of each recurrent layer with its name, and that layer.

    Raises
    ------
    TypeError
        The state of a model is no tuple.
    ValueError
        It has another length.
    """
    if not isinstance(layer, Sequential):
        yield name, value, layer
        return
    inner = layer.layers.values()
    states = one_each(name, value, inner)
    place = 0
    for one, state in zip(inner, states, strict=True):
        if one.has_state:
            yield from unnest(f"{name}[{place}]", state, one)
            place += 1
