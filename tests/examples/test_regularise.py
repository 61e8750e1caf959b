"""`examples/regularise.py`: memorising a text, and remedies."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.programs import run_quickly


def test_each_kind_keeps_the_net_from_memorising(tmp_path: Path) -> None:
    said = run_quickly("regularise.py", tmp_path)
    row = (
        r"result: (.+?) +bits per character: training ([\d.]+), new text ([\d.]+), "
        r"stopped after epoch +\d+ ([\d.]+)"
    )
    curves = {name: [*map(float, bits)] for name, *bits in re.findall(row, said)}
    assert len(curves) == 6
    learned, last, best = curves.pop("nothing")
    assert last > learned + 1  # it has memorised the text
    assert best < last - 0.1  # early stopping helps
    for name, (knows, reaches, _) in curves.items():
        assert knows > learned + 0.1, name
        assert reaches < last - 0.1, name
    assert min(stopped for *_, stopped in curves.values()) < best - 0.1
