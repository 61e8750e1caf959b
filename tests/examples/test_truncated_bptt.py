"""`examples/truncated_bptt.py`: what lies beyond the cut is not learned."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.programs import EXAMPLES, run_quickly


def test_only_what_lies_within_the_cut_is_learned(tmp_path: Path) -> None:
    said = run_quickly("truncated_bptt.py", tmp_path)
    row = r"distance +(\d+), cut +(\d+): ([\d.]+) bits, ([\d.]+) ms and (\d+) KiB"
    found = re.findall(row, said)
    assert len(found) == 6
    for distance, cut, bits, _, kib in found:
        if int(cut) > int(distance):
            assert float(bits) < 0.1
        else:
            assert float(bits) > 1.5  # of 3
        assert int(kib) == int(cut) * 16  # memory in proportion


@pytest.mark.parametrize("words", ["x", "", "4,", "0", "4,-1", "4.5"])
def test_a_list_that_is_none(words: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "truncated_bptt.py"), f"--cuts={words}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert not done.stdout
    message = "--cuts: expected whole numbers of at least 1, as in 4,8, got"
    assert done.stderr.rstrip().endswith(f"error: argument {message} {words}".rstrip())
