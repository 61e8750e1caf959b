"""Translate dates that people wrote into ISO dates: encoder, decoder, beam search.

    python examples/seq2seq_dates.py
    python examples/seq2seq_dates.py --hidden 256 --beam 10

"the 3rd of march 98" in, "1998-03-03" out, character by character. One LSTM, the
encoder, reads the input; its final state is the initial state of another, the decoder,
which writes the output and ends it with <eos>. In training the decoder reads the true
output so far (teacher forcing). On its own it reads the characters it wrote: either the
likeliest one each time (greedy search), or several candidates at once, of which the
likeliest are kept (beam search). It is tested on days that occur in no training
example, and an output only counts if it is right as a whole.

The picture shows which characters of the input each character of an output depends on:
the norm of its gradient with respect to each of them.

Source: I. Sutskever, O. Vinyals, Q. Le, "Sequence to sequence learning with neural
networks", 2014.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _dates import DAYS, Pair, write
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn.data import pad_sequences
from fastrnn.text import Vocabulary

SETTINGS = [
    Setting("hidden", 128, "hidden units of encoder and decoder", read.units),
    Setting("batch", 64, "dates per step", read.rows),
    Setting("steps", 2000, "steps of training", read.steps),
    Setting("lr", 6e-3, "Adam's learning rate, falling to 0", read.rate),
    Setting("beam", 5, "candidates that beam search keeps", read.number(int, 1, 1000)),
]
QUICK = {"steps": 1500}
IGNORED = -100  # a target that the loss leaves out
MOST = 12  # characters of an output, <eos> among them


class Guess(NamedTuple):
    """An output of beam search: its text and its log-probability."""

    text: str
    score: float


def main() -> int:
    """Train, and test on days that were held out."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    days = rng.permutation(DAYS)
    held_out, seen = days[:1000], days[1000:]
    test = [write(int(day), rng) for day in held_out]
    examples = [write(int(day), rng) for day in seen[:2000]]
    vocabulary = Vocabulary((p.written + p.iso for p in examples), eos=True)
    model = Translator(vocabulary, options)
    curve = train(model, seen, test[:200], options, rng)
    greedy = model.translate([p.written for p in test])
    print("--- some of the dates held out")
    for pair, text in list(zip(test, greedy, strict=True))[:6]:
        mark = "" if text == pair.iso else f"  wrong: {pair.iso}"
        print(f"{pair.written:>32s} -> {text}{mark}")
    beams = [model.beam(p.written, options.beam) for p in test[:300]]
    print("--- beam search on its least certain date")
    unsure = min(range(len(beams)), key=lambda i: beams[i][0].score)
    for text, score in beams[unsure]:
        print(f"{test[unsure].written:>32s} -> {text:12s} {np.exp(score):6.1%}")
    best = [beam[0].text for beam in beams]
    print(
        f"result: exact {exact(greedy, test):.3f} greedy on {len(test)} unseen days; "
        f"on {len(best)} of them {exact(greedy[: len(best)], test[: len(best)]):.3f} "
        f"greedy, {exact(best, test[: len(best)]):.3f} beam search"
    )
    save_figure(options, draw(model, curve, test))
    return 0


