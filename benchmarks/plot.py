"""The picture of a comparison: how many times as fast as each peer fastrnn is.

    python -m benchmarks.plot benchmarks/results/*.json docs/benchmark.png

draws the reports that ``benchmarks.compare --json`` wrote on one machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .report import Row, peers

PEERS = {  # name in a report: name in the legend, colour
    "torch": ("PyTorch", "#d1495b"),
    "jax": ("JAX: lax.scan, gradients by autodiff", "#2e86ab"),
    "jax-vjp": (
        "JAX, jax-vjp: the same, the recurrent weight's gradient\n"
        "by hand, as one product after the scan",
        "#8fc1dd",
    ),
    "onnxruntime": ("ONNX Runtime", "#66a182"),
    "reference": ("NumPy", "#9a9a9a"),
}
MARKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
BAR = 0.2  # height of a bar; a workload has 1


def describe(workload: dict[str, Any]) -> str:
    """Name a workload in words."""
    I, H = workload["I"], workload["H"]  # noqa: E741
    units = f"{H} units" if I == H else f"{I} inputs, {H} units"
    rows = "1 row" if workload["N"] == 1 else f"{workload['N']} rows"
    return f"{workload['cell'].upper()}, {units}\n{rows}, {workload['T']} steps"


def describe_speed(entry: dict[str, Any]) -> str:
    """Return the speed of fastrnn itself."""
    text = f"{entry['speed']['fastrnn']['median']:.0f} GFLOP/s"
    if "share" in entry:
        text += f"\n{100 * entry['share']['median']:.0f} % of peak"
    return text


def draw_panel(axes: Any, rows: list[Row], threads: str) -> None:
    """Draw one group per workload, one bar per peer: median; quartiles as a line."""
    for place, row in enumerate(rows):
        ratios = row["threads"][threads].get("ratio", {})
        for k, (name, ratio) in enumerate(ratios.items()):
            level = place + (k - (len(ratios) - 1) / 2) * BAR
            axes.barh(
                level, ratio["median"] - 1, 0.85 * BAR, left=1, color=PEERS[name][1]
            )
            axes.plot([ratio["low"], ratio["high"]], [level, level], "k", lw=1)
            axes.annotate(
                f"{ratio['median']:.{2 if ratio['median'] < 10 else 0}f}×",
                (max(1, ratio["high"]), level),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    axes.set_yticks(range(len(rows)), [describe(row["workload"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    speeds = axes.secondary_yaxis("right")
    texts = [describe_speed(row["threads"][threads]) for row in rows]
    speeds.set_yticks(range(len(rows)), texts, fontsize=8)
    speeds.tick_params(length=0)
    axes.axvline(1, color="black", lw=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def scale(panels: list[Any]) -> None:
    """Give all panels one logarithmic axis of ratios, with room for the numbers."""
    from matplotlib.ticker import NullFormatter

    for axes in panels:
        axes.set_xscale("log")
    low = min(axes.get_xlim()[0] for axes in panels)
    high = 1.35 * max(axes.get_xlim()[1] for axes in panels)
    marks = [mark for mark in MARKS if low <= mark <= high]
    for axes in panels:
        axes.set_xlim(low, high)
        axes.set_xticks(marks, [f"{mark:g}×" for mark in marks])
        axes.xaxis.set_minor_formatter(NullFormatter())


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw a column of panels per mode, a row per thread count."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    modes: dict[str, list[Row]] = {}
    for row in report["rows"]:
        modes.setdefault(row["mode"], []).append(row)
    threads = list(report["rows"][0]["threads"])
    most = max(map(len, modes.values()))
    size = (7 * len(modes) + 1, (0.8 + 0.75 * most) * len(threads) + 1.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(threads), len(modes), squeeze=False)
    for line, n in zip(grid, threads, strict=True):
        for axes, (mode, rows) in zip(line, modes.items(), strict=True):
            draw_panel(axes, rows, n)
            axes.set_title(f"{mode.capitalize()}, {n} thread{'s' * (n != '1')}")
    scale(list(grid.flat))
    names = {name for n in threads for name in peers(report["rows"], n)}
    handles = [
        Patch(color=colour, label=text)
        for name, (text, colour) in PEERS.items()
        if name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    machine, workload = report["machine"], report["rows"][0]["workload"]
    figure.suptitle(
        "How many times as fast as its peers fastrnn is "
        f"({machine['cpu']}, {machine['isa'] or '–'}, {workload['dtype']})\n"
        "bar: median of rounds; line: quartiles; on the right: speed of fastrnn"
    )
    figure.savefig(path, dpi=100)


def main() -> None:
    """Draw reports given as files; rows of the same machine are put together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot")
    parser.add_argument("reports", nargs="+", type=Path, help="JSON of compare")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in options.reports]
    if any(report["machine"] != reports[0]["machine"] for report in reports):
        parser.error("reports: expected those of one machine, got several")
    draw(
        reports[0] | {"rows": [r for a in reports for r in a["rows"]]}, options.picture
    )


if __name__ == "__main__":
    main()
