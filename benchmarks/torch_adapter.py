"""PyTorch models before and after the one line: ``python -m benchmarks.torch_adapter``.

Modules with autograd, dense and packed; one step without gradients, and the time that
the adapter adds to the bare function there; a whole word model, with PyTorch's loss and
with `fastrnn.torch.linear_cross_entropy`. All answers are compared first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .arena import Arena, make_parser
from .contestants import torch_modules
from .contestants.base import Results
from .contestants.torch_modules import Case
from .machine import describe_machine
from .oracle import check_results
from .report import deliver

TOLERANCE = 1e-4  # of a result's norm, for float32
CELLS = ("lstm", "gru", "rnn")
CASES = {
    "dense": [
        Case("dense", cell, H, N, 50 if H < 256 else 25)
        for cell in CELLS
        for H in (64, 128, 256, 512)
        for N in (16, 64)
    ],
    "packed": [
        Case("packed", cell, H, 32, 100, D)
        for cell in CELLS
        for D in (1, 2)
        for H in (64, 128, 256)
    ],
    "step": [Case("step", cell, 64, 1, 1) for cell in CELLS],
    "words": [Case("words", "lstm", 256, 20, 35)],
}
CONTESTANTS = {
    "dense": ("fastrnn", "torch"),
    "packed": ("fastrnn", "torch"),
    "step": ("fastrnn", "torch", "functions"),
    "words": ("fastrnn", "torch", "accelerated"),
}


class SameAnswers:
    """Compares all results with those of the first contestant."""

    def __init__(self) -> None:
        self.first: Results | None = None

    def __call__(self, results: Results, who: str) -> None:
        self.first = self.first or results
        check_results(results, self.first, TOLERANCE, "float32", who)


def compare_case(arena: Arena, case: Case, options: Any) -> dict[str, Any]:
    """One row; speed in calls per second."""
    names = CONTESTANTS[case.kind]
    factories = {n: f"{torch_modules.__name__}:prepare_{n}" for n in names}
    ready = arena.prepare(factories, (case,), SameAnswers())
    row = {"name": case.name, "mode": case.kind, "workload": asdict(case)}
    return row | arena.time(ready, options, work=1.0)


def overheads(rows: list[dict[str, Any]]) -> list[str]:
    """Return the microseconds per call that the module adds to the bare function."""
    lines = []
    for row in rows:
        for threads, found in row["threads"].items():
            if row["mode"] == "step" and "functions" in found["speed"]:
                ours, bare = (
                    1e6 / found["speed"][n]["median"] for n in ("fastrnn", "functions")
                )
                lines.append(
                    f"{row['name']}, {threads} threads: {ours:.1f} µs, bare function "
                    f"{bare:.1f} µs, adapter {ours - bare:.1f} µs"
                )
    return lines


def main(argv: list[str] | None = None) -> None:
    p = make_parser("torch_adapter", __doc__)
    p.set_defaults(rounds=11, budget=4)
    p.add_argument("--kinds", nargs="+", choices=list(CASES), default=list(CASES))
    p.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    options = p.parse_args(argv)
    arena = Arena(options.threads)
    try:
        chosen = [
            [c for c in CASES[k] if c.cell in options.cells] for k in options.kinds
        ]
        cases = [
            case for cases in chosen for case in cases[: 1 if options.quick else None]
        ]
        rows = [compare_case(arena, case, options) for case in cases]
    finally:
        arena.close()
    report = {
        "kind": "torch_adapter",
        "unit": "calls a second",
        "machine": describe_machine(("fastrnn", "torch")),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)
    print("\n".join(["", *overheads(rows)]))


if __name__ == "__main__":
    main()
