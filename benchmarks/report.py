"""Reports of a comparison: tables for the terminal and for Markdown, and JSON.

A row has ``"name"``, ``"mode"`` and the result of `timing.summarise`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from statistics import geometric_mean
from typing import Any

from .timing import Spread

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]  # header, lines


def layout(table: Table, *, markdown: bool) -> str:
    """Columns of equal width, the first aligned left, the others right."""
    header, body = table
    lines = [header, *body]
    widths = [max(len(cells[k]) for cells in lines) for k in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
        bare = "  ".join(padded).rstrip()
        return "| " + " | ".join(padded) + " |" if markdown else bare

    rule = ["-" * w for w in widths]
    if markdown:
        rule[1:] = ["-" * (w - 1) + ":" for w in widths[1:]]
    return "\n".join([line(header), line(rule), *map(line, body)])


def times_text(ratio: dict[str, float] | None) -> str:
    return Spread(**ratio).text() if ratio else "–"


def percent_text(share: dict[str, float] | None) -> str:
    if not share:
        return "–"
    return Spread(**{k: 100 * v for k, v in share.items()}).text(0, " %")


def peers(rows: Sequence[Row], threads: str) -> list[str]:
    """Return the contestants other than fastrnn, in order of appearance."""
    names = (name for row in rows for name in row["threads"][threads]["speed"])
    return [n for n in dict.fromkeys(names) if n not in ("fastrnn", "peak")]


def mean_ratio(rows: Sequence[Row], threads: str, peer: str) -> float | None:
    """Geometric mean of the median ratios over the rows that have one."""
    found = [row["threads"][threads].get("ratio", {}).get(peer) for row in rows]
    medians = [ratio["median"] for ratio in found if ratio]
    return geometric_mean(medians) if medians else None


def ratio_table(rows: Sequence[Row], threads: str) -> Table:
    """Return fastrnn's speed relative to each peer, and its share of the peak."""
    names = peers(rows, threads)
    shares = [row["threads"][threads].get("share") for row in rows]
    with_share = any(shares)
    body = []
    for row, share in zip(rows, shares, strict=True):
        ratios = row["threads"][threads].get("ratio", {})
        cells = [percent_text(share)] if with_share else []
        cells += [times_text(ratios.get(name)) for name in names]
        body.append([row["name"], *cells])
    if len(rows) > 1:
        means = [mean_ratio(rows, threads, name) for name in names]
        texts = [f"{mean:.2f}×" if mean else "–" for mean in means]
        body.append(["geometric mean", *([""] if with_share else []), *texts])
    share_header = ["of peak"] if with_share else []
    return ["workload", *share_header, *(f"÷ {name}" for name in names)], body


def speed_table(rows: Sequence[Row], threads: str) -> Table:
    """Return the median speed of every contestant."""
    found = {name for row in rows for name in row["threads"][threads]["speed"]}
    names = ["fastrnn", *peers(rows, threads), "peak"]
    names = [name for name in names if name in found]
    body = []
    for row in rows:
        speed = row["threads"][threads]["speed"]
        cells = [f"{speed[n]['median']:.1f}" if n in speed else "–" for n in names]
        body.append([row["name"], *cells])
    return ["workload", *names], body


def scaling_table(rows: Sequence[Row]) -> Table:
    """Return most threads ÷ fewest; the peak's ratio is what the machine allowed."""
    names = list(dict.fromkeys(name for row in rows for name in row["scaling"]))
    body = [
        [row["name"], *(times_text(row["scaling"].get(name)) for name in names)]
        for row in rows
    ]
    return ["workload", *names], body


def render(report: dict[str, Any], *, markdown: bool) -> str:
    """Return the whole report as text."""
    machine, rows, unit = report["machine"], report["rows"], report["unit"]
    out = [", ".join(f"{name}: {value}" for name, value in machine.items())]

    def add(title: str, table: Table) -> None:
        mark = "### " if markdown else "== "
        out.extend([mark + title, layout(table, markdown=markdown)])

    for mode in dict.fromkeys(row["mode"] for row in rows):
        chosen = [row for row in rows if row["mode"] == mode]
        threads = list(chosen[0]["threads"])
        for n in threads:
            title = f"{mode}, {n} thread{'s' if n != '1' else ''}"
            if any("ratio" in row["threads"][n] for row in chosen):
                add(f"{title}: speed of fastrnn ÷ peer", ratio_table(chosen, n))
            add(f"{title}: {unit}", speed_table(chosen, n))
        if any(row["scaling"] for row in chosen):
            title = f"{mode}: speed at {threads[-1]} threads ÷ at {threads[0]}"
            add(title, scaling_table(chosen))
    out += [f"skipped: {why}" for why in dict.fromkeys(report["skipped"].values())]
    return "\n\n".join(out)


def deliver(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the report, and write it as JSON if requested."""
    print(render(report, markdown=options.markdown))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
