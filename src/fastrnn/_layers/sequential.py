"""`Sequential`: layers one after another, with flat parameters across all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._layers.base import Layer
from fastrnn._layers.dropout import Dropout
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.recurrent import RecurrentLayer
from fastrnn._types import FloatArray

State: TypeAlias = tuple[Any, ...]  # a state for every layer that has one


class Sequential(Layer):
    """Layers one after another, as one layer.

    Attributes
    ----------
    layers : dict of str to layer
        By name, in order. Each can still be used by itself.
    params, grads : dict of str to array
        Views under the names of PyTorch's modules, ``rnn.weight_ih_l0``, into the flat
        arrays of the whole model; the layers' own parameters are views of the same.

    Examples
    --------
    ::

        model = fastrnn.Sequential(
            embedding=fastrnn.Embedding(V, 64, seed=rng),
            rnn=fastrnn.LSTM(64, 128, seed=rng),
            head=fastrnn.Linear(128, V, seed=rng),
        )
        adam = fastrnn.Adam(model.flat_params)
        state = None
        for tokens, targets in batches:  # [T, N]
            loss, state = model.cross_entropy(tokens, targets, state)
            model.zero_grad()
            model.backward()
            fastrnn.clip_grad_norm(model.flat_grads, 1.0)
            adam.step(model.flat_grads)
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        """Put layers in a row; their parameters move into the model's flat arrays.

        Parameters
        ----------
        layers : layers
            Named by their place: ``"0"``, ``"1"``, ...
        named : layers
            Under their own names, in place of the others.

        Raises
        ------
        TypeError
            No layer, layers with and without names, or two dtypes.
        ValueError
            None at all, one layer twice, or one that does not take what comes before.

        Notes
        -----
        Arrays that `flat_params` and `params` of the layers gave before are not theirs
        any more: make an optimizer after the model.
        """
        if layers and named:
            raise TypeError("layers: expected all with names or none, got both")
        found: dict[str, Any] = named or {str(i): a for i, a in enumerate(layers)}
        dtype = check_layers(found)
        self.layers: dict[str, Layer] = found
        super().__init__(
            {
                f"{name}.{key}": shape
                for name, layer in found.items()
                for key, shape in layer._shapes.items()
            },
            dtype,
        )

    def _make_views(self) -> None:
        super()._make_views()
        start = 0
        for layer in self.layers.values():
            end = start + layer.flat_params.size
            layer._move(self._flat_params[start:end], self._flat_grads[start:end])
            start = end

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_flat_params"], state["_flat_grads"]  # the layers bring their own
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        size = sum(layer.flat_params.size for layer in state["layers"].values())
        flat = {name: np.zeros(size, state["dtype"]) for name in ("params", "grads")}
        super().__setstate__(
            state | {f"_flat_{name}": array for name, array in flat.items()}
        )

    def train(self) -> Sequential:
        """Put all layers in training mode."""
        for layer in self.layers.values():
            layer.train()
        return super().train()

    def eval(self) -> Sequential:
        """Put all layers in eval mode."""
        for layer in self.layers.values():
            layer.eval()
        return super().eval()

    def __call__(
        self,
        x: ArrayLike,
        state: State | None = None,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        resets: ArrayLike | None = None,
    ) -> tuple[FloatArray, State]:
        """Run all layers.

        Parameters
        ----------
        x : array
            What the first layer takes.
        state : tuple, optional
            The initial state of every recurrent layer, in order; each can be None,
            which is zeros.
        lengths, padding, resets
            For the recurrent layers; see there.

        Returns
        -------
        y : array
            What the last layer gives.
        state : tuple
            The final states, laid out as the initial ones.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        self._begin()
        how = {"lengths": lengths, "padding": padding, "resets": resets}
        y, final = self._run(list(self.layers.values()), x, state, how)
        self._keep(True)
        return y, final

    def cross_entropy(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        state: State | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        lengths: ArrayLike | None = None,
        padding: str = "right",
        resets: ArrayLike | None = None,
    ) -> tuple[Any, State]:
        """Run all layers, and return the cross-entropy of the last one's outputs.

        ``backward()`` without a gradient is then that of the loss; see
        `Linear.cross_entropy`.

        Parameters
        ----------
        x, state, lengths, padding, resets
            As for a call.
        targets : [...] integer
            A class for every row that reaches the last layer, or ``ignore_index``.
        ignore_index, reduction
            See `linear_cross_entropy`.

        Returns
        -------
        loss : scalar, or [...] for ``"none"``
            In nats.
        state : tuple
            The final states.

        Raises
        ------
        TypeError
            The last layer is no `Linear`, or a type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        *body, head = self.layers.values()
        if not isinstance(head, Linear):
            kind = type(head).__name__
            raise TypeError(f"cross_entropy: expected Linear as last layer, got {kind}")
        self._begin()
        how = {"lengths": lengths, "padding": padding, "resets": resets}
        y, final = self._run(body, x, state, how)
        loss = head.cross_entropy(
            y, targets, ignore_index=ignore_index, reduction=reduction
        )
        self._keep(True)
        return loss, final

    def backward(
        self, dy: FloatArray | None = None, dstate: State | None = None
    ) -> tuple[FloatArray | None, State]:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : array, or None after `cross_entropy`
            Gradient of ``y``.
        dstate : tuple, optional
            Gradients of the final states; each can be None.

        Returns
        -------
        dx : array or None
            Gradient of ``x``; None for tokens.
        dstate : tuple
            Gradients of the initial states.

        Raises
        ------
        RuntimeError
            There was no call yet, or the last one was in eval mode.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        self._kept("backward")
        layers = list(self.layers.values())
        upstream = self._one_each("dstate", dstate, layers)
        dinitial: list[Any] = []
        for layer, dfinal in zip(reversed(layers), reversed(upstream), strict=True):
            if has_state(layer):
                dy, found = layer.backward(dy, dfinal)  # type: ignore[attr-defined]
                dinitial.append(found)
            else:
                dy = layer.backward(dy)  # type: ignore[attr-defined]
        return dy, tuple(reversed(dinitial))

    def _run(
        self, layers: list[Layer], x: Any, state: State | None, how: dict[str, Any]
    ) -> tuple[Any, State]:
        final = []
        for layer, initial in zip(
            layers, self._one_each("state", state, layers), strict=True
        ):
            if has_state(layer):
                x, after = layer(x, initial, **how)  # type: ignore[operator]
                final.append(after)
            else:
                x = layer(x)  # type: ignore[operator]
        return x, tuple(final)

    def _one_each(self, name: str, state: Any, layers: list[Layer]) -> list[Any]:
        """Return a state for every layer, None for those that have none."""
        count = sum(map(has_state, layers))
        if state is None:
            return [None] * len(layers)
        if not isinstance(state, (tuple, list)):
            kind = type(state).__name__
            raise TypeError(f"{name}: expected a tuple of states, got {kind}")
        if len(state) != count:
            raise ValueError(f"{name}: expected {count} states, got {len(state)}")
        given: Iterator[Any] = iter(state)
        return [next(given) if has_state(layer) else None for layer in layers]