class Translator:
    """An encoder whose final state is the decoder's initial state."""

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
        before, _ = pad_sequences(out)
        before = np.roll(before, 1, axis=0)  # teacher forcing: the true output so far,
        before[0] = self.vocabulary.eos  # which is empty at first
        for layer in (self.encoder, self.decoder):
            layer.zero_grad()
        _, state = self.encoder(x, lengths=lengths)
        loss, _ = self.decoder.cross_entropy(before, targets, (state,))
        _, (dstate,) = self.decoder.backward()
        self.encoder.backward(None, dstate)
        return float(loss)

    def translate(self, texts: list[str]) -> list[str]:
        """Return the greedy outputs."""
        self.encoder.eval(), self.decoder.eval()
        x, lengths = pad_sequences([self.vocabulary.encode(text) for text in texts])
        _, state = self.encoder(x, lengths=lengths)
        states, last = (state,), np.full((1, len(texts)), self.vocabulary.eos)
        out = []
        for _ in range(MOST):
            logits, states = self.decoder(last, states)
            last = logits.argmax(axis=2)
            out.append(last[0])
        self.encoder.train(), self.decoder.train()
        return [self.until_eos(ids) for ids in np.array(out).T]

    def beam(self, text: str, width: int) -> list[Guess]:
        """Return the likeliest outputs, best first; `width` are kept at each step."""
        self.encoder.eval(), self.decoder.eval()
        eos = self.vocabulary.eos
        _, (h, c) = self.encoder(self.vocabulary.encode(text)[:, None])
        ids, scores, done = np.full((1, 1), eos), np.zeros(1), []
        for _ in range(MOST):
            # The rows of the batch are the candidates, all of the same length.
            logits, (((h, c)),) = self.decoder(ids[-1:], ((h, c),))
            total = scores[:, None] + log_softmax(logits[0])  # [candidates, V]
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
        """Return how much each character of the output depends on each of the input.

        [output, input]; the largest value for each character of the output is 1.
        """
        x = np.eye(len(self.vocabulary), dtype=np.float32)[
            self.vocabulary.encode(pair.written)
        ]
        out = self.vocabulary.encode(pair.iso, eos=True)
        K = len(pair.iso)
        before = np.concatenate([out[-1:], out[:-1]])
        # One row per character of the output, with a gradient at its own step only.
        _, state = self.encoder(np.repeat(x[:, None], K, axis=1))
        logits, _ = self.decoder(np.repeat(before[:, None], K, axis=1), (state,))
        dy = np.zeros_like(logits)
        dy[np.arange(K), np.arange(K), out[:K]] = 1
        _, (dstate,) = self.decoder.backward(dy)
        dx, _ = self.encoder.backward(None, dstate)
        norms: np.ndarray = np.linalg.norm(dx, axis=2).T
        return norms / norms.max(axis=1, keepdims=True)


def train(
    model: Translator, days: np.ndarray, test: list[Pair], options: Any, rng: Any
) -> dict[int, float]:
    """Take all steps; return the share of exact outputs by step."""
    adam, curve = fastrnn.Adam(model.parameters), {}
    with progress(options.steps) as bar:
        for step in range(options.steps):
            batch = rng.choice(days, options.batch)
            loss = model.learn([write(int(day), rng) for day in batch])
            adam.lr = options.lr * (1 - step / options.steps)
            descend(adam, model.grads)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            if (step + 1) % max(1, options.steps // 20) == 0:
                texts = [p.written for p in test]
                curve[step + 1] = exact(model.translate(texts), test)
    return curve


def exact(texts: list[str], pairs: list[Pair]) -> float:
    """Return the share of texts that are right to the last character."""
    return float(np.mean([t == p.iso for t, p in zip(texts, pairs, strict=True)]))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# --- the picture ---------------------------------------------------------------------


def draw(model: Translator, curve: dict[int, float], test: list[Pair]) -> Any:
    """Draw exact outputs over training, and the dependences of two of them."""
    figure, (left, *panels) = new_figure(1, 3, figsize=(17, 5), width_ratios=[3, 5, 5])
    left.plot(list(curve), list(curve.values()), marker=".")
    left.set(
        xlabel="step",
        ylabel="share of outputs that are exact",
        ylim=(0, 1.02),
        title="Days held out",
    )
    left.grid(alpha=0.3)
    words = [p for p in test if p.written.startswith("the ") and len(p.written) > 20]
    digits = [p for p in test if "/" in p.written and len(p.written) < 11]
    titles = ("Month in words", "Figures, month first")
    for axes, pair, title in zip(panels, (words[0], digits[0]), titles, strict=True):
        image = axes.imshow(
            model.influence(pair), vmin=0, vmax=1, cmap="magma", aspect="auto"
        )
        for ticks, text in (
            (axes.set_xticks, pair.written),
            (axes.set_yticks, pair.iso),
        ):
            ticks(range(len(text)), list(text), family="monospace", fontsize=12)
        axes.tick_params(length=0)
        axes.set(xlabel="input", ylabel="output", title=title)
    figure.colorbar(
        image, ax=panels, pad=0.01, label="norm of the gradient, largest of a row = 1"
    )
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
