"""Beam search: the likeliest texts that a model continues a prompt with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._functional.softmax import log_softmax
from fastrnn._gate.arguments import check_integer, check_number, check_size
from fastrnn._gate.text import MOST_ID, check_prompt
from fastrnn._layers.base import Layer
from fastrnn._types import FloatArray, IntArray
from fastrnn.text._rows import (
    EvalMode,
    FunctionRows,
    StepperRows,
    check_model,
    make_rows,
)


class Hypothesis(NamedTuple):
    """A continuation of the prompt.

    Attributes
    ----------
    ids : [n] int64
        The continuation, without ``stop``.
    log_probability : float
        Its logarithm, in nats, that of ``stop`` included.
    score : float
        ``log_probability / steps ** length_penalty``, where ``steps`` counts ``stop``.
    """

    ids: IntArray
    log_probability: float
    score: float


def beam_search(
    model: Callable[..., tuple[Any, Any]],
    prompt: ArrayLike,
    length: int,
    *,
    beams: int = 4,
    stop: int | None = None,
    length_penalty: float = 0.0,
    state: Any = None,
) -> list[Hypothesis]:
    """Search for the likeliest continuations of a prompt.

    At every step each hypothesis is continued by every id, and the ``beams`` likeliest
    go on. One that ends with ``stop`` is set aside. The search ends after ``length``
    steps, or when no hypothesis can become better than ``beams`` that have ended.

    Parameters
    ----------
    model : Sequential, or a function
        As for `generate`. A function must not change a state that it is given: several
        hypotheses may go on from it.
    prompt : [T] integer
        The tokens before; at least one.
    length : int
        The largest number of ids.
    beams : int
        How many hypotheses go on at every step, and how many are returned at most.
    stop : int, optional
        The id that ends a hypothesis, for example ``vocabulary.eos``.
    length_penalty : float
        Hypotheses are compared by ``log_probability / steps ** length_penalty``. 0
        favours short ones, as each step makes a text less likely; 1 compares the mean
        of a step.
    state
        The state of the model before the prompt.

    Returns
    -------
    list of Hypothesis
        The best first: those that have ended, and those of ``length`` ids.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong, or a value is out of range.

    References
    ----------
    A. Graves, "Sequence transduction with recurrent neural networks", 2012; the
    penalty as in Y. Wu et al., "Google's neural machine translation system", 2016,
    without their offset.
    """
    prompt = check_prompt(prompt, check_model(model))
    length = min(check_integer("length", length, 0), MOST_ID)
    beams = check_size("beams", beams)
    if stop is not None:
        stop = check_integer("stop", stop, 0)
    search = Search(length, beams, stop, check_number("length_penalty", length_penalty))
    mode = EvalMode(model)
    mode.enter()
    try:
        state = state if isinstance(model, Layer) else [state]
        return search.run(make_rows(model, 1, state), prompt)
    finally:
        mode.leave()


class Search:
    """A search: the hypotheses that go on, and those that have ended."""

    def __init__(
        self, length: int, beams: int, stop: int | None, penalty: float
    ) -> None:
        self.length, self.beams, self.stop, self.penalty = length, beams, stop, penalty
        self.ids = np.zeros((1, 0), np.int64)  # [hypotheses, steps]
        self.sums = np.zeros(1)  # of their log-probabilities
        self.ended: list[Hypothesis] = []  # the best first

    def run(
        self, rows: StepperRows | FunctionRows, prompt: IntArray
    ) -> list[Hypothesis]:
        if self.length:
            logits = rows.start(prompt)
        for step in range(1, self.length + 1):
            parents = self.go_on(logits, step)
            if not parents.size or self.is_decided():
                return self.ended
            if step < self.length:
                rows.spread(parents)
                logits = rows.step(self.ids[:, -1])
        for ids, total in zip(self.ids, self.sums, strict=True):
            self.set_aside(ids, float(total), max(self.length, 1))
        return self.ended

    # What overflows here is a probability of 0, as it should be.
    @np.errstate(all="ignore")
    def go_on(self, logits: FloatArray, step: int) -> IntArray:
        """Choose the hypotheses that go on, and return which each continues."""
        most = logits.max(axis=1)
        if not np.isfinite(most).all():
            raise ValueError(f"logits: expected a finite maximum, got {most.min()}")
        sums = self.sums[:, np.newaxis] + log_softmax(logits.astype(np.float64))
        V = sums.shape[1]
        if self.stop is not None and self.stop < V:
            for ids, total in zip(self.ids, sums[:, self.stop], strict=True):
                self.set_aside(ids, float(total), step)
            sums[:, self.stop] = -np.inf
        best = likeliest(sums.ravel(), self.beams)
        parents, ids = np.divmod(best, V)
        self.sums = sums.ravel()[best]
        self.ids = np.concatenate([self.ids[parents], ids[:, np.newaxis]], axis=1)
        return parents

    def set_aside(self, ids: IntArray, total: float, steps: int) -> None:
        """Keep a hypothesis that has ended, if it is among the best."""
        if math.isinf(total):
            return
        self.ended.append(Hypothesis(ids, total, self.score(total, steps)))
        self.ended.sort(key=lambda one: -one.score)
        del self.ended[self.beams :]

    def score(self, total: float, steps: int) -> float:
        with np.errstate(over="ignore"):  # infinite for a huge penalty
            return total / float(np.float64(steps) ** self.penalty)

    def is_decided(self) -> bool:
        """Return whether none that goes on can become better than those that ended.

        Its log-probability only falls, and at best is divided by the whole length.
        """
        if len(self.ended) < self.beams:
            return False
        return self.score(float(self.sums[0]), self.length) <= self.ended[-1].score


def likeliest(sums: Any, count: int) -> IntArray:
    """Return the places of the largest numbers, the largest first; none is -inf."""
    count = min(count, sums.size)
    places = np.argpartition(-sums, count - 1)[:count]
    places = places[np.lexsort((places, -sums[places]))]
    found: IntArray = places[sums[places] > -np.inf]
    return found
