"""The picture of a comparison: how often faster fastrnn is than each peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .report import Row, peers

COLOURS = {
    "torch": "#d1495b",
    "jax": "#2e86ab",
    "jax-vjp": "#7fb7d4",
    "onnxruntime": "#66a182",
    "reference": "#9a9a9a",
}


def _draw_panel(axes: Any, rows: list[Row], threads: str) -> None:
    """One group a workload, one bar a peer: median; quartiles as a line."""
    names = peers(rows, threads)
    height = 0.7 / max(1, len(names))
    ticks = []
    for place, row in enumerate(rows):
        entry = row["threads"][threads]
        ratios = entry.get("ratio", {})
        for k, name in enumerate(names):
            if name not in ratios:
                continue
            spread, level = ratios[name], place + (k - (len(names) - 1) / 2) * height
            axes.barh(
                level,
                spread["median"] - 1,
                left=1,
                height=0.86 * height,
                color=COLOURS.get(name),
                label=name if place == 0 else None,
            )
            axes.plot(
                [spread["low"], spread["high"]], [level, level], color="black", lw=1
            )
            axes.annotate(
                f"{spread['median']:.2f}",
                (max(1, spread["high"]), level),
                fontsize=6.5,
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
            )
        size = row["workload"]
        label = "{cell} I={I} H={H} N={N} T={T}".format(**size)
        if "fastrnn" in entry["speed"]:
            label += f"\n{entry['speed']['fastrnn']['median']:.0f} GFLOP/s"
        if "share" in entry:
            label += f", {100 * entry['share']['median']:.0f} % of peak"
        ticks.append(label)
    axes.set_yticks(range(len(rows)), ticks, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=0.8)


def draw(report: dict[str, Any], path: Path) -> None:
    """One panel a mode and thread count."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    rows_by_mode: dict[str, list[Row]] = {}
    for row in report["rows"]:
        rows_by_mode.setdefault(row["mode"], []).append(row)
    threads = list(report["rows"][0]["threads"])
    most = max(map(len, rows_by_mode.values()))
    shape = (len(rows_by_mode), len(threads))
    size = (7.2 * shape[1], (1.4 + 0.62 * most) * shape[0])
    figure, grid = plt.subplots(
        *shape, figsize=size, squeeze=False, layout="constrained"
    )
    marks = [0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200]
    for line, (mode, rows) in zip(grid, rows_by_mode.items(), strict=True):
        for axes, n in zip(line, threads, strict=True):
            _draw_panel(axes, rows, n)
            low, high = axes.get_xlim()
            shown = [m for m in marks if low <= m <= high]
            axes.set_xticks(shown, [f"{m:g}×" for m in shown], fontsize=8)
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlim(low, high * 1.3)  # room for the last number
            axes.grid(axis="x", alpha=0.3)
            axes.set_axisbelow(True)
            axes.set_title(
                f"{mode}, {n} thread{'s' if n != '1' else ''}", fontsize=9, loc="left"
            )
            if axes.get_legend_handles_labels()[0]:
                axes.legend(
                    title="faster than",
                    fontsize=7,
                    title_fontsize=7,
                    ncols=2,
                    loc="lower right",
                    bbox_to_anchor=(1, 1),
                    frameon=False,
                )
    machine = report["machine"]
    dtype = report["rows"][0]["workload"]["dtype"]
    who = f"fastrnn ({machine['isa'] or '–'})"
    title = f"{who} against its peers, {dtype}, {machine['cpu']}"
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("bar: median of rounds; line: quartiles", fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
