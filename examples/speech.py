"""Speech to labels, without an alignment: a spectrogram, a GRU of both directions, CTC.

    python examples/speech.py
    python examples/speech.py --utterances 4000 --noise 5

The program speaks nonsense such as "fiso" or "takemu". A voice is a train of pulses, a
hiss is noise; a vowel is a voice whose spectrum has the peaks of its formants, a
consonant a hiss of its own pitch, a short burst after a silence, or a hum. Speakers
differ in pitch and in the length of the vocal tract, which shifts all formants. Each
utterance has its own tempo, loudness and noise, and a microphone of its own, which
favours high sounds or low ones.

The net reads a log spectrogram, a frame every 8 ms, and gives scores for each label and
for `blank`. For training it is told which labels were spoken, in order, but not when.
`fastrnn.ctc_loss` adds up the probabilities of all ways in which the labels can be laid
over the frames, so that the net finds the alignment by itself. To read an utterance,
take the best label of each frame, drop repetitions, then blanks.

The measure is the label error rate: how many labels must be inserted, deleted or
replaced, over how many there are, for speakers who were not heard before. The baseline
looks at single frames: it takes the label whose mean spectrum is nearest, and then
drops repetitions in the same way. It is given the alignment of what it learns from, and
names most frames correctly, but frames between two sounds resemble a third, and each
such slip is a label too many. Sounds of fewer than three frames are therefore dropped,
which is best for it.

Sources: G. Peterson, H. Barney, "Control methods used in a study of the vowels", 1952
(formants); A. Graves et al., "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import run
from _files import writing
from _program import begin, new_figure, progress, save_figure
from _settings import Setting

import fastrnn
from fastrnn import data, schedules

SETTINGS = [
    Setting("utterances", 1200, "to learn from", read.number(int, 50, 20_000)),
    Setting("noise", 10.0, "decibels of speech above it", read.number(float, 0, 90)),
    Setting("hidden", 48, "hidden units of each direction", read.units),
    Setting("batch", 16, "utterances per step", read.rows),
    Setting("epochs", 14, "passes through all utterances", read.steps),
    Setting("lr", 4e-3, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"utterances": 600, "batch": 8}
RATE, WINDOW, HOP = 16_000, 512, 128  # samples: per second, per frame, between frames
FREQUENCIES = np.fft.rfftfreq(WINDOW, 1 / RATE)
BANDS = 32  # of the spectrogram
SPEAKERS = 60  # in training; as many others are for the test


class Sound(NamedTuple):
    """A label's peaks in Hz, each with its width and height; how it is spoken."""

    peaks: tuple[tuple[float, float, float], ...]
    voice: float
    hiss: float
    frames: int  # at a usual tempo
    pause: int = 0  # frames of silence before it


def vowel(first: float, second: float, third: float) -> Sound:
    """Return a voice with three formants."""
    peaks = ((first, 90, 1.0), (second, 120, 0.5), (third, 180, 0.25))
    return Sound(peaks, voice=1, hiss=0.02, frames=14)


SOUNDS = {
    "a": vowel(730, 1090, 2440),
    "e": vowel(530, 1840, 2480),
    "i": vowel(270, 2290, 3010),
    "o": vowel(570, 840, 2410),
    "u": vowel(300, 870, 2240),
    "s": Sound(((6500, 2200, 1.0),), voice=0, hiss=0.5, frames=11),
    "ʃ": Sound(((3000, 1400, 1.0),), voice=0, hiss=0.6, frames=11),
    "f": Sound(((1500, 9000, 0.3),), voice=0, hiss=0.5, frames=9),
    "t": Sound(((4500, 3000, 1.0),), voice=0, hiss=1.0, frames=2, pause=5),
    "k": Sound(((1700, 900, 1.0),), voice=0, hiss=1.0, frames=3, pause=6),
    "m": Sound(((250, 120, 0.6), (1000, 300, 0.03)), voice=1, hiss=0, frames=8),
}
LABELS = ["", *SOUNDS]  # the first is the blank
VOWELS = [LABELS.index(a) for a in "aeiou"]
CONSONANTS = [k for k in range(1, len(LABELS)) if k not in VOWELS]


class Speaker(NamedTuple):
    """A pitch in Hz, and a factor of all formants."""

    pitch: float
    tract: float


class Utterance(NamedTuple):
    """Sound, its spectrogram [frames, BANDS], labels, and the label of every frame."""

    sound: np.ndarray
    x: np.ndarray
    labels: np.ndarray
    frames: np.ndarray


