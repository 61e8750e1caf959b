"""Pictures of a network at work, drawn by matplotlib (``pip install matplotlib``).

Every function returns a ``matplotlib.figure.Figure``; ``figure.savefig("name.png")``
saves it. `activations_html` returns a stand-alone page as text.

A layer's tapes hold the data: ``layer.tapes[0].y`` and ``.c`` are its states,
``layer.tapes[0].gates`` its gates. `gradient_norms` takes a model whose last backward
was called with ``return_dh=True``.
"""

from __future__ import annotations

import html
import itertools
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._gate.arguments import check_flag, check_integer, check_text
from fastrnn._gate.plot import (
    check_curves,
    check_gradients,
    check_lines,
    check_tokens,
    check_values,
)
from fastrnn._layers.base import Layer
from fastrnn._training.history import History
from fastrnn._types import FloatArray, valid_steps
from fastrnn._types.results import Tape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "activations",
    "activations_html",
    "gate_saturation",
    "gradient_norms",
    "losses",
    "states",
]

GATE_NAMES = {
    "gru": ("reset", "update", ""),
    "lstm": ("input", "forget", "", "output"),
}
SATURATED = 0.1  # the distance from 0 or 1


def losses(
    curves: Mapping[str, Any],
    lines: Mapping[str, float] | None = None,
    *,
    unit: str = "loss",
    title: str = "",
    log: bool = False,
) -> Figure:
    """Draw losses over training steps, or over the epochs of a `fastrnn.History`.

    Parameters
    ----------
    curves : mapping of str to values, or to a pair (steps, values)
        Curves by name; without steps, values are counted from 1. What `fastrnn.fit`
        returns is such a mapping.
    lines : mapping of str to float, optional
        Baselines by name, drawn as horizontal lines.
    unit, title : str
        The label of the vertical axis, and the title.
    log : bool
        Whether the vertical axis is logarithmic.
    """
    drawn, across = check_curves(curves), check_lines(lines)
    check_texts(unit=unit, title=title)
    log = check_flag("log", log)
    figure, axes = new_figure()
    for name, (steps, values) in drawn.items():
        axes.plot(steps, values, label=name, marker="." if len(steps) < 50 else "")
    styles = itertools.cycle(("--", ":", "-."))
    for style, (name, value) in zip(styles, across.items(), strict=False):
        axes.axhline(value, color="gray", linestyle=style, label=f"{name} {value:.2f}")
    horizontal = "epoch" if isinstance(curves, History) else "step"
    axes.set(xlabel=horizontal, ylabel=unit, title=title)
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def states(
    values: ArrayLike, tokens: Sequence[str] | None = None, *, title: str = ""
) -> Figure:
    """Draw the states of all units over time, one row per unit.

    Parameters
    ----------
    values : [T, H]
        Hidden or cell states; red is positive, blue negative.
    tokens : [T] str, optional
        Labels of the steps.
    title : str
        The title of the figure.
    """
    a = check_values(values, (2,))
    T, H = a.shape
    tokens = None if tokens is None else check_tokens(tokens, T)
    check_texts(title=title)
    figure, axes = new_figure(width=min(16, max(6, T / 6)), height=min(8, 2 + H / 10))
    bound = largest(a)
    image = axes.imshow(
        a.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="none"
    )
    if tokens is not None:
        axes.set_xticks(range(T), [visible(token) for token in tokens], fontsize=7)
        axes.tick_params(axis="x", length=0, rotation=90 if has_words(tokens) else 0)
    axes.set(xlabel="" if tokens is not None else "step", ylabel="unit", title=title)
    figure.colorbar(image, ax=axes, pad=0.01)
    return figure


