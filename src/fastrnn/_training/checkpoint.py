"""The file from which training goes on with the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastrnn._convert.files import load, save
from fastrnn._convert.files.whole import check_path
from fastrnn._layers.base import Layer
from fastrnn._training.history import Best, History
from fastrnn._training.optim.base import Optimizer

KIND = "fastrnn.fit"


class Checkpoint:
    """Everything that changes in training, in one file; None for no file.

    Parameters, the optimizer's state and learning rate, the generators that dropout and
    orders of batches draw from, the history, and the best parameters.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        model: Layer,
        optimizer: Optimizer,
        iterables: Iterable[Any],
        history: History,
        best: Best,
    ) -> None:
        self.path = None if path is None else check_path("checkpoint", path)
        self.model, self.optimizer = model, optimizer
        self.history, self.best = history, best
        self.generators = [
            owner.rng
            for owner in (*layers_of(model), *iterables)
            if isinstance(getattr(owner, "rng", None), np.random.Generator)
        ]

    def save(self) -> None:
        """Write the file, whole: the old one stays until the new one is complete."""
        if self.path is None:
            return
        history, best = self.history, self.best
        arrays = (
            prefixed("model.", self.model.state_dict())
            | prefixed("optimizer.", self.optimizer.state_dict())
            | prefixed("best.", best.state)
            | prefixed("history.", {k: np.array(v) for k, v in history.items()})
        )
        arrays["steps"] = np.array(history.steps)
        facts = {
            "generators": [listed(g.bit_generator.state) for g in self.generators],
            "lr": self.optimizer.lr,
            "best": [history.best, best.loss],
            "stopped": history.stopped,
        }
        save(self.path, arrays, facts, kind=KIND)

    def restore(self) -> None:
        """Return to where the file was written, or write the first one."""
        if self.path is None:
            return
        if not os.path.exists(self.path):
            self.save()  # an error comes now, not after an epoch
            return
        arrays, facts = load(self.path, kind=KIND)
        try:
            if len(facts["generators"]) != len(self.generators):
                raise ValueError(
                    f"expected {len(self.generators)} generators of random numbers "
                    f"(of layers and batches), got {len(facts['generators'])}"
                )
            for generator, state in zip(
                self.generators, facts["generators"], strict=True
            ):
                generator.bit_generator.state = state
            self.model.load_state_dict(below("model.", arrays))
            self.optimizer.load_state_dict(below("optimizer.", arrays))
        except (KeyError, TypeError, ValueError) as error:
            reason = error.args[0] if error.args else error
            raise ValueError(
                f"checkpoint: expected one of this model, optimizer and batches, "
                f"got {self.path!r}: {reason}"
            ) from error
        self.optimizer.lr = facts["lr"]
        history, best = self.history, self.best
        history.update(
            {name: a.tolist() for name, a in below("history.", arrays).items()}
        )
        history.steps[:] = arrays["steps"].tolist()
        history.stopped = facts["stopped"]
        history.best, best.loss = facts["best"]
        best.state = below("best.", arrays)


def layers_of(layer: Layer) -> Iterator[Any]:
    """Yield a layer and all that are in it."""
    yield layer
    for child in layer._children():
        yield from layers_of(child)  # type: ignore[arg-type]


def prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: a for name, a in arrays.items()}


def below(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): a
        for name, a in arrays.items()
        if name.startswith(prefix)
    }


def listed(state: Any) -> Any:
    """Return a generator's state as JSON can hold it."""
    if isinstance(state, Mapping):
        return {name: listed(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state
