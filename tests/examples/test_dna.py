"""`examples/dna.py`: the motif is found, nearly as well as can be."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.programs import numbers, run_quickly


def test_the_net_comes_near_the_best_possible(tmp_path: Path) -> None:
    said = run_quickly("dna.py", tmp_path)
    shares, net, best = numbers(r"result: .* ([\d.]+)% right", said)
    assert 60 < shares < 75
    assert 85 < best < 95
    assert best - 2.5 < net < best + 1
    motif, read = re.search(r"the motif is (\w+), the net reads (\S+)", said).groups()
    same = max(
        sum(a == b for a, b in zip(motif, read[i:], strict=False))
        for i in range(len(read) - len(motif) + 1)
    )
    assert same >= len(motif) - 1
    assert (tmp_path / "states.png").stat().st_size > 10000
