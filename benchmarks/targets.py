"""Targets against results: ``python -m benchmarks.targets REPORT.json …``.

Reads the JSON files of `compare`, `layer_options`, `linear_cross_entropy`,
`training_step`, `steps`, `bandwidth`, `losses`, `training` and `import_cost`. A line
says so if its report is missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from .report import Row, layout

RNN_PEERS = ("torch", "jax", "jax-vjp")
ALL_PEERS = (*RNN_PEERS, "onnxruntime")
Measured = list[tuple[float, str]]  # value, of what


class Reports:
    """The given reports, and the rows and values in them."""

    def __init__(self, reports: Iterable[dict[str, Any]]) -> None:
        self.reports = list(reports)

    def rows(self, kind: str, mode: str | None = None) -> list[Row]:
        found = [row for r in self.reports if r["kind"] == kind for row in r["rows"]]
        return [row for row in found if mode in (None, row.get("mode"))]

    def sequences(
        self,
        cell: str,
        dtype: str = "float32",
        keep: Callable[..., bool] | None = None,
        mode: str = "training",
    ) -> list[Row]:
        """Return the rows of a mode whose workload satisfies `keep`."""
        wanted = {"cell": cell, "dtype": dtype}
        return [
            row
            for row in self.rows("sequences", mode)
            if wanted.items() <= row["workload"].items()
            and (keep is None or keep(row["workload"]))
        ]

    def _costs(self) -> list[dict[str, Any]]:
        found = [r["libraries"] for r in self.reports if r["kind"] == "import_cost"]
        return [libraries["fastrnn"] for libraries in found if "fastrnn" in libraries]

    def import_milliseconds(self) -> list[float]:
        return [1e3 * cost["import_seconds"]["median"] for cost in self._costs()]

    def installed_megabytes(self) -> list[float]:
        return [1e-6 * cost["bytes"] for cost in self._costs()]


def ratios(
    rows: Iterable[Row], peers: Iterable[str] = ("torch",), threads: str = "1"
) -> Measured:
    """Return fastrnn ÷ the best of `peers` on that many threads, a value per row."""
    found = []
    for row in rows:
        of_peers = row["threads"].get(threads, {}).get("ratio", {})
        medians = [(of_peers[p]["median"], p) for p in peers if p in of_peers]
        if medians:
            value, peer = min(medians)
            found.append((value, f"{row['name']} ÷ {peer}"))
    return found


def costs(rows: Iterable[Row]) -> Measured:
    """Return time per valid step ÷ that without the option, a value per row."""
    found = [(row["threads"].get("1", {}).get("cost"), row["name"]) for row in rows]
    return [(cost["median"], name) for cost, name in found if cost]


def scalings(rows: Iterable[Row]) -> Measured:
    found = [(row["scaling"].get("fastrnn"), row["name"]) for row in rows]
    return [(scaling["median"], name) for scaling, name in found if scaling]


def memory_ratios(rows: Iterable[Row]) -> Measured:
    found = [(row.get("memory", {}), row["name"]) for row in rows]
    return [
        (memory["torch"] / memory["fastrnn"], name)
        for memory, name in found
        if {"torch", "fastrnn"} <= memory.keys()
    ]


def times_line(what: str, target: float, measured: Measured) -> list[str]:
    """Return the line of a lower bound, which every value has to reach."""
    if not measured:
        return [what, f"≥ {target:g}×", "not measured", ""]
    value, name = min(measured)
    return [what, f"≥ {target:g}×", f"{value:.2f}× ({name})", verdict(value >= target)]


def most_line(what: str, target: float, measured: Measured) -> list[str]:
    """Return the line of an upper bound, which no value may exceed."""
    if not measured:
        return [what, f"≤ {target:g}×", "not measured", ""]
    value, name = max(measured)
    return [what, f"≤ {target:g}×", f"{value:.2f}× ({name})", verdict(value <= target)]


def cost_line(
    what: str, most: float, unit: str, values: list[float], digits: int = 1
) -> list[str]:
    if not values:
        return [what, f"≤ {most:g} {unit}", "not measured", ""]
    reached = verdict(values[-1] <= most)
    return [what, f"≤ {most:g} {unit}", f"{values[-1]:.{digits}f} {unit}", reached]


def share_line(what: str, least: float, values: list[float]) -> list[str]:
    if not values:
        return [what, f"≥ {100 * least:.0f} %", "not measured", ""]
    reached = verdict(values[-1] >= least)
    return [what, f"≥ {100 * least:.0f} %", f"{100 * values[-1]:.0f} %", reached]


def verdict(reached: bool) -> str:
    return "yes" if reached else "**no**"


def few_rows_lines(r: Reports) -> list[list[str]]:
    """Whole sequences of one row, and of a few."""

    def of(H: int, N: int, mode: str) -> list[Row]:
        return r.sequences("lstm", keep=lambda w: (w["H"], w["N"]) == (H, N), mode=mode)

    lines = [
        times_line(
            f"LSTM {H}, N = 1, inference, best peer",
            target,
            ratios(of(H, 1, "inference"), ALL_PEERS),
        )
        for H, target in ((32, 2), (64, 1.8), (128, 1.5), (256, 1.3))
    ]
    for mode in ("inference", "training"):
        rows = [
            row for H in (256, 512, 1024) for N in (2, 4, 8) for row in of(H, N, mode)
        ]
        measured = ratios(rows, ALL_PEERS, threads="2")
        what = f"LSTM 256…1024, N = 2, 4, 8, 2 threads, {mode}, best peer, the least"
        lines.append(times_line(what, 1.2, measured))
    what = "LSTM 1024, N = 1, 2 threads ÷ 1, inference"
    lines.append(times_line(what, 1.6, scalings(of(1024, 1, "inference"))))
    return lines


def step_lines(r: Reports) -> list[list[str]]:
    """Single steps, from Python and from Cython."""
    lines = []
    for H, target in ((32, 15), (128, 8)):
        rows = [row for row in r.rows("steps") if row["workload"]["H"] == H]
        lines.append(times_line(f"a step, LSTM {H}, ÷ LSTMCell", target, ratios(rows)))
    rows = [row for row in r.rows("steps") if row["workload"]["H"] == 32]
    for name, language, most in (("fastrnn", "Python", 0.6), ("cython", "Cython", 0.2)):
        found = [row["threads"]["1"]["speed"].get(name) for row in rows]
        values = [1 / speed["median"] for speed in found if speed]
        what = f"a step, LSTM 32, from {language}"
        lines.append(cost_line(what, most, "µs", values, digits=2))
    return lines


def bandwidth_lines(r: Reports) -> list[list[str]]:
    """H = 2048 with one row, on the best number of threads."""
    rows = [row for row in r.rows("bandwidth") if row["H"] == 2048]
    shares, gains = [], []
    for row in rows:
        for n, at in row["threads"].items():
            shares.append(at["share"]["median"])
            gains.append((at["bfloat16"]["median"], f"{n} threads"))
    return [
        share_line("LSTM 2048, N = 1, share of bandwidth", 0.85, sorted(shares)[:1]),
        times_line("the same with bfloat16 weights ÷ float32", 1.7, gains),
    ]


def target_lines(reports: Reports) -> list[list[str]]:
    """Return one line per target: what, target, measured, reached."""
    r = reports

    def size(H: int, N: int) -> Callable[..., bool]:
        return lambda w: (w["H"], w["N"]) == (H, N)

    many_rows = ratios(r.sequences("lstm", keep=lambda w: w["N"] >= 16))
    means = [(geometric_mean(v for v, _ in many_rows), "÷ torch")] if many_rows else []
    wide = [
        row
        for cell in ("lstm", "rnn")
        for row in r.sequences(cell, keep=lambda w: w["N"] >= 16 and w["H"] >= 128)
    ]
    heads, steps = r.rows("linear_cross_entropy"), r.rows("training_step")
    shares = [
        row["threads"]["1"]["share"]["median"]
        for row in r.sequences("lstm", keep=size(256, 32))
        if "share" in row["threads"].get("1", {})
    ]
    lines = [
        times_line("LSTM, N ≥ 16, the least", 1.15, many_rows),
        times_line("LSTM, N ≥ 16, geometric mean", 1.25, means),
        times_line(
            "LSTM 1536, N = 8", 1.2, ratios(r.sequences("lstm", keep=size(1536, 8)))
        ),
        times_line("LSTM 32, N = 1", 3, ratios(r.sequences("lstm", keep=size(32, 1)))),
        times_line(
            "LSTM 256, N = 1", 1.2, ratios(r.sequences("lstm", keep=size(256, 1)))
        ),
    ]
    lines.append(share_line("LSTM 256, N = 32, share of peak", 0.85, shares))
    lines += [
        times_line(f"{row['name']}, best peer", 1.4, ratios([row], RNN_PEERS))
        for row in r.sequences("rnn")
    ]
    lines += [
        times_line(
            "LSTM float64, the least", 2, ratios(r.sequences("lstm", "float64"))
        ),
        times_line("linear + cross-entropy, time", 2, ratios(heads)),
        times_line("linear + cross-entropy, memory", 5, memory_ratios(heads)),
        times_line("most threads ÷ 1, N ≥ 16, H ≥ 128", 1.8, scalings(wide)),
    ]
    for name, target in (("characters", 1.6), ("words", 2)):
        chosen = ratios(row for row in steps if row["name"] == name)
        lines.append(times_line(f"training step, {name}", target, chosen))
    lines += [
        times_line(f"{row['name']}, best peer", 2, ratios([row], RNN_PEERS))
        for row in r.sequences("gru")
    ]
    lines += option_lines(r)
    lines += few_rows_lines(r) + step_lines(r) + bandwidth_lines(r)
    lines += loss_lines(r) + fit_lines(r)
    lines.append(cost_line("import beyond NumPy's", 15, "ms", r.import_milliseconds()))
    lines.append(cost_line("installed size", 5, "MB", r.installed_megabytes()))
    return lines


def loss_lines(reports: Reports) -> list[list[str]]:
    return [times_line("losses, the least", 1, ratios(reports.rows("losses")))]


def fit_lines(reports: Reports) -> list[list[str]]:
    """`fit` against Keras on its faster backend, an estimator against PyTorch."""
    fit, estimator = (reports.rows("training", m) for m in ("fit", "estimator"))
    lines = []
    for n in ("1", "2"):
        keras = ratios(fit, ("keras-torch", "keras-jax"), threads=n)
        lines.append(times_line(f"fit ÷ Keras, its best, threads: {n}", 3, keras))
    lines.append(times_line("SequenceClassifier.fit", 3, ratios(estimator)))
    return lines


def option_lines(reports: Reports) -> list[list[str]]:
    lines = []
    for cell, target in (("lstm", 5), ("gru", 3), ("rnn", 3)):
        rows = reports.rows("layer_options", "lengths")
        rows = [row for row in rows if row["workload"]["cell"] == cell]
        lines.append(times_line(f"{cell}, lengths, ÷ packed", target, ratios(rows)))
    both = reports.rows("layer_options", "lengths, bidirectional")
    both = [row for row in both if row["workload"]["cell"] == "lstm"]
    lines.append(times_line("lstm, bidirectional, ÷ packed", 5, ratios(both)))
    for mode, most in (
        ("lengths", 1.1),
        ("resets", 1.03),
        ("recurrent_dropout", 1.1),
        ("zoneout", 1.1),
        ("weight_dropout", 1.1),
        ("length 10 000", 1.1),
    ):
        found = costs(reports.rows("layer_options", mode))
        lines.append(most_line(f"{mode}, cost of a step", most, found))
    return lines


def main(argv: list[str] | None = None) -> None:
    p = argparse.ArgumentParser(prog="python -m benchmarks.targets")
    p.description, p.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    p.add_argument("reports", nargs="+", type=Path, metavar="REPORT.json")
    p.add_argument("--markdown", action="store_true")
    options = p.parse_args(argv)
    reports = Reports(json.loads(path.read_text()) for path in options.reports)
    what = "forward + backward, 1 thread, ÷ PyTorch"
    header = [what, "target", "measured", "reached"]
    print(layout((header, target_lines(reports)), markdown=options.markdown))


if __name__ == "__main__":
    main()
