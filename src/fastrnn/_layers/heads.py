"""`Heads`: several layers with the same input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import check_flag
from fastrnn._layers.base import Layer
from fastrnn._layers.composite import Composite
from fastrnn._layers.row import ALL_WANTS, check_row, one_layout
from fastrnn._layers.sequential import go_back, not_default, one_each, wanted_by
from fastrnn._types import FloatArray

State = tuple[Any, ...]  # a state for every head that has one


class Heads(Composite):
    """Several layers that get the same input, as one layer: a dict of outputs.

    Usually the last layer of a `Sequential`: a policy and a value, or several targets
    that are predicted from the same states.

    Attributes
    ----------
    layers : mapping of str to layer
        By name; read-only. Each can still be used by itself.
    params, grads : dict of str to array
        Views under the names of the layers, ``policy.weight``, into the flat arrays of
        all.

    Examples
    --------
    ::

        model = fastrnn.Sequential(
            rnn=fastrnn.GRU(I, 64),
            heads=fastrnn.Heads(
                policy=fastrnn.Linear(64, A), value=fastrnn.Linear(64, 1)
            ),
        )
        y, state = model(x)
        y["policy"], y["value"]  # [T, N, A], [T, N, 1]
        model.backward({"policy": dpolicy, "value": dvalue})
    """

    __module__ = "fastrnn"

    wants = ALL_WANTS

    def __init__(self, /, **layers: Layer) -> None:
        """Join layers; their parameters move into flat arrays of all.

        Parameters
        ----------
        layers : layers
            Under their names, which are those of the outputs.

        Raises
        ------
        TypeError
            No layer, or two dtypes.
        ValueError
            None at all, one layer twice or in another model, or two that expect
            different inputs.
        """
        dtype = check_row(layers)
        self.input_size = one_input(layers)
        self.batch_first = one_layout(layers)
        heads = layers.values()
        self.has_state = any(layer.has_state for layer in heads)
        self._gives_dh = self.has_state
        self.removes_time = all(layer.removes_time for layer in heads)
        super().__init__(dict(layers), dtype)

    def __call__(
        self,
        x: ArrayLike,
        state: State | None = None,
        *,
        lengths: ArrayLike | None = None,
        padding: str = "right",
        resets: ArrayLike | None = None,
        batch_first: bool | None = None,
    ) -> Any:
        """Run all layers on the same input.

        Parameters
        ----------
        x : array
            The input of each layer.
        state : tuple, optional
            The initial state of every layer that has one, in order; each can be None,
            which is zeros.
        lengths, padding, resets, batch_first
            For the layers that want them.

        Returns
        -------
        y : dict of str to array
            The outputs, by name. If a layer has a state, ``y, state``.

        Raises
        ------
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape or value is wrong.
        """
        if batch_first is not None:
            check_flag("batch_first", batch_first)
        how = not_default(lengths, padding, resets, batch_first)
        states = one_each("state", state, self._layers.values())
        self._forget()
        y: dict[str, Any] = {}
        final: list[Any] = []
        for (name, layer), initial in zip(self._layers.items(), states, strict=True):
            options = wanted_by(layer, how)
            if layer.has_state:
                y[name], after = layer(x, initial, **options)
                final.append(after)
            else:
                y[name] = layer(x, **options)
        self._remember(self._calls())
        return (y, tuple(final)) if self.has_state else y

    # NaN and Inf in the data pass through as IEEE arithmetic has them: no warning.
    @np.errstate(all="ignore")
    def backward(
        self,
        dy: Mapping[str, Any] | None,
        dstate: State | None = None,
        *,
        return_dh: bool = False,
    ) -> Any:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : dict of str to array, or None
            Gradients of the outputs; one that is left out or None is zero.
        dstate : tuple, optional
            Gradients of the final states; each can be None.
        return_dh : bool
            Whether to return the total gradient that reaches each state of the
            recurrent layers as well.

        Returns
        -------
        dx : array or None
            The sum of the gradients of ``x``; None for tokens, or without any gradient.
            If a layer has a state, ``dx, dstate``, with None for a layer that got no
            gradient. With ``return_dh``, a dict of them is appended, as `Sequential`
            does.

        Raises
        ------
        KeyError
            A name in ``dy`` is unknown.
        RuntimeError
            There was no call in this thread yet, the last one was in eval mode, or a
            layer was called by itself since.
        TypeError
            A type or dtype is wrong.
        ValueError
            A shape is wrong.
        """
        return_dh = check_flag("return_dh", return_dh)
        self._require_no_call_since()
        upstream = one_each("dstate", dstate, self._layers.values())
        given = {} if dy is None else check_gradients(dy, self._layers)
        dx: FloatArray | None = None
        dinitial: list[Any] = []
        dh: dict[str, FloatArray] | None = {} if return_dh else None
        for (name, layer), dfinal in zip(self._layers.items(), upstream, strict=True):
            d, found, before = given.get(name), None, None
            if layer.has_state and (d is not None or dfinal is not None):
                found, before = go_back(name, layer, d, dfinal, dh)
            elif d is not None:
                found = layer.backward(d)
            if layer.has_state:
                dinitial.append(before)
            if found is not None:
                dx = found if dx is None else dx + found
        self._last_calls.here.dh = dh
        parts = (dx, tuple(dinitial)) if self.has_state else (dx,)
        if dh is not None:
            return (*parts, dh)
        return parts if self.has_state else dx


def one_input(layers: Mapping[str, Layer]) -> int | None:
    """Return the size of the input, which must be one for all layers; None for any."""
    size, size_of = None, ""
    for name, layer in layers.items():
        if size is None:
            size, size_of = layer.input_size, name
        elif layer.input_size not in (None, size):
            raise ValueError(
                f"{name}: expected {size} inputs (those of {size_of}), "
                f"got a layer of {layer.input_size}"
            )
    return size


def check_gradients(dy: Any, layers: Mapping[str, Layer]) -> Mapping[str, Any]:
    if not isinstance(dy, Mapping):
        kind = type(dy).__name__
        raise TypeError(f"dy: expected a dict of gradients by name, got {kind}")
    unknown = [repr(name) for name in dy if name not in layers]
    if unknown:
        raise KeyError(
            f"dy: expected names among {', '.join(map(repr, layers))}, "
            f"got {', '.join(unknown)}"
        )
    return dy
