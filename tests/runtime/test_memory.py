"""Freed blocks are kept, up to a limit, and given back; lack of memory has a name."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
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


TRIM = (
    PROGRAM.replace("print(held - before, resident() - before)", "")
    + """
kept = resident()
fastrnn.trim_memory()
print(held - before, kept - before, resident() - before)
again = fastrnn.linear_forward(x, w)
assert (again == 1).all()
del again
fastrnn.trim_memory()
fastrnn.trim_memory()
"""
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_kept_blocks_can_be_given_back() -> None:
    held, kept, trimmed = map(float, run_program(TRIM).split())
    assert held > 512
    assert kept > 128
    assert trimmed < 32


def draw(*shape: int) -> Any:
    return np.ones(shape, np.float32)


HUGE: dict[str, tuple[Callable[[], Any], str]] = {
    "lstm_forward": (
        lambda: fastrnn.lstm_forward(
            np.zeros((0, 2**44, 1), np.float32), draw(256, 1), draw(256, 64)
        ),
        r"lstm_forward: no memory for \(T, N, I, H\) = \(0, 17592186044416, 1, 64",
    ),
    "rnn_forward": (
        lambda: fastrnn.rnn_forward(
            np.broadcast_to(np.float32(1), (0, 2**45, 1)).copy(), draw(1, 1), draw(1, 1)
        ),
        r"rnn_forward: no memory for \(T, N, I, H\)",
    ),
    "LSTM": (
        lambda: fastrnn.LSTM(1, 64).eval()(np.zeros((0, 2**44, 1), np.float32)),
        r"LSTM: no memory for \(T, N, I, H\)",
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_sizes_beyond_all_memory(name: str) -> None:
    """A MemoryError that names the call, though nothing would be computed."""
    call, message = HUGE[name]
    with pytest.raises(MemoryError, match=message):
        call()


LIMITED = """
import resource
import numpy as np
import fastrnn

rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape, np.float32)
x, w, u = draw(200, 400, 8), draw(1024, 8), draw(1024, 256)
_, _, tape = fastrnn.lstm_forward(draw(100, 40, 8), w, u)
y, head = draw(20000, 8), draw(4000, 8)
layer = fastrnn.LSTM(8, 256, seed=0).eval()
rows, words, targets = draw(160, 8), draw(20000, 8), np.zeros(160, int)
fastrnn.linear_cross_entropy(rows, head, None, targets)
fastrnn.trim_memory()
loss = fastrnn.linear_cross_entropy
CALLS = {
    "lstm_forward": lambda: fastrnn.lstm_forward(x, w, u),
    "lstm_backward": lambda: fastrnn.lstm_backward(tape),
    "LSTM": lambda: layer(x),
    "linear_forward": lambda: fastrnn.linear_forward(y, head),
    "linear_cross_entropy": lambda: loss(rows, words, None, targets),
}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20),) * 2)
for name, call in CALLS.items():
    try:
        call()
    except MemoryError as error:
        assert str(error).startswith(name + ": no memory for "), error
    else:
        raise AssertionError(name)
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_lack_of_memory_is_named() -> None:
    assert run_program(LIMITED, FASTRNN_NUM_THREADS="1") == "done"
