"""Train a language model of characters, watch it learn to write, sample from it.

    python examples/char_lm.py                            # Python's own reference
    python examples/char_lm.py --text book.txt --layers 2 --dropout 0.3 --steps 10000
    python examples/char_lm.py --resume char_lm/checkpoint.safetensors --steps 8000
    python examples/char_lm.py --sample char_lm/checkpoint.safetensors --prompt "The "

Every `--every` steps the model is validated on the end of the text, which it is never
trained on, writes a sample, and is saved. Ctrl-C saves too, and `--resume` goes on as
if nothing had happened, to the same bits. How it learns is in `_language_model.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _readers as read
import numpy as np
from _errors import UserError, require, run, user_errors
from _files import (
    make_folder,
    read_checkpoint,
    read_text,
    unfit_checkpoint,
    write_figure,
    writing,
)
from _language_model import VALIDATION_SHARE, Model, Training
from _ngrams import ngram_bits
from _program import add_out_and_threads, ctrl_c
from _settings import SEED, Parser, Setting, check_saved, settle

import fastrnn
from fastrnn.text import Vocabulary

KIND = "fastrnn char_lm 1"  # the entry of a checkpoint's metadata that holds the facts
SETTINGS = [
    Setting("cell", "lstm", "recurrent cell: rnn, gru or lstm", read.cell, fixed=True),
    Setting("hidden", 256, "hidden units", read.units, fixed=True),
    Setting("layers", 1, "recurrent layers", read.layers, fixed=True),
    Setting("batch", 32, "rows of text read side by side", read.rows, fixed=True),
    Setting("seq", 64, "characters per row and step", read.rows, fixed=True),
    Setting("dropout", 0.0, "probability of dropout between layers", read.probability),
    Setting("lr", 5e-3, "Adam's first learning rate", read.rate),
    Setting("decay", 500, "lr is divided by 1 + step / decay", read.half_life),
    Setting("clip", 1.0, "largest norm of the gradient", read.norm),
    SEED,
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("steps", 3000, "steps of training", read.steps),
    Setting("every", 300, "validate, sample and save every so many steps", read.steps),
]


def parse() -> argparse.Namespace:
    """Read the command line; settings that were not given are absent."""
    parser = Parser(__doc__, SETTINGS)
    start = parser.add_mutually_exclusive_group()
    for name, help in (("--resume", "go on training"), ("--sample", "only write")):
        start.add_argument(name, metavar="CHECKPOINT", type=read.path, help=help)
    add_out_and_threads(parser, "char_lm")
    count = read.number(int, 0, 10**6)
    parser.add_argument("--prompt", default="", help="text that samples continue")
    parser.add_argument("--length", type=count, default=300, help="of samples")
    parser.add_argument("--temperature", type=read.temperature, default=0.7)
    parser.add_argument("--top-k", type=count, default=0, help="0: all characters")
    parser.add_argument("--top-p", type=read.number(float, 0, 1), default=1.0)
    return parser.parse_args()


def main() -> int:
    """Train, resume or sample."""
    options = parse()
    require("matplotlib", "safetensors", "tqdm")
    if options.threads:
        fastrnn.set_num_threads(options.threads)
    arrays, facts = read_source(options)
    settings = settle(SETTINGS, options, facts.get("settings"))
    if settings["dropout"] and settings["layers"] == 1:
        raise UserError(
            "--dropout: expected 0, since it acts between layers and --layers is 1, "
            f"got {settings['dropout']}"
        )
    if options.sample:
        return sample(options, settings, arrays, facts)
    job = Job(options, settings, arrays, facts)
    job.introduce()
    return job.train()


def read_source(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays and facts to start from; both are empty for a new model."""
    options.source = options.resume or options.sample
    options.flag = "--resume" if options.resume else "--sample"
    if not options.source:
        return {}, {}
    arrays, facts = read_checkpoint(options.flag, options.source, KIND)
    with unfit_checkpoint(options.flag, options.source):
        check_saved(SETTINGS, facts["settings"])
        for name in ("vocabulary", "text"):
            if not isinstance(facts[name], str):
                raise TypeError(f"its {name} is no text")
        Vocabulary(facts["vocabulary"])
    return arrays, facts


def sample(options: argparse.Namespace, settings: Any, arrays: Any, facts: Any) -> int:
    """Print text that a trained model writes."""
    with unfit_checkpoint(options.flag, options.source):
        vocabulary = Vocabulary(facts["vocabulary"])
        model = Model(settings, len(vocabulary))
        model.load(arrays)
    check_prompt(vocabulary, options.prompt)
    for piece in written(model, vocabulary, options, settings["seed"]):
        print(piece, end="", flush=True)
    print()
    return 0


def check_prompt(vocabulary: Vocabulary, prompt: str) -> None:
    """Fail now, not after the first steps, if the model cannot read the prompt."""
    with user_errors("--prompt: expected characters of the training text"):
        vocabulary.encode(prompt)


def written(
    model: Model, vocabulary: Vocabulary, options: argparse.Namespace, seed: Any
) -> Iterator[str]:
    """Yield the prompt, then its continuation by the model, character by character."""
    start = "\n" if "\n" in vocabulary.tokens else vocabulary.tokens[0]
    prompt = vocabulary.encode(options.prompt or start)
    how = {k: getattr(options, k) for k in ("temperature", "top_k", "top_p")}
    # The layers, head included: a model of fastrnn's goes faster than a function.
    ids = fastrnn.text.generate(model.layers, prompt, options.length, seed=seed, **how)
    yield options.prompt
    with user_errors("sample: expected finite logits"):
        for i in ids:
            yield vocabulary.tokens[i]


