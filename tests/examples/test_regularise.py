"""`examples/regularise.py`: learning by heart, and what is done against it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.programs import run_quickly


def test_each_kind_keeps_the_net_from_learning_by_heart(tmp_path: Path) -> None:
    said = run_quickly("regularise.py", tmp_path)
    row = (
        r"result: (.+?) +bits per character: learned ([\d.]+), new text ([\d.]+), "
        r"stopped at round +\d+ ([\d.]+)"
    )
    found = {name: [*map(float, bits)] for name, *bits in re.findall(row, said)}
    assert len(found) == 6
    learned, last, best = found.pop("nothing")
    assert last > learned + 1  # it knows the text by heart
    assert best < last - 0.1  # early stopping helps
    for name, (knows, reaches, _) in found.items():
        assert knows > learned + 0.1, name
        assert reaches < last - 0.1, name
    assert min(stopped for *_, stopped in found.values()) < best - 0.1
