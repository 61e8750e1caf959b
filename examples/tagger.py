"""Learn to highlight Python: a tag for every character, read in both directions.

    python examples/tagger.py
    python examples/tagger.py --hidden 128 --steps 1500

The texts are the modules of Python's own library, the tags are those of its tokenizer:
comment, string, keyword, number, definition (the name after def or class), name, rest.
The net is told no rule of the language. Whole modules are held out to test it.

Later characters often decide: "i" may begin a name or the keyword "if". So a second
direction reads backwards, and the tag is made from both. The same net with one
direction is trained for comparison; the baseline is a counting model that looks at each
character and its two neighbours on either side.

Source: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks", 1997.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import _readers as read
import numpy as np
from _code import TAGS, Piece, read_modules
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn.data import bucket_batches, pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("hidden", 64, "hidden units per direction", read.units),
    Setting("batch", 32, "pieces of code per step", read.rows),
    Setting("modules", 60, "modules to learn from", read.number(int, 1, 1000)),
    Setting("steps", 600, "steps of training, for each net", read.steps),
    Setting("lr", 1e-2, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"steps": 350, "modules": 30, "hidden": 48}
COLOURS = ("#333333", "#1f4e9c", "#b4009e", "#c05a00", "#1a7f37", "#7a5c00", "#808080")
WIDEST = 72  # characters of a line in the picture
BOLD = (COLOURS[2], COLOURS[3])
IGNORED = -100  # a target that the loss leaves out


def main() -> int:
    """Train both nets, compare them, and show their tags of code they never saw."""
    options = begin(__doc__, SETTINGS, QUICK)
    seen, held_out = read_modules(options.modules, options.seed)
    vocabulary = Vocabulary((p.text for p in seen), unk=True)
    size = sum(len(p.text) for p in seen)
    print(
        f"{len(seen):,} pieces of code, {size:,} characters, "
        f"{len(vocabulary)} different"
    )
    truth = np.concatenate([p.tags for p in held_out])
    tags = {"counting": count_tags(seen, held_out)}
    for name, both in (("one direction", False), ("both directions", True)):
        model = make_model(len(vocabulary), both, options)
        train(model, vocabulary, seen, options, name)
        tags[name] = predict(model, vocabulary, held_out)
    print("correct, of all characters and of those with each tag:")
    for name, own in tags.items():
        each = "  ".join(
            f"{tag} {(own == truth)[truth == i].mean():.1%}"
            for i, tag in enumerate(TAGS)
        )
        print(f"  {name:15s} {(own == truth).mean():.2%}  {each}")
    result = ", ".join(f"{n} {(own == truth).mean():.4f}" for n, own in tags.items())
    print(f"result: accuracy {result}")
    save_figure(options, draw(tags, truth, held_out))
    return 0


# --- the models ----------------------------------------------------------------------


def make_model(V: int, both: bool, options: argparse.Namespace) -> Any:
    """Return a net from characters (one-hot) to scores of tags."""
    rng, H = np.random.default_rng(options.seed), options.hidden
    return fastrnn.Sequential(
        rnn=fastrnn.LSTM(V, H, bidirectional=both, init="keras", seed=rng),
        head=fastrnn.Linear(2 * H if both else H, len(TAGS), seed=rng),
    )


def train(
    model: Any,
    vocabulary: Vocabulary,
    pieces: list[Piece],
    options: argparse.Namespace,
    name: str,
) -> None:
    """Take all steps, pieces of similar lengths side by side."""
    inputs = [vocabulary.encode(p.text) for p in pieces]
    adam, step, rng = fastrnn.Adam(model.flat_params), 0, np.random.default_rng(0)
    with progress(options.steps, name) as bar:
        while step < options.steps:
            for batch in bucket_batches(
                [len(a) for a in inputs], options.batch, seed=rng
            ):
                if step == options.steps:
                    return
                x, lengths = pad_sequences([inputs[i] for i in batch])
                targets, _ = pad_sequences(
                    [pieces[i].tags for i in batch], value=IGNORED
                )
                loss, _ = model.cross_entropy(x, targets, lengths=lengths)
                model.zero_grad()
                model.backward()
                adam.lr = options.lr * (1 - step / options.steps)
                descend(adam, model.flat_grads)
                step += 1
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update()


def predict(model: Any, vocabulary: Vocabulary, pieces: list[Piece]) -> np.ndarray:
    """Return the likeliest tag of every character, piece after piece."""
    model.eval()
    tags = []
    for i in range(0, len(pieces), 64):
        x, lengths = pad_sequences(
            [vocabulary.encode(p.text) for p in pieces[i : i + 64]]
        )
        scores, _ = model(x, lengths=lengths)
        best = scores.argmax(axis=2)
        tags += [best[:length, n] for n, length in enumerate(lengths)]
    return np.concatenate(tags)


def count_tags(seen: list[Piece], held_out: list[Piece]) -> np.ndarray:
    """Return the most frequent tag of each character with the same neighbours.

    Two neighbours on either side, or fewer where these were never seen.
    """
    counts: dict[str, np.ndarray] = {}
    for piece in seen:
        for windows in around(piece.text):
            for window, t in zip(windows, piece.tags, strict=True):
                counts.setdefault(window, np.zeros(len(TAGS), int))[t] += 1
    tags = []
    for piece in held_out:
        for windows in zip(*around(piece.text), strict=True):
            known = [counts[w] for w in windows if w in counts]
            tags.append(known[-1].argmax() if known else 0)
    return np.array(tags)


def around(text: str) -> list[list[str]]:
    """Return each character alone, with one and with two neighbours on either side."""
    wide = f"\0\0{text}\0\0"
    return [
        [wide[2 + i - k : 3 + i + k] for i in range(len(text))] for k in range(3)
    ]  # fmt: skip


# --- the picture ---------------------------------------------------------------------


def draw(tags: dict[str, np.ndarray], truth: np.ndarray, pieces: list[Piece]) -> Any:
    """Draw code in the colours of its tags, and the accuracy for each tag."""
    figure, (left, right) = new_figure(1, 2, figsize=(16, 8), width_ratios=[3, 2])
    draw_code(left, tags["both directions"], truth, pieces)
    width = 0.8 / len(tags)
    for k, (name, own) in enumerate(tags.items()):
        each = [(own == truth)[truth == i].mean() for i in range(len(TAGS))]
        y = np.arange(len(TAGS)) + (k - 1) * width
        right.barh(y, each, width, label=f"{name}: {(own == truth).mean():.1%}")
    right.set_yticks(range(len(TAGS)), TAGS, fontsize=11, fontweight="bold")
    for label, colour in zip(right.get_yticklabels(), COLOURS, strict=True):
        label.set_color(colour)
    right.set(xlabel="share of characters tagged correctly", xlim=(0, 1))
    right.invert_yaxis()
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    right.grid(alpha=0.3, axis="x")
    return figure


def draw_code(axes: Any, tags: Any, truth: np.ndarray, pieces: list[Piece]) -> None:
    """Draw some lines in the colours of their tags, with mistakes underlined in red."""
    lines = interesting_lines(pieces)
    for row, (text, start) in enumerate(lines):
        for column, character in enumerate(text):
            i = start + column
            axes.text(
                column, row, character, color=COLOURS[tags[i]], fontsize=11,
                family="monospace", ha="center", va="center", parse_math=False,
                fontweight="bold" if COLOURS[tags[i]] in BOLD else None,
            )  # fmt: skip
            if tags[i] != truth[i] and not character.isspace():
                axes.plot([column - 0.5, column + 0.5], [row + 0.45] * 2, "r", lw=2)
    axes.set(xlim=(-1, WIDEST), ylim=(len(lines) - 0.3, -0.7))
    axes.set_title("Held-out code, as both directions tag it; mistakes underlined")
    axes.axis("off")


def interesting_lines(pieces: list[Piece]) -> list[tuple[str, int]]:
    """Return lines and their starts, from the pieces with the most different tags."""
    ends = np.cumsum([len(p.text) for p in pieces])
    different = [len(np.unique(p.tags)) for p in pieces]
    lines: list[tuple[str, int]] = []
    for i in np.argsort(-np.array(different), kind="stable"):
        start = int(ends[i]) - len(pieces[i].text)
        for line in pieces[i].text.splitlines(keepends=True):
            if line.strip() and len(line) < WIDEST and len(lines) < 24:
                lines.append((line.rstrip("\n"), start))
            start += len(line)
    return lines


if __name__ == "__main__":
    sys.exit(run(main))