def has_state(layer: Layer) -> bool:
    return isinstance(layer, (RecurrentLayer, Sequential))


def check_layers(layers: dict[str, Any]) -> Any:
    """Return the dtype of layers that can follow one another."""
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    for name, layer in layers.items():
        if not isinstance(layer, Layer):
            kind = type(layer).__name__
            raise TypeError(f"{name}: expected a layer, got {kind}")
        if "." in name:
            raise ValueError(f"{name}: expected a name without a dot")
    dtype, dtype_of = None, ""
    for name, layer in layers.items():
        if isinstance(layer, Dropout):
            continue
        if dtype is None:
            dtype, dtype_of = layer.dtype, name
        if layer.dtype != dtype:
            raise TypeError(
                f"{name}: expected dtype {dtype} (that of {dtype_of}), "
                f"got {layer.dtype}"
            )
    seen: dict[int, str] = {}
    width, width_of = None, ""
    for name, layer in layers.items():
        if id(layer) in seen:
            raise ValueError(
                f"{name}: expected a layer of its own, got that of {seen[id(layer)]}"
            )
        seen[id(layer)] = name
        takes, gives = widths(layer)
        if width is not None and takes not in (None, width):
            raise ValueError(
                f"{name}: expected {width} inputs (the outputs of {width_of}), "
                f"got a layer of {takes}"
            )
        if gives is not None:
            width, width_of = gives, name
    return dtype or np.dtype(np.float32)


def widths(layer: Layer) -> tuple[int | None, int | None]:
    """Return how many inputs and outputs a step has; None for any."""
    if isinstance(layer, RecurrentLayer):
        directions = 2 if layer.bidirectional else 1
        return layer.input_size, directions * layer.hidden_size
    if isinstance(layer, Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, Embedding):
        return None, layer.embedding_dim
    if isinstance(layer, Sequential):
        inner = [widths(a) for a in layer.layers.values()]
        gives = [w for _, w in inner if w is not None]
        return inner[0][0], gives[-1] if gives else None
    return None, None
