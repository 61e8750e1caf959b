"""Texts from a model: each id is drawn from its prediction and fed back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fastrnn._gate.arguments import check_integer, make_generator
from fastrnn._gate.text import (
    MOST_ID,
    How,
    are_several,
    check_how,
    check_prompt,
    check_prompts,
)
from fastrnn._layers.base import Layer
from fastrnn._types import IntArray
from fastrnn.text._rows import (
    EvalMode,
    FunctionRows,
    StepperRows,
    check_model,
    make_rows,
)
from fastrnn.text._sampling import draw


@overload
def generate(
    model: Callable[..., tuple[Any, Any]],
    prompt: NDArray[np.integer[Any]] | Sequence[int],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: int | None = None,
    state: Any = None,
    seed: int | np.random.Generator | None = None,
) -> Iterator[int]: ...


@overload
def generate(
    model: Callable[..., tuple[Any, Any]],
    prompt: Sequence[NDArray[np.integer[Any]]] | Sequence[Sequence[int]],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: int | None = None,
    state: Any = None,
    seed: int | np.random.Generator | None = None,
) -> list[IntArray]: ...


def generate(
    model: Callable[..., tuple[Any, Any]],
    prompt: Any,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    stop: int | None = None,
    state: Any = None,
    seed: int | np.random.Generator | None = None,
) -> Any:
    """Draw ids, each from the model's prediction, and feed them back to it.

    Parameters
    ----------
    model : Sequential, or a function
        ``logits, state = model(x, state)`` with int64 tokens ``x [T, 1]`` and ``logits
        [T, 1, V]``. A `Sequential` must run forwards in time, take time first and end
        in a `Linear`. It is in eval mode from the first id until the ids are exhausted
        or dropped, then back in the mode it was in; meanwhile its parameters are
        read-only until ``model.train()``, as a `fastrnn.Stepper` does the steps.
    prompt : [T] integer, or a list of such
        The tokens before; at least one. Several prompts may have different lengths:
        all rows go through the model together.
    length : int
        The largest number of ids, for each prompt.
    temperature, top_k, top_p
        As in `choose`.
    stop : int, optional
        Stop before this id, for example ``vocabulary.eos``; each row for itself.
    state
        The state of the model before the prompt. With several prompts, one with a row
        for each, or of a function a list of states.
    seed : int or numpy.random.Generator, optional
        The source of all randomness. What is drawn for one of several prompts depends
        on their number and on its place, but not on the other prompts.

    Returns
    -------
    iterator of int
        The ids, one by one as they are drawn.
    list of [n] int64
        With several prompts: the ids for each, ``0 <= n <= length``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, or a value is out of range.
    """
    how = check_how(temperature, top_k, top_p)
    V = check_model(model)
    several = are_several(prompt)
    prompts = check_prompts(prompt, V) if several else [check_prompt(prompt, V)]
    length = min(check_integer("length", length, 0), MOST_ID)
    if stop is not None:
        stop = check_integer("stop", stop, 0)
    rng = make_generator(seed)
    if several:
        return draw_rows(model, prompts, length, stop, state, how, rng)
    # Another function draws, so that bad arguments raise here, not at the first id.
    return draw_ids(model, prompts[0], length, stop, state, how, rng)


def draw_ids(
    model: Any,
    prompt: IntArray,
    length: int,
    stop: int | None,
    state: Any,
    how: How,
    rng: np.random.Generator,
) -> Iterator[int]:
    mode = EvalMode(model)
    rows: StepperRows | FunctionRows | None = None
    ids = prompt
    try:
        for _ in range(length):
            # Once, unless the caller trains on between two ids.
            mode.enter()
            if rows is None:
                state = [state] if not isinstance(model, Layer) else state
                rows = make_rows(model, 1, state)
                logits = rows.start(prompt)
            else:
                logits = rows.step(ids)
            ids = draw(logits, rng.random(1), how)
            i = int(ids[0])
            if i == stop:
                return
            yield i
    finally:
        mode.leave()


def draw_rows(
    model: Any,
    prompts: list[IntArray],
    length: int,
    stop: int | None,
    state: Any,
    how: How,
    rng: np.random.Generator,
) -> list[IntArray]:
    """Let all rows read their prompts from the first step on, and then go on."""
    N = len(prompts)
    if length == 0:
        return [np.empty(0, np.int64) for _ in prompts]
    lengths = np.array([len(prompt) for prompt in prompts])
    tokens = np.zeros((lengths.max(), N), np.int64)
    for n, prompt in enumerate(prompts):
        tokens[: len(prompt), n] = prompt
    drawn = Drawn(N, rng)
    ended = np.full(N, length)  # how many ids a row has
    mode = EvalMode(model)
    mode.enter()
    try:
        rows, x = make_rows(model, N, state), tokens[0]
        for t in range(int(lengths.max()) + length - 1):
            logits = rows.step(x)
            k = t + 1 - lengths  # the place of the id that comes next
            going = np.flatnonzero((k >= 0) & (k < ended))
            x = tokens[t + 1].copy() if t + 1 < len(tokens) else np.zeros(N, np.int64)
            if going.size:
                at = k[going], going
                ids = draw(logits[going], drawn.uniforms(at), how)
                drawn.ids[at] = x[going] = ids
                if stop is not None:
                    at_end = going[ids == stop]
                    ended[at_end] = k[at_end]
            if (k + 1 >= ended).all():
                break
    finally:
        mode.leave()
    return [drawn.ids[: ended[n], n].copy() for n in range(N)]


class Drawn:
    """What is drawn in each row, ``[places, N]``, and from which uniform numbers."""

    def __init__(self, N: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._uniforms = np.empty((0, N))
        self.ids = np.empty((0, N), np.int64)

    def uniforms(self, at: tuple[IntArray, IntArray]) -> Any:
        """Return the uniform numbers of these places and rows."""
        N = self.ids.shape[1]
        while at[0].max() >= len(self.ids):
            more = max(16, len(self.ids))
            self._uniforms = np.concatenate(
                [self._uniforms, self._rng.random((more, N))]
            )
            self.ids = np.concatenate([self.ids, np.empty((more, N), np.int64)])
        return self._uniforms[at]
