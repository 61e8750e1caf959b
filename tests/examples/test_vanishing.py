"""`examples/vanishing.py`: a gradient over distance, and the effect of clipping."""

from __future__ import annotations

import re

import pytest

from tests.examples.programs import numbers, run_quickly


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_quickly("vanishing.py", tmp_path_factory.mktemp("vanishing"))


def test_what_is_left_after_100_steps(said: str) -> None:
    left = dict(re.findall(r"^  (.+?) +(\d\.\de[+-]\d+)$", said, re.M))
    norm = {name: float(value) for name, value in left.items()}
    assert norm["tanh"] < 1e-10
    assert norm["ReLU"] < 1e-10
    assert 0.1 < norm["ReLU, identity start"] <= 1
    biases = [norm[f"LSTM, forget bias {b}"] for b in (0, 1, 3)]
    assert biases[0] < 1e-10 * biases[1]
    assert biases[1] < 1e-3 * biases[2]
    for r in (0.8, 0.9, 1.1, 1.2):
        ratio = norm[f"ReLU, {r} × identity"] / norm["ReLU, 1.0 × identity"]
        assert ratio == pytest.approx(r**100, rel=0.1)


def test_clipping_makes_gradient_descent_learn(said: str) -> None:
    largest = numbers(r"result: not clipped: largest gradient ([\d.e+]+)", said)[0]
    assert largest > 1e6
    plain, clipped = numbers(r"mean squared error ([\d.]+)", said)
    assert plain > 0.95 / 6  # 1/6: guessing
    assert clipped < 0.5 / 6
