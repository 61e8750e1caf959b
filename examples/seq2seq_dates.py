"""Translate dates as people write them into ISO dates: encoder, decoder, beam search.

    python examples/seq2seq_dates.py
    python examples/seq2seq_dates.py --hidden 256 --beam 10

"the 3rd of march 98" in, "1998-03-03" out, character by character. One LSTM reads the
input; its final state is the first state of another, which writes the output and ends
it with <eos>. In training it reads the true output so far (teacher forcing); by itself
it reads what it wrote: the likeliest character each time (greedy), or several
beginnings at once, of which the likeliest are kept (beam search). It is judged on days
that are in no training example: the whole output has to be right.

The picture shows what each character of an output depends on: the size of its gradient
with respect to each character of the input.

Source: I. Sutskever, O. Vinyals, Q. Le, "Sequence to sequence learning with neural
networks", 2014.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from typing import Any, NamedTuple

import numpy as np
from _common import run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.data import pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("hidden", 128, "hidden units of encoder and decoder", number(int, 1)),
    Setting("batch", 64, "dates a step", number(int, 1)),
    Setting("steps", 2000, "of training", number(int, 1)),
    Setting("lr", 6e-3, "Adam's learning rate, going down to 0", number(float, 1e-9)),
    Setting("beam", 5, "beginnings that beam search keeps", number(int, 1)),
]
QUICK = {"steps": 1500}
FIRST, DAYS = datetime.date(1950, 1, 1), 29_220  # 80 years
MONTHS = [datetime.date(2000, m, 1).strftime("%B").lower() for m in range(1, 13)]
WEEKDAYS = [datetime.date(2001, 1, d).strftime("%A").lower() for d in range(1, 8)]
IGNORED = -100  # a target that the loss leaves out


class Pair(NamedTuple):
    """A date as people write it, and as computers should."""

    written: str
    iso: str


class Guess(NamedTuple):
    """An output of beam search: its text and its log-probability."""

    text: str
    score: float


def main() -> int:
    """Train, and judge on days that were kept back."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    days = rng.permutation(DAYS)
    kept_back, seen = days[:1000], days[1000:]
    test = [write(int(day), rng) for day in kept_back]
    examples = [write(int(day), rng) for day in seen[:2000]]
    vocabulary = Vocabulary((p.written + p.iso for p in examples), eos=True)
    model = Translator(vocabulary, options)
    curve = train(model, seen, test[:200], options, rng)
    greedy = model.translate([p.written for p in test])
    print("--- some of the dates kept back")
    for pair, found in list(zip(test, greedy, strict=True))[:6]:
        mark = "" if found == pair.iso else f"  wrong: {pair.iso}"
        print(f"{pair.written:>32s} -> {found}{mark}")
    beams = [model.beam(p.written, options.beam) for p in test[:300]]
    first = [beam[0].text for beam in beams]
    print("--- beam search on the one it is least sure of")
    unsure = min(range(len(beams)), key=lambda i: beams[i][0].score)
    for guess in beams[unsure]:
        chance = np.exp(guess.score)
        print(f"{test[unsure].written:>32s} -> {guess.text:12s} {chance:6.1%}")
    print(
        f"result: exact {share(greedy, test):.3f} greedy on {len(test)} unseen days; "
        f"on {len(first)} of them {share(greedy, test[:300]):.3f} greedy, "
        f"{share(first, test[:300]):.3f} beam search"
    )
    save_figure(options, draw(model, curve, test))
    return 0


def write(day: int, rng: np.random.Generator) -> Pair:
    """Write a day in one of the ways in which people do."""
    date = FIRST + datetime.timedelta(day)
    month = MONTHS[date.month - 1]
    if rng.random() < 0.4:
        month = month[:3]
    d, y = str(date.day), str(date.year)
    if rng.random() < 0.3:
        endings = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
        d += endings.get(date.day, "th")
    if rng.random() < 0.3:
        y = y[2:]
    text = (
        f"{d} {month} {y}",
        f"{month} {d}, {y}",
        f"the {d} of {month} {y}",
        f"{date.day}.{date.month}.{y}",
        f"{date.month}/{date.day}/{y}",
        f"{month} the {d} {y}",
    )[rng.integers(6)]
    if rng.random() < 0.25:
        text = f"{WEEKDAYS[date.weekday()]}, {text}"
    return Pair(text, date.isoformat())


