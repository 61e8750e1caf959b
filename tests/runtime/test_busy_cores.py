"""With other processes running, a preempted thread must not hold up its team."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits

pytestmark = [
    pytest.mark.skipif(
        not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
        reason="needs two cores, and processes that stay on one of them",
    ),
]

SECONDS = 0.4  # a sample


@contextmanager
def busy_core() -> Iterator[None]:
    """Run three busy processes on one core: a thread there gets a quarter of it."""
    core = max(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command) for _ in range(3)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_a_while(layer: fastrnn.LSTM, x: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Return one call's results, and seconds per call."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() < start + SECONDS:
        y, _ = layer(x)
        dx, _ = layer.backward(y)
        calls += 1
    return [y, dx], (time.perf_counter() - start) / calls


def test_short_calls_are_not_held_up() -> None:
    """Two threads take about as long per call as one; they took 40 times as long."""
    layer = fastrnn.LSTM(64, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((10, 16, 64)).astype(np.float32)
    before = fastrnn.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    try:
        fastrnn.set_num_threads(2)
        expected, _ = run_a_while(layer, x)
        with busy_core():
            for threads in (1, 2, 2, 1, 1, 2):
                fastrnn.set_num_threads(threads)
                found, time_taken = run_a_while(layer, x)
                seconds[threads].append(time_taken)
                for mine, other in zip(found, expected, strict=True):
                    assert_same_bits(mine, other)
    finally:
        fastrnn.set_num_threads(before)
    one, two = (statistics.median(seconds[n]) for n in (1, 2))
    assert two < 5 * one
