"""The frame of the short programs: flags, progress bar, steps of descent, picture."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import _readers as read
from _errors import UserError, require
from _files import make_folder, read_text, write_figure
from _settings import SEED, Parser, Setting, settle

import fastrnn


def begin(
    doc: str | None,
    settings: Iterable[Setting],
    quick: Mapping[str, Any],
    libraries: Iterable[str] = (),
) -> argparse.Namespace:
    """Read the command line of a program: its settings, seed, out, threads, quick.

    With ``--quick`` the values in `quick` replace the defaults. A setting named text is
    a file, and the namespace has its contents. The folder `out` exists afterwards.
    """
    settings = [*settings, SEED]
    name = Path(sys.argv[0]).stem
    parser = Parser(doc, settings)
    add_out_and_threads(parser, name)
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds")
    given = parser.parse_args()
    require("matplotlib", "tqdm", *libraries)
    if given.threads:
        fastrnn.set_num_threads(given.threads)
    values = settle(settings, given, quick if given.quick else None)
    options = argparse.Namespace(**vars(given) | values)
    if "text" in options:
        options.text = read_text(options.text)
    options.out = make_folder(Path(given.out or name))
    return options


def add_out_and_threads(parser: Parser, name: str) -> None:
    """Add the two flags that are no settings, since no result depends on them."""
    where = f"folder for the results (default: {name})"
    parser.add_argument("--out", type=read.path, help=where)
    parser.add_argument("--threads", type=read.threads, help="default: every core")


def progress(total: int, description: str = "", unit: str = "step") -> Any:
    """Return a progress bar on stderr."""
    from tqdm import tqdm

    return tqdm(total=total, desc=description or None, unit=unit, unit_scale=True)


def descend(optimizer: Any, grads: Any, clip: float = 1.0) -> None:
    """Clip the norm of the gradient and take one step of the optimizer.

    A gradient that is not finite is a `UserError`.
    """
    try:
        fastrnn.clip_grad_norm(grads, clip)
    except ValueError:
        raise UserError(
            "learning rate: expected one at which the gradient stays finite, "
            f"got {optimizer.lr:g}"
        ) from None
    optimizer.step(grads)


def new_figure(rows: int = 1, columns: int = 1, **how: Any) -> tuple[Any, Any]:
    """Return a matplotlib figure and its axes."""
    from matplotlib.figure import Figure

    size = how.pop("figsize", (6 * columns + 1, 4.5 * rows))
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


def save_figure(options: argparse.Namespace, figure: Any) -> Path:
    """Write the figure as a PNG named after its program; print and return its path."""
    path: Path = options.out / f"{Path(sys.argv[0]).stem}.png"
    write_figure(path, figure)
    print(f"wrote {path}")
    return path


@contextlib.contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """Let Ctrl-C set the event instead of cutting a step in two; a second one kills."""
    pressed = threading.Event()

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
