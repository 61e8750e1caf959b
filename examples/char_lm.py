"""Train a character-level language model, watch it learn to write, sample from it.

    python examples/char_lm.py                            # Python's own reference
    python examples/char_lm.py --text book.txt --layers 2 --dropout 0.3 --steps 10000
    python examples/char_lm.py --resume char_lm/checkpoint.safetensors --steps 8000
    python examples/char_lm.py --sample char_lm/checkpoint.safetensors --prompt "The "

Every `--every` steps the model is judged on the end of the text, which it never trained
on, writes a sample, and is saved. Ctrl-C saves too, and `--resume` goes on as if
nothing had happened, to the same bits. How it learns is in `_language_model.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    UserError,
    clear_errors,
    ctrl_c,
    make_folder,
    read_text,
    require,
    run,
    write_figure,
)
from _language_model import VALIDATION_SHARE, Model, Training
from _ngrams import ngram_bits
from _settings import Setting, add_settings, number, settle

import fastrnn
from fastrnn.text import Vocabulary

KIND = "fastrnn char_lm 1"  # the entry of a checkpoint's metadata that holds the facts
CELLS = [cell for cell in ("rnn", "gru", "lstm") if hasattr(fastrnn, cell.upper())]
SETTINGS = [
    Setting("cell", "lstm", "recurrent cell", choices=CELLS, fixed=True),
    Setting("hidden", 256, "hidden units", number(int, 1), fixed=True),
    Setting("layers", 1, "recurrent layers", number(int, 1), fixed=True),
    Setting("batch", 32, "rows of text read side by side", number(int, 1), fixed=True),
    Setting("seq", 64, "characters of a row a step", number(int, 1), fixed=True),
    Setting("dropout", 0.0, "share dropped between layers", number(float, 0, 0.99)),
    Setting("lr", 5e-3, "Adam's first learning rate", number(float, 1e-9, 10)),
    Setting("decay", 500, "lr is divided by 1 + step / decay", number(float, 1)),
    Setting("clip", 1.0, "largest norm of the gradient", number(float, 1e-9)),
    Setting("seed", 0, "of all randomness", number(int, 0)),
    Setting("text", "", "UTF-8 file; '' is Python's own reference"),
    Setting("steps", 3000, "stop after so many", number(int, 1)),
    Setting("every", 300, "judge, sample and save so often", number(int, 1)),
]


def parse() -> argparse.Namespace:
    """Read the command line; settings that were not given are absent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_settings(parser, SETTINGS)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", metavar="CHECKPOINT", help="go on training")
    start.add_argument("--sample", metavar="CHECKPOINT", help="do not train, write")
    parser.add_argument("--out", help="folder for the results (default: char_lm)")
    parser.add_argument("--threads", type=number(int, 1), help="default: every core")
    parser.add_argument("--prompt", default="", help="what samples continue")
    parser.add_argument("--length", type=number(int, 0), default=300, help="of samples")
    parser.add_argument("--temperature", type=number(float, 0), default=0.7)
    parser.add_argument("--top-k", type=number(int, 0), default=0, help="0: all")
    parser.add_argument("--top-p", type=number(float, 0, 1), default=1.0)
    return parser.parse_args()


def main() -> int:
    """Train, resume or sample."""
    options = parse()
    require("matplotlib", "safetensors", "tqdm")
    if options.threads:
        fastrnn.set_num_threads(options.threads)
    source = options.resume or options.sample
    arrays, facts = load(Path(source)) if source else ({}, {})
    settings = settle(SETTINGS, options, facts.get("settings"), source)
    if settings["dropout"] and settings["layers"] == 1:
        raise UserError("--dropout acts between layers: it takes --layers 2 or more")
    if options.sample:
        return sample(options, settings, arrays, facts)
    job = Job(options, settings, arrays, facts)
    job.introduce()
    return job.train()


def load(path: Path) -> Any:
    """Read a checkpoint."""
    with clear_errors("" if path.exists() else f"{path}: "):
        return fastrnn.load(path, kind=KIND)


def sample(options: argparse.Namespace, settings: Any, arrays: Any, facts: Any) -> int:
    """Print what a trained model writes."""
    vocabulary = Vocabulary(facts["vocabulary"])
    check_prompt(vocabulary, options.prompt)
    model = Model(settings, len(vocabulary))
    with fitting(options.sample):
        model.load(arrays)
    for piece in written(model, vocabulary, options, settings["seed"]):
        print(piece, end="", flush=True)
    print()
    return 0


