"""What happened in training, and the best parameters so far."""

from __future__ import annotations

import math
from typing import Any

from fastrnn._layers.base import Layer


class History(dict[str, list[float]]):
    """The losses of training, by name: a list with one number for each epoch.

    ``history["loss"]`` is the mean loss of an epoch's steps, each with the parameters
    as they were then; ``history["validation"]`` is the loss on the validation batches
    after the epoch. ``fastrnn.plot.losses(history)`` draws them. A callback may add
    lists of its own: ``history.add(accuracy=0.9)``.

    Attributes
    ----------
    steps : list of float
        The loss of every step.
    best : int or None
        With ``patience``: the epoch, counted from 1, with the lowest loss so far.
    stopped : bool
        Training has ended before its last epoch. A callback may set it to end training
        after the epoch.
    """

    __module__ = "fastrnn"

    def __init__(self) -> None:
        super().__init__(loss=[])
        self.steps: list[float] = []
        self.best: int | None = None
        self.stopped = False

    @property
    def epochs(self) -> int:
        """The number of epochs so far."""
        return len(self["loss"])

    def add(self, **values: float) -> None:
        """Add a number to the list of each name."""
        for name, value in values.items():
            self.setdefault(name, []).append(float(value))

    def monitored(self) -> list[float]:
        """Return the losses that early stopping goes by: validation, if there is."""
        return self.get("validation") or self["loss"]


class Best:
    """The parameters of the best epoch so far, for early stopping."""

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.loss = math.inf
        self.state: dict[str, Any] = {}

    def update(self, model: Layer, history: History) -> None:
        """Look at an epoch that is over: keep its parameters, or lose patience."""
        if self.patience is None:
            return
        loss = history.monitored()[-1]
        if loss < self.loss:
            self.loss, self.state = loss, model.state_dict()
            history.best = history.epochs
        if history.epochs - (history.best or 0) >= self.patience:
            history.stopped = True

    def put_back(self, model: Layer) -> None:
        """Give the model the best parameters, if there are any."""
        if self.state:
            model.load_state_dict(self.state)
