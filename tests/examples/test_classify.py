"""`examples/classify.py`: the net comes near the best possible verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.examples.programs import load, numbers, run_quickly


def test_the_net_is_near_the_best_possible(tmp_path: Path) -> None:
    said = run_quickly("classify.py", tmp_path)
    net, best, spread = numbers(r"(0\.\d{3})", said.split("result:")[1])
    assert 0.95 < best < 0.985
    assert 0.45 < spread < 0.65
    assert best - 0.1 < net < best + 0.01


def test_both_classes_have_one_mean_and_spread() -> None:
    classify = load("classify")
    records, labels = classify.write(np.random.default_rng(0), 4000)
    for label in (0, 1):
        x = np.concatenate(
            [r for r, own in zip(records, labels, strict=True) if own == label]
        )
        assert x.mean() == pytest.approx(0, abs=0.05)
        assert x.std() == pytest.approx(1, abs=0.05)
    assert labels.mean() == pytest.approx(classify.SHARE, abs=0.02)
