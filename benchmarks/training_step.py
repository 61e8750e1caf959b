"""Whole training steps against PyTorch: ``python -m benchmarks.training_step``.

Both start from the same weights and read the same batches; the losses of the first 20
steps have to agree within 1e-4 before anything is timed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from .arena import Arena, make_parser
from .contestants.base import Results
from .language_models import LANGUAGE_MODELS, LanguageModel
from .machine import describe_machine
from .report import deliver
from .timing import Key
from .worker import Worker

MODULES = {"fastrnn": "fastrnn_language_model", "torch": "pytorch_language_model"}
FACTORIES = {n: f"{__package__}.contestants.{m}:prepare" for n, m in MODULES.items()}
MOST_DIFFERENCE = 1e-4  # nats


class LossCheck:
    """Compares all first losses with those of the first contestant."""

    def __init__(self) -> None:
        self.first: Results | None = None

    def __call__(self, results: Results, who: str) -> None:
        losses = results["losses"]
        if not losses[-1] < losses[0]:
            raise AssertionError(f"{who}: it does not learn: {losses}")
        self.first = self.first or results
        worst = float(np.abs(losses - self.first["losses"]).max())
        if not worst <= MOST_DIFFERENCE:
            raise AssertionError(f"{who}: losses differ by {worst:.2e}: {losses}")


def compare_model(arena: Arena, model: LanguageModel, options: Any) -> dict[str, Any]:
    """One row; speed in thousand tokens per second."""
    ready: dict[Key, Worker] = arena.prepare(FACTORIES, (model,), LossCheck())
    row = {"name": model.name, "mode": "training step", "workload": asdict(model)}
    return row | arena.time(ready, options, work=1e-3 * model.tokens_a_step)


def main(argv: list[str] | None = None) -> None:
    p = make_parser("training_step", __doc__)
    names = list(LANGUAGE_MODELS)
    p.add_argument("--models", nargs="+", choices=names, default=names)
    options = p.parse_args(argv)
    arena = Arena(options.threads)
    try:
        models = [LANGUAGE_MODELS[name] for name in options.models]
        rows = [compare_model(arena, model, options) for model in models]
    finally:
        arena.close()
    report = {
        "kind": "training_step",
        "unit": "thousand tokens a second",
        "machine": describe_machine(FACTORIES),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)


if __name__ == "__main__":
    main()
