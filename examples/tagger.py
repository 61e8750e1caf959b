"""Learn to highlight Python: a tag for every character, read in both directions.

    python examples/tagger.py
    python examples/tagger.py --hidden 128 --steps 1500

The texts are the modules of Python's own library, the tags what its tokenizer says:
comment, string, keyword, number, definition (the name after def or class), name, rest.
Nobody tells the network a rule of the language. Whole modules are kept back to judge
it.

What a character is often shows only later: "i" may begin a name or the keyword "if". So
a second direction reads backwards, and the tag is made from both. The same network with
one direction is trained for comparison; a counting model that looks at each character
and its two neighbours on either side is what both have to beat.

Source: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks", 1997.
"""

from __future__ import annotations

import argparse
import io
import keyword
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import UserError, run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.data import bucket_batches, pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("hidden", 64, "hidden units a direction", number(int, 1)),
    Setting("batch", 32, "pieces of code a step", number(int, 1)),
    Setting("modules", 60, "modules to learn from", number(int, 1)),
    Setting("steps", 600, "of training, for each network", number(int, 1)),
    Setting("lr", 1e-2, "Adam's learning rate, going down to 0", number(float, 1e-9)),
]
QUICK = {"steps": 350, "modules": 30, "hidden": 48}
TAGS = ("rest", "name", "keyword", "definition", "string", "number", "comment")
COLOURS = ("#333333", "#1f4e9c", "#b4009e", "#c05a00", "#1a7f37", "#7a5c00", "#808080")
BOLD = (COLOURS[2], COLOURS[3])
IGNORED = -100  # a target that the loss leaves out
LONGEST = 300  # characters of a piece of code


class Piece(NamedTuple):
    """Some lines of code."""

    text: str
    tags: np.ndarray  # [len(text)] places in TAGS


def main() -> int:
    """Train both networks, compare, and show what they say of code they never saw."""
    options = begin(__doc__, SETTINGS, QUICK)
    seen, kept_back = read_modules(options)
    vocabulary = Vocabulary((p.text for p in seen), unk=True)
    size = sum(len(p.text) for p in seen)
    print(f"{len(seen):,} pieces of code, {size:,} characters, {len(vocabulary)} kinds")
    truth = np.concatenate([p.tags for p in kept_back])
    found = {"counting": counted(seen, kept_back)}
    for name, both in (("one direction", False), ("both directions", True)):
        model = make_model(len(vocabulary), both, options)
        train(model, vocabulary, seen, options, name)
        found[name] = predict(model, vocabulary, kept_back)
    print("correct, of all characters and of those of each tag:")
    for name, tags in found.items():
        each = "  ".join(f"{t} {(tags == truth)[truth == i].mean():.1%}"
                         for i, t in enumerate(TAGS))  # fmt: skip
        print(f"  {name:15s} {(tags == truth).mean():.2%}  {each}")
    result = ", ".join(f"{n} {(t == truth).mean():.4f}" for n, t in found.items())
    print(f"result: accuracy {result}")
    save_figure(options, draw(found, truth, kept_back))
    return 0


