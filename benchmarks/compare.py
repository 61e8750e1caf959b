"""Alternating comparison of whole sequences: ``python -m benchmarks.compare``.

Each contestant and thread count has its own process, and its answer is checked against
the oracle. Then all take turns, together with the machine's multiply-add peak. The
output is ratios of speed within a round, median and (quartiles); above 1, fastrnn is
faster.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .arena import Arena, make_parser
from .contestants import CONTESTANTS
from .contestants.base import Results
from .machine import describe_machine
from .oracle import check_sequence
from .report import deliver
from .workloads import (
    MODES,
    SWEEP,
    WORKLOADS,
    Workload,
    make_inputs,
    select_workloads,
)

QUICK_WORKLOADS = ["lstm-I=64", "lstm-I=32-", "rnn-I=32-"]


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    p = make_parser("compare", __doc__)
    known = list(CONTESTANTS)
    p.add_argument(
        "--workloads", nargs="+", metavar="TEXT", help="parts of their names"
    )
    p.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    p.add_argument("--contestants", nargs="+", choices=known, default=known)
    p.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    p.add_argument(
        "--sweep", action="store_true", help="every cell over H, for 1 and 32 rows"
    )
    p.add_argument("--png", type=Path, metavar="FILE")
    options = p.parse_args(argv)
    if options.quick and not options.workloads:
        options.workloads = QUICK_WORKLOADS
    return options


def compare_sequences(
    arena: Arena, workload: Workload, mode: str, options: argparse.Namespace
) -> dict[str, Any]:
    """One row: speeds in GFLOP/s, ratios and shares, each with its quartiles."""

    def check(results: Results, who: str) -> None:
        check_sequence(results, workload, mode, who)

    factories = {name: CONTESTANTS[name].factory for name in options.contestants}
    ready = arena.prepare(factories, (workload, make_inputs(workload), mode), check)
    gflop = workload.flops(mode) * 1e-9
    row = {"name": workload.name, "mode": mode, "workload": asdict(workload)}
    return row | arena.time(ready, options, work=gflop, peak_dtype=workload.dtype)


def main(argv: list[str] | None = None) -> None:
    options = parse_arguments(argv)
    among = SWEEP if options.sweep else WORKLOADS
    workloads = select_workloads(options.workloads, options.dtype, among)
    arena = Arena(options.threads)
    rows = []
    start = time.monotonic()
    try:
        for mode in options.modes:
            for workload in workloads:
                rows.append(compare_sequences(arena, workload, mode, options))
                note = f"{time.monotonic() - start:5.0f} s  {workload.name} ({mode})"
                print(note, file=sys.stderr, flush=True)
    finally:
        arena.close()
    report = {
        "kind": "sequences",
        "unit": "GFLOP/s",
        "machine": describe_machine(options.contestants) | {"peak": arena.peak_isa},
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)
    if options.png:
        from .plot import draw

        draw(report, options.png)


if __name__ == "__main__":
    main()
