"""A Keras text classifier, before and after: ``python -m benchmarks.keras_training``.

A training step (``train_on_batch``, Adam) of an embedding, a bidirectional layer and a
dense one, with a mask that is padded on the left. On Keras's torch backend with and
without ``fastrnn.keras.accelerate()``, and on its other backends where they are
installed. The losses of the first steps have to agree before anything is timed.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .arena import Arena, make_parser
from .contestants import keras_classifier
from .contestants.base import Results
from .contestants.keras_classifier import Classifier
from .machine import describe_machine
from .report import deliver

CELLS = ("LSTM", "GRU", "SimpleRNN")
CONTESTANTS = ("fastrnn", "torch", "jax", "tensorflow")
MOST_DIFFERENCE = 1e-4  # nats


class SameLosses:
    """Compares all first losses with those of the first contestant."""

    def __init__(self) -> None:
        self.first: Any = None

    def __call__(self, results: Results, who: str) -> None:
        losses = results["losses"]
        self.first = losses if self.first is None else self.first
        worst = float(np.abs(losses - self.first).max())
        if not worst <= MOST_DIFFERENCE:
            raise AssertionError(f"{who}: losses differ by {worst:.2e}: {losses}")


def compare(arena: Arena, task: Classifier, names: Any, options: Any) -> dict[str, Any]:
    """One row; speed in rows of the batch per second."""
    factories = {n: f"{keras_classifier.__name__}:prepare_{n}" for n in names}
    ready = arena.prepare(factories, (task,), SameLosses())
    row = {"name": task.name, "mode": "training step", "workload": asdict(task)}
    return row | arena.time(ready, options, work=float(task.N))


def versions() -> dict[str, str]:
    found = {}
    for name in ("keras", "torch", "jax", "tensorflow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main(argv: list[str] | None = None) -> None:
    p = make_parser("keras_training", __doc__)
    p.set_defaults(rounds=11, budget=30)
    p.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    p.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    options = p.parse_args(argv)
    arena = Arena(options.threads)
    try:
        rows = [
            compare(arena, Classifier(cell), options.contestants, options)
            for cell in options.cells
        ]
    finally:
        arena.close()
    report = {
        "kind": "keras_training",
        "unit": "rows a second",
        "machine": describe_machine(("fastrnn",)) | versions(),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)


if __name__ == "__main__":
    main()
