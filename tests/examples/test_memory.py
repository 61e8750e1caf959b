"""`examples/memory.py`: who learns to add and to copy, and who does not."""

from __future__ import annotations

import re

import pytest

from tests.examples.programs import run_quickly


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Return the loss of every net on both problems."""
    said = run_quickly("memory.py", tmp_path_factory.mktemp("memory"))
    adding, copying = said.split("copying (guessing")
    row = r"T = +\d+  (.+?) +([\d.]+) (?:mean|bits)"
    return {
        "adding": {net: float(loss) for net, loss in re.findall(row, adding)},
        "copying": {net: float(loss) for net, loss in re.findall(row, copying)},
    }


def test_identity_and_gates_learn_to_add_and_tanh_does_not(
    losses: dict[str, dict[str, float]],
) -> None:
    adding = losses["adding"]
    assert adding["tanh"] > 0.8 / 6  # 1/6: guessing
    for net in ("ReLU, identity start", "GRU", "LSTM"):
        assert adding[net] < 0.2 / 6, net


def test_identity_does_not_learn_to_copy_and_an_orthogonal_start_does(
    losses: dict[str, dict[str, float]],
) -> None:
    copying = losses["copying"]
    assert copying["ReLU, identity start"] > 1  # of 3 bits
    assert copying["tanh"] > 1
    assert copying["tanh, orthogonal start"] < 0.6
    assert copying["GRU"] < 0.6
