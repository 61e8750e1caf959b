"""Losses with their gradients against PyTorch: ``python -m benchmarks.losses``.

3200 rows each. Every answer is checked against the reference first. Speeds are in
million rows per second. PyTorch's `ctc_loss` is taken of a `log_softmax`, as fastrnn's
is of logits.
"""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

import numpy as np

from .arena import Arena, make_parser
from .contestants import losses
from .contestants.base import Results
from .contestants.losses import OF_NUMBERS, LossCall
from .machine import describe_machine
from .oracle import check_results
from .report import deliver

CALLS = (
    *(LossCall(name, V) for name in OF_NUMBERS for V in (1, 30)),
    LossCall("mean_squared_error", 30, weighted=True),
    LossCall("binary_cross_entropy", 30, weighted=True),
    *(LossCall("linear_cross_entropy", V) for V in (10, 30, 1000)),
    LossCall("linear_cross_entropy", 30, weighted=True),
    *(LossCall(f, V) for f in ("softmax", "log_softmax") for V in (10, 30, 100, 1000)),
    LossCall("ctc_loss", 30),
)
FACTORIES = {n: f"{losses.__name__}:prepare_{n}" for n in ("fastrnn", "torch")}

expected = functools.cache(losses.compute_expected)


def check_loss(results: Results, call: LossCall, who: str) -> float:
    """Return the largest relative error, as `oracle.check_results`."""
    # PyTorch adds up a mean in float32, and a row's alignments too.
    longest = call.T * call.N if call.loss != "ctc_loss" else 30 * call.T * call.N
    tolerance = float(4 * np.sqrt(longest) * np.finfo(call.dtype).eps)
    label = f"{who} on {call.name}"
    return check_results(results, expected(call), tolerance, call.dtype, label)


def compare_loss(arena: Arena, call: LossCall, options: Any) -> dict[str, Any]:
    """One row; speed in million rows per second."""
    ready = arena.prepare(FACTORIES, (call,), lambda r, who: check_loss(r, call, who))
    row = {"name": call.name, "mode": "loss and gradient", "workload": asdict(call)}
    return row | arena.time(ready, options, work=1e-6 * call.T * call.N)


def main(argv: list[str] | None = None) -> None:
    p = make_parser("losses", __doc__)
    p.set_defaults(threads=[1], budget=1.0)
    names = list(dict.fromkeys(call.loss for call in CALLS))
    p.add_argument("--losses", nargs="+", choices=names, default=names)
    options = p.parse_args(argv)
    arena = Arena(options.threads)
    try:
        calls = [call for call in CALLS if call.loss in options.losses]
        rows = [compare_loss(arena, call, options) for call in calls]
    finally:
        arena.close()
    report = {
        "kind": "losses",
        "unit": "million rows a second",
        "machine": describe_machine(FACTORIES),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)


if __name__ == "__main__":
    main()
