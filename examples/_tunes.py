"""Twelve old tunes, as ids for a net and as MIDI files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _files import writing

# A letter is a quarter note; with / an eighth, . three eighths, 2 a half, 3 three
# quarters, 4 a whole note. Capitals lie below middle c.
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
PITCHES = dict(zip("GABcdefga", (55, 57, 59, 60, 62, 64, 65, 67, 69), strict=True))
KEYS = range(-5, 7)  # first notes of tunes, in semitones above middle c
END, HOLD, SAME = 0, 1, 20  # ids; 20 + k is a note k semitones above the one before
IDS = SAME + 19
BEGIN = 60  # the pitch before the first note


def spell(tune: int, key: int) -> np.ndarray:
    """Return a tune as ids, one per eighth, and END."""
    written = list(TUNES.values())[tune].split()
    ids, before = [], BEGIN
    up = KEYS[key] + BEGIN - PITCHES[written[0][0]]
    for note in written:
        pitch = PITCHES[note[0]] + up
        ids += [SAME + pitch - before] + [HOLD] * (LENGTHS[note[1:]] - 1)
        before = pitch
    return np.array([*ids, END], np.int32)


def notes(ids: np.ndarray) -> list[tuple[int, int, int]]:
    """Return notes as (pitch, start, length), in eighths."""
    starts = np.flatnonzero(ids != HOLD)
    pitches = (BEGIN + np.cumsum(ids[starts] - SAME)).clip(0, 127)
    lengths = np.diff([*starts, len(ids)])
    columns = (pitches, starts, lengths)
    return [(int(p), int(s), int(n)) for p, s, n in zip(*columns, strict=True)]


def agreement(played: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of eighths that agree; missing and surplus ones are wrong."""
    sounds = [
        np.concatenate([[0], *([p] + [-p] * (n - 1) for p, _, n in notes(ids))])
        for ids in (played, expected)
    ]
    both = min(map(len, sounds))
    same = np.count_nonzero(sounds[0][1:both] == sounds[1][1:both])
    return same / (max(map(len, sounds)) - 1)


def write_midi(path: Path, ids: np.ndarray) -> None:
    """Write ids as a standard MIDI file: format 0, one track, 2 ticks per quarter."""
    events = bytearray(b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big"))  # 120 bpm
    now = 0
    for pitch, start, length in notes(ids):
        for ticks, status in ((start - now, 0x90), (length, 0x80)):
            events += bytes([*varying(ticks), status, pitch, 96])
        now = start + length
    events += b"\x00\xff\x2f\x00"
    header = b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1, 0, 2])
    track = b"MTrk" + len(events).to_bytes(4, "big") + bytes(events)
    with writing(path):
        path.write_bytes(header + track)


def varying(n: int) -> bytes:
    """Return a number as MIDI does: seven bits per byte, the last below 128."""
    digits = [n & 127]
    while n := n >> 7:
        digits.append(n & 127 | 128)
    return bytes(digits[::-1])
