"""Play tunes from a vector, from two at once, or from nothing: one to many, as MIDI.

    python examples/music.py
    python examples/music.py --temperature 1.0 --seed 3

A vector says which of twelve old tunes, and on which of twelve notes to begin. A linear
layer turns it into the first state of an LSTM, and that is all it is told: the LSTM
writes the tune, step by step an eighth long: a new note (so many semitones from the one
before), the note held, or the end. Two beginnings of every tune are kept back: it has
to play tunes in keys in which it never heard them. Given half of one tune and half of
another, or a vector of zeros (as in one training example in ten), it makes up tunes of
its own. All of them are written as .mid files.

Source of the plan, a vector to a sequence by way of the first state: A. Karpathy, L.
Fei-Fei, "Deep visual-semantic alignments for generating image descriptions", 2015
(there an image, and words).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import clear_errors, make_folder, run
from _program import begin, new_figure, progress, save_figure
from _settings import Setting, number

import fastrnn
from fastrnn.data import pad_sequences
from fastrnn.text import generate

# a quarter; / an eighth, . three eighths, 2 a half, 3 three quarters, 4 a whole note.
# Capitals lie below middle c.
TUNES = {
    "Twinkle, twinkle": "c c g g a a g2 f f e e d d c2 g g f f e e d2 g g f f e e d2 "
    "c c g g a a g2 f f e e d d c2",
    "Frère Jacques": "c d e c c d e c e f g2 e f g2 g/ a/ g/ f/ e c g/ a/ g/ f/ e c "
    "c G c2 c G c2",
    "Ode to joy": "e e f g g f e d c c d e e. d/ d2 e e f g g f e d c c d e d. c/ c2",
    "Mary's lamb": "e d c d e e e2 d d d2 e g g2 e d c d e e e e d d e d c4",
    "Jingle bells": "e e e2 e e e2 e g c. d/ e4 f f f. f/ f e e e/ e/ e d d e d2 g2 "
    "e e e2 e e e2 e g c. d/ e4 f f f. f/ f e e e/ e/ g g f d c4",
    "London bridge": "g. a/ g f e f g2 d e f2 e f g2 g. a/ g f e f g2 d2 g2 e c3",
    "The saints": "c e f g4 c e f g4 c e f g2 e2 c2 e2 d4 e e d c3 c e2 g g f3 "
    "e f g2 e2 c2 d2 c4",
    "Au clair de la lune": "c c c d e2 d2 c e d d c4 c c c d e2 d2 c e d d c4 "
    "d d d d A2 A2 d c B A G4 c c c d e2 d2 c e d d c4",
    "King Wenceslas": "c c c d c c G2 A G A B c2 c2 c c c d c c G2 A G A B c2 c2 "
    "g f e d e d c2 A G A B c2 c2 G G A B c c d2 g f e d c2 f2 c4",
    "Oh Susanna": "c/ d/ e g g. a/ g e c. d/ e e d c d3 c/ d/ e g g. a/ g e c. d/ "
    "e e d d c4",
    "Hot cross buns": "e2 d2 c4 e2 d2 c4 c c c c d d d d e2 d2 c4",
    "Yankee doodle": "c c d e c e d G c c d e c2 B2 c c d e f e d c B G A B c2 c2",
}
LENGTHS = {"/": 1, "": 2, ".": 3, "2": 4, "3": 6, "4": 8}  # in eighths
PITCHES = {
    "G": 55,
    "A": 57,
    "B": 59,
    "c": 60,
    "d": 62,
    "e": 64,
    "f": 65,
    "g": 67,
    "a": 69,
}
KEYS = range(-5, 7)  # where tunes begin: so many semitones above middle c
END, HOLD, SAME = 0, 1, 20  # ids; 20 + k is a note k semitones above the one before
IDS = SAME + 19
BEGIN = 60  # the pitch before the first note
IGNORED = -100  # a target that the loss leaves out
KEPT_BACK = 2  # keys of every tune
SETTINGS = [
    Setting("tunes", 12, "of the twelve, so many", number(int, 2)),
    Setting("hidden", 128, "hidden units", number(int, 1)),
    Setting("batch", 32, "tunes a step", number(int, 1)),
    Setting("steps", 1000, "of training", number(int, 1)),
    Setting("lr", 8e-3, "Adam's learning rate, going down to 0", number(float, 1e-9)),
    Setting("decay", 0.3, "weight decay", number(float, 0)),
    Setting("temperature", 0.8, "of tunes of its own", number(float, 0)),
]
QUICK = {"tunes": 5, "steps": 600, "hidden": 96, "lr": 1.2e-2}


class Tune(NamedTuple):
    """What is asked for, and the ids that should come."""

    vector: np.ndarray  # [tunes + keys]
    ids: np.ndarray  # [eighths + 1], the last is END


def main() -> int:
    """Learn, play what was kept back, make up more, and write all of it."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen, kept_back = [], []
    for tune in range(min(options.tunes, len(TUNES))):
        for place, key in enumerate(rng.permutation(len(KEYS))):
            part = kept_back if place < KEPT_BACK else seen
            part.append(Tune(ask({tune: 1.0}, key), spell(tune, key)))
    player = Player(options)
    losses = player.train(seen, options)
    played = [player.play(tune.vector) for tune in kept_back]
    right = [agreement(p, t.ids[:-1]) for p, t in zip(played, kept_back, strict=True)]
    perfect = np.mean([a == 1 for a in right])
    out = make_folder(options.out)
    how = {"temperature": options.temperature}
    made = {
        "half_and_half": player.play(ask({2: 0.5, 4: 0.5}, 5), 1, **how),
        **{f"nothing_{i}": player.play(0 * ask({}, 0), i, **how) for i in range(3)},
    }
    for name, ids in {"kept_back": played[0], **made}.items():
        write_midi(out / f"{name}.mid", ids)
    print(f"wrote kept_back.mid, {'.mid, '.join(made)}.mid in {out}")
    print(
        f"result: of {len(kept_back)} tunes in keys never heard {np.mean(right):.3f} "
        f"of all eighths right, {perfect:.3f} of the tunes perfect"
    )
    save_figure(options, draw(losses, played[0], kept_back[0].ids[:-1], made))
    return 0