class Translator:
    """An encoder whose final state is where the decoder begins."""

    def __init__(self, vocabulary: Vocabulary, options: argparse.Namespace) -> None:
        V, H = len(vocabulary), options.hidden
        rng = np.random.default_rng([options.seed, 1])
        self.vocabulary = vocabulary
        self.encoder = fastrnn.LSTM(V, H, init="keras", seed=rng)
        self.decoder = fastrnn.Sequential(
            rnn=fastrnn.LSTM(V, H, init="keras", seed=rng),
            head=fastrnn.Linear(H, V, seed=rng),
        )
        self.parameters = [self.encoder.flat_params, self.decoder.flat_params]
        self.grads = [self.encoder.flat_grads, self.decoder.flat_grads]

    def learn(self, pairs: list[Pair]) -> float:
        """Set `grads` to those of the loss on pairs; return the loss."""
        x, lengths = pad_sequences([self.vocabulary.encode(p.written) for p in pairs])
        out = [self.vocabulary.encode(p.iso, eos=True) for p in pairs]
        targets, _ = pad_sequences(out, value=IGNORED)
        said, _ = pad_sequences(out)
        said = np.roll(said, 1, axis=0)  # teacher forcing: the output so far,
        said[0] = self.vocabulary.eos  # which begins with nothing
        for layer in (self.encoder, self.decoder):
            layer.zero_grad()
        _, state = self.encoder(x, lengths=lengths)
        loss, _ = self.decoder.cross_entropy(said, targets, (state,))
        _, (dstate,) = self.decoder.backward()
        self.encoder.backward(None, dstate)
        return float(loss)

    def translate(self, texts: list[str]) -> list[str]:
        """Return the greedy outputs."""
        self.encoder.eval(), self.decoder.eval()
        x, lengths = pad_sequences([self.vocabulary.encode(text) for text in texts])
        _, state = self.encoder(x, lengths=lengths)
        states, said = (state,), np.full((1, len(texts)), self.vocabulary.eos)
        found = []
        for _ in range(12):
            logits, states = self.decoder(said, states)
            said = logits.argmax(axis=2)
            found.append(said[0])
        self.encoder.train(), self.decoder.train()
        return [self.until_eos(ids) for ids in np.array(found).T]

    def beam(self, text: str, width: int) -> list[Guess]:
        """Return the likeliest outputs, best first, of `width` kept at each step."""
        self.encoder.eval(), self.decoder.eval()
        eos = self.vocabulary.eos
        _, (h, c) = self.encoder(self.vocabulary.encode(text)[:, None])
        ids, scores, done = np.full((1, 1), eos), np.zeros(1), []
        for _ in range(12):
            # Rows of the batch are the beginnings, all of one length.
            logits, (((h, c)),) = self.decoder(ids[-1:], ((h, c),))
            total = scores[:, None] + log_softmax(logits[0])  # [beginnings, V]
            best = np.argsort(-total, axis=None)[:width]
            rows, last = np.unravel_index(best, total.shape)
            ids, scores = np.vstack([ids[:, rows], last]), total[rows, last]
            h, c = h[:, rows], c[:, rows]
            ended = last == eos
            for k in np.flatnonzero(ended):
                done.append(Guess(self.until_eos(ids[1:, k]), float(scores[k])))
            if ended.all() or (len(done) >= width and max(scores) < done[-1].score):
                break
            ids, scores = ids[:, ~ended], scores[~ended]
            h, c = (np.ascontiguousarray(a[:, ~ended]) for a in (h, c))
        self.encoder.train(), self.decoder.train()
        return sorted(done, key=lambda guess: -guess.score)[:width] or [
            Guess("", -99.0)
        ]

    def until_eos(self, ids: np.ndarray) -> str:
        """Return the text before the first EOS."""
        ends = np.flatnonzero(ids == self.vocabulary.eos)
        return self.vocabulary.decode(ids[: ends[0]] if len(ends) else ids)

    def influence(self, pair: Pair) -> np.ndarray:
        """Return how much each output character depends on each of the input."""
        x = np.eye(len(self.vocabulary), dtype=np.float32)[
            self.vocabulary.encode(pair.written)
        ]
        out = self.vocabulary.encode(pair.iso, eos=True)
        K = len(pair.iso)
        said = np.concatenate([out[-1:], out[:-1]])
        # One row for each output character, with a gradient at this one's step only.
        _, state = self.encoder(np.repeat(x[:, None], K, axis=1))
        logits, _ = self.decoder(np.repeat(said[:, None], K, axis=1), (state,))
        dy = np.zeros_like(logits)
        dy[np.arange(K), np.arange(K), out[:K]] = 1
        _, (dstate,) = self.decoder.backward(dy)
        dx, _ = self.encoder.backward(None, dstate)
        found: np.ndarray = np.linalg.norm(dx, axis=2).T  # [output, input]
        return found / found.max(axis=1, keepdims=True)


def train(
    model: Translator, days: np.ndarray, judged: list[Pair], options: Any, rng: Any
) -> dict[int, float]:
    """Take all steps; return the share of exact outputs as it grew."""
    adam, curve = fastrnn.Adam(model.parameters), {}
    with progress(options.steps) as bar:
        for step in range(options.steps):
            batch = rng.choice(days, options.batch)
            loss = model.learn([write(int(day), rng) for day in batch])
            fastrnn.clip_grad_norm(model.grads, 1.0)
            adam.lr = options.lr * (1 - step / options.steps)
            adam.step(model.grads)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            if (step + 1) % max(1, options.steps // 20) == 0:
                texts = [p.written for p in judged]
                curve[step + 1] = share(model.translate(texts), judged)
    return curve


def share(found: list[str], pairs: list[Pair]) -> float:
    """Return the share of outputs that are right to the last character."""
    return float(np.mean([f == p.iso for f, p in zip(found, pairs, strict=False)]))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def draw(model: Translator, curve: dict[int, float], test: list[Pair]) -> Any:
    """Draw exact outputs over training, and what depends on what in two of them."""
    figure, axes = new_figure(1, 3, figsize=(15, 4.4), width_ratios=[1.2, 2, 2])
    axes[0].plot(list(curve), list(curve.values()), marker=".")
    axes[0].set(xlabel="step", ylabel="share of outputs that are exact", ylim=(0, 1.02))
    axes[0].set_title("Days kept back")
    axes[0].grid(alpha=0.3)
    words = [p for p in test if p.written.startswith("the ") and len(p.written) > 20]
    figures = [p for p in test if "/" in p.written and len(p.written) < 11]
    for axis, pair in zip(axes[1:], (words[0], figures[0]), strict=True):
        axis.imshow(model.influence(pair), cmap="magma", aspect="auto")
        axis.set_xticks(
            range(len(pair.written)), list(pair.written), family="monospace"
        )
        axis.set_yticks(range(len(pair.iso)), list(pair.iso), family="monospace")
        axis.tick_params(length=0)
        axis.set(xlabel="input", ylabel="output", title="What depends on what")
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
