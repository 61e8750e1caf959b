"""Linear head and loss against PyTorch: ``python -m benchmarks.linear_cross_entropy``.

Time by alternating rounds; memory as the growth of a fresh process's peak over one
call.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from .arena import Arena, make_parser
from .contestants import heads
from .contestants.base import Results
from .contestants.heads import Head
from .machine import describe_machine
from .memory import MemoryUnavailableError, measure_growth
from .oracle import check_results
from .report import deliver

HEADS = (Head(700), Head(3200))
FACTORIES = {
    name: f"{heads.__name__}:prepare_{name}"
    for name in ("fastrnn", "torch", "reference")
}


@functools.cache
def compute_expected(head: Head) -> Results:
    """Return results of the reference in float64 on the contestants' values."""
    *arrays, targets = heads.make_inputs(head)
    exact = [array.astype(np.float64) for array in arrays]
    return heads.from_fastrnn(heads.load_reference()(*exact, targets))


def check_head(results: Results, head: Head, who: str) -> float:
    """Return ``4·sqrt(K)·eps`` of the norm, as `oracle.relative_tolerance`."""
    longest = max(head.rows, head.V, head.H)
    tolerance = float(4 * np.sqrt(longest) * np.finfo(head.dtype).eps)
    return check_results(results, compute_expected(head), tolerance, head.dtype, who)


def measure_memory(head: Head, arena: Arena) -> dict[str, float]:
    """Bytes by contestant, on one thread."""
    small = (replace(head, rows=8, V=64), 1)
    growth: dict[str, float] = {}
    for name, factory in FACTORIES.items():
        try:
            growth[name] = measure_growth(factory, small, (head, 1), 1)
        except MemoryUnavailableError as error:
            arena.skipped[f"memory {name}"] = str(error)
    return growth


def compare_head(
    arena: Arena, head: Head, options: argparse.Namespace
) -> dict[str, Any]:
    ready = arena.prepare(FACTORIES, (head,), lambda r, who: check_head(r, head, who))
    row = {"name": head.name, "mode": "training", "workload": asdict(head)}
    row |= arena.time(ready, options, work=head.flops * 1e-9, peak_dtype=head.dtype)
    return row | {"memory": measure_memory(head, arena)}


def main(argv: list[str] | None = None) -> None:
    options = make_parser("linear_cross_entropy", __doc__).parse_args(argv)
    arena = Arena(options.threads)
    try:
        chosen = HEADS[:1] if options.quick else HEADS
        rows = [compare_head(arena, head, options) for head in chosen]
    finally:
        arena.close()
    report = {
        "kind": "linear_cross_entropy",
        "unit": "GFLOP/s",
        "machine": describe_machine(FACTORIES) | {"peak": arena.peak_isa},
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)
    for row in rows:
        text = ", ".join(f"{k} {v / 2**20:.1f} MiB" for k, v in row["memory"].items())
        print(f"\n{row['name']}: one call lifts peak memory by: {text}")


if __name__ == "__main__":
    main()
