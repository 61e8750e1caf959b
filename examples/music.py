"""Play tunes from a vector, from two at once, or from nothing: one to many, as MIDI.

    python examples/music.py
    python examples/music.py --temperature 1.0 --seed 3

A vector says which of twelve old tunes to play, and on which of twelve notes to begin.
A linear layer turns it into the initial state of an LSTM, which gets no other input
and writes the tune, one eighth per step: a new note (in semitones from the one before),
the note held, or the end. Two first notes of every tune are held out: the net has to
play tunes in keys in which it never heard them. Given half of one tune and half of
another, or a vector of zeros (as in one training example in ten), it makes up tunes of
its own. All of them are written as .mid files.

Source of the design, a vector to a sequence through the initial state: A. Karpathy, L.
Fei-Fei, "Deep visual-semantic alignments for generating image descriptions", 2015
(there an image, and words).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting
from _tunes import END, IDS, KEYS, TUNES, agreement, notes, spell, write_midi

import fastrnn
from fastrnn.data import pad_sequences
from fastrnn.text import generate

SETTINGS = [
    Setting("tunes", 12, "tunes to learn", read.number(int, 2, len(TUNES))),
    Setting("hidden", 128, "hidden units", read.units),
    Setting("batch", 32, "tunes per step", read.rows),
    Setting("steps", 1000, "steps of training", read.steps),
    Setting("lr", 8e-3, "AdamW's learning rate, falling to 0", read.rate),
    Setting("decay", 0.3, "AdamW's weight decay", read.decay),
    Setting("temperature", 0.8, "of tunes of its own", read.temperature),
]
QUICK = {"tunes": 5, "steps": 600, "hidden": 96, "lr": 1.2e-2}
IGNORED = -100  # a target that the loss leaves out
HELD_OUT = 2  # keys of every tune
LONGEST = 160  # eighths that are played at most
FIRST, SECOND = 2, 4  # tunes to mix


class Tune(NamedTuple):
    """A request, and the ids to be played."""

    vector: np.ndarray  # [tunes + keys]
    ids: np.ndarray  # [eighths + 1], the last is END


def main() -> int:
    """Learn, play the held-out tunes, make up others, and write them all."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen, held_out = [], []
    for tune in range(options.tunes):
        for place, key in enumerate(rng.permutation(len(KEYS))):
            part = held_out if place < HELD_OUT else seen
            part.append(Tune(ask({tune: 1.0}, key), spell(tune, key)))
    player = Player(options)
    losses = player.train(seen, options)
    played = [player.play(tune.vector) for tune in held_out]
    right = [agreement(p, t.ids[:-1]) for p, t in zip(played, held_out, strict=True)]
    perfect = np.mean([a == 1 for a in right])
    how = {"temperature": options.temperature}
    made = {
        "half_and_half": player.play(ask({FIRST: 0.5, SECOND: 0.5}, 5), 1, **how),
        **{f"nothing_{i}": player.play(0 * ask({}, 0), i, **how) for i in range(3)},
    }
    for name, ids in {"held_out": played[0], **made}.items():
        write_midi(options.out / f"{name}.mid", ids)
    print(f"wrote held_out.mid, {'.mid, '.join(made)}.mid in {options.out}")
    print(
        f"result: of {len(held_out)} tunes in keys never heard {np.mean(right):.3f} "
        f"of all eighths right, {perfect:.3f} of the tunes perfect"
    )
    save_figure(options, draw(losses, played[0], held_out[0].ids[:-1], made))
    return 0


def ask(tunes: dict[int, float], key: int) -> np.ndarray:
    """Return the vector that asks for tunes, in these shares, and a key."""
    vector = np.zeros(len(TUNES) + len(KEYS), np.float32)
    for tune, share in tunes.items():
        vector[tune] = share
    vector[len(TUNES) + key] = 1
    return vector


# --- the net -------------------------------------------------------------------------