def check_prompt(vocabulary: Vocabulary, prompt: str) -> None:
    """Fail now, not after the first steps, if the model cannot read the prompt."""
    with clear_errors():
        vocabulary.encode(prompt)


def fitting(path: str) -> Any:
    """Say of what loading arrays raises when they do not fit."""
    return clear_errors(f"{path}: arrays do not fit its settings: ")


def written(
    model: Model, vocabulary: Vocabulary, options: argparse.Namespace, seed: Any
) -> Iterator[str]:
    """Yield the prompt, then what the model makes of it, character by character."""
    start = "\n" if "\n" in vocabulary.tokens else vocabulary.tokens[0]
    prompt = vocabulary.encode(options.prompt or start)
    how = {k: getattr(options, k) for k in ("temperature", "top_k", "top_p")}
    yield options.prompt
    for i in fastrnn.text.generate(model, prompt, options.length, seed=seed, **how):
        yield vocabulary.tokens[i]


def training_text(settings: dict[str, Any]) -> str:
    """Read the text; one too short to train on is a `UserError`."""
    text = read_text(settings["text"])
    N, T = settings["batch"], settings["seq"]
    needed = max(20, math.ceil((N * T + 1) / (1 - VALIDATION_SHARE)))
    if len(text) < needed:
        raise UserError(
            f"the text has {len(text)} characters; --batch {N} rows of --seq {T} and "
            f"{VALIDATION_SHARE:.0%} for validation take at least {needed}"
        )
    return text


class Job:
    """A training with what belongs to it: text, options, folder, baselines."""

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
                raise UserError(f"{options.resume}: it was trained on another --text")
            with fitting(options.resume):
                self.training.restore(arrays, facts)
        folder = Path(options.resume).parent if options.resume else Path("char_lm")
        out = make_folder(Path(options.out or folder))
        self.checkpoint, self.plot = out / "checkpoint.safetensors", out / "loss.png"
        self.baselines: dict[str, float] = {}

    def introduce(self) -> None:
        """Say what will be trained, and on what; find out what it has to beat."""
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
        size = self.settings["batch"] * self.settings["seq"]  # characters a step
        counts = {"total": steps * size, "initial": training.step * size}
        with ctrl_c() as pressed, tqdm(unit="char", unit_scale=True, **counts) as bar:
            while training.step < steps and not pressed.is_set():
                training.advance()
                recent = np.mean(training.losses[-100:])
                bar.set_postfix_str(f"{recent:.3f} bits/char", refresh=False)
                bar.update(size)
                if training.step % every == 0 or training.step == steps:
                    bar.write(self.judge())
                    self.save()
        if pressed.is_set():
            self.save()
            print(f"stopped at step {training.step}: --resume {self.checkpoint}")
            return 130
        self.conclude()
        return 0

    def judge(self) -> str:
        """Measure the model on the validation text, and let it write."""
        training, step = self.training, self.training.step
        training.judged[step] = training.validate()
        seed = [self.settings["seed"], step]
        sample = written(training.model, self.vocabulary, self.options, seed)
        return (
            f"--- step {step}: validation {training.judged[step]:.3f} bits/char\n"
            f"{''.join(sample)}"
        )

    def save(self) -> None:
        """Write the checkpoint and the plot."""
        arrays, facts = self.training.snapshot()
        with clear_errors(f"{self.checkpoint}: cannot be written: "):
            fastrnn.save(self.checkpoint, arrays, facts | self.facts, kind=KIND)
        losses, judged = np.array(self.training.losses), self.training.judged
        block = max(1, len(losses) // 200)
        ends = np.arange(block, len(losses) + 1, block)
        means = losses[: len(ends) * block].reshape(len(ends), block).mean(1)
        curves = {
            "training": (ends, means),
            "validation": (np.array([*judged]), np.array([*judged.values()])),
        }
        figure = fastrnn.plot.losses(
            curves, self.baselines, unit="bits per character", title=self.title
        )
        write_figure(self.plot, figure)

    def conclude(self) -> None:
        """Print how it ended, and what can be done with it."""
        print(f"validation: {self.training.validate():.3f} bits per character")
        for name, bits in self.baselines.items():
            print(f"{name}: {bits:.3f}")
        print(f"wrote {self.checkpoint} and {self.plot}; now try")
        print(f"  {sys.argv[0]} --sample {self.checkpoint} --prompt 'The '")


if __name__ == "__main__":
    sys.exit(run(main))
