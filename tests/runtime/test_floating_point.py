"""The floating-point mode inside a call is its own; the caller's is kept."""

import platform
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.implementations import Compiled, every_dtype, every_isa
from tests.linear.problems import call_linear, call_loss, draw_linear, draw_loss
from tests.problems import CELLS, make_problem
from tests.processes import run_program


def denormals_survive() -> bool:
    """Return whether this thread's arithmetic keeps denormals."""
    least = np.full(16, np.finfo(np.float32).smallest_subnormal)
    return bool((least * np.float32(1) != 0).all())


def call_everything(threads: int) -> None:
    module = Compiled(threads=threads)
    for cell in CELLS:
        make_problem(cell, 12, 40, 23, 113).run(module)
    call_linear(module, draw_linear((301, 67, 131), np.float32))
    call_loss(module, draw_loss((301, 33, 1100), np.float32))
    a = np.ones(300_000, np.float32)
    module.clip_grad_norm(a, 1.0)
    module.clip_grad_value(a, 1.0)
    fastrnn.SGD(a, lr=0.1).step(a.copy())


@pytest.mark.parametrize("threads", [1, 3])
def test_the_mode_of_the_caller_stays(threads: int) -> None:
    assert denormals_survive()
    call_everything(threads)
    assert denormals_survive()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_caller_that_flushes_stays_so(threads: int) -> None:
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush")
    try:
        assert not denormals_survive()
        call_everything(threads)
        assert not denormals_survive()
    finally:
        torch.set_flush_denormal(False)
    assert denormals_survive()


@every_dtype
@every_isa
def test_denormals_are_flushed_inside(isa: str, dtype: Any) -> None:
    """A decaying state reaches 0, and calls do not slow down on the way."""
    small = dtype(np.sqrt(np.finfo(dtype).tiny)) / 4
    x, w = np.full((1, 1, 1), small), np.full((1, 1), small)
    assert small * small != 0
    y, _, _ = Compiled(isa).rnn_forward(x, w, w, nonlinearity="relu")
    assert y[0, 0, 0] == 0


MODES = """
import ctypes, sys
import numpy as np
import fastrnn

libm = ctypes.CDLL("libm.so.6")
DOWNWARD, UPWARD, TOWARD_ZERO = 0x400, 0x800, 0xC00  # of x86
INVALID, DIVIDE, OVERFLOW, UNDERFLOW = 1, 4, 8, 16
TRAPS = INVALID | DIVIDE | OVERFLOW

rng = np.random.default_rng(0)
draw = lambda *shape: (rng.standard_normal(shape) / 2).astype(np.float32)
x, w, u, b = draw(12, 40, 23), draw(228, 23), draw(228, 57), draw(228)
loud = x * np.float32(1e38)
loud[0, :2] = np.inf
y, head, targets = draw(300, 57), draw(700, 57), rng.integers(0, 700, 300)
frozen = fastrnn.GRU(23, 57, 2, zoneout=0.1, seed=0).eval()
plain = fastrnn.LSTM(23, 57, 2, seed=0).eval()
stepper = fastrnn.Stepper(fastrnn.LSTM(23, 300, seed=0))

def train(inputs):
    out, _, tape = fastrnn.lstm_forward(inputs, w, u, b)
    grads = fastrnn.lstm_backward(tape, out)
    return out, grads.dx, grads.dw_ih, grads.db_ih

drawn = draw(300_000)

def optimize():
    params = drawn[:40_000].copy()
    adam = fastrnn.AdamW([params], lr=1e-3)
    adam.step([drawn[-40_000:].copy()])
    return params

def clip():
    grads = drawn.copy()
    fastrnn.clip_grad_value(grads, 0.3)
    return grads

def step():
    return fastrnn.Stepper(stepper.layer).step(x[0, :1])

CALLS = [
    lambda: train(x),
    lambda: frozen(x)[0],
    lambda: plain(x)[0],
    lambda: fastrnn.linear_forward(y, head),
    lambda: tuple(fastrnn.linear_backward(y, head, product)[:2]),
    lambda: fastrnn.linear_cross_entropy(y, head, None, targets)[1].dw,
    lambda: fastrnn.linear_cross_entropy(y, head, None, targets)[0],
    optimize, clip, step,
]
product = y @ head.T

def results():
    found = []
    for call in CALLS:
        result = call()
        for a in result if isinstance(result, tuple) else (result,):
            found.append(a.tobytes())
    return found
"""

ROUNDING = """
expected = results()
for mode in (DOWNWARD, UPWARD, TOWARD_ZERO):
    for threads in (1, 2, 3):
        fastrnn.set_num_threads(threads)
        libm.fesetround(mode)
        found = results()
        after = libm.fegetround()
        libm.fesetround(0)
        assert after == mode
        assert found == expected, [a == b for a, b in zip(found, expected)]
print("done")
"""

TRAPPING = """
for threads in (1, 2):
    fastrnn.set_num_threads(threads)
    train(loud)
    libm.feenableexcept(TRAPS)
    train(loud)
    frozen(loud)
    plain(loud)
    fastrnn.linear_forward(loud, w)
    stepper.step(loud[0, :1])
    assert libm.fegetexcept() == TRAPS
    libm.fedisableexcept(TRAPS)
print("done")
"""

FLAGS = """
small = np.full((1, 1, 1), 1e-30, np.float32)
for raised in (0, UNDERFLOW):
    libm.feclearexcept(63)
    libm.feraiseexcept(raised)
    fastrnn.rnn_forward(small, small[0], small[0], nonlinearity="relu")
    fastrnn.lstm_forward(loud, w, u)
    assert libm.fetestexcept(INVALID | OVERFLOW | UNDERFLOW) == raised
print("done")
"""


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64",
    reason="the numbers of the modes are those of x86",
)
@pytest.mark.parametrize(
    "program", [ROUNDING, TRAPPING, FLAGS], ids=["rounding", "traps", "flags"]
)
def test_the_mode_of_the_caller_has_no_effect(program: str) -> None:
    """Rounding, traps and flags, in every thread; and all stay as they were."""
    assert run_program(MODES + program, FASTRNN_NUM_THREADS="2") == "done"
