"""Read a review, say whether it is kind: a whole sequence to one answer.

    python examples/sentiment.py
    python examples/sentiment.py --reviews 20000 --hidden 64

The reviews are made by a small grammar in which no word decides alone (see
_reviews.py): "not" inverts a judgement, "but" outweighs the words before it, and one
label in twenty is wrong, so that the best possible accuracy is known: 95 %.

A bidirectional LSTM reads the words; its last state in each direction goes to a linear
layer. The baseline, a logistic regression on word counts, cannot see which judgements
were inverted.

Reviews have 4 to 120 words. Rows of a batch are computed only up to their own length;
batches of similar lengths (as `fastrnn.data.batches` makes them) also keep tensors
small. The same training is timed on padded, on shuffled and on bucketed batches.

Source of the layer: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks",
1997.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _program import begin, new_figure, progress, save_figure
from _reviews import NOISE, Review, write
from _settings import Setting

import fastrnn
from fastrnn.data import Batch, batches
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("reviews", 12000, "reviews to learn from", read.number(int, 100, 10**6)),
    Setting("hidden", 48, "hidden units per direction", read.units),
    Setting("batch", 32, "reviews per step", read.rows),
    Setting("epochs", 5, "passes through all reviews", read.steps),
    Setting("lr", 4e-3, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"reviews": 6000, "hidden": 32, "epochs": 4}
TIMED = 60  # batches whose training is timed
EXAMPLE = (
    "the music is very good . my brother found it awful . the plot is hardly clever . "
    "but the ending is anything but weak . the cast is not very funny"
)


def main() -> int:
    """Make reviews, train, compare, time, and look into the net."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen = [write(rng) for _ in range(options.reviews)]
    held_out = [write(rng) for _ in range(4000)]
    vocabulary = Vocabulary((r.words for r in seen), words=True, pad=True, unk=True)
    counts = [len(r.words.split()) for r in seen]
    print(f"{len(seen):,} reviews of {min(counts)} to {max(counts)} words")
    kind = [r.label for r in seen]
    model, history = learn(len(vocabulary), encode(vocabulary, seen), kind, options)
    scores = fastrnn.predict(model, encode(vocabulary, held_out))
    labels = np.array([r.label for r in held_out])
    truth = np.array([r.truth for r in held_out])
    baseline = count_words(vocabulary, seen, held_out)
    best = float((labels == truth).mean())
    print(f"on the true labels: {fastrnn.accuracy(scores, truth):.3f}")
    seconds = time_batches(vocabulary, seen, options)
    for name, value in seconds.items():
        print(f"{name}: {value:.2f} s")
    print(
        f"result: accuracy {fastrnn.accuracy(scores, labels):.3f} "
        f"(counting words {baseline:.3f}, best possible {best:.3f})"
    )
    save_figure(options, draw(model, vocabulary, history.steps, seconds))
    return 0


def encode(vocabulary: Vocabulary, reviews: list[Review]) -> list[np.ndarray]:
    """Return the reviews' words as ids."""
    return [vocabulary.encode(r.words) for r in reviews]


def count_words(vocabulary: Vocabulary, seen: Any, held_out: Any) -> float:
    """Return the accuracy of a logistic regression on word counts."""

    def counts(reviews: list[Review]) -> np.ndarray:
        rows = [
            np.bincount(ids, minlength=len(vocabulary))
            for ids in encode(vocabulary, reviews)
        ]
        return np.array(rows, np.float32)

    x, labels = counts(seen), np.array([r.label for r in seen])
    head = fastrnn.Linear(len(vocabulary), 2, seed=0)
    adam = fastrnn.Adam(head.flat_params, lr=0.05)
    for _ in range(300):
        head.cross_entropy(x, labels)
        head.zero_grad()
        head.backward()
        adam.step(head.flat_grads)
    truth = np.array([r.label for r in held_out])
    return fastrnn.accuracy(head(counts(held_out)), truth)


# --- the net -------------------------------------------------------------------------


