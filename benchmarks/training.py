"""`fit` and an estimator against Keras and PyTorch: ``python -m benchmarks.training``.

An epoch of `fastrnn.fit` against Keras 3 on PyTorch and on JAX, from the same weights
and with the same batches; the losses of the first epochs have to agree. Then
`SequenceClassifier.fit` against the same network trained in PyTorch with packed rows.
Speeds are in sequences per second.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from .arena import Arena, make_parser
from .contestants import trainers
from .contestants.base import Results
from .contestants.trainers import Texts, Vectors
from .machine import describe_machine
from .report import deliver

TASKS: dict[str, Texts | Vectors] = {"fit": Texts(), "estimator": Vectors()}
CONTESTANTS = {
    "fit": {
        "fastrnn": "fastrnn",
        "keras-torch": "keras_torch",
        "keras-jax": "keras_jax",
    },
    "estimator": {"fastrnn": "estimator", "torch": "packed"},
}
# Nats. Keras has one bias where PyTorch and fastrnn have two, which Adam moves twice as
# far; the estimators draw other weights and other batches.
MOST_DIFFERENCE = {"fit": 0.01, "estimator": 0.2}


class LossCheck:
    """Compares the losses of the first epochs with those of the first contestant."""

    def __init__(self, most: float) -> None:
        self.most, self.first = most, None

    def __call__(self, results: Results, who: str) -> None:
        losses = results["losses"]
        self.first = losses if self.first is None else self.first
        worst = float(np.abs(losses - self.first).max())
        if not worst <= self.most:
            raise AssertionError(f"{who}: losses differ by {worst:.2e}: {losses}")


def compare(arena: Arena, kind: str, options: Any) -> dict[str, Any]:
    """One row; speed in sequences per second."""
    task: Any = TASKS[kind]
    if options.quick:
        task = replace(task, T=20)
    names = CONTESTANTS[kind].items()
    factories = {name: f"{trainers.__name__}:prepare_{f}" for name, f in names}
    ready = arena.prepare(factories, (task,), LossCheck(MOST_DIFFERENCE[kind]))
    row = {"name": task.name, "mode": kind, "workload": asdict(task)}
    return row | arena.time(ready, options, work=task.sequences)


def main(argv: list[str] | None = None) -> None:
    p = make_parser("training", __doc__)
    p.set_defaults(budget=15)
    p.add_argument("--kinds", nargs="+", choices=list(TASKS), default=list(TASKS))
    options = p.parse_args(argv)
    rows, skipped = [], {}
    for kind in options.kinds:
        arena = Arena(options.threads)  # Keras's backend is that of a process
        try:
            rows.append(compare(arena, kind, options))
            skipped |= arena.skipped
        finally:
            arena.close()
    report = {
        "kind": "training",
        "unit": "sequences a second",
        "machine": describe_machine(["fastrnn", "torch"]),
        "rows": rows,
        "skipped": skipped,
    }
    deliver(report, options)


if __name__ == "__main__":
    main()
