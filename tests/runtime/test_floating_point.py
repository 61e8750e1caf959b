"""Denormals are flushed inside a call; the caller's floating-point mode is kept."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.implementations import Compiled, every_dtype, every_isa
from tests.linear.problems import call_linear, call_loss, draw_linear, draw_loss
from tests.problems import CELLS, make_problem


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