class Player:
    """A vector becomes the initial state of an LSTM, which writes ids."""

    def __init__(self, options: argparse.Namespace) -> None:
        rng, H = np.random.default_rng([options.seed, 1]), options.hidden
        self.start = fastrnn.Linear(len(TUNES) + len(KEYS), 2 * H, seed=rng)
        self.body = fastrnn.Sequential(
            embedding=fastrnn.Embedding(IDS, 32, seed=rng),
            rnn=fastrnn.LSTM(32, H, init="keras", seed=rng),
            head=fastrnn.Linear(H, IDS, seed=rng),
        )

    def initial_state(self, vectors: np.ndarray) -> tuple[Any, ...]:
        """Return the state for vectors [N, ...]: h and c, each [1, N, H]."""
        h, c = np.split(self.start(vectors), 2, axis=1)
        return ((np.ascontiguousarray(h)[None], np.ascontiguousarray(c)[None]),)

    def learn(self, tunes: list[Tune], vectors: np.ndarray) -> float:
        """Set the gradients to those of the loss; return the loss."""
        targets, lengths = pad_sequences([t.ids for t in tunes], value=IGNORED)
        before = np.roll(np.where(targets == IGNORED, END, targets), 1, axis=0)
        before[0] = END
        state = self.initial_state(vectors)
        loss, _ = self.body.cross_entropy(before, targets, state, lengths=lengths)
        self.start.zero_grad()
        self.body.zero_grad()
        _, ((dh, dc),) = self.body.backward()
        self.start.backward(np.concatenate([dh[0], dc[0]], axis=1))
        return float(loss)

    def train(self, tunes: list[Tune], options: argparse.Namespace) -> list[float]:
        """Take all steps; return their losses."""
        rng = np.random.default_rng([options.seed, 2])
        parameters = [self.start.flat_params, self.body.flat_params]
        adam = fastrnn.AdamW(parameters, weight_decay=options.decay)
        grads = [self.start.flat_grads, self.body.flat_grads]
        losses = []
        with progress(options.steps) as bar:
            for step in range(options.steps):
                batch = [tunes[i] for i in rng.integers(0, len(tunes), options.batch)]
                vectors = np.array([t.vector for t in batch])
                vectors[rng.random(len(batch)) < 0.1] = 0
                losses.append(self.learn(batch, vectors))
                adam.lr = options.lr * (1 - step / options.steps)
                descend(adam, grads)
                bar.set_postfix_str(f"loss {losses[-1]:.4f}", refresh=False)
                bar.update()
        return losses

    def play(self, vector: np.ndarray, seed: int = 0, temperature: float = 0) -> Any:
        """Return the ids that the net writes for a vector, without END."""
        state = self.initial_state(vector[None])
        ids = generate(
            self.body, [END], LONGEST, temperature=temperature, stop=END, state=state,
            seed=seed,
        )  # fmt: skip
        return np.fromiter(ids, np.int32)


# --- the picture ---------------------------------------------------------------------


def draw(
    losses: list[float], played: np.ndarray, expected: np.ndarray, made: dict[str, Any]
) -> Any:
    """Draw the loss, a held-out tune, and tunes of its own as piano rolls."""
    figure, ((left, first), (second, third)) = new_figure(2, 2, figsize=(15, 8))
    left.plot(losses)
    left.set(yscale="log", xlabel="step", ylabel="cross-entropy", title="Training")
    left.grid(alpha=0.3)
    names = list(TUNES)
    draw_roll(first, played, f"{names[0]}, in a key never heard")
    for k, (pitch, start, length) in enumerate(notes(expected)):
        first.barh(
            pitch, length - 0.15, 0.9, start, fill=False, edgecolor="black",
            linewidth=1.5, label=None if k else "as it should be",
        )  # fmt: skip
    first.legend()
    mixed = f"Half {names[FIRST]}, half {names[SECOND]}"
    draw_roll(second, made["half_and_half"], mixed)
    draw_roll(third, made["nothing_0"], "From a vector of zeros")
    return figure


def draw_roll(axes: Any, ids: np.ndarray, title: str) -> None:
    """Draw notes as bars: time to the right, pitch upwards."""
    played = notes(ids)
    for k, (pitch, start, length) in enumerate(played):
        axes.barh(
            pitch, length - 0.15, 0.9, start, color="C0",
            label=None if k else "as played",
        )  # fmt: skip
    pitches = [pitch for pitch, _, _ in played] or [60]
    step = 1 + (max(pitches) - min(pitches)) // 14
    axes.set_yticks(range(min(pitches), max(pitches) + 1, step))
    axes.set(xlabel="time in eighths", ylabel="MIDI pitch", title=title)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(run(main))
