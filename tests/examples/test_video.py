"""`examples/video.py`: activities are told from frames in order, and only so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.examples.programs import load, numbers, run_quickly


def test_shuffled_frames_do_not_tell_which_way(tmp_path: Path) -> None:
    said = run_quickly("video.py", tmp_path)
    (ordered,) = numbers(r"accuracy ([\d.]+) with the frames in order", said)
    (shuffled,) = numbers(r"in order, ([\d.]+) shuffled", said)
    assert ordered > 0.85
    assert 0.35 < shuffled < 0.56  # a coin for each pair is right at 0.5
    assert numbers(r"show what changes: ([\d.]+)", said)[0] > 0.8


def test_a_film_shown_backwards_is_one_of_the_other_kind() -> None:
    """Both kinds of a pair have the same frames, so that no single one tells."""
    video = load("video")
    films, labels = video.film(np.random.default_rng(0), 1000, 0.0)
    assert set(labels) == set(range(8))
    assert {len(x) for x in films} == set(range(8, 17))
    moved = {}
    points = np.arange(16)
    for x, label in zip(films, labels, strict=True):
        frames = x.reshape(-1, 16, 16)
        light = frames.sum(axis=(1, 2))
        across = (frames.sum(axis=1) @ points / light)[[0, -1]]
        down = (frames.sum(axis=2) @ points / light)[[0, -1]]
        moved.setdefault(label, []).append(
            [np.diff(across)[0], np.diff(down)[0], light[-1] / light[0] - 1]
        )
    signs = {0: (0, 1), 1: (0, -1), 2: (1, 1), 3: (1, -1), 4: (2, 1), 5: (2, -1)}
    for label, (measure, sign) in signs.items():
        assert (sign * np.array(moved[label])[:, measure] > 0).all()
    for label in (6, 7):
        assert abs(np.array(moved[label])[:, :2]).max() < 3


def test_shuffling_keeps_all_frames() -> None:
    video = load("video")
    rng = np.random.default_rng(0)
    films, _ = video.film(rng, 5, 0.1)
    for x, mixed in zip(films, video.shuffle(rng, films), strict=True):
        assert (x != mixed).any()
        np.testing.assert_array_equal(
            np.sort(x, axis=0)[:, :3], np.sort(mixed, axis=0)[:, :3]
        )