def main() -> int:
    """Speak, learn to read, and compare with single frames, for new speakers."""
    options = begin(__doc__, SETTINGS, QUICK)
    rng = np.random.default_rng(options.seed)
    seen = speak(rng, options.utterances, options.noise)
    new = speak(rng, 300, options.noise)
    seconds = sum(len(u.sound) for u in seen) / RATE
    print(f"{len(seen):,} utterances, {seconds / 60:.0f} minutes of speech")
    model, rates = learn(seen, new, options)
    logits = fastrnn.predict(model, [u.x for u in new])
    ours = error_rate([read_off(a.argmax(1)) for a in logits], new)
    frames = nearest(seen, new)
    single = error_rate([read_off(a, shortest=3) for a in frames], new)
    hits = np.concatenate([a == u.frames for a, u in zip(frames, new, strict=True)])
    print(f"the nearest spectrum names {hits.mean():.1%} of single frames correctly")
    print(
        f"result: label error rate for new speakers {ours:.3f} "
        f"(nearest spectrum, frame by frame: {single:.3f})"
    )
    shown = next(i for i, u in enumerate(new) if len(u.labels) >= 7)
    write_sound(options.out / "speech.wav", new[shown].sound)
    save_figure(options, draw(new[shown], logits[shown], rates, single))
    return 0


# --- speaking ------------------------------------------------------------------------


def speak(rng: np.random.Generator, K: int, noise: float) -> list[Utterance]:
    """Return K utterances by speakers of their own."""
    speakers = [
        Speaker(np.exp(rng.uniform(np.log(85), np.log(280))), rng.uniform(0.8, 1.25))
        for _ in range(SPEAKERS)
    ]
    return [utter(rng, speakers[k % SPEAKERS], noise) for k in range(K)]


def utter(rng: np.random.Generator, speaker: Speaker, noise: float) -> Utterance:
    """Return two to four syllables, in one tempo."""
    labels: list[int] = []
    for _ in range(rng.integers(2, 5)):
        labels += [rng.choice(CONSONANTS)] * (rng.random() < 0.85)
        labels += [rng.choice(VOWELS)]
    tempo = rng.uniform(0.7, 1.4)
    parts = [np.zeros(rng.integers(4, 10), int)]
    for label in labels:
        kind = SOUNDS[LABELS[label]]
        for frames, value in ((kind.pause, 0), (kind.frames, label)):
            own = frames * rng.uniform(0.8, 1.25) / tempo
            parts.append(np.full(round(max(own, 1.5)) if frames else 0, value))
    frames = np.concatenate([*parts, np.zeros(rng.integers(4, 10), int)])
    sound = synthesise(rng, frames, speaker)
    power = np.mean(sound**2) * 10 ** (-noise / 10)
    sound = sound + rng.normal(0, np.sqrt(power), len(sound))
    sound *= rng.uniform(0.3, 1) / abs(sound).max()
    return Utterance(sound, spectrogram(sound), np.array(labels), frames)


def synthesise(
    rng: np.random.Generator, frames: np.ndarray, speaker: Speaker
) -> np.ndarray:
    """Return the sound of labels, a frame each: pulses and noise through a filter."""
    T = len(frames)
    n = (T - 1) * HOP + WINDOW
    glide = 1 + 0.12 * np.sin(np.linspace(rng.uniform(0, 6), rng.uniform(6, 12), n))
    turns = np.cumsum(speaker.pitch * glide / RATE)
    pulses = np.diff(np.floor(turns), prepend=0) * np.sqrt(RATE / speaker.pitch)
    spectra = [transform(source) for source in (pulses, rng.standard_normal(n))]
    table = np.array([loudness(label, speaker) for label in LABELS])
    filters = table[frames].transpose(1, 0, 2)
    # The mouth moves: sounds pass over into one another in about three frames.
    filters = sum(np.roll(filters, k, axis=1) for k in (-1, 0, 1)) / 3
    made = sum(f * s for f, s in zip(filters, spectra, strict=True))
    microphone = (FREQUENCIES / 1000 + 0.2) ** rng.uniform(-0.6, 0.6)
    sound = np.zeros(n)
    for t, piece in enumerate(np.fft.irfft(made * microphone)):
        sound[t * HOP :][:WINDOW] += piece
    return sound


def loudness(label: str, speaker: Speaker) -> np.ndarray:
    """Return [2, frequencies]: the filters of the voice and of the hiss."""
    curve = np.zeros(len(FREQUENCIES))
    if not label:
        return np.array([curve, curve])
    kind = SOUNDS[label]
    for centre, width, height in kind.peaks:
        distance = (FREQUENCIES - centre * speaker.tract) / (width / 2 + 30)
        curve += height / np.sqrt(1 + distance**2)
    return np.outer((kind.voice, kind.hiss), curve)


def transform(sound: np.ndarray) -> np.ndarray:
    """Return the spectrum [frames, frequencies], through a window of Hann."""
    pieces = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    return np.fft.rfft(pieces * np.hanning(WINDOW + 1)[:-1])


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """Return the logarithm of the power in bands that widen upwards, as in the ear."""
    power = abs(transform(sound)) ** 2
    top = power.shape[1] - 1
    edges = (np.geomspace(40, top + 40, BANDS + 1) - 40).round().astype(int)
    loud = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-4)
    return ((loud - loud.mean()) / 3).astype(np.float32)


def write_sound(path: Path, sound: np.ndarray) -> None:
    """Write a WAV file, to be listened to."""
    with writing(path), wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


# --- reading -------------------------------------------------------------------------