@np.errstate(all="ignore")
def activations(
    tokens: Sequence[str],
    values: ArrayLike,
    *,
    columns: int = 80,
    title: str = "",
) -> Figure:
    """Draw a text with every token coloured by the value of one unit.

    Parameters
    ----------
    tokens : [T] str
        Characters (or one str) or words.
    values : [T]
        Values of one unit, for example ``tape.c[:, 0, 17]``; red is positive, blue
        negative.
    columns : int
        Characters per line.
    title : str
        The title of the figure.

    References
    ----------
    A. Karpathy, J. Johnson, L. Fei-Fei, "Visualizing and understanding recurrent
    networks", 2015.
    """
    a = check_values(values, (1,))
    tokens = check_tokens(tokens, len(a))
    columns = check_integer("columns", columns, 1)
    check_texts(title=title)
    from matplotlib import colormaps

    bound, colours = largest(a), colormaps["RdBu_r"]
    places, rows = lay_out(tokens, columns)
    columns = max(
        at + len(token) for token, (_, at) in zip(tokens, places, strict=True)
    )
    figure, axes = new_figure(width=0.1 * columns + 0.4, height=0.22 * rows + 0.6)
    for token, value, (row, column) in zip(tokens, a, places, strict=True):
        shade = colours(0.5 + 0.5 * value / bound)
        ink = "white" if abs(value) > 0.7 * bound else "black"
        axes.barh(row, len(token), 1, column, color=shade)
        for i, character in enumerate(visible(token)):
            axes.text(
                column + i + 0.5, row, character, color=ink, fontsize=8,
                family="monospace", ha="center", va="center", parse_math=False,
            )  # fmt: skip
    axes.set(xlim=(0, max(columns, 1)), ylim=(rows - 0.5, -0.5), title=title)
    axes.axis("off")
    return figure


@np.errstate(all="ignore")
def activations_html(
    tokens: Sequence[str], values: ArrayLike, *, title: str = "Activations"
) -> str:
    """Return a page that shows a text coloured by one unit, with a slider to choose it.

    Parameters
    ----------
    tokens : [T] str
        Characters (or one str) or words.
    values : [T] or [T, H]
        Values of one unit or of all. Save the page with ``path.write_text(page,
        "utf-8")``.
    title : str
        The title of the page.
    """
    a = check_values(values, (1, 2))
    tokens = check_tokens(tokens, len(a))
    check_texts(title=title)
    a = a.reshape(len(a), -1)
    shares = a / [largest(unit) for unit in a.T]
    shares = np.nan_to_num(shares, nan=0, posinf=1, neginf=-1)
    scaled = np.rint(100 * shares).astype(int)
    gap = " " if has_words(tokens) else ""
    spans = gap.join(f"<span>{html.escape(token)}</span>" for token in tokens)
    return PAGE.format(
        title=html.escape(title),
        last=a.shape[1] - 1,
        spans=spans,
        values=json.dumps(scaled.T.tolist(), separators=(",", ":")),
    )


@np.errstate(all="ignore")
def gate_saturation(tape: Tape, *, title: str = "") -> Figure:
    """Draw how often each unit's gates are nearly closed and nearly open.

    Each point is one unit. Its horizontal position is the share of steps at which the
    gate is below 0.1, its vertical position the share at which it is above 0.9. A
    forget gate at the upper left remembers.

    Parameters
    ----------
    tape : LSTMTape or GRUTape
        The tape of a forward call: ``layer.tapes[0]``.
    title : str
        The title of the figure.

    Raises
    ------
    TypeError
        ``tape`` is not a tape of LSTM or GRU.

    References
    ----------
    A. Karpathy, J. Johnson, L. Fei-Fei, "Visualizing and understanding recurrent
    networks", 2015.
    """
    check_texts(title=title)
    names = GATE_NAMES.get(tape.sequence.cell) if isinstance(tape, Tape) else None
    if names is None:
        kind = type(tape).__name__
        raise TypeError(f"tape: expected a tape of LSTM or GRU, got {kind}")
    s = tape.sequence
    valid = valid_steps(s.T, s.N, s.lengths, s.padding)
    gates = tape.gates[valid].reshape(-1, s.G, s.H)
    shown = [(k, name) for k, name in enumerate(names) if name]
    figure, all_axes = new_figure(width=3.4 * len(shown), height=3.8, count=len(shown))
    for axes, (k, name) in zip(all_axes, shown, strict=True):
        closed = (gates[:, k] < SATURATED).mean(0)
        opened = (gates[:, k] > 1 - SATURATED).mean(0)
        axes.scatter(closed, opened, s=14, alpha=0.6)
        axes.plot([0, 1], [1, 0], color="gray", linewidth=0.8)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set(title=f"{name} gate", xlabel=f"share of steps below {SATURATED}")
    all_axes[0].set_ylabel(f"share of steps above {1 - SATURATED}")
    figure.suptitle(title)
    return figure