def read_modules(options: argparse.Namespace) -> tuple[list[Piece], list[Piece]]:
    """Return pieces of modules to learn from, and of others to be judged on."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in folder.glob("*.py") if 3_000 < p.stat().st_size < 60_000)
    if len(paths) < options.modules + 10:
        raise UserError(f"{folder}: {len(paths)} modules; take fewer --modules")
    rng = np.random.default_rng(options.seed)
    chosen = [paths[i] for i in rng.permutation(len(paths))[: options.modules + 10]]
    pieces = [list(cut(path.read_text("utf-8"))) for path in chosen]
    return list(chain(*pieces[10:])), list(chain(*pieces[:10]))


def cut(code: str) -> Iterator[Piece]:
    """Yield pieces of whole statements, each as long as `LONGEST` allows."""
    lines = code.splitlines(keepends=True)
    starts = np.cumsum([0] + [len(line) for line in lines])
    tags = np.zeros(len(code), np.int32)
    begin = end = 0
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        first, last = (starts[row - 1] + column for row, column in token[2:4])
        tags[first:last] = TAGS.index(tag(token, before))
        before = token.string
        if token.type == tokenize.NEWLINE:
            if last - begin > LONGEST and end > begin:
                yield Piece(code[begin:end], tags[begin:end].copy())
                begin = end
            if last - begin > LONGEST:  # one long statement: its beginning
                yield Piece(code[begin:][:LONGEST], tags[begin:][:LONGEST].copy())
                begin = last
            end = last


def tag(token: tokenize.TokenInfo, before: str) -> str:
    """Return the tag of a token; `before` is the token before it."""
    kind = tokenize.tok_name[token.type]
    if kind == "NAME":
        if before in ("def", "class"):
            return "definition"
        return "keyword" if keyword.iskeyword(token.string) else "name"
    if "STRING" in kind:
        return "string"
    return kind.lower() if kind in ("NUMBER", "COMMENT") else "rest"


def make_model(V: int, both: bool, options: argparse.Namespace) -> Any:
    """Return characters in (one-hot), scores of tags out."""
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
    """Take all steps: pieces of like length side by side, epoch after epoch."""
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
                fastrnn.clip_grad_norm(model.flat_grads, 1.0)
                adam.lr = options.lr * (1 - step / options.steps)
                adam.step(model.flat_grads)
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


def counted(seen: list[Piece], kept_back: list[Piece]) -> np.ndarray:
    """Return the tag that was most frequent for a character with the same neighbours.

    Two on either side, or as many as were ever seen around it.
    """
    counts: dict[str, np.ndarray] = {}
    for piece in seen:
        for windows in around(piece.text):
            for window, t in zip(windows, piece.tags, strict=True):
                counts.setdefault(window, np.zeros(len(TAGS), int))[t] += 1
    found = []
    for piece in kept_back:
        for windows in zip(*around(piece.text), strict=True):
            known = [counts[w] for w in windows if w in counts]
            found.append(known[-1].argmax() if known else 0)
    return np.array(found)


def around(text: str) -> list[list[str]]:
    """Return each character alone, with one and with two neighbours on either side."""
    wide = f"\0\0{text}\0\0"
    return [
        [wide[2 + i - k : 3 + i + k] for i in range(len(text))] for k in range(3)
    ]  # fmt: skip


def draw(found: dict[str, np.ndarray], truth: np.ndarray, pieces: list[Piece]) -> Any:
    """Draw code in the colours of its tags, mistakes underlined, and all accuracies."""
    figure, (left, right) = new_figure(1, 2, figsize=(13, 6.5), width_ratios=[3, 2])
    lines = interesting_lines(truth, pieces)
    tags = found["both directions"]
    for row, (text, start) in enumerate(lines):
        for column, character in enumerate(text):
            i = start + column
            wrong = tags[i] != truth[i] and not character.isspace()
            left.text(
                column, row, character, color=COLOURS[tags[i]], fontsize=9,
                family="monospace", ha="center", va="center", parse_math=False,
                fontweight="bold" if COLOURS[tags[i]] in BOLD else None,
            )  # fmt: skip
            if wrong:
                left.plot([column - 0.5, column + 0.5], [row + 0.45] * 2, "r", lw=2)
    left.set(xlim=(-1, 72), ylim=(len(lines) - 0.3, -0.7))
    left.set_title("A module kept back, as both directions colour it (red: wrong)")
    left.axis("off")
    width = 0.8 / len(found)
    for k, (name, tags) in enumerate(found.items()):
        each = [(tags == truth)[truth == i].mean() for i in range(len(TAGS))]
        y = np.arange(len(TAGS)) + (k - 1) * width
        right.barh(y, each, width, label=f"{name}: {(tags == truth).mean():.1%}")
    right.set_yticks(range(len(TAGS)), TAGS)
    right.set(xlabel="share of characters tagged correctly", xlim=(0, 1))
    right.invert_yaxis()
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=8)
    right.grid(alpha=0.3, axis="x")
    return figure


def interesting_lines(truth: np.ndarray, pieces: list[Piece]) -> list[tuple[str, int]]:
    """Return lines and where they start: of the pieces with the most kinds of tags."""
    ends = np.cumsum([len(p.text) for p in pieces])
    kinds = [len(np.unique(p.tags)) for p in pieces]
    lines: list[tuple[str, int]] = []
    for i in np.argsort(-np.array(kinds), kind="stable"):
        start = int(ends[i]) - len(pieces[i].text)
        for line in pieces[i].text.splitlines(keepends=True):
            if line.strip() and len(line) < 72 and len(lines) < 24:
                lines.append((line.rstrip("\n"), start))
            start += len(line)
    return lines


if __name__ == "__main__":
    sys.exit(run(main))