def training_text(settings: dict[str, Any]) -> str:
    """Read the text; one too short to train on is a `UserError`."""
    text = read_text(settings["text"])
    N, T = settings["batch"], settings["seq"]
    needed = max(20, math.ceil((N * T + 1) / (1 - VALIDATION_SHARE)))
    if len(text) < needed:
        raise UserError(
            f"--text: expected at least {needed} characters for --batch {N} rows of "
            f"--seq {T} and {VALIDATION_SHARE:.0%} for validation, got {len(text)}"
        )
    return text


class Job:
    """A training with its text, options, folder and baselines."""

    def __init__(
        self, options: argparse.Namespace, settings: Any, arrays: Any, facts: Any
    ) -> None:
        self.options, self.settings = options, settings
        self.title = "{layers} × {cell} of {hidden}".format(**settings)
        text = training_text(settings)
        self.vocabulary = Vocabulary(text)
        check_prompt(self.vocabulary, options.prompt)
        self.facts = {
            "settings": settings,
            "vocabulary": "".join(self.vocabulary.tokens),
            "text": hashlib.sha256(text.encode()).hexdigest(),
        }
        ids = self.vocabulary.encode(text)
        self.training = Training(settings, ids, len(self.vocabulary))
        if options.resume:
            if facts["text"] != self.facts["text"]:
                raise UserError(
                    "--text: expected the text of the checkpoint, got another text"
                )
            with unfit_checkpoint(options.flag, options.source):
                self.training.restore(arrays, facts)
        folder = Path(options.resume).parent if options.resume else Path("char_lm")
        out = make_folder(Path(options.out or folder))
        self.checkpoint, self.plot = out / "checkpoint.safetensors", out / "loss.png"
        self.baselines: dict[str, float] = {}

    def introduce(self) -> None:
        """Print the sizes of text and model, and the losses of the baselines."""
        ids, split, V = self.training.ids, self.training.split, len(self.vocabulary)
        size = self.training.model.layers.flat_params.size
        print(
            f"text: {len(ids):,} characters, {V} different, the last "
            f"{len(ids) - split:,} for validation\n"
            f"model: {self.title}, {size:,} parameters, "
            f"{fastrnn.get_num_threads()} threads"
        )
        for name, order in (("unigram", 1), ("trigram", 3)):
            self.baselines[name] = ngram_bits(ids, split, order, V)
            print(f"{name}: {self.baselines[name]:.3f} bits per character")

    def train(self) -> int:
        """Train to the last step or to Ctrl-C; return the exit code."""
        from tqdm import tqdm

        training = self.training
        steps, every = self.settings["steps"], self.settings["every"]
        size = self.settings["batch"] * self.settings["seq"]  # characters per step
        counts = {"total": steps * size, "initial": training.step * size}
        with ctrl_c() as pressed, tqdm(unit="char", unit_scale=True, **counts) as bar:
            while training.step < steps and not pressed.is_set():
                training.advance()
                recent = np.mean(training.losses[-100:])
                bar.set_postfix_str(f"{recent:.3f} bits/char", refresh=False)
                bar.update(size)
                if training.step % every == 0 or training.step == steps:
                    bar.write(self.validate())
                    self.save()
        if pressed.is_set():
            self.save()
            print(f"stopped at step {training.step}: --resume {self.checkpoint}")
            return 130
        self.conclude()
        return 0

    def validate(self) -> str:
        """Measure the model on the validation text, and let it write a sample."""
        training, step = self.training, self.training.step
        training.validation[step] = training.validate()
        seed = [self.settings["seed"], step]
        sample = written(training.model, self.vocabulary, self.options, seed)
        return (
            f"--- step {step}: validation {training.validation[step]:.3f} bits/char\n"
            f"{''.join(sample)}"
        )

    def save(self) -> None:
        """Write the checkpoint and the plot."""
        arrays, facts = self.training.snapshot()
        with writing(self.checkpoint):
            fastrnn.save(self.checkpoint, arrays, facts | self.facts, kind=KIND)
        losses, validation = np.array(self.training.losses), self.training.validation
        block = max(1, len(losses) // 200)
        ends = np.arange(block, len(losses) + 1, block)
        means = losses[: len(ends) * block].reshape(len(ends), block).mean(1)
        curves = {
            "training": (ends, means),
            "validation": (np.array([*validation]), np.array([*validation.values()])),
        }
        figure = fastrnn.plot.losses(
            curves, self.baselines, unit="bits per character", title=self.title
        )
        write_figure(self.plot, figure)

    def conclude(self) -> None:
        """Print the final losses, and a command to try next."""
        print(f"validation: {self.training.validate():.3f} bits per character")
        for name, bits in self.baselines.items():
            print(f"{name}: {bits:.3f}")
        print(f"wrote {self.checkpoint} and {self.plot}; now try")
        print(f"  {sys.argv[0]} --sample {self.checkpoint} --prompt 'The '")


if __name__ == "__main__":
    sys.exit(run(main))
