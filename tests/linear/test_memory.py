"""The loss does not store all logits: memory does not grow with rows × vocabulary."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np, fastrnn
rows, V, H = {rows}, {V}, 4
y, w = np.ones((rows, H), np.float32), np.ones((V, H), np.float32)
loss, _ = fastrnn.linear_cross_entropy(
    y, w, None, np.zeros(rows, int), training={training}
)
assert abs(loss - np.log(V)) < 1e-3
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1])
"""
MB = 1e6


def peak_bytes(rows: int, V: int, training: bool) -> int:
    """Return the peak memory of a new process."""
    program = PROGRAM.format(rows=rows, V=V, training=training)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("training", [False, True], ids=["forward", "backward"])
def test_memory_does_not_grow_with_the_logits(training: bool) -> None:
    """Logits of all rows would take 205 MB; those of a block of 128 rows take 3 MB."""
    few, many = (peak_bytes(rows, 5000, training) for rows in (128, 128 * 80))
    assert many - few < 12 * MB