def make(V: int, options: argparse.Namespace) -> fastrnn.Sequential:
    """Return a net: words in, scores of "unkind" and "kind" out."""
    rng, H = np.random.default_rng([options.seed, 1]), options.hidden
    return fastrnn.Sequential(
        embedding=fastrnn.Embedding(V, 32, seed=rng),
        rnn=fastrnn.LSTM(32, H, bidirectional=True, init="keras", seed=rng),
        last=fastrnn.Last(bidirectional=True),
        head=fastrnn.Linear(2 * H, 2, seed=rng),
    )


def learn(V: int, reviews: Any, labels: Any, options: Any) -> Any:
    """Return a net that has read all reviews several times, and the history."""
    model = make(V, options)
    with progress(options.epochs, unit="epoch") as bar:
        history = fastrnn.fit(
            model,
            batches(reviews, labels, rows=options.batch, seed=[options.seed, 2]),
            optimizer=fastrnn.Adam(model, lr=options.lr),
            epochs=options.epochs,
            schedule=lambda epoch, history: 1 - epoch / options.epochs,
            callbacks=[lambda model, history: bar.update()],
            progress=False,  # the bar above stands for all epochs
        )
    return model, history


def time_batches(
    vocabulary: Vocabulary, seen: list[Review], options: Any
) -> dict[str, float]:
    """Return the seconds of training on the same reviews in three kinds of batches.

    The best of three runs each.
    """
    reviews = encode(vocabulary, seen)[: options.batch * TIMED]
    labels = np.array([r.label for r in seen])[: len(reviews)]
    longest = max(map(len, reviews))
    bucketed, shuffled = (
        list(batches(reviews, labels, rows=options.batch, bucket=bucket, seed=0))
        for bucket in (True, False)
    )
    padded = [
        Batch(np.pad(b.x, ((0, longest - len(b.x)), (0, 0))), b.targets)
        for b in shuffled
    ]
    kinds = {"padded": padded, "lengths": shuffled, "lengths, bucketed": bucketed}
    best: dict[str, float] = {}
    for _ in range(3):
        for name, kind in kinds.items():
            model = make(len(vocabulary), options)
            adam = fastrnn.Adam(model, lr=options.lr)
            start = time.perf_counter()
            fastrnn.fit(model, kind, optimizer=adam, progress=False)
            seconds = time.perf_counter() - start
            best[name] = min(seconds, best.get(name, np.inf))
    return best


# --- the picture ---------------------------------------------------------------------


def draw(model: Any, vocabulary: Vocabulary, losses: Any, seconds: Any) -> Any:
    """Draw the verdict after every word, the loss, and the seconds."""
    figure, (top, bottom) = new_figure(2, 1, figsize=(15, 8), height_ratios=[2, 3])
    words, ids = EXAMPLE.split(), vocabulary.encode(EXAMPLE)
    scores = fastrnn.predict(model, [ids[: i + 1] for i in range(len(ids))])
    kind = np.diff(scores, axis=1)[:, 0]
    top.bar(range(len(words)), kind, color=np.where(kind > 0, "C2", "C3"))
    top.set_xticks(range(len(words)), words, rotation=60, ha="right")
    top.axhline(0, color="black", linewidth=0.8)
    top.set(
        ylabel="score of kind − score of unkind",
        title="The verdict after every word: kind is green, unkind red",
    )
    parts = bottom.get_subplotspec().subgridspec(1, 2)
    bottom.remove()
    left, right = (figure.add_subplot(part) for part in parts)
    block = max(1, len(losses) // 60)
    means = np.array(losses[: len(losses) // block * block]).reshape(-1, block).mean(1)
    left.plot(np.arange(1, len(means) + 1) * block, means, label="training")
    floor = -(NOISE * np.log(NOISE) + (1 - NOISE) * np.log(1 - NOISE))
    left.axhline(
        floor, color="grey", linestyle="--", label=f"best possible {floor:.2f}"
    )
    left.set(xlabel="step", ylabel="cross-entropy", ylim=(0, None), title="Training")
    left.grid(alpha=0.3)
    left.legend()
    bars = right.barh(list(seconds), list(seconds.values()), color="C0")
    right.bar_label(bars, fmt=" %.2f s")
    right.set(xlabel="seconds", title="The same reviews in three kinds of batches")
    right.margins(x=0.12)
    right.grid(alpha=0.3, axis="x")
    right.invert_yaxis()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
