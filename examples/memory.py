"""How long do recurrent nets remember? The adding problem and the copy problem.

    python examples/memory.py
    python examples/memory.py --steps 6000 --hidden 64

Adding: two of T numbers in 0…1 are marked; the answer, due at the end, is their sum.
Always answering 1 has a mean squared error of 1/6. Copying: five letters, T - 1 blanks,
a mark; then the five letters are due. Guessing costs 3 bits per letter.

Le, Jaitly & Hinton (2015) found that a net of ReLU units whose recurrent weights start
as the identity learns to add over distances at which a tanh net learns nothing, as an
LSTM does. This program shows the same. The copy problem shows the other side: there
ReLU units get stuck, and a tanh net is helped by an orthogonal start.

Sources: Q. Le, N. Jaitly, G. Hinton, "A simple way to initialize recurrent networks of
rectified linear units", 2015; S. Hochreiter, J. Schmidhuber, "Long short-term memory",
1997 (both problems); M. Henaff, A. Szlam, Y. LeCun, "Recurrent orthogonal networks and
long-memory tasks", 2016.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn

SETTINGS = [
    Setting("hidden", 32, "hidden units", read.units),
    Setting("batch", 32, "sequences per step", read.rows),
    Setting("steps", 2500, "at most; a net that solves it stops earlier", read.steps),
    Setting(
        "adding", (25, 50, 100, 150), "distances T of adding", read.several(2, 2000)
    ),
    Setting("copying", (5, 10, 20), "distances T of copying", read.several(1, 2000)),
]
QUICK = {"steps": 1500, "adding": (50,), "copying": (10,)}
IGNORED = -100  # a target that the loss leaves out
SOLVED = 0.2  # of the loss of guessing
ENOUGH = 0.05  # of the same: training stops there


class Net(NamedTuple):
    """A recurrent layer and Adam's learning rate for it at distance T."""

    layer: Callable[..., Any]
    how: dict[str, str]
    lr: Callable[[int], float]


# The tanh nets learn no more at rates of 3e-3 or 1e-2.
# A change of the recurrent weights acts T times in a row. ReLU units do not saturate,
# so the longer the sequence, the less their weights may change.
NETS = {
    "tanh": Net(fastrnn.RNN, {}, lambda T: 1e-3),
    "tanh, orthogonal start": Net(fastrnn.RNN, {"init": "keras"}, lambda T: 1e-3),
    "ReLU, identity start": Net(
        fastrnn.RNN, {"nonlinearity": "relu", "init": "identity"}, lambda T: 0.05 / T
    ),
    "GRU": Net(fastrnn.GRU, {"init": "keras"}, lambda T: 1e-2),
    "LSTM": Net(fastrnn.LSTM, {"init": "keras"}, lambda T: 1e-2),
}


class Adding:
    """x [T, N, 2]: numbers and marks, one mark in each half; the sum at the end."""

    title, unit, guessing = "adding", "mean squared error", 1 / 6
    inputs, outputs = 2, 1

    def loss(self, model: Any, rng: Any, T: int, N: int) -> tuple[float, Any]:
        """Return the loss on new sequences and the gradient of the outputs."""
        rows = np.arange(N)
        marked = [rng.integers(0, T // 2, N), rng.integers(T // 2, T, N)]
        x = np.zeros((T, N, 2), np.float32)
        x[:, :, 0] = rng.random((T, N))
        for t in marked:
            x[t, rows, 1] = 1
        targets = np.zeros((T, N, 1), np.float32)
        targets[-1, :, 0] = sum(x[t, rows, 0] for t in marked)
        due = np.zeros((T, N), bool)
        due[-1] = True
        y, _ = model(x)
        loss, dy = fastrnn.mean_squared_error(y, targets, mask=due)
        return float(loss), dy


class Copying:
    """x [T + 9, N]: letters, blanks, a mark; the letters again at the end."""

    title, unit, guessing = "copying", "bits per letter", 3.0
    length, letters = 5, 8
    inputs, outputs = letters + 2, letters

    def loss(self, model: Any, rng: Any, T: int, N: int) -> tuple[float, Any]:
        """Return the loss on new sequences; `backward` needs no gradient."""
        K, blank, mark = self.length, self.letters, self.letters + 1
        word = rng.integers(0, self.letters, (K, N))
        x = np.full((T + 2 * K - 1, N), blank)
        x[:K], x[-K] = word, mark
        targets = np.full(x.shape, IGNORED)
        targets[-K:] = word
        loss, _ = model.cross_entropy(x, targets, ignore_index=IGNORED)
        return float(loss) / math.log(2), None


def train(net: Net, problem: Any, T: int, options: Any, bar: Any) -> float:
    """Train a new net; return its loss on 1000 unseen sequences."""
    rng = np.random.default_rng([options.seed, T])
    H, N = options.hidden, options.batch
    model = fastrnn.Sequential(
        rnn=net.layer(problem.inputs, H, **net.how, seed=rng),
        head=fastrnn.Linear(H, problem.outputs, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params, lr=net.lr(T))
    losses: list[float] = []
    for _ in range(options.steps):
        loss, dy = problem.loss(model, rng, T, N)
        model.zero_grad()
        model.backward(dy)
        descend(adam, model.flat_grads)
        losses.append(loss)
        bar.update()
        if len(losses) >= 100 and np.mean(losses[-100:]) < ENOUGH * problem.guessing:
            break
    bar.update(options.steps - len(losses))
    model.eval()
    return problem.loss(model, rng, T, 1000)[0]


def main() -> int:
    """Train every net on every problem and distance, and draw loss against T."""
    options = begin(__doc__, SETTINGS, QUICK)
    problems = {Adding(): options.adding, Copying(): options.copying}
    count = len(NETS) * sum(map(len, problems.values()))
    results: dict[Any, dict[str, list[float]]] = {}
    with progress(count * options.steps) as bar:
        for problem, distances in problems.items():
            bar.write(f"{problem.title} (guessing: {problem.guessing:.3f})")
            results[problem] = {name: [] for name in NETS}
            for T in distances:
                for name, net in NETS.items():
                    bar.set_postfix_str(f"{problem.title}, T = {T}, {name}")
                    loss = train(net, problem, T, options, bar)
                    results[problem][name].append(loss)
                    bar.write(f"  T = {T:3d}  {name:22s} {loss:.4f} {problem.unit}")
    for problem, distances in problems.items():
        bound = SOLVED * problem.guessing
        solvers = [name for name, a in results[problem].items() if a[-1] < bound]
        print(
            f"result: {problem.title} over T = {distances[-1]} solved by "
            f"{'; '.join(solvers) or 'none'}"
        )
    save_figure(options, draw(problems, results))
    return 0


def draw(problems: Any, results: Any) -> Any:
    """Draw the loss against T, one curve per net, one panel per problem."""
    figure, panels = new_figure(1, len(problems))
    for axes, (problem, distances) in zip(panels, problems.items(), strict=True):
        axes.axhline(problem.guessing, color="grey", linestyle="--", label="guessing")
        axes.axhspan(0, SOLVED * problem.guessing, color="grey", alpha=0.15)
        for marker, (name, losses) in zip(
            "ovs^D", results[problem].items(), strict=True
        ):
            axes.plot(distances, losses, marker=marker, label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(distances, distances)
        axes.set(
            xlabel="distance T in steps",
            ylabel=f"{problem.unit} on new sequences",
            title=f"{problem.title.capitalize()}: solved in the grey area",
        )
        axes.grid(alpha=0.3)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6
    )
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
