"""`fastrnn.jax` against ``lax.scan``: ``python -m benchmarks.jax_calls``.

Training, with the gradients of everything, of one layer whose inputs are as wide as it
is. The scans are those of ``contestants/jax_scan.py``: ``jax`` differentiates by JAX,
``jax-vjp`` has the weights' gradient by hand. The first row is a small call, beside the
NumPy function.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from .arena import Arena, make_parser
from .contestants.base import Results
from .machine import describe_machine
from .oracle import check_sequence
from .report import deliver
from .workloads import Workload, make_inputs

SCANS = {"jax": "jax_scan:prepare", "jax-vjp": "jax_scan:prepare_vjp"}
SEQUENCES = {"fastrnn": "fastrnn_jax:prepare", **SCANS}
CALLS = {"fastrnn": "fastrnn_jax:prepare", "numpy": "fastrnn_kernels:prepare_call"}
SIZES = ((256, 32, 100), (32, 1, 10))  # H, N, T
SMALL = Workload("lstm", 4, 8, 1, 3)


def compare(
    arena: Arena,
    contestants: dict[str, str],
    workload: Workload,
    mode: str,
    options: Any,
) -> dict[str, Any]:
    """One row; speed in calls a second."""

    def check(results: Results, who: str) -> None:
        check_sequence(results, workload, mode, who)

    factories = {n: f"{__package__}.contestants.{f}" for n, f in contestants.items()}
    ready = arena.prepare(factories, (workload, make_inputs(workload), mode), check)
    row = {"name": workload.name, "mode": mode, "workload": asdict(workload)}
    return row | arena.time(ready, options, work=1.0)


def main(argv: list[str] | None = None) -> None:
    options = make_parser("jax_calls", __doc__).parse_args(argv)
    arena = Arena(options.threads)
    try:
        rows = [compare(arena, CALLS, SMALL, "inference", options)]
        for H, N, T in SIZES:
            for cell in ("lstm", "gru", "rnn"):
                workload = Workload(cell, H, H, N, T)
                rows.append(compare(arena, SEQUENCES, workload, "training", options))
                print(workload.name, file=sys.stderr, flush=True)
    finally:
        arena.close()
    report = {
        "kind": "sequences",
        "unit": "calls/s",
        "machine": describe_machine(["fastrnn", "jax"]),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)


if __name__ == "__main__":
    main()
