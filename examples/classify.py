"""From data to a trained model: sequences of unequal length, two classes, one rare.

    python examples/classify.py
    python examples/classify.py --sequences 10000 --cell lstm

A sensor records how bearings shake: 20 to 100 readings each. One bearing in ten is
worn, and its readings resemble the ones before a little more. Their mean and spread are
those of a sound bearing, so only their order tells. The best possible verdict is known,
since the program makes the records: the likelihood ratio.

Everything from records to a trained model is in `learn`: class weights, validation, a
falling learning rate, early stopping. The measure is the area under the curve: how
often a worn bearing gets a higher score than a sound one.
"""

from __future__ import annotations

import sys
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn import data, schedules

SETTINGS = [
    Setting("sequences", 4000, "records to learn from", read.number(int, 200, 10**6)),
    Setting("cell", "gru", "recurrent cell: rnn, gru or lstm", read.cell),
    Setting("hidden", 32, "hidden units", read.units),
    Setting("batch", 32, "records per step", read.rows),
    Setting("epochs", 30, "passes through all records, at most", read.steps),
    Setting("lr", 3e-3, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"sequences": 1500, "epochs": 12}
SOUND, WORN = 0.5, 0.7  # the correlation of a reading with the one before
SHARE = 0.1  # of worn bearings


def main() -> int:
    """Make records, train, and compare with the best possible verdict."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    sequences, labels = write(rng, options.sequences)
    lengths = [len(x) for x in sequences]
    print(
        f"{len(labels):,} records of {min(lengths)} to {max(lengths)} readings, "
        f"{labels.mean():.0%} worn"
    )
    model, history = learn(sequences, labels, options)
    new, truth = write(rng, 4000)
    scores = {
        "likelihood ratio, the best possible": np.array([ratio(x) for x in new]),
        "the net": np.diff(fastrnn.predict(model, new))[:, 0],
        "spread of the readings": np.array([-x.std() for x in new]),
    }
    areas = {name: area(score, truth) for name, score in scores.items()}
    best, net, spread = areas.values()
    print(f"{history.epochs} epochs, the best one was {history.best}")
    print(
        f"result: area under the curve {net:.3f} "
        f"(best possible {best:.3f}, by spread alone {spread:.3f})"
    )
    save_figure(options, draw(history, scores, areas, truth))
    return 0


def write(rng: np.random.Generator, K: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return K records [length, 1], and whether each is one of a worn bearing."""
    labels = (rng.random(K) < SHARE).astype(np.int64)
    lengths = rng.integers(20, 101, K)
    x = rng.standard_normal((100, K))
    keep = np.where(labels, WORN, SOUND)
    for t in range(1, 100):
        x[t] = keep * x[t - 1] + np.sqrt(1 - keep**2) * x[t]
    records = [x[:n, k : k + 1].astype(np.float32) for k, n in enumerate(lengths)]
    return records, labels


def ratio(x: np.ndarray) -> float:
    """Return the log of the likelihood of worn over that of sound."""

    def log_likelihood(keep: float) -> float:
        variance = 1 - keep**2
        errors = x[1:] - keep * x[:-1]
        return float(-(errors**2).sum() / variance - errors.size * np.log(variance)) / 2

    return log_likelihood(WORN) - log_likelihood(SOUND)


def learn(sequences: Any, labels: Any, options: Any) -> Any:
    """Return a trained model, and the history of its losses."""
    weights = (len(labels) / 2 / np.bincount(labels))[labels].astype(np.float32)
    kept, held_out = data.split(sequences, 0.2, seed=options.seed)
    how = {"rows": options.batch, "weights": weights, "seed": options.seed}
    training = data.batches(sequences, labels, indices=kept, **how)
    validation = data.batches(sequences, labels, indices=held_out, **how)
    layer = getattr(fastrnn, options.cell.upper())
    rnn = layer(1, options.hidden, init="keras", seed=options.seed)
    head = fastrnn.Linear(options.hidden, 2, seed=options.seed)
    model = fastrnn.Sequential(rnn, fastrnn.MeanOverTime(), head)
    with progress(options.epochs, unit="epoch") as bar:
        history = fastrnn.fit(
            model,
            training,
            optimizer=fastrnn.Adam(model, lr=options.lr),
            epochs=options.epochs,
            validation=validation,
            schedule=schedules.cosine(options.epochs),
            patience=8,
            callbacks=[lambda model, history: bar.update()],
            progress=False,  # the bar above stands for all epochs
        )
        bar.total = bar.n
        bar.refresh()
    return model, history


def area(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return how often a worn bearing gets a higher score than a sound one."""
    worn, sound = scores[truth == 1], scores[truth == 0]
    return float((worn[:, None] > sound).mean())


def draw(history: Any, scores: Any, areas: Any, truth: np.ndarray) -> Any:
    """Draw the losses, and the share of worn bearings found against false alarms."""
    figure, (left, right) = new_figure(1, 2)
    for name, values in history.items():
        left.plot(np.arange(len(values)) + 1, values, label=name)
    left.axvline(history.best, color="grey", linestyle="--", label="best epoch")
    left.set(xlabel="epoch", ylabel="weighted cross-entropy", title="Training")
    for name, score in scores.items():
        order = truth[np.argsort(-score)]
        found = np.cumsum(order) / order.sum()
        alarms = np.cumsum(1 - order) / (1 - order).sum()
        right.plot(alarms, found, label=f"{name}: {areas[name]:.3f}")
    right.set(xlabel="share of sound bearings that give a false alarm")
    right.set(ylabel="share of worn bearings found", title="New records")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
