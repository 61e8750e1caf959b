"""How far back must the gradient go? Truncation length against what is learned.

    python examples/truncated_bptt.py
    python examples/truncated_bptt.py --distances 16,24 --cuts 16,24,32,64 --steps 4000

A long stream of tokens is read in pieces of `cut` steps. The state is carried from one
piece to the next, the gradient is not: truncated backpropagation through time. In the
stream a letter appears, then blanks, and `distance` steps after the letter a question:
which was it? Eight letters; who guesses pays 3 bits a question.

With a cut no longer than the distance, letter and question never meet in one piece. The
state could carry the letter over the border, but nothing ever tells the net to keep it
there. What a longer cut costs: time and memory of a step, both in proportion.

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

import numpy as np
from _common import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number, several

import fastrnn

SETTINGS = [
    Setting("distances", (4, 8, 12, 16), "from letter to question", several(1)),
    Setting("cuts", (4, 8, 12, 16, 32), "steps the gradient goes back", several(1)),
    Setting("hidden", 32, "hidden units of a GRU", number(int, 1)),
    Setting("batch", 32, "streams side by side", number(int, 1)),
    Setting("steps", 1500, "of training each", number(int, 1)),
    Setting("lr", 1e-2, "Adam's first learning rate", number(float, 1e-9)),
]
QUICK = {"distances": (4, 12), "cuts": (4, 12, 24), "steps": 800}
LETTERS = 8
BLANK, QUESTION = LETTERS, LETTERS + 1
NOTHING = -100  # no answer is due: the loss leaves the step out
MOST_REST = 4  # blanks between a question and the next letter, at most


class Found(NamedTuple):
    """What became of one training."""

    bits: float  # a question, over the last fifth of the steps
    seconds: float  # a step, the median
    tape: int  # bytes that a step keeps for its way back


def stream(rng: Any, distance: int, cut: int, N: int) -> Iterator[tuple[Any, Any]]:
    """Yield pieces of a stream without end: tokens and targets [cut, N]."""
    clock = -rng.integers(0, distance + MOST_REST, N)  # steps since the letter
    letter = rng.integers(0, LETTERS, N)
    while True:
        x, targets = np.full((cut, N), BLANK), np.full((cut, N), NOTHING)
        for t in range(cut):
            shown, asked = clock == 0, clock == distance
            x[t, shown] = letter[shown]
            x[t, asked] = QUESTION
            targets[t, asked] = letter[asked]
            clock += 1
            clock[asked] = -rng.integers(0, MOST_REST, asked.sum())
            letter[asked] = rng.integers(0, LETTERS, asked.sum())
        yield x, targets


def train(distance: int, cut: int, options: Any, bar: Any) -> Found:
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
        # The state comes from the step before; `backward` stops at the step's begin.
        loss, state = model.cross_entropy(x, targets, state, ignore_index=NOTHING)
        model.zero_grad()
        model.backward()
        fastrnn.clip_grad_norm(model.flat_grads, 1.0)
        adam.lr = options.lr * (1 - step / options.steps)
        adam.step(model.flat_grads)
        seconds.append(time.perf_counter() - begun)
        losses.append(loss)  # NaN if no question fell into this piece
        bar.update()
    bits = float(np.nanmean(losses[-options.steps // 5 :])) / math.log(2)
    tape = model.layers["rnn"].tapes[0]
    return Found(bits, float(np.median(seconds)), tape.gates.nbytes + tape.y.nbytes)


def main() -> int:
    """Train a net for every distance and cut."""
    options = begin(__doc__, SETTINGS, QUICK)
    distances, cuts = options.distances, options.cuts
    found = {}
    with progress(len(distances) * len(cuts) * options.steps) as bar:
        for distance in distances:
            for cut in cuts:
                bar.set_postfix_str(f"distance {distance}, cut {cut}")
                found[distance, cut] = a = train(distance, cut, options, bar)
                bar.write(
                    f"result: distance {distance:2d}, cut {cut:2d}: {a.bits:.2f} bits, "
                    f"{1e3 * a.seconds:.2f} ms and {a.tape >> 10} KiB a step"
                )
    save_figure(options, draw(distances, cuts, found))
    return 0


def draw(distances: Any, cuts: Any, found: Any) -> Any:
    """Draw what was learned as a table, and what it cost as bars."""
    figure, (left, right) = new_figure(1, 2, figsize=(12, 4.5))
    bits = [[found[distance, cut].bits for cut in cuts] for distance in distances]
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
        xlabel="cut: steps that the gradient goes back",
        ylabel="distance from letter to question",
        title="bits a question (guessing: 3); from the line on, cut > distance",
    )
    figure.colorbar(image, ax=left)
    ms = [1e3 * min(found[d, cut].seconds for d in distances) for cut in cuts]
    right.plot(cuts, ms, "o-", label="time in ms")
    kib = [found[distances[0], cut].tape / 1024 for cut in cuts]
    other = right.twinx()
    other.plot(cuts, kib, "s--", color="C1")
    right.plot([], [], "s--", color="C1", label="memory of the tape in KiB (right)")
    right.set(xlabel="cut", ylabel="ms a step of training", title="what a step costs")
    other.set(ylabel="KiB", ylim=(0, None))
    right.set_ylim(0, None)
    right.grid(alpha=0.3)
    right.legend()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