# --- tunes ---------------------------------------------------------------------------


def spell(tune: int, key: int) -> np.ndarray:
    """Return a tune as ids, one an eighth, and END."""
    written = list(TUNES.values())[tune].split()
    ids, before = [], BEGIN
    up = KEYS[key] + BEGIN - PITCHES[written[0][0]]
    for note in written:
        pitch = PITCHES[note[0]] + up
        ids += [SAME + pitch - before] + [HOLD] * (LENGTHS[note[1:]] - 1)
        before = pitch
    return np.array([*ids, END], np.int32)


def ask(tunes: dict[int, float], key: int) -> np.ndarray:
    """Return the vector that asks for tunes, in these shares, and a key."""
    vector = np.zeros(len(TUNES) + len(KEYS), np.float32)
    for tune, share in tunes.items():
        vector[tune] = share
    vector[len(TUNES) + key] = 1
    return vector


def agreement(played: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of eighths that agree; what is too long or short is wrong."""
    sounds = [
        np.concatenate([[0], *([p] + [-p] * (n - 1) for p, _, n in notes(ids))])
        for ids in (played, expected)
    ]
    both = min(map(len, sounds))
    same = np.count_nonzero(sounds[0][1:both] == sounds[1][1:both])
    return same / (max(map(len, sounds)) - 1)


# --- the network ---------------------------------------------------------------------


class Player:
    """A vector becomes the first state of an LSTM, which writes ids."""

    def __init__(self, options: argparse.Namespace) -> None:
        rng, H = np.random.default_rng([options.seed, 1]), options.hidden
        self.start = fastrnn.Linear(len(TUNES) + len(KEYS), 2 * H, seed=rng)
        self.body = fastrnn.Sequential(
            embedding=fastrnn.Embedding(IDS, 32, seed=rng),
            rnn=fastrnn.LSTM(32, H, init="keras", seed=rng),
            head=fastrnn.Linear(H, IDS, seed=rng),
        )

    def first_state(self, vectors: np.ndarray) -> tuple[Any, ...]:
        """Return the state for vectors [N, ...]: h and c, each [1, N, H]."""
        h, c = np.split(self.start(vectors), 2, axis=1)
        return ((np.ascontiguousarray(h)[None], np.ascontiguousarray(c)[None]),)

    def learn(self, tunes: list[Tune], vectors: np.ndarray) -> float:
        """Set the gradients to those of the loss; return the loss."""
        targets, lengths = pad_sequences([t.ids for t in tunes], value=IGNORED)
        said = np.roll(np.where(targets == IGNORED, END, targets), 1, axis=0)
        said[0] = END
        state = self.first_state(vectors)
        loss, _ = self.body.cross_entropy(said, targets, state, lengths=lengths)
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
                fastrnn.clip_grad_norm(grads, 1.0)
                adam.lr = options.lr * (1 - step / options.steps)
                adam.step(grads)
                bar.set_postfix_str(f"loss {losses[-1]:.4f}", refresh=False)
                bar.update()
        return losses

    def play(self, vector: np.ndarray, seed: int = 0, temperature: float = 0) -> Any:
        """Return the ids that come for a vector, without END."""
        state = self.first_state(vector[None])
        ids = generate(
            self.body, [END], 160, temperature=temperature, stop=END, state=state,
            seed=seed,
        )  # fmt: skip
        return np.fromiter(ids, np.int32)


# --- what comes of it ----------------------------------------------------------------


def notes(ids: np.ndarray) -> list[tuple[int, int, int]]:
    """Return notes as (pitch, start, length), in eighths."""
    starts = np.flatnonzero(ids != HOLD)
    pitches = BEGIN + np.cumsum(ids[starts] - SAME)
    lengths = np.diff([*starts, len(ids)])
    found = (pitches.clip(0, 127), starts, lengths)
    return [(int(p), int(s), int(n)) for p, s, n in zip(*found, strict=True)]


def write_midi(path: Path, ids: np.ndarray) -> None:
    """Write ids as a standard MIDI file: format 0, one track, 2 ticks a quarter."""
    events = bytearray(b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big"))  # 120 bpm
    now = 0
    for pitch, start, length in notes(ids):
        for ticks, status in ((start - now, 0x90), (length, 0x80)):
            events += bytes([ticks, status, pitch, 96])  # ticks are below 128
        now = start + length
    events += b"\x00\xff\x2f\x00"
    header = b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1, 0, 2])
    track = b"MTrk" + len(events).to_bytes(4, "big") + bytes(events)
    with clear_errors(f"{path}: cannot be written: "):
        path.write_bytes(header + track)


def draw(
    losses: list[float], played: np.ndarray, expected: np.ndarray, made: dict[str, Any]
) -> Any:
    """Draw the loss, a tune that was kept back, and tunes of its own as piano rolls."""
    figure, axes = new_figure(2, 2, figsize=(13, 7))
    (left, first), (second, third) = axes
    left.plot(losses)
    left.set(yscale="log", xlabel="step", ylabel="cross-entropy", title="Training")
    left.grid(alpha=0.3)
    titles = (
        f"{next(iter(TUNES))}, in a key never heard (outlines: as it should be)",
        f"Half {list(TUNES)[2]}, half {list(TUNES)[4]}",
        "From nothing",
    )
    rolls = (played, made["half_and_half"], made["nothing_0"])
    for axis, title, ids in zip((first, second, third), titles, rolls, strict=True):
        for pitch, start, length in notes(ids):
            axis.barh(pitch, length - 0.15, 0.9, start, align="center", color="C0")
        axis.set(xlabel="eighth", ylabel="MIDI pitch", title=title)
        axis.grid(alpha=0.3)
    for pitch, start, length in notes(expected):
        first.barh(
            pitch, length - 0.15, 0.9, start, fill=False, edgecolor="black", linewidth=1
        )
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
