"""How far back must the gradient go? Truncation length against what can be learned.

    python examples/truncated_bptt.py
    python examples/truncated_bptt.py --distances 16,24 --cuts 16,24,32,64 --steps 4000

A long stream of tokens is read in pieces of `cut` steps. The state is carried from one
piece to the next, the gradient is not: truncated backpropagation through time. In the
stream a letter appears, then blanks, and `distance` steps after the letter a question:
which letter was it? There are eight letters; guessing costs 3 bits per question.

If the cut is no longer than the distance, letter and question never meet in one piece.
The state could carry the letter across the border, but no gradient ever tells the net
to keep it. The price of a longer cut: time and memory of a step grow with it.

Sources: P. Werbos, "Backpropagation through time: what it does and how to do it", 1990;
R. Williams, J. Peng, "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories", 1990 (truncation).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn

distances = read.several(1, 1000)
SETTINGS = [
    Setting("distances", (4, 8, 12, 16), "steps from letter to question", distances),
    Setting("cuts", (4, 8, 12, 16, 32), "steps the gradient goes back", distances),
    Setting("hidden", 32, "hidden units of a GRU", read.units),
    Setting("batch", 32, "streams side by side", read.rows),
    Setting("steps", 1500, "steps of training each net", read.steps),
    Setting("lr", 1e-2, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"distances": (4, 12), "cuts": (4, 12, 24), "steps": 800}
LETTERS = 8
BLANK, QUESTION = LETTERS, LETTERS + 1
IGNORED = -100  # a target that the loss leaves out: no answer is due
MOST_REST = 4  # blanks between a question and the next letter, at most


class Outcome(NamedTuple):
    """The outcome of one training."""

    bits: float  # per question, over the last fifth of the steps
    seconds: float  # per step, the median
    tape: int  # bytes that a step stores for its backward pass


def stream(rng: Any, distance: int, cut: int, N: int) -> Iterator[tuple[Any, Any]]:
    """Yield the pieces of an endless stream: tokens and targets [cut, N]."""
    clock = -rng.integers(0, distance + MOST_REST, N)  # steps since the letter
    letter = rng.integers(0, LETTERS, N)
    while True:
        x, targets = np.full((cut, N), BLANK), np.full((cut, N), IGNORED)
        for t in range(cut):
            shown, asked = clock == 0, clock == distance
            x[t, shown] = letter[shown]
            x[t, asked] = QUESTION
            targets[t, asked] = letter[asked]
            clock += 1
            clock[asked] = -rng.integers(0, MOST_REST, asked.sum())
            letter[asked] = rng.integers(0, LETTERS, asked.sum())
        yield x, targets


def train(distance: int, cut: int, options: Any, bar: Any) -> Outcome:
    """Train a new net on a stream, read in pieces of `cut` steps."""
    rng = np.random.default_rng([options.seed, distance, cut])
    H, N = options.hidden, options.batch
    model = fastrnn.Sequential(
        rnn=fastrnn.GRU(LETTERS + 2, H, seed=rng),
        head=fastrnn.Linear(H, LETTERS, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params)
    state, losses, seconds = None, [], []
    for step, (x, targets) in zip(
        range(options.steps), stream(rng, distance, cut, N), strict=False
    ):
        begun = time.perf_counter()
        # The state comes from the previous piece; `backward` stops where this begins.
        loss, state = model.cross_entropy(x, targets, state, ignore_index=IGNORED)
        model.zero_grad()
        model.backward()
        adam.lr = options.lr * (1 - step / options.steps)
        descend(adam, model.flat_grads)
        seconds.append(time.perf_counter() - begun)
        losses.append(loss)  # NaN if no question fell into this piece
        bar.update()
    last = np.array(losses[-options.steps // 5 :])
    last = last[np.isfinite(last)]
    bits = float(last.mean()) / math.log(2) if len(last) else math.nan
    tape = model.layers["rnn"].tapes[0]
    return Outcome(bits, float(np.median(seconds)), tape.gates.nbytes + tape.y.nbytes)


def main() -> int:
    """Train a net for every distance and cut."""
    options = begin(__doc__, SETTINGS, QUICK)
    distances, cuts = options.distances, options.cuts
    outcomes = {}
    with progress(len(distances) * len(cuts) * options.steps) as bar:
        for distance in distances:
            for cut in cuts:
                bar.set_postfix_str(f"distance {distance}, cut {cut}")
                outcomes[distance, cut] = a = train(distance, cut, options, bar)
                bar.write(
                    f"result: distance {distance:2d}, cut {cut:2d}: {a.bits:.2f} bits, "
                    f"{1e3 * a.seconds:.2f} ms and {a.tape >> 10} KiB per step"
                )
    save_figure(options, draw(distances, cuts, outcomes))
    return 0


def draw(distances: Any, cuts: Any, outcomes: Any) -> Any:
    """Draw the bits per question as a table, and the cost of a step as curves."""
    figure, (left, right) = new_figure(1, 2, figsize=(12, 4.5))
    bits = [[outcomes[distance, cut].bits for cut in cuts] for distance in distances]
    image = left.imshow(bits, vmin=0, vmax=3, cmap="RdYlGn_r", aspect="auto")
    for i, row in enumerate(bits):
        for j, value in enumerate(row):
            ink = "black" if 0.6 < value < 2.6 else "white"
            left.text(j, i, f"{value:.2f}", ha="center", va="center", color=ink)
        first = sum(cut <= distances[i] for cut in cuts) - 0.5
        left.plot([first, first], [i - 0.5, i + 0.5], "k", linewidth=3)
    left.set_xticks(range(len(cuts)), cuts)
    left.set_yticks(range(len(distances)), distances)
    left.set(
        xlabel="cut: steps the gradient goes back",
        ylabel="distance: steps from letter to question",
        title="Right of the line, the cut is longer than the distance",
    )
    figure.colorbar(image, ax=left, label="bits per question (guessing: 3)")
    ms = [1e3 * min(outcomes[d, cut].seconds for d in distances) for cut in cuts]
    right.plot(cuts, ms, "o-", label="time in ms")
    kib = [outcomes[distances[0], cut].tape / 1024 for cut in cuts]
    other = right.twinx()
    other.plot(cuts, kib, "s--", color="C1")
    right.plot([], [], "s--", color="C1", label="memory of the tape in KiB (right)")
    right.set(
        xlabel="cut: steps the gradient goes back",
        ylabel="ms per step of training",
        title="The cost of a step of training",
    )
    other.set(ylabel="KiB per step of training", ylim=(0, None))
    right.set_ylim(0, None)
    right.grid(alpha=0.3)
    right.legend()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
