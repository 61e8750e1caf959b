"""One picture for each question about speed, from the JSON of the benchmarks.

    python -m benchmarks.questions benchmarks/results docs/pictures

draws those whose reports are in the first folder, under the names in `PICTURES`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .plot import PEERS
from .report import Row

Report = dict[str, Any]
Spreads = dict[int, dict[str, float]]  # median and quartiles by H
MINE = "#444444"
COLOURS = {name: colour for name, (_, colour) in PEERS.items()}
NAMES = {"torch": "PyTorch", "jax": "JAX", "onnxruntime": "ONNX Runtime"}
CELLS = ("lstm", "gru", "rnn")
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)


def rows_of(report: Report, **wanted: Any) -> list[Row]:
    """Return the rows with these facts, by growing H."""

    def fits(row: Row) -> bool:
        facts = {**row["workload"], "mode": row["mode"]}
        return all(facts[name] == value for name, value in wanted.items())

    return sorted(filter(fits, report["rows"]), key=lambda row: row["workload"]["H"])


def by_size(rows: Iterable[Row], pick: Callable[[Row], Any]) -> Spreads:
    """Return what is picked of each row, where there is something."""
    found = {row["workload"]["H"]: pick(row) for row in rows}
    return {H: spread for H, spread in found.items() if spread}


def new_figure(title: str, lines: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    size = (2.8 * columns + 0.6, 2.4 * lines + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure, figure.subplots(lines, columns, squeeze=False)


def machine(report: Report) -> str:
    facts = report["machine"]
    return f"{facts['cpu']}, {facts['isa']}"


def draw_line(axes: Any, spreads: Spreads, name: str, colour: str) -> None:
    """Draw medians as a line and quartiles as a band."""
    sizes = list(spreads)
    axes.plot(
        sizes, [a["median"] for a in spreads.values()], "o-", ms=4, c=colour, label=name
    )
    low, high = ([a[k] for a in spreads.values()] for k in ("low", "high"))
    axes.fill_between(sizes, low, high, color=colour, alpha=0.2, lw=0)


def finish(axes: Any, title: str, sizes: Iterable[int], ticks: Iterable[float]) -> None:
    """Give a panel its axes: H, and times the speed, both logarithmic."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axes.set(xscale="log", yscale="log", title=title, xlabel="H")
    axes.title.set_fontsize(10)
    axes.set_xticks(list(sizes), [str(H) for H in sizes])
    low, high = axes.get_ylim()
    marks = [mark for mark in ticks if low / 1.3 <= mark <= high * 1.3]
    axes.set_yticks(marks, [f"{mark:g}×" for mark in marks])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.axhline(1, color="black", lw=0.8)
    axes.grid(alpha=0.3)


def legend(figure: Any) -> None:
    """Put one legend of all panels below them."""
    found = {}
    for axes in figure.axes:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=len(found)
    )


def draw_size(report: Report, N: int) -> Any:
    """How fast is a layer of my size? Cells side by side, modes below each other."""
    rows = "one row" if N == 1 else f"{N} rows"
    title = f"Speed of fastrnn ÷ peer, {rows}, one thread, float32 ({machine(report)})"
    figure, grid = new_figure(title, 2, len(CELLS))
    for line, mode in zip(grid, ("inference", "training"), strict=True):
        for axes, cell in zip(line, CELLS, strict=True):
            found = rows_of(report, cell=cell, mode=mode, N=N)
            for peer, name in NAMES.items():
                spreads = by_size(
                    found, lambda r, p=peer: r["threads"]["1"]["ratio"].get(p)
                )
                if spreads:
                    draw_line(axes, spreads, name, COLOURS[peer])
            sizes = [row["workload"]["H"] for row in found]
            finish(axes, f"{cell.upper()}, {mode}", sizes, TICKS)
        low = min(axes.get_ylim()[0] for axes in line)
        high = max(axes.get_ylim()[1] for axes in line)
        for axes in line:
            axes.set_ylim(low, high)
            marks = [mark for mark in TICKS if low <= mark <= high]
            axes.set_yticks(marks, [f"{mark:g}×" for mark in marks])
    legend(figure)
    return figure


def draw_threads(report: Report) -> Any:
    """Is a second thread worth it? Speed with all threads ÷ with one."""
    most = max(map(int, report["rows"][0]["threads"]))
    title = f"LSTM, training: speed with {most} threads ÷ 1 ({machine(report)})"
    figure, ((one, many),) = new_figure(title, 1, 2)
    for axes, N in ((one, 1), (many, 32)):
        found = rows_of(report, N=N)
        for who, colour in (("fastrnn", MINE), ("torch", COLOURS["torch"])):
            spreads = by_size(found, lambda r, w=who: r["scaling"].get(w))
            if spreads:
                draw_line(axes, spreads, NAMES.get(who, who), colour)
        sizes = [row["workload"]["H"] for row in found]
        finish(axes, f"{N} row{'s' * (N > 1)}", sizes, (0.25, 0.5, 1, 1.5, 2))
    legend(figure)
    return figure


