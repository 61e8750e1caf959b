"""Train a language model of words: UNK, EOS, and an embedding that is also the head.

    python examples/word_lm.py                       # Python's own reference
    python examples/word_lm.py --text book.txt --steps 5000
    python examples/word_lm.py --head own --dropout 0

Words that occur fewer than `--min-count` times share one token, <unk>; a paragraph ends
with <eos>, and so does a sample. The state is carried from step to step through the
text (truncated backpropagation through time, see _language_model.py). Perplexity is
exp(cross-entropy): the number of equally likely words the model is choosing between. It
should be below that of two counting models, unigram and trigram, on text that none of
them has seen.

Tied, the vectors of the words are also the weights of the head: a word is likely to
come next if the state points in its direction. That halves the number of parameters,
and there is less to overfit.

Sources: O. Press, L. Wolf, "Using the output embedding to improve language models",
2017; W. Zaremba, I. Sutskever, O. Vinyals, "Recurrent neural network regularization",
2014 (dropout between layers and not over time).
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

import _readers as read
import numpy as np
from _errors import UserError, run
from _language_model import Training
from _ngrams import ngram_bits
from _program import begin, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn.text import Vocabulary, generate

SETTINGS = [
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("min_count", 3, "rarer words are <unk>", read.number(int, 1, 10**6)),
    Setting(
        "head", "tied", "its weights: tied to the embedding, or own",
        read.one_of("tied", "own"),
    ),
    Setting("cell", "lstm", "recurrent cell: rnn, gru or lstm", read.cell),
    Setting("hidden", 160, "hidden units, and size of the embedding", read.units),
    Setting("layers", 1, "recurrent layers", read.layers),
    Setting("dropout", 0.5, "probability of dropout", read.probability),
    Setting("batch", 20, "rows of text read side by side", read.rows),
    Setting("seq", 30, "words per row and step", read.rows),
    Setting("lr", 4e-3, "Adam's first learning rate", read.rate),
    Setting("decay", 1000, "lr is divided by 1 + step / decay", read.half_life),
    Setting("clip", 1.0, "largest norm of the gradient", read.norm),
    Setting("steps", 2400, "steps of training", read.steps),
    Setting("every", 200, "validate every so many steps", read.steps),
]  # fmt: skip
QUICK = {"steps": 900, "decay": 400, "every": 300}


def main() -> int:
    """Train, validate, write samples."""
    options = begin(__doc__, SETTINGS, QUICK)
    vocabulary, ids = read_words(options)
    tied = options.head == "tied"
    settings = vars(options) | {"embedding": options.hidden, "tied": tied}
    training = Training(settings, ids, len(vocabulary))
    unknown = np.mean(ids == vocabulary.unk)
    print(
        f"text: {len(ids):,} words, {len(vocabulary):,} different, "
        f"{unknown:.1%} unknown; the last {len(ids) - training.split:,} for "
        f"validation\nmodel: {training.model.layers.flat_params.size:,} parameters"
    )
    baselines = {
        name: 2 ** ngram_bits(ids, training.split, order, len(vocabulary))
        for name, order in (("unigram", 1), ("trigram", 3))
    }
    train(training, options)
    print("--- samples")
    for seed in range(3):
        print(sample(training.model, vocabulary, [options.seed, seed]))
    if tied:
        print("--- nearest words in the embedding")
        for word in ("class", "int", "raise", "first", "("):
            print(f"{word}: {', '.join(neighbours(training.model, vocabulary, word))}")
    perplexity = 2 ** training.validation[training.step]
    others = ", ".join(f"{name} {value:.1f}" for name, value in baselines.items())
    print(f"result: perplexity {perplexity:.1f} ({others})")
    save_figure(options, draw(training, baselines, options))
    return 0


def read_words(options: argparse.Namespace) -> tuple[Vocabulary, np.ndarray]:
    """Return the vocabulary of the text's first part, and the ids of the whole text."""
    text = re.sub(r"^\W*([*=~^-])\1{3,}\W*$", "", options.text, flags=re.M)  # rules
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
    known = paragraphs[: int(0.9 * len(paragraphs))]
    if not known:
        raise UserError(
            f"--text: expected at least 2 paragraphs, got {len(paragraphs)}"
        )
    vocabulary = Vocabulary(
        known, words=True, min_count=options.min_count, unk=True, eos=True
    )
    ids = np.concatenate([vocabulary.encode(p, eos=True) for p in paragraphs])
    needed = 20 + int(1.2 * options.batch * options.seq)
    if len(ids) < needed:
        raise UserError(
            f"--text: expected at least {needed} words for --batch {options.batch} "
            f"rows of --seq {options.seq}, got {len(ids)}"
        )
    return vocabulary, ids


def train(training: Training, options: argparse.Namespace) -> None:
    """Take all steps."""
    with progress(options.steps) as bar:
        while training.step < options.steps:
            training.advance()
            recent = 2 ** np.mean(training.losses[-100:])
            bar.set_postfix_str(f"perplexity {recent:.1f}", refresh=False)
            bar.update()
            if training.step % options.every == 0 or training.step == options.steps:
                training.validation[training.step] = training.validate()


def sample(model: Any, vocabulary: Vocabulary, seed: Any) -> str:
    """Let the model write a paragraph."""
    ids = generate(
        model, [vocabulary.eos], 60, temperature=0.8, stop=vocabulary.eos,
        seed=np.random.default_rng(seed),
    )  # fmt: skip
    return vocabulary.decode(ids)


def neighbours(model: Any, vocabulary: Vocabulary, word: str) -> list[str]:
    """Return the words whose vectors make the smallest angles with the word's."""
    unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
    (i,) = vocabulary.encode(word)
    nearest = np.argsort(-(unit @ unit[i]))
    return [vocabulary.tokens[k] for k in nearest if k != i][:5]


# --- the picture ---------------------------------------------------------------------


def draw(training: Training, baselines: dict[str, float], options: Any) -> Any:
    """Draw perplexity over training, on a logarithmic axis with plain numbers."""
    validation = training.validation
    curves = {
        "training": smooth(np.exp2(training.losses)),
        "validation": (np.array([*validation]), np.exp2([*validation.values()])),
    }
    layers = "one layer" if options.layers == 1 else f"{options.layers} layers"
    title = (
        f"Words of a text: {layers} of {options.hidden} {options.cell.upper()} units, "
        f"{options.head} head"
    )
    figure = fastrnn.plot.losses(
        curves, baselines, unit="perplexity", title=title, log=True
    )
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    ticks = [a * 10**k for k in range(6) for a in (1, 2, 3, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks([], minor=True)
    return figure


def smooth(values: np.ndarray, block: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which blocks end, and the blocks' means."""
    block = min(block, len(values))
    ends = np.arange(block, len(values) + 1, block)
    return ends, values[: len(ends) * block].reshape(len(ends), block).mean(1)


if __name__ == "__main__":
    sys.exit(run(main))
