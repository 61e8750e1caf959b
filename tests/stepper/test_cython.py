"""``cimport fastrnn.stepper``: an extension built against the package, and run."""

import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from benchmarks.cython_loop import build_step_loop
from tests.comparing import assert_same_bits
from tests.implementations import every_dtype
from tests.layers import as_tuple
from tests.problems import VARIANTS
from tests.stepper.test_bits import draw_input, draw_state, make_layer, run_stepper

STEPPED, CHANGED, BUSY, WRONG_DTYPE = range(4)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("Cython")
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    return build_step_loop(tmp_path_factory.mktemp("step_loop"))


def test_what_a_build_needs_is_installed() -> None:
    assert Path(fastrnn.__file__).with_name("stepper.pxd").is_file()


@every_dtype
@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_steps(loop: Any, variant: str, N: int, dtype: Any) -> None:
    layer = make_layer(variant, 7, 21, num_layers=2, dtype=dtype)
    x, state = draw_input(layer, N), draw_state(layer, N)
    expected, end = run_stepper(layer, x, state)
    stepper = fastrnn.Stepper(layer)
    stepper.state = state
    h = np.zeros_like(expected)
    run = loop.run_float if dtype == np.float32 else loop.run_double
    assert run(stepper, x, h) == STEPPED
    assert_same_bits(h, expected)
    for a, b in zip(as_tuple(stepper.state), as_tuple(end), strict=True):
        assert_same_bits(a, b)


def test_tokens(loop: Any) -> None:
    layer = make_layer("gru", 7, 21)
    x, state = draw_input(layer, 2, tokens=True), draw_state(layer, 2)
    expected, _ = run_stepper(layer, x, state)
    stepper = fastrnn.Stepper(layer)
    stepper.state = state
    h = np.zeros_like(expected)
    assert loop.run_tokens(stepper, x, h) == STEPPED
    assert_same_bits(h, expected)


def test_what_cannot_be_done_is_said_by_a_number(loop: Any) -> None:
    layer = make_layer("lstm", 7, 21)
    stepper = fastrnn.Stepper(layer)
    x = draw_input(layer, 1)
    h = np.zeros((len(x), 1, 21), np.float32)
    wrong = loop.run_double(stepper, x.astype(float), h.astype(float))
    assert wrong == WRONG_DTYPE
    layer.train()
    assert loop.run_float(stepper, x, h) == CHANGED
    assert not h.any()
    stepper.refresh()
    assert loop.run_float(stepper, x, h) == STEPPED


def test_threads_without_the_lock(loop: Any) -> None:
    """Each thread has its own stepper; results are the same as one after another."""
    layer = make_layer("lstm", 16, 32)
    x = draw_input(layer, 1, steps=20_000)
    h = [np.zeros((len(x), 1, 32), np.float32) for _ in range(4)]
    first = fastrnn.Stepper(layer)
    steppers = [first, *(first.clone() for _ in h[1:])]
    expected = np.zeros_like(h[0])
    loop.run_float(fastrnn.Stepper(layer), x, expected)
    threads = [
        threading.Thread(target=loop.run_float, args=(s, x, h_k))
        for s, h_k in zip(steppers, h, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for h_k in h:
        assert_same_bits(h_k, expected)


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has the lock"
)
def test_importing_leaves_the_lock_off(loop: Any) -> None:
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]
