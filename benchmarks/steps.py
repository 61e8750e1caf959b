"""One step at a time against PyTorch's cells: ``python -m benchmarks.steps``.

A contestant's answer is checked against the oracle first. Speeds are in million steps
per second; the table after them shows microseconds per step.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .arena import Arena, make_parser
from .contestants import steps
from .contestants.base import Results
from .machine import describe_machine
from .oracle import check_results, compute_expected, relative_tolerance
from .report import deliver, layout
from .workloads import Workload, make_inputs

WORKLOADS = tuple(Workload("lstm", H, H, 1, 1000) for H in (32, 64, 128, 256))
FACTORIES = {
    name: f"{steps.__name__}:prepare_{name}" for name in ("fastrnn", "cython", "torch")
}


def compare_steps(arena: Arena, workload: Workload, options: Any) -> dict[str, Any]:
    """One row."""

    def check(results: Results, who: str) -> None:
        expected = {"y": compute_expected(workload, "inference")["y"]}
        check_results(
            results, expected, relative_tolerance(workload), workload.dtype, who
        )

    ready = arena.prepare(FACTORIES, (workload, make_inputs(workload)), check)
    row = {"name": workload.name, "mode": "steps", "workload": asdict(workload)}
    return row | arena.time(ready, options, work=1e-6 * workload.T)


def microseconds(row: dict[str, Any]) -> dict[str, float]:
    """Return microseconds per step, by contestant."""
    speed = row["threads"]["1"]["speed"]
    return {name: 1 / found["median"] for name, found in speed.items()}


def main(argv: list[str] | None = None) -> None:
    options = make_parser("steps", __doc__).parse_args(argv)
    arena = Arena([1])
    try:
        chosen = WORKLOADS[:1] if options.quick else WORKLOADS
        rows = [compare_steps(arena, workload, options) for workload in chosen]
    finally:
        arena.close()
    report = {
        "kind": "steps",
        "unit": "million steps a second",
        "machine": describe_machine(["fastrnn", "torch"]),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)
    names = [name for name in FACTORIES if name in rows[0]["threads"]["1"]["speed"]]
    body = [
        [row["name"], *(f"{microseconds(row)[name]:.3f}" for name in names)]
        for row in rows
    ]
    table = ["µs a step", *names], body
    print("\n" + layout(table, markdown=options.markdown))


if __name__ == "__main__":
    main()
