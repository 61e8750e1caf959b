"""`examples/truncated_bptt.py`: what lies beyond the cut is not learned."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.programs import run_quickly


def test_only_what_lies_within_the_cut_is_learned(tmp_path: Path) -> None:
    said = run_quickly("truncated_bptt.py", tmp_path)
    row = r"distance +(\d+), cut +(\d+): ([\d.]+) bits, ([\d.]+) ms and (\d+) KiB per"
    rows = re.findall(row, said)
    assert len(rows) == 6
    for distance, cut, bits, _, kib in rows:
        if int(cut) > int(distance):
            assert float(bits) < 0.1
        else:
            assert float(bits) > 1.5  # of 3
        assert int(kib) == int(cut) * 16  # memory in proportion
