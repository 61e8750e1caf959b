"""Train a language model on words: UNK, EOS, and an embedding that is also the head.

    python examples/word_lm.py                       # Python's own reference
    python examples/word_lm.py --text book.txt --steps 5000
    python examples/word_lm.py --head own --dropout 0

Words that come less than `--min-count` times are one word, <unk>; a paragraph ends in
<eos>, and so does a sample. The model reads on and on, with its state carried from step
to step (truncated backpropagation through time, see _language_model.py). Perplexity is
exp(cross-entropy): of so many equally likely words one would have to guess. It has to
be below that of counting models of one and of three words on text that neither has
seen.

Tied, the vectors of the words are the weights of the head as well: a word is likely
next where the state points its way. That is half the parameters, and less to overfit.

Sources: O. Press, L. Wolf, "Using the output embedding to improve language models",
2017; W. Zaremba, I. Sutskever, O. Vinyals, "Recurrent neural network regularization",
2014 (dropout between layers and not over time).
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

import numpy as np
from _common import UserError, read_text, run
from _language_model import Training
from _ngrams import ngram_bits
from _program import begin, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.text import Vocabulary, generate

SETTINGS = [
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("min_count", 3, "words that come less often are <unk>", number(int, 1)),
    Setting(
        "head",
        "tied",
        "weights of the head: the embedding's, or its own",
        choices=["tied", "own"],
    ),
    Setting("cell", "lstm", "recurrent cell", choices=["rnn", "gru", "lstm"]),
    Setting("hidden", 160, "hidden units, and size of the embedding", number(int, 1)),
    Setting("layers", 1, "recurrent layers", number(int, 1)),
    Setting("dropout", 0.5, "share dropped between layers", number(float, 0, 0.99)),
    Setting("batch", 20, "rows of text read side by side", number(int, 1)),
    Setting("seq", 30, "words of a row a step", number(int, 1)),
    Setting("lr", 4e-3, "Adam's first learning rate", number(float, 1e-9, 10)),
    Setting("decay", 1000, "lr is divided by 1 + step / decay", number(float, 1)),
    Setting("clip", 1.0, "largest norm of the gradient", number(float, 1e-9)),
    Setting("steps", 2400, "of training", number(int, 1)),
    Setting("every", 200, "judge so often", number(int, 1)),
]
QUICK = {"steps": 900, "decay": 400, "every": 300}


def main() -> int:
    """Train, judge, write."""
    options = begin(__doc__, SETTINGS, QUICK)
    vocabulary, ids = read(options)
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
        print("--- words that lie nearest in the embedding")
        for word in ("class", "int", "raise", "first", "("):
            print(f"{word}: {', '.join(neighbours(training.model, vocabulary, word))}")
    found = 2 ** training.judged[training.step]
    others = ", ".join(f"{name} {value:.1f}" for name, value in baselines.items())
    print(f"result: perplexity {found:.1f} ({others})")
    curves = {
        "training": smooth(np.exp2(training.losses)),
        "validation": (
            np.array([*training.judged]),
            np.exp2([*training.judged.values()]),
        ),
    }
    title = (
        f"{options.layers} × {options.cell} of {options.hidden}, head {options.head}"
    )
    save_figure(
        options,
        fastrnn.plot.losses(
            curves, baselines, unit="perplexity", title=title, log=True
        ),
    )
    return 0


def read(options: argparse.Namespace) -> tuple[Vocabulary, np.ndarray]:
    """Return the vocabulary of the text's first part, and the ids of all of it."""
    text = read_text(options.text)
    text = re.sub(r"^\W*([*=~^-])\1{3,}\W*$", "", text, flags=re.M)  # underlines
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
    known = paragraphs[: int(0.9 * len(paragraphs))]
    if not known:
        raise UserError(
            f"the text has {len(paragraphs)} paragraphs, expected at least 2"
        )
    vocabulary = Vocabulary(
        known, words=True, min_count=options.min_count, unk=True, eos=True
    )
    ids = np.concatenate([vocabulary.encode(p, eos=True) for p in paragraphs])
    needed = 20 + int(1.2 * options.batch * options.seq)
    if len(ids) < needed:
        raise UserError(
            f"the text has {len(ids)} words; --batch {options.batch} rows of --seq "
            f"{options.seq} take at least {needed}"
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
                training.judged[training.step] = training.validate()


def sample(model: Any, vocabulary: Vocabulary, seed: Any) -> str:
    """Let the model write a paragraph."""
    ids = generate(
        model, [vocabulary.eos], 60, temperature=0.8, stop=vocabulary.eos,
        seed=np.random.default_rng(seed),
    )  # fmt: skip
    return vocabulary.decode(ids)


def neighbours(model: Any, vocabulary: Vocabulary, word: str) -> list[str]:
    """Return the words whose vectors make the smallest angle with the word's."""
    unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
    (i,) = vocabulary.encode(word)
    nearest = np.argsort(-(unit @ unit[i]))
    return [vocabulary.tokens[k] for k in nearest if k != i][:5]


def smooth(values: np.ndarray, block: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which blocks end, and the blocks' means."""
    ends = np.arange(block, len(values) + 1, block)
    return ends, values[: len(ends) * block].reshape(len(ends), block).mean(1)


if __name__ == "__main__":
    sys.exit(run(main))
