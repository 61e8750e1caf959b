"""Freed blocks are kept for blocks of the same size, up to a limit."""

from pathlib import Path

import pytest

from tests.processes import run_program

PROGRAM = """
import numpy as np, fastrnn
x, w = np.ones((1 << 20, 1), np.float32), np.ones((16, 1), np.float32)

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024

before = resident()
outputs = [fastrnn.linear_forward(x, w) for _ in range(8)]  # of 64 MiB
held = resident()
del outputs
print(held - before, resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_at_most_256_mib_are_kept() -> None:
    held, kept = map(float, run_program(PROGRAM).split())
    assert held > 512
    assert 128 < kept < 300
