"""Python threads, forks and the GIL."""

import os
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits
from tests.implementations import ISAS, using
from tests.problems import make_problem
from tests.processes import run_program

# Large enough for a team of threads.
LARGE = ("lstm", 12, 40, 23, 57)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_lock_is_released(threads: int) -> None:
    """Another Python thread keeps running while a kernel runs, even in the middle."""
    problem = make_problem("lstm", 200, 32, 64, 256, dtype=np.float32)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    with using(ISAS[-1], threads):
        ticker = threading.Thread(target=tick)
        ticker.start()
        begin = time.perf_counter()
        _, _, tape = problem.forward(fastrnn)
        middle = time.perf_counter()
        problem.backward(fastrnn, tape)
        end = time.perf_counter()
        done.set()
        ticker.join()
    for first, last in ((begin, middle), (middle, end)):
        assert last - first > 0.02, "too short a time to see anything"
        within = (first + 0.2 * (last - first), last - 0.2 * (last - first))
        assert any(within[0] < t < within[1] for t in ticks)


@pytest.mark.parametrize("threads", [1, 3])
def test_many_threads_call_at_once(threads: int) -> None:
    problems = [make_problem(*LARGE, seed=seed) for seed in range(4)]
    small = [make_problem("gru", 5, 3, 4, 5, seed=seed) for seed in range(4)]
    with using(ISAS[0], threads):
        expected = [(p.run(fastrnn), q.run(fastrnn)) for p, q in
                    zip(problems, small, strict=True)]  # fmt: skip
        found: list[Any] = [None] * 4
        start = threading.Barrier(4)

        def work(k: int) -> None:
            start.wait()
            found[k] = [
                (problems[k].run(fastrnn), small[k].run(fastrnn)) for _ in range(3)
            ]

        workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for k in range(4):
        for got in found[k]:
            assert_same_bits(got[0], expected[k][0])
            assert_same_bits(got[1], expected[k][1])


RUN = """
import multiprocessing, os
import numpy as np
import fastrnn

rng = np.random.default_rng(0)
x, w, u = (rng.standard_normal(n).astype(np.float32) / 8
           for n in [(12, 40, 23), (228, 23), (228, 57)])

def run():
    y, _, tape = fastrnn.lstm_forward(x, w, u)
    grads = fastrnn.lstm_backward(tape, y)
    loss, _ = fastrnn.linear_cross_entropy(y, w[:, :1] * np.ones((1, 57), np.float32),
                                           None, np.zeros((12, 40), int))
    fastrnn._layers.recurrent.WORTH_A_THREAD = 0  # a thread for each direction
    layer = fastrnn.GRU(8, 60, bidirectional=True, seed=0)
    both, _ = layer(x[:, :2, :8])
    layer.backward(both)
    results = [y, grads.dx, grads.dw_hh, loss, both, layer.flat_grads]
    return b"".join(a.tobytes() for a in results)

"""

FORK_AFTER_USE = """
expected = run()
team = len(os.listdir("/proc/self/task"))
assert team >= 2, "no team was started"

def in_child(depth):
    pid = os.fork()
    if pid == 0:
        ok = run() == expected and run() == expected
        if ok and depth > 1:
            in_child(depth - 1)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

in_child(2)
assert run() == expected
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.apply(run) == expected
    assert all(r == expected for r in [pool.apply_async(run).get(30) for _ in "ab"])
assert run() == expected
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("threads", ["2", "3"])
def test_a_fork_after_use_works(threads: str) -> None:
    """Child, grandchild and pool give the same bits, and the parent goes on."""
    assert run_program(RUN + FORK_AFTER_USE, FASTRNN_NUM_THREADS=threads) == "done"


FORK_BEFORE_USE = """
pid = os.fork()
if pid == 0:
    os._exit(0 if len(run()) > 100_000 else 1)
run()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_before_use_works() -> None:
    assert run_program(RUN + FORK_BEFORE_USE, FASTRNN_NUM_THREADS="2") == "done"
