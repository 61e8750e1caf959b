"""Schedules of the learning rate for `fastrnn.fit`.

A schedule is a function ``schedule(epoch, history)`` that returns the factor of the
optimizer's learning rate for one step. ``epoch`` is the number of epochs at the middle
of the step (2.5 is halfway through the third), ``history`` what `fastrnn.fit` returns,
as it is before that epoch. Any such function will do: ``lambda epoch, history: 1 -
epoch / 10`` falls to 0 in ten epochs.

::

    schedule = fastrnn.schedules.warmup(1, fastrnn.schedules.cosine(9))
    fastrnn.fit(model, batches, optimizer=adam, epochs=10, schedule=schedule)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fastrnn._gate.arguments import as_real, check_integer, check_number

__all__ = ["cosine", "exponential", "plateau", "warmup"]

Schedule: TypeAlias = Callable[[float, Mapping[str, Any]], float]


def cosine(epochs: float, *, final: float = 0.0) -> Schedule:
    """Fall from 1 to ``final`` along half a cosine: slowly, fast, slowly.

    ``final + (1 - final) * (1 + cos(pi * epoch / epochs)) / 2``, and ``final`` after
    ``epochs``.

    Parameters
    ----------
    epochs : float
        Greater than 0.
    final : float
        At least 0.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
    2017.

    Examples
    --------
    >>> schedule = fastrnn.schedules.cosine(10)
    >>> schedule(0, {}), schedule(5, {}), schedule(10, {})
    (1.0, 0.5, 0.0)
    """
    epochs = check_epochs(epochs)
    final = check_number("final", final)

    def schedule(epoch: float, history: Mapping[str, Any]) -> float:
        part = min(epoch / epochs, 1)
        return final + (1 - final) * (1 + math.cos(math.pi * part)) / 2

    return schedule


def warmup(epochs: float, then: Schedule | None = None) -> Schedule:
    """Rise from 0 to 1 in a straight line, then follow another schedule.

    Parameters
    ----------
    epochs : float
        How long the rise takes; greater than 0.
    then : schedule, optional
        It counts its epochs from the end of the rise. Without it the factor stays 1.

    Examples
    --------
    >>> schedule = fastrnn.schedules.warmup(2)
    >>> schedule(0.5, {}), schedule(3, {})
    (0.25, 1.0)
    """
    epochs = check_epochs(epochs)
    if then is not None and not callable(then):
        kind = type(then).__name__
        raise TypeError(f"then: expected a schedule (a function), got {kind}")

    def schedule(epoch: float, history: Mapping[str, Any]) -> float:
        if epoch < epochs:
            return epoch / epochs
        return 1.0 if then is None else then(epoch - epochs, history)

    return schedule


def exponential(factor: float) -> Schedule:
    """Fall by a factor per epoch: ``factor**epoch``.

    Parameters
    ----------
    factor : float
        Greater than 0, at most 1.
    """
    rate = check_number("factor", factor)
    if not 0 < rate <= 1:
        raise ValueError(f"factor: expected 0 < factor <= 1, got {factor}")

    def schedule(epoch: float, history: Mapping[str, Any]) -> float:
        return float(rate**epoch)

    return schedule


def plateau(
    factor: float = 0.5, patience: int = 3, *, threshold: float = 1e-4
) -> Schedule:
    """Multiply by ``factor`` whenever the loss has stopped falling.

    The loss is that on the validation batches if there are any, of training otherwise.
    After ``patience`` epochs without one that is lower than the lowest before by more
    than the share ``threshold``, the learning rate is multiplied by ``factor``, and
    counting begins anew.

    Parameters
    ----------
    factor : float
        ``0 <= factor < 1``.
    patience : int
        At least 1.
    threshold : float
        ``0 <= threshold < 1``.
    """
    factor = check_number("factor", factor, below=1)
    patience = check_integer("patience", patience, 1)
    threshold = check_number("threshold", threshold, below=1)

    def schedule(epoch: float, history: Mapping[str, Any]) -> float:
        # All from the history: there is nothing else to save with a checkpoint.
        lowest, waited, rate = math.inf, 0, 1.0
        for loss in history.get("validation") or history["loss"]:
            if loss < lowest and not loss >= lowest - threshold * abs(lowest):
                lowest, waited = loss, 0
            else:
                waited += 1
            if waited >= patience:
                rate, waited = rate * factor, 0
        return rate

    return schedule


def check_epochs(epochs: Any) -> float:
    number = as_real("epochs", epochs)
    if not 0 < number < math.inf:
        raise ValueError(f"epochs: expected a finite number > 0, got {epochs}")
    return number