def draw_bars(
    axes: Any, labels: list[str], spreads: list[dict[str, float]], colour: str
) -> None:
    """Draw a bar for each label, with its quartiles and its median in figures."""
    medians = [spread["median"] for spread in spreads]
    axes.barh(labels, medians, color=colour, height=0.6)
    for place, spread in enumerate(spreads):
        axes.plot([spread["low"], spread["high"]], [place, place], c="black", lw=1)
        text = f" {spread['median']:.2f}"
        axes.annotate(text, (spread["high"], place), va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(spread["high"] for spread in spreads))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def draw_lengths(report: Report) -> Any:
    """What do unequal lengths cost, and PyTorch's packed rows?"""
    title = f"Unequal lengths, training, one thread ({machine(report)})"
    figure, ((cost, against),) = new_figure(title, 1, 2)
    figure.set_size_inches(8.4, 3.6)
    found = [row for row in report["rows"] if row["mode"] == "lengths"]
    labels = [
        f"{r['workload']['cell'].upper()}, {r['workload']['H']} units" for r in found
    ]
    entries = [row["threads"]["1"] for row in found]
    draw_bars(cost, labels, [entry["cost"] for entry in entries], MINE)
    cost.axvline(1, color="black", lw=0.8)
    cost.set_title("time per step ÷ without padding", fontsize=10)
    ratios = [entry["ratio"]["torch"] for entry in entries]
    draw_bars(against, labels, ratios, COLOURS["torch"])
    against.axvline(1, color="black", lw=0.8)
    against.set_title("speed ÷ PyTorch's packed rows", fontsize=10)
    return figure


def speed_ratio(over: Row, under: Row) -> dict[str, float]:
    """Return fastrnn's speed in one row ÷ in the other, of two runs."""
    a, b = (row["threads"]["1"]["speed"]["fastrnn"] for row in (over, under))
    return {
        "median": a["median"] / b["median"],
        "low": a["low"] / b["high"],
        "high": a["high"] / b["low"],
    }


def draw_precision(single: Report, double: Report, half: Report) -> Any:
    """What does float64 cost, and what do bfloat16 weights gain?"""
    title = f"LSTM, one thread: speed ÷ float32 ({machine(single)})"
    figure, ((left, right),) = new_figure(title, 1, 2)
    wide = rows_of(double, cell="lstm", mode="training", N=32)
    usual = rows_of(single, cell="lstm", mode="training", N=32)
    pairs = zip(wide, usual, strict=True)
    spreads = {a["workload"]["H"]: speed_ratio(a, b) for a, b in pairs}
    draw_line(left, spreads, "float64", MINE)
    finish(left, "float64, training, 32 rows", spreads, (0.2, 0.3, 0.4, 0.5, 0.7, 1))
    gain = {row["H"]: row["threads"]["1"]["bfloat16"] for row in half["rows"]}
    draw_line(right, gain, "bfloat16", COLOURS["jax"])
    finish(right, "bfloat16 weights, one row", gain, (0.5, 1, 1.5, 2))
    return figure


def draw_steps(report: Report) -> Any:
    """How long does a step take? Microseconds, from Python and from Cython."""
    figure, ((axes,),) = new_figure(f"One step of an LSTM ({machine(report)})", 1, 1)
    figure.set_size_inches(7.6, 4.2)
    lines = {
        "torch": ("PyTorch's LSTMCell", COLOURS["torch"]),
        "fastrnn": ("Stepper, from Python", MINE),
        "cython": ("Stepper, from Cython", COLOURS["jax"]),
    }
    for who, (name, colour) in lines.items():
        speeds = by_size(
            report["rows"], lambda r, w=who: r["threads"]["1"]["speed"].get(w)
        )
        if speeds:
            values = [1 / speed["median"] for speed in speeds.values()]
            axes.plot(list(speeds), values, "o-", ms=4, c=colour, label=name)
    sizes = [row["workload"]["H"] for row in report["rows"]]
    finish(axes, "", sizes, (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50))
    axes.set_yticks(axes.get_yticks(), [f"{tick:g} µs" for tick in axes.get_yticks()])
    axes.lines[-1].remove()  # the line at 1 means nothing here
    legend(figure)
    return figure


# The picture, what draws it, and the reports that this takes.
PICTURES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "size_one_row": (lambda report: draw_size(report, 1), ("sizes",)),
    "size_batch": (lambda report: draw_size(report, 32), ("sizes",)),
    "threads": (draw_threads, ("threads",)),
    "lengths": (draw_lengths, ("lengths",)),
    "precision": (draw_precision, ("sizes", "float64", "bandwidth")),
    "steps": (draw_steps, ("steps",)),
}


def main(argv: list[str] | None = None) -> None:
    """Draw the pictures whose reports are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.questions")
    parser.add_argument("reports", type=Path, help="folder with JSON")
    parser.add_argument("pictures", type=Path, help="folder for PNG")
    options = parser.parse_args(argv)
    options.pictures.mkdir(parents=True, exist_ok=True)
    for name, (draw, needed) in PICTURES.items():
        files = [options.reports / f"{report}.json" for report in needed]
        if missing := [file.name for file in files if not file.exists()]:
            print(f"{name}: left out, for want of {', '.join(missing)}")
            continue
        figure = draw(*(json.loads(file.read_text()) for file in files))
        figure.savefig(options.pictures / f"{name}.png", dpi=100)
        print(f"{name}: drawn")


if __name__ == "__main__":
    main()
