"""The frame of the short examples: the same flags, folder, progress bar and picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from _common import make_folder, require, write_figure
from _settings import Setting, add_settings, number, settle

import fastrnn

SEED = Setting("seed", 0, "of all randomness", number(int, 0))


def begin(
    doc: str,
    settings: Iterable[Setting],
    quick: Mapping[str, Any],
    libraries: Iterable[str] = (),
) -> argparse.Namespace:
    """Read the command line of a program: its settings, seed, out, quick, threads.

    With ``--quick`` the values in `quick` take the place of the defaults.
    """
    settings = [*settings, SEED]
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_settings(parser, settings)
    parser.add_argument("--out", type=Path, default=Path(name), help="default: ./name")
    parser.add_argument("--threads", type=number(int, 1), help="default: every core")
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds")
    given = parser.parse_args()
    require("matplotlib", "tqdm", *libraries)
    if given.threads:
        fastrnn.set_num_threads(given.threads)
    values = settle(settings, given, quick if given.quick else None)
    return argparse.Namespace(**vars(given) | values)


def progress(total: int, unit: str = "step") -> Any:
    """Return a progress bar on stderr."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, unit_scale=True)


def new_figure(rows: int = 1, columns: int = 1, **how: Any) -> tuple[Any, Any]:
    """Return a matplotlib figure and its axes."""
    from matplotlib.figure import Figure

    size = how.pop("figsize", (6 * columns + 1, 4.5 * rows))
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


def save_figure(options: argparse.Namespace, figure: Any) -> Path:
    """Write the figure as a PNG named after its program, and say where."""
    path = make_folder(options.out) / f"{Path(sys.argv[0]).stem}.png"
    write_figure(path, figure)
    print(f"wrote {path}")
    return path