@np.errstate(all="ignore")
def gradient_norms(
    dh: Any, *, title: str = "", unit: str = "norm of the gradient of h"
) -> Figure:
    """Draw the norm of the gradient that reaches each step, on a logarithmic axis.

    ::

        loss, state = model.cross_entropy(x, targets)
        model.backward(return_dh=True)
        figure = fastrnn.plot.gradient_norms(model)

    Parameters
    ----------
    dh : layer, or mapping of str to [T, N, H], or [T, N, H]
        A recurrent layer or a model, after ``backward(..., return_dh=True)`` of its
        last call; the dict that this returned; or ``grads.dh`` of a backward function.
        Norms are taken over units and averaged over rows. A gradient of 0 is not drawn.
    title, unit : str
        The title, and the label of the vertical axis.

    Raises
    ------
    RuntimeError
        The layer's last call had no backward with ``return_dh=True`` in this thread.
    TypeError
        A type is wrong.
    ValueError
        A shape is wrong, or there is nothing to draw.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural
    networks", 2013.
    """
    if isinstance(dh, Layer):
        dh = dh._gradients_of_states()
    gradients = check_gradients(dh)
    check_texts(title=title, unit=unit)
    figure, axes = new_figure()
    for name, values in gradients.items():
        norms = np.linalg.norm(values, axis=2).mean(axis=1)
        axes.plot(np.where(norms > 0, norms, np.nan), label=name)
    axes.set_yscale("log")
    axes.set(xlabel="step", ylabel=unit, title=title)
    axes.grid(alpha=0.3)
    if isinstance(dh, Mapping):
        axes.legend()
    return figure


def new_figure(
    width: float = 8, height: float = 5, count: int = 1
) -> tuple[Figure, Any]:
    """Return a figure and its axes, ``count`` side by side."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "matplotlib is not installed: pip install matplotlib"
        ) from None
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    return figure, figure.subplots(1, count)


def check_texts(**texts: Any) -> None:
    for name, text in texts.items():
        check_text(name, text)


def largest(a: FloatArray) -> float:
    """Return the largest finite size, or 1 where all are 0."""
    return float(np.abs(a[np.isfinite(a)]).max(initial=0)) or 1.0


def has_words(tokens: Sequence[str]) -> bool:
    return any(len(token) > 1 for token in tokens)


def visible(token: str) -> str:
    return token.replace("\n", "⏎").replace("\t", "⇥")


def lay_out(tokens: Sequence[str], columns: int) -> tuple[list[tuple[int, int]], int]:
    """Return row and column of every token, and the number of rows."""
    gap = 1 if has_words(tokens) else 0
    places, row, column = [], 0, 0
    for token in tokens:
        if column and column + len(token) > columns:
            row, column = row + 1, 0
        places.append((row, column))
        column += len(token) + gap
        if token == "\n":
            row, column = row + 1, 0
    return places, places[-1][0] + 1


PAGE = textwrap.dedent("""\
    <!DOCTYPE html>
    <html lang="en">
    <meta charset="utf-8">
    <title>{title}</title>
    <style>
    body {{ max-width: 60em; margin: 2em auto; padding: 0 1em;
           font-family: sans-serif; color: #111; background: #fff }}
    pre {{ white-space: pre-wrap; line-height: 1.6; font-size: 15px }}
    input {{ width: 60% }}
    </style>
    <h1>{title}</h1>
    <p><label>unit <output id="number">0</output>
    <input id="unit" type="range" min="0" max="{last}" value="0"></label>
    red: positive, blue: negative</p>
    <pre id="text">{spans}</pre>
    <script>
    const values = {values};
    const spans = document.querySelectorAll("#text span");
    const unit = document.getElementById("unit");
    function show() {{
      document.getElementById("number").textContent = unit.value;
      values[unit.value].forEach((v, t) => {{
        const colour = v > 0 ? "205, 40, 40" : "40, 80, 205";
        spans[t].style.background = `rgba(${{colour}}, ${{Math.abs(v) / 125}})`;
        spans[t].title = (v / 100).toFixed(2);
      }});
    }}
    unit.addEventListener("input", show);
    show();
    </script>
    </html>
    """)
