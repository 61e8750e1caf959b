"""The cost of a layer's options: ``python -m benchmarks.layer_options``.

Forward and backward of a layer with unequal lengths, resets, recurrent dropout, zoneout
or weight dropout against the same layer without (the contestant ``without``), and with
unequal lengths against PyTorch's packed sequences. The cost is time ÷ time without, for
the same number of valid steps: 1 means free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from .arena import Arena, make_parser
from .contestants import layers
from .contestants.layers import LayerCall, compute_expected
from .machine import describe_machine
from .oracle import check_results, relative_tolerance
from .report import deliver
from .timing import Spread
from .workloads import Workload

CELLS = ("rnn", "gru", "lstm")
FASTRNN, TORCH = (f"{layers.__name__}:prepare_{name}" for name in ("fastrnn", "torch"))


def make_rows() -> Iterator[tuple[str, LayerCall, LayerCall]]:
    """Yield the option's name, the call, and the call to compare it with."""
    dense = [LayerCall(cell, H) for cell in CELLS for H in (128, 256)]
    for call in dense:
        yield "lengths", replace(call, ragged=True), call
    for call in dense[::2]:
        both = replace(call, bidirectional=True)
        yield "lengths, bidirectional", replace(both, ragged=True), both
    for call in dense:
        yield "resets", replace(call, resets=0.1), call
    for rate in layers.RATES:
        for call in dense:
            yield rate, replace(call, **{rate: 0.25}), call
    for cell in CELLS:
        short = LayerCall(cell, 128, N=1)
        yield "length 10 000", replace(short, T=10_000), short


def compare_row(
    arena: Arena, mode: str, call: LayerCall, other: LayerCall, options: Any
) -> dict[str, Any]:
    """One row; speed in thousand valid steps of a row per second."""

    def check(call: LayerCall) -> Any:
        workload = Workload(call.cell, call.H, call.H, call.N, call.T)
        expected, tolerance = compute_expected(call), relative_tolerance(workload)
        return lambda results, who: check_results(
            results, expected, tolerance, "float32", f"{who} on {call.name}"
        )

    names = {"fastrnn": FASTRNN}
    if call.ragged:
        names["torch"] = TORCH
    ready = arena.prepare(names, (call,), check(call))
    ready |= arena.prepare({"without": FASTRNN}, (other,), check(other))
    row = {"name": call.name, "mode": mode, "workload": asdict(call)}
    row |= arena.time(ready, options, work=1e-3 * call.T * call.N * call.valid_share)
    # Speeds count the call's own steps; the other call has more or fewer.
    share = call.T * call.valid_share / other.T
    for entry in row["threads"].values():
        entry["cost"] = option_cost(entry["ratio"].pop("without"), share)
    return row


def option_cost(ratio: dict[str, float], share: float) -> dict[str, float]:
    """Turn time without ÷ time into time per step ÷ time per step without."""
    cost = {name: 1 / (share * value) for name, value in ratio.items()}
    return {"median": cost["median"], "low": cost["high"], "high": cost["low"]}


def cost_text(row: dict[str, Any]) -> str:
    costs = [(n, Spread(**entry["cost"])) for n, entry in row["threads"].items()]
    parts = [f"{cost.text()} at {n} threads" for n, cost in costs]
    return f"{row['mode']}: {row['name']}: {', '.join(parts)}"


def main(argv: list[str] | None = None) -> None:
    p = make_parser("layer_options", __doc__)
    kinds = list(dict.fromkeys(mode for mode, _, _ in make_rows()))
    p.add_argument("--options", nargs="+", choices=kinds, default=kinds)
    options = p.parse_args(argv)
    arena = Arena(options.threads)
    try:
        chosen = [row for row in make_rows() if row[0] in options.options]
        rows = [compare_row(arena, *row, options) for row in chosen]
    finally:
        arena.close()
    report = {
        "kind": "layer_options",
        "unit": "thousand valid steps a second",
        "machine": describe_machine(["fastrnn", "torch"]),
        "rows": rows,
        "skipped": arena.skipped,
    }
    deliver(report, options)
    print("\ntime a valid step ÷ without the option")
    print("\n".join(map(cost_text, rows)))


if __name__ == "__main__":
    main()