def learn(seen: Any, new: Any, options: Any) -> tuple[Any, list[float]]:
    """Return a trained net, and the label error rate on new speakers by epoch."""
    rng, H = np.random.default_rng([options.seed, 1]), options.hidden
    model = fastrnn.Sequential(
        rnn=fastrnn.GRU(BANDS, H, bidirectional=True, init="keras", seed=rng),
        head=fastrnn.Linear(2 * H, len(LABELS), seed=rng),
    )
    lengths = [len(u.x) for u in seen]
    kept = data.bucket_batches(lengths, options.batch, seed=rng)
    training = [batch([seen[i] for i in rows]) for rows in kept]
    rates = []

    def test(model: Any, history: Any) -> None:
        logits = fastrnn.predict(model, [u.x for u in new])
        rates.append(error_rate([read_off(a.argmax(1)) for a in logits], new))
        bar.update()

    with progress(options.epochs, unit="epoch") as bar:
        fastrnn.fit(
            model,
            training,
            loss=lambda logits, targets: fastrnn.ctc_loss(logits, *targets),
            optimizer=fastrnn.Adam(model, lr=options.lr),
            epochs=options.epochs,
            schedule=schedules.cosine(options.epochs),
            callbacks=[test],
            progress=False,  # the bar above stands for all epochs
        )
    return model, rates


def batch(utterances: list[Utterance]) -> data.Batch:
    """Return utterances side by side; the targets are what `ctc_loss` takes."""
    x, lengths = data.pad_sequences([u.x for u in utterances])
    labels, counts = data.pad_sequences([u.labels for u in utterances])
    return data.Batch(x, (labels.T, lengths, counts), lengths)


def read_off(best: np.ndarray, shortest: int = 1) -> np.ndarray:
    """Drop labels of fewer frames than the shortest, then repetitions, then blanks."""
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    kept = best[starts][np.diff(starts, append=len(best)) >= shortest]
    kept = kept[np.diff(kept, prepend=-1) != 0]
    return kept[kept > 0]


def nearest(seen: Any, new: Any) -> list[np.ndarray]:
    """Return the label of the nearest mean spectrum for each frame of the new ones."""
    x = np.concatenate([u.x for u in seen])
    labels = np.concatenate([u.frames for u in seen])
    means = np.array([x[labels == k].mean(axis=0) for k in range(len(LABELS))])
    return [((u.x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1) for u in new]


def error_rate(found: list[np.ndarray], utterances: list[Utterance]) -> float:
    """Return the labels to insert, delete or replace, over all there are."""
    pairs = zip(found, utterances, strict=True)
    wrong = sum(edits(f, u.labels) for f, u in pairs)
    return wrong / sum(len(u.labels) for u in utterances)


def edits(found: np.ndarray, expected: np.ndarray) -> int:
    """Return the fewest insertions, deletions and replacements between the two."""
    row = list(range(len(expected) + 1))
    for i, a in enumerate(found.tolist(), 1):
        above, row[0] = row[0], i
        for k, b in enumerate(expected.tolist(), 1):
            above, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, above + (a != b))
    return row[-1]


# --- the picture ---------------------------------------------------------------------


def draw(utterance: Utterance, logits: np.ndarray, rates: Any, single: float) -> Any:
    """Draw an utterance with what the net hears in it, and the error over training."""
    figure, (left, right) = new_figure(1, 2, figsize=(16, 7), width_ratios=[2.6, 1])
    parts = left.get_subplotspec().subgridspec(2, 1)
    left.remove()
    top, bottom = (figure.add_subplot(part) for part in parts)
    seconds = HOP / RATE * np.array([0, len(utterance.x)])
    top.imshow(
        utterance.x.T, origin="lower", aspect="auto", extent=(*seconds, 0, BANDS)
    )
    changes = np.flatnonzero(np.diff(utterance.frames)) + 1
    for start, end in zip([0, *changes], [*changes, len(utterance.x)], strict=True):
        top.axvline(start * HOP / RATE, color="white", linewidth=0.5)
        label = LABELS[utterance.frames[start]]
        middle = (start + end) / 2 * HOP / RATE
        top.text(middle, BANDS + 0.5, label, ha="center", fontsize=14)
    top.set(ylabel="band", xlim=seconds)
    top.set_title("Spectrogram, and what is spoken when (the net is not told)", pad=22)
    shares = fastrnn.softmax(logits)
    time = (np.arange(len(shares)) + 0.5) * HOP / RATE
    bottom.plot(time, shares[:, 0], color="lightgrey", label="blank")
    for label in dict.fromkeys(read_off(shares.argmax(1)).tolist()):
        (line,) = bottom.plot(time, shares[:, label], label=LABELS[label])
        bottom.fill_between(time, shares[:, label], color=line.get_color(), alpha=0.3)
    bottom.set(xlabel="second", ylabel="probability", xlim=seconds, ylim=(0, 1.05))
    bottom.set_title("What the net hears, frame by frame")
    bottom.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=12)
    right.plot(np.arange(len(rates)) + 1, rates, marker=".", label="the net")
    right.axhline(single, color="grey", linestyle="--", label="nearest spectrum")
    right.set(xlabel="epoch", ylabel="label error rate", ylim=(0, None))
    right.set_title("New speakers")
    right.grid(alpha=0.3)
    right.legend()
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
