"""One to one, one to many, many to one, many to many: the shapes of recurrent nets.

    python examples/shapes.py
    python examples/shapes.py --cell lstm --length 12

Five tiny models, all from the same lines of code: tokens go in at every step, and an
answer can be read at every step. The shape only depends on the steps at which a digit
goes in (a blank at all others) and the steps at which an answer is due (the loss leaves
out all others, `ignore_index`).

Source of the picture of shapes: A. Karpathy, "The unreasonable effectiveness of
recurrent neural networks", 2015.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, progress, save_figure
from _settings import Setting

import fastrnn

SETTINGS = [
    Setting("length", 6, "digits of a long input", read.number(int, 2, 20)),
    Setting("cell", "gru", "recurrent cell: rnn, gru or lstm", read.cell),
    Setting("hidden", 64, "hidden units", read.units),
    Setting("batch", 64, "examples per step", read.rows),
    Setting("steps", 2000, "steps of training each model", read.steps),
    Setting("lr", 1e-2, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"length": 4, "steps": 600}
DIGITS = 10
BLANK = END = DIGITS  # as an input no digit, as an answer the end
IGNORED = -100  # a target that the loss leaves out: no answer is due


def one_to_one(rng: Any, length: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """A digit; the last digit of its square. A single step, so no recurrence."""
    x = rng.integers(0, DIGITS, (1, N))
    return x, x**2 % DIGITS


def one_to_many(rng: Any, length: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """A digit; counting down from it to 0, then the end."""
    first = rng.integers(0, DIGITS, N)
    x = np.full((DIGITS + 1, N), BLANK)
    x[0] = first
    left = first - np.arange(DIGITS + 1)[:, None]
    return x, np.where(left >= 0, left, np.where(left == -1, END, IGNORED))


def many_to_one(rng: Any, length: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits; after the last one, the largest of them."""
    x = rng.integers(0, DIGITS, (length, N))
    targets = np.full(x.shape, IGNORED)
    targets[-1] = x.max(axis=0)
    return x, targets


def many_to_many(rng: Any, length: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits; at each step the distance from the one before, 0 at the first."""
    x = rng.integers(0, DIGITS, (length, N))
    return x, abs(np.diff(x, axis=0, prepend=x[:1]))


def many_then_many(rng: Any, length: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits; when all are read, the same in reverse, then the end."""
    digits = rng.integers(0, DIGITS, (length, N))
    x = np.full((2 * length + 1, N), BLANK)
    x[:length] = digits
    targets = np.full(x.shape, IGNORED)
    targets[length:-1], targets[-1] = digits[::-1], END
    return x, targets


SHAPES = {
    "one to one": (one_to_one, "last digit of the square"),
    "one to many": (one_to_many, "counting down"),
    "many to one": (many_to_one, "the largest"),
    "many to many, at once": (many_to_many, "distance from the one before"),
    "many to many, afterwards": (many_then_many, "in reverse"),
}


def train(draw: Callable[..., Any], options: Any, bar: Any) -> fastrnn.Sequential:
    """Train a model on new examples at every step."""
    rng = np.random.default_rng(options.seed)
    layers = getattr(fastrnn, options.cell.upper())
    model = fastrnn.Sequential(
        rnn=layers(DIGITS + 1, options.hidden, init="keras", seed=rng),
        head=fastrnn.Linear(options.hidden, DIGITS + 1, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params)
    for step in range(options.steps):
        x, targets = draw(rng, options.length, options.batch)
        loss, _ = model.cross_entropy(x, targets, ignore_index=IGNORED)
        model.zero_grad()
        model.backward()
        adam.lr = options.lr * (1 - step / options.steps)
        descend(adam, model.flat_grads)
        bar.set_postfix_str(f"cross-entropy {loss:.3f}", refresh=False)
        bar.update()
    model.eval()
    return model


def main() -> int:
    """Train all models, test them on new examples, draw one of each."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng([options.seed, 1])
    shown = {}
    with progress(len(SHAPES) * options.steps) as bar:
        for name, (draw, task) in SHAPES.items():
            model = train(draw, options, bar)
            x, targets = draw(rng, options.length, 2000)
            answers = model(x)[0].argmax(axis=2)
            due = targets != IGNORED
            right = np.mean(((answers == targets) | ~due).all(axis=0))
            shown[name] = (x[:, 0], targets[:, 0], answers[:, 0], right)
            bar.write(f"result: {name:24s} {task:28s} {right:.1%} all right")
    save_figure(options, draw_shapes(shown))
    return 0


# --- the picture ---------------------------------------------------------------------


def draw_shapes(shown: Any) -> Any:
    """Draw one example of each shape."""
    from matplotlib.figure import Figure

    widths = [len(x) + 1 for x, *_ in shown.values()]
    rows = (sum(widths[:3]), sum(widths[3:]))
    figure = Figure(figsize=(0.6 * max(rows), 7.2), layout="constrained")
    grid = figure.add_gridspec(2, max(rows))
    for i, (name, (*example, right)) in enumerate(shown.items()):
        row, start = i // 3, sum(widths[3 * (i // 3) : i])
        axes = figure.add_subplot(grid[row, start : start + widths[i]])
        draw_example(axes, *example)
        axes.set_title(f"{name}\n{SHAPES[name][1]}\n{right:.1%} right", fontsize=10)
        names = ["input", "state", "answer"] if start == 0 else [""] * 3
        axes.set_yticks(range(3), names)
    return figure


def draw_example(axes: Any, x: Any, targets: Any, answers: Any) -> None:
    """Draw the net unrolled: inputs below, states, answers above; mistakes in red."""
    T = len(x)
    for t in range(T):
        box(axes, t, 1, "", "lightgreen")
        if t + 1 < T:
            arrow(axes, (t + 0.33, 1), (t + 0.67, 1))
        if x[t] != BLANK:
            box(axes, t, 0, str(x[t]), "mistyrose")
            arrow(axes, (t, 0.3), (t, 0.7))
        if targets[t] != IGNORED:
            text = "end" if answers[t] == END else str(answers[t])
            colour = "lightskyblue" if answers[t] == targets[t] else "red"
            box(axes, t, 2, text, colour)
            arrow(axes, (t, 1.3), (t, 1.7))
    axes.set(xlim=(-0.9, T - 0.1), ylim=(-0.5, 2.5))
    axes.set_xticks(range(T), range(T), fontsize=8)
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(left=False)
    axes.set_frame_on(False)


def box(axes: Any, t: float, row: float, text: str, colour: str) -> None:
    """Draw a box around (t, row), with a text in it."""
    from matplotlib.patches import Rectangle

    corner = (t - 0.33, row - 0.3)
    axes.add_patch(Rectangle(corner, 0.66, 0.6, facecolor=colour, edgecolor="black"))
    size = 11 if len(text) < 2 else 8
    axes.text(t, row, text, ha="center", va="center", fontsize=size)


def arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow."""
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0}
    )


if __name__ == "__main__":
    sys.exit(run(main))
