"""`Sequential`: layers one after another, with flat parameters across all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import check_flag
from fastrnn._layers.base import Layer
from fastrnn._layers.describe import Line, code_of_row
from fastrnn._layers.parameters import Parameters
from fastrnn._layers.row import ALL_WANTS, check_row, one_layout, row_sizes
from fastrnn._types import FloatArray

State: TypeAlias = tuple[Any, ...]  # a state for every layer that has one


class Sequential(Layer):
    """Layers one after another, as one layer.

    Attributes
    ----------
    layers : mapping of str to layer
        By name, in order; read-only. Each can still be used by itself.
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
        adam = fastrnn.Adam(model)
        state = None
        for tokens, targets in batches:  # [T, N]
            loss, state = model.cross_entropy(tokens, targets, state)
            model.zero_grad()
            model.backward()
            fastrnn.clip_grad_norm(model, 1.0)
            adam.step()
    """

    __module__ = "fastrnn"

    has_state = True
    wants = ALL_WANTS

    def __init__(self, /, *layers: Layer, **named: Layer) -> None:
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
            None at all, one layer twice or in another model, or one that does not take
            what comes before.

        Notes
        -----
        A layer is in one model at a time, however nested. The arrays that `flat_params`
        and `params` of the layers gave before are retired: they are read-only, and an
        optimizer of them raises at its next step. Make the optimizer after the model,
        or give it layers in place of arrays. NumPy cannot take back what was derived
        from those arrays earlier (a slice, a tensor that shares their memory): to write
        there is without effect on the model.
        """
        if layers and named:
            raise TypeError("layers: expected all with names or none, got both")
        row: dict[str, Any] = named or {str(i): a for i, a in enumerate(layers)}
        dtype = check_row(row)
        self._layers: dict[str, Layer] = row
        self.input_size, self.output_size = row_sizes(row)
        self.batch_first = one_layout(row)
        shapes = {
            f"{name}.{key}": shape
            for name, layer in row.items()
            for key, shape in layer._shapes.items()
        }
        super().__init__(shapes, dtype)

    @property
    def layers(self) -> Mapping[str, Any]:
        """The layers by name, in order; read-only."""
        return MappingProxyType(self._layers)

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

    def train(self) -> Sequential:
        """Put all layers in training mode."""
        for layer in self._layers.values():
            layer.train()
        return super().train()

    def eval(self) -> Sequential:
        """Put all layers in eval mode."""
        for layer in self._layers.values():
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
        batch_first: bool | None = None,
    ) -> tuple[FloatArray, State]:
        """Run all layers.

        Parameters
        ----------
        x : array
            The input of the first layer.
        state : tuple, optional
            The initial state of every layer that has one, in order; each can be None,
            which is zeros.
        lengths, padding, resets
            For the layers that want them; see `LSTM` and `Embedding`.
        batch_first : bool, optional
            The layout, ``[N, T, ...]`` or not, for layers that take both. Left out, it
            is that of the layers that have one.

        Returns
        -------
        y : array
            The output of the last layer.
        state : tuple
            The final states, laid out as the initial ones.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        how = self._how(lengths, padding, resets, batch_first)
        states = self._one_each("state", state)
        self._forget()
        final: list[Any] = []
        for layer, initial in zip(self._layers.values(), states, strict=True):
            x = run_layer(layer, layer, x, initial, how, final)
        self._remember(self._calls())
        y: Any = x
        return y, tuple(final)

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
        batch_first: bool | None = None,
    ) -> tuple[Any, State]:
        """Run all layers, and return the cross-entropy of the last one's outputs.

        ``backward()`` without a gradient is then that of the loss; see
        `Linear.cross_entropy`.

        Parameters
        ----------
        x, state, lengths, padding, resets, batch_first
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
            The last layer has no ``cross_entropy``, or a type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        *body, head = self._layers.values()
        head_loss = getattr(head, "cross_entropy", None)
        if head_loss is None:
            kind = type(head).__name__
            raise TypeError(f"cross_entropy: expected Linear as last layer, got {kind}")
        how = self._how(lengths, padding, resets, batch_first)
        *states, head_state = self._one_each("state", state)
        self._forget()
        final: list[Any] = []
        for layer, initial in zip(body, states, strict=True):
            x = run_layer(layer, layer, x, initial, how, final)
        run = partial(
            head_loss, targets=targets, ignore_index=ignore_index, reduction=reduction
        )
        loss = run_layer(head, run, x, head_state, how, final)
        self._remember(self._calls())
        return loss, tuple(final)

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
            There was no call in this thread yet, the last one was in eval mode, or a
            layer was called by itself since.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        for name, then, now in zip(
            self._layers, self._recall("backward"), self._calls(), strict=True
        ):
            if now != then:
                raise RuntimeError(
                    f"backward: expected no call since that of the model, got one of "
                    f"its layer {name}"
                )
        upstream = self._one_each("dstate", dstate)
        dinitial: list[Any] = []
        layers = reversed(self._layers.values())
        for layer, dfinal in zip(layers, reversed(upstream), strict=True):
            if layer.has_state:
                dy, before = layer.backward(dy, dfinal)
                dinitial.append(before)
            else:
                dy = layer.backward(dy)
        return dy, tuple(reversed(dinitial))

    def _how(
        self, lengths: Any, padding: Any, resets: Any, batch_first: Any
    ) -> dict[str, Any]:
        """Return everything that a layer can want."""
        mine = self.batch_first
        if batch_first is None:
            batch_first = mine
        elif check_flag("batch_first", batch_first) != mine and mine is not None:
            raise ValueError(
                f"batch_first: expected {mine} (that of the layers), got {batch_first}"
            )
        return dict(
            zip(ALL_WANTS, (lengths, padding, resets, batch_first), strict=True)
        )

    def _calls(self) -> list[int]:
        """Return how many calls each layer has had in this thread."""
        return [layer._last_call.count for layer in self._layers.values()]

    def _one_each(self, name: str, state: Any) -> list[Any]:
        """Return a state for every layer, None for those that have none."""
        layers = self._layers.values()
        if state is None:
            return [None] * len(layers)
        if not isinstance(state, (tuple, list)):
            kind = type(state).__name__
            raise TypeError(f"{name}: expected a tuple of states, got {kind}")
        count = sum(layer.has_state for layer in layers)
        if len(state) != count:
            raise ValueError(f"{name}: expected {count} states, got {len(state)}")
        given: Iterator[Any] = iter(state)
        return [next(given) if layer.has_state else None for layer in layers]


def run_layer(
    layer: Layer,
    run: Callable[..., Any],
    x: Any,
    initial: Any,
    how: dict[str, Any],
    final: list[Any],
) -> Any:
    """Return the output of a layer; its state, if it has one, goes to ``final``."""
    wanted = {name: how[name] for name in layer.wants}
    if not layer.has_state:
        return run(x, **wanted)
    y, after = run(x, state=initial, **wanted)
    final.append(after)
    return y
