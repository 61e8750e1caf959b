"""`examples/speech.py`: the net reads speech, and beats single frames."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.examples.programs import load, numbers, run_quickly


def test_the_net_beats_single_frames(tmp_path: Path) -> None:
    said = run_quickly("speech.py", tmp_path)
    (net,) = numbers(r"for new speakers ([\d.]+)", said)
    (single,) = numbers(r"frame by frame: ([\d.]+)\)", said)
    assert net < 0.12
    assert net < single / 2
    assert 0.15 < single < 0.5
    with wave.open(str(tmp_path / "speech.wav")) as file:
        assert file.getframerate() == 16_000
        seconds = file.getnframes() / 16_000
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert 0.3 < seconds < 3
    assert 3000 < abs(sound.astype(int)).max() < 32768


def test_a_vowel_has_its_formants() -> None:
    speech = load("speech")
    rng, middle = np.random.default_rng(0), speech.Speaker(120, 1.0)
    for label, peaks in {"i": (270, 2290), "a": (730, 1090)}.items():
        frames = np.full(60, speech.LABELS.index(label))
        power = abs(speech.transform(speech.synthesise(rng, frames, middle))) ** 2
        # Above the slope of any microphone: against the mean of all vowels around.
        shape = power[10:50].mean(axis=0)
        for peak in peaks:
            near = abs(speech.FREQUENCIES - peak) < 130
            above = abs(speech.FREQUENCIES - 1.9 * peak) < 130
            assert shape[near].max() > 4 * shape[above].max(), (label, peak)


def test_labels_and_frames_agree() -> None:
    speech = load("speech")
    for u in speech.speak(np.random.default_rng(0), 50, 10.0):
        assert len(u.x) == len(u.frames)
        assert u.x.dtype == np.float32
        changes = u.frames[np.diff(u.frames, prepend=0) != 0]
        # Equal labels side by side are one run of frames.
        merged = u.labels[np.diff(u.labels, prepend=0) != 0]
        np.testing.assert_array_equal(changes[changes > 0], merged)


@pytest.mark.parametrize(
    ("found", "expected", "count"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("ab", "ba", 2),
        ("sunday", "saturday", 3),
    ],
)
def test_edits(found: str, expected: str, count: int) -> None:
    ids = [np.array([ord(a) for a in text], int) for text in (found, expected)]
    assert load("speech").edits(*ids) == count


def test_reading_off_drops_repetitions_blanks_and_short_sounds() -> None:
    read_off = load("speech").read_off
    best = np.array([0, 1, 1, 0, 1, 2, 2, 2, 0, 0, 0, 3])
    assert read_off(best).tolist() == [1, 1, 2, 3]
    assert read_off(best, shortest=2).tolist() == [1, 2]
    assert read_off(np.array([2, 2, 2, 5, 2, 2]), shortest=2).tolist() == [2]
    assert read_off(np.array([], int)).tolist() == []
