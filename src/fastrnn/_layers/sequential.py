"""`Sequential`: layers one after another, with flat parameters across all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, Literal, TypeAlias, overload

from numpy.typing import ArrayLike

from fastrnn._gate.arguments import check_flag
from fastrnn._layers.base import Layer
from fastrnn._layers.composite import Composite
from fastrnn._layers.row import ALL_WANTS, check_row, one_layout, row_sizes
from fastrnn._types import FloatArray

State: TypeAlias = tuple[Any, ...]  # a state for every layer that has one


class Sequential(Composite):
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
    _gives_dh = True
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
        self.input_size, self.output_size = row_sizes(row)
        self.batch_first = one_layout(row)
        self.removes_time = any(layer.removes_time for layer in row.values())
        super().__init__(row, dtype)

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
        layers = self._layers.values()
        how = self._how(lengths, padding, resets, batch_first)
        states = one_each("state", state, layers)
        self._forget()
        y, final = walk(layers, x, states, how)
        self._remember(self._calls())
        return y, tuple(final)

    def cross_entropy(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        state: State | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        weights: FloatArray | None = None,
        class_weights: FloatArray | None = None,
        label_smoothing: float = 0.0,
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
        ignore_index, reduction, weights, class_weights, label_smoothing
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
        if not hasattr(head, "cross_entropy"):
            kind = type(head).__name__
            raise TypeError(f"cross_entropy: expected Linear as last layer, got {kind}")
        how = self._how(lengths, padding, resets, batch_first)
        *states, initial = one_each("state", state, self._layers.values())
        self._forget()
        y, final = walk(body, x, states, how)
        loss_of = partial(
            head.cross_entropy, ignore_index=ignore_index, reduction=reduction,
            weights=weights, class_weights=class_weights,
            label_smoothing=label_smoothing,
        )  # fmt: skip
        if any(layer.removes_time for layer in body):
            how = {}
        options = wanted_by(head, how) if how else how
        if head.has_state:
            loss, after = loss_of(y, targets, initial, **options)
            final.append(after)
        else:
            loss = loss_of(y, targets, **options)
        self._remember(self._calls())
        return loss, tuple(final)

    @overload
    def backward(
        self,
        dy: Any = None,
        dstate: State | None = None,
        *,
        return_dh: Literal[False] = False,
    ) -> tuple[FloatArray | None, State]: ...

    @overload
    def backward(
        self,
        dy: Any = None,
        dstate: State | None = None,
        *,
        return_dh: Literal[True],
    ) -> tuple[FloatArray | None, State, dict[str, FloatArray]]: ...

    def backward(
        self,
        dy: Any = None,
        dstate: State | None = None,
        *,
        return_dh: bool = False,
    ) -> Any:
        """Carry gradients back through the last call, and add to `grads`.

        Parameters
        ----------
        dy : array, or None after `cross_entropy`
            Gradient of ``y``; for `Heads` as the last layer a dict.
        dstate : tuple, optional
            Gradients of the final states; each can be None.
        return_dh : bool
            Whether to return the total gradient that reaches each state of the
            recurrent layers as well.

        Returns
        -------
        dx : array or None
            Gradient of ``x``; None for tokens.
        dstate : tuple
            Gradients of the initial states.
        dh : dict of str to [T, N, H]
            With ``return_dh``: by name of the layer and as there, ``"rnn.l0"``.

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
        return_dh = check_flag("return_dh", return_dh)
        self._require_no_call_since()
        upstream = one_each("dstate", dstate, self._layers.values())
        dinitial: list[Any] = []
        dh: dict[str, FloatArray] | None = {} if return_dh else None
        layers = reversed(self._layers.items())
        for (name, layer), dfinal in zip(layers, reversed(upstream), strict=True):
            if layer.has_state:
                dy, before = go_back(name, layer, dy, dfinal, dh)
                dinitial.append(before)
            else:
                dy = layer.backward(dy)
        self._last_calls.here.dh = dh
        found = dy, tuple(reversed(dinitial))
        return found if dh is None else (*found, dh)

    def _how(
        self, lengths: Any, padding: Any, resets: Any, batch_first: Any
    ) -> dict[str, Any]:
        """Return what layers can want, unless it is as by default."""
        mine = self.batch_first
        if batch_first is None:
            batch_first = mine
        elif check_flag("batch_first", batch_first) != mine and mine is not None:
            raise ValueError(
                f"batch_first: expected {mine} (that of the layers), got {batch_first}"
            )
        return not_default(lengths, padding, resets, batch_first)


def not_default(
    lengths: Any, padding: Any, resets: Any, batch_first: bool | None
) -> dict[str, Any]:
    """Return what layers can want, unless it is as by default."""
    how = {}
    if lengths is not None:
        how["lengths"] = lengths
    if not isinstance(padding, str) or padding != "right":
        how["padding"] = padding
    if resets is not None:
        how["resets"] = resets
    if batch_first:
        how["batch_first"] = True
    return how


def one_each(name: str, state: Any, layers: Collection[Layer]) -> list[Any]:
    """Return a state for every layer, None for those that have none."""
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


def wanted_by(layer: Layer, how: dict[str, Any]) -> dict[str, Any]:
    return {name: how[name] for name in layer.wants if name in how}


def walk(
    layers: Iterable[Layer], x: Any, states: list[Any], how: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """Return the output of the last layer, and the final states of all with a state."""
    final = []
    for layer, initial in zip(layers, states, strict=True):
        options = wanted_by(layer, how) if how else how
        if layer.has_state:
            x, after = layer(x, initial, **options)
            final.append(after)
        else:
            x = layer(x, **options)
        if layer.removes_time:
            how = {}
    return x, final


def go_back(
    name: str, layer: Layer, dy: Any, dfinal: Any, dh: dict[str, FloatArray] | None
) -> tuple[Any, Any]:
    """Return dx and the gradient of the initial state; ``dh`` is added to."""
    if dh is None or not layer._gives_dh:
        dx, before = layer.backward(dy, dfinal)
        return dx, before
    dx, before, inner = layer.backward(dy, dfinal, return_dh=True)
    dh.update((f"{name}.{key}", a) for key, a in inner.items())
    return dx, before
