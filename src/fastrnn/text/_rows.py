"""Rows of tokens that a model reads one by one, and its logits after each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastrnn._gate.text import check_step
from fastrnn._layers.base import Layer
from fastrnn._layers.embedding import Embedding
from fastrnn._layers.linear import Linear
from fastrnn._layers.recurrent import RecurrentLayer
from fastrnn._layers.stepping import make_plan
from fastrnn._types import FloatArray, IntArray
from fastrnn.stepper import Stepper


class StepperRows:
    """Rows that go through a model step by step, all at once."""

    def __init__(self, model: Any, count: int, state: Any) -> None:
        self._stepper = Stepper(model, count)
        if state is not None:
            self._stepper.state = state

    def start(self, prompt: IntArray) -> FloatArray:
        """Read a prompt ``[T]`` with a single row, and return logits ``[1, V]``."""
        for token in prompt[:, np.newaxis]:
            logits = self.step(token)
        return logits

    def step(self, tokens: IntArray) -> FloatArray:
        """Read a token in each row, and return logits ``[N, V]``."""
        try:
            return self._stepper.step(tokens)
        except RuntimeError:  # the model was trained on since the last step
            self._stepper.refresh()
            return self._stepper.step(tokens)

    def spread(self, parents: IntArray) -> None:
        """Let there be as many rows as parents, each with the state of its parent."""
        state = take_rows(self._stepper.state, parents)
        self._stepper.reset()
        self._stepper.state = state


def take_rows(state: Any, rows: IntArray) -> Any:
    """Return the state of some rows; None is zeros, in any place."""
    if state is None:
        return None
    if isinstance(state, (tuple, list)):
        return tuple(take_rows(one, rows) for one in state)
    if not isinstance(state, np.ndarray) or state.ndim != 3:
        got = getattr(state, "shape", type(state).__name__)
        raise TypeError(f"state: expected arrays of shape (L*D, N, H), got {got}")
    if not rows.max() < state.shape[1]:
        raise ValueError(
            f"state: expected a row for each prompt, got shape {state.shape}"
        )
    return state[:, rows]


class FunctionRows:
    """Rows of a function, or of a model that cannot go step by step: one by one."""

    def __init__(self, model: Any, states: Iterable[Any]) -> None:
        self._model = model
        self._states = list(states)

    def start(self, prompt: IntArray) -> FloatArray:
        """Read a prompt ``[T]`` with a single row, and return logits ``[1, V]``."""
        return self._call(0, prompt[:, np.newaxis])[np.newaxis]

    def step(self, tokens: IntArray) -> FloatArray:
        """Read a token in each row, and return logits ``[N, V]``."""
        return np.stack(
            [self._call(n, tokens[n : n + 1, np.newaxis]) for n in range(len(tokens))]
        )

    def spread(self, parents: IntArray) -> None:
        """Let there be as many rows as parents, each with the state of its parent."""
        self._states = [self._states[n] for n in parents]

    def _call(self, n: int, x: IntArray) -> FloatArray:
        logits, self._states[n] = check_step(self._model(x, self._states[n]))
        dtype = logits.dtype if logits.dtype in (np.float32, np.float64) else np.float64
        return np.ascontiguousarray(logits, dtype)


def make_rows(model: Any, count: int, state: Any) -> StepperRows | FunctionRows:
    """Return that many rows; of a function ``state`` are the states, or None."""
    if goes_step_by_step(model):
        return StepperRows(model, count, state)
    if isinstance(model, Layer):
        states = [None if state is None else take_rows(state, np.array([n]))
                  for n in range(count)]  # fmt: skip
        return FunctionRows(model, states)
    if state is None:
        return FunctionRows(model, [None] * count)
    if not isinstance(state, (tuple, list)) or len(state) != count:
        got = type(state).__name__ if not hasattr(state, "__len__") else len(state)
        raise ValueError(f"state: expected a list of {count} states, got {got}")
    return FunctionRows(model, state)


def goes_step_by_step(model: Any) -> bool:
    if not isinstance(model, Layer):
        return False
    try:
        make_plan(model)
    except (TypeError, ValueError):
        return False
    return True


class EvalMode:
    """A model in eval mode; in the end it is back in the mode that it was in."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._was_training = False

    def enter(self) -> None:
        """Enter it, at the start or after somebody has left it."""
        if isinstance(self._model, Layer) and self._model.training:
            self._model.eval()
            self._was_training = True

    def leave(self) -> None:
        if self._was_training:
            self._model.train()


def check_model(model: Any) -> int | None:
    """Refuse a model that cannot go on from its own tokens; return how many it reads.

    Of a function nothing is known, and None is returned.
    """
    if not callable(model):
        kind = type(model).__name__
        raise TypeError(f"model: expected a Sequential or a function, got {kind}")
    if not isinstance(model, Layer):
        return None
    layers = list(leaves(model))
    for layer in layers:
        for option in ("bidirectional", "batch_first"):
            if getattr(layer, option, False):
                kind = type(layer).__name__
                raise ValueError(
                    f"model: expected {option}=False, got True in its {kind}"
                )
    known = [a for a in layers if isinstance(a, (Embedding, Linear, RecurrentLayer))]
    if known and not isinstance(known[-1], Linear):
        kind = type(known[-1]).__name__
        raise ValueError(
            f"model: expected a head that gives logits (Linear) as its last layer, "
            f"got {kind}"
        )
    if not known or isinstance(known[0], Linear):
        got = type(model).__name__
        raise ValueError(
            f"model: expected a layer that reads tokens (Embedding, or a recurrent "
            f"one) and a head, got a {got} without"
        )
    first: Any = known[0]
    head: Any = known[-1]
    V: int = first.num_embeddings if isinstance(first, Embedding) else first.input_size
    if head.out_features > V:
        raise ValueError(
            f"model: expected at most V = {V} logits (the tokens that it reads), "
            f"got {head.out_features}"
        )
    return V


def leaves(layer: Any) -> Iterator[Any]:
    """Yield the layers within a layer, in order; itself if there are none."""
    inner = getattr(layer, "layers", None)
    if not isinstance(inner, Mapping):
        yield layer
        return
    for one in inner.values():
        yield from leaves(one)
