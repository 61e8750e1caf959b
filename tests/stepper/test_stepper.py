"""State, rows, arguments and threads of `fastrnn.Stepper`."""

import re
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits
from tests.layers import as_tuple
from tests.problems import CELLS
from tests.stepper.test_bits import draw_input, draw_state, make_layer, run_stepper

I, H = 5, 20  # noqa: E741


@pytest.fixture(params=CELLS)
def layer(request: pytest.FixtureRequest) -> Any:
    return make_layer(request.param, I, H, num_layers=2)


def test_one_row_comes_with_or_without_its_axis(layer: Any) -> None:
    x = draw_input(layer, 1)
    a, b = fastrnn.Stepper(layer), fastrnn.Stepper(layer)
    for x_t in x:
        row, batch = a.step(x_t[0]), b.step(x_t)
        assert row.shape == (layer.output_size,)
        assert batch.shape == (1, layer.output_size)
        assert_same_bits(row, batch[0])


def test_kinds_of_tokens(layer: Any) -> None:
    expected = fastrnn.Stepper(layer).step(3)
    assert expected.shape == (layer.output_size,)
    for token in (np.int8(3), np.array(3), np.uint64(3)):
        assert_same_bits(fastrnn.Stepper(layer).step(token), expected)
    one_hot = np.eye(I, dtype=np.float32)[3]
    assert_same_bits(fastrnn.Stepper(layer).step(one_hot), expected)
    rows = fastrnn.Stepper(layer).step([3, 1])
    assert_same_bits(rows[0], expected)
    assert rows.shape == (2, layer.output_size)


def test_strides_are_followed(layer: Any) -> None:
    x = draw_input(layer, 3)
    wide = np.zeros((3, 2 * I), np.float32)
    wide[:, ::2] = x[0]
    expected = fastrnn.Stepper(layer).step(x[0])
    assert_same_bits(fastrnn.Stepper(layer).step(wide[:, ::2]), expected)
    read_only = x[0].copy()
    read_only.flags.writeable = False
    assert_same_bits(fastrnn.Stepper(layer).step(read_only), expected)
    assert_same_bits(fastrnn.Stepper(layer).step(np.asfortranarray(x[0])), expected)


def test_results_and_states_are_fresh(layer: Any) -> None:
    x = draw_input(layer, 2)
    stepper = fastrnn.Stepper(layer)
    first = stepper.step(x[0])
    state = as_tuple(stepper.state)
    kept = first.copy(), [a.copy() for a in state]
    stepper.step(x[1])
    assert_same_bits(first, kept[0])
    for a, b in zip(state, kept[1], strict=True):
        assert_same_bits(a, b)
        a[...] = 9
    assert not np.any(as_tuple(stepper.state)[0] == 9)


def test_clones_part(layer: Any) -> None:
    x = draw_input(layer, 3)
    stepper = fastrnn.Stepper(layer)
    stepper.step(x[0])
    clone = stepper.clone()
    ahead = stepper.step(x[1])
    stepper.step(x[2])
    assert_same_bits(clone.step(x[1]), ahead)
    with pytest.raises(ValueError, match=r"x: expected shape \(N, I\) = \(3, 5\)"):
        clone.step(x[0, :2])


def test_reset_of_some_rows(layer: Any) -> None:
    x = draw_input(layer, 4)
    zero, full = draw_state(layer, 4), draw_state(layer, 4)
    for a in as_tuple(zero):
        a[:, [1, 3]] = 0
    expected, _ = run_stepper(layer, x, zero)
    for rows in ([1, 3], np.array([3, 1]), np.array([False, True, False, True])):
        stepper = fastrnn.Stepper(layer)
        stepper.state = full
        stepper.reset(rows)
        assert_same_bits(np.stack([stepper.step(x_t) for x_t in x]), expected)
    stepper.reset(2)
    assert not as_tuple(stepper.state)[0][:, 2].any()
    assert as_tuple(stepper.state)[0][:, 3].all()


def test_rows_are_those_of_the_first_step(layer: Any) -> None:
    x = draw_input(layer, 3)
    stepper = fastrnn.Stepper(layer)
    assert stepper.rows == 1
    first = stepper.step(x[0])
    assert stepper.rows == 3
    for wrong in (x[0, :2], x[0, 0], 3, [1, 2]):
        with pytest.raises(ValueError, match=r"x: expected shape \(N"):
            stepper.step(wrong)
    assert_same_bits(fastrnn.Stepper(layer).step(x[0]), first)
    stepper.reset()
    assert stepper.step(x[0, :2]).shape == (2, layer.output_size)
    stepper.reset([0, 1])
    with pytest.raises(ValueError, match=r"expected shape \(N, I\) = \(2, 5\)"):
        stepper.step(x[0])
    fixed = fastrnn.Stepper(layer, rows=3)
    with pytest.raises(ValueError, match=r"expected shape \(N, I\) = \(3, 5\)"):
        fixed.step(x[0, :2])


def test_a_state_brings_its_rows(layer: Any) -> None:
    stepper = fastrnn.Stepper(layer)
    stepper.state = draw_state(layer, 3)
    assert stepper.rows == 3
    h = f"P) = (2, 3, {layer.proj_size})" if layer.proj_size else "H) = (2, 3, 20)"
    with pytest.raises(ValueError, match="state.*" + re.escape(f"(L*D, N, {h}")):
        stepper.state = draw_state(layer, 2)
    stepper.state = None
    assert not as_tuple(stepper.state)[0].any()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(I), TypeError, r"x: expected dtype float32 \(that of the layer\)"),
        (np.zeros(4, "f"), ValueError, r"\(I,\) or \(N, I\) with I = 5, got \(4,\)"),
        (np.zeros((1, 2, I), "f"), ValueError, r"with I = 5, got \(1, 2, 5\)"),
        (np.zeros((0, I), "f"), ValueError, r"x: .* with N >= 1, got \(0, 5\)"),
        ([0.0] * I, TypeError, r"x: expected a NumPy array, got list"),
        (5, ValueError, r"x: token 5 is out of range 0 <= token < I = 5"),
        (-1, ValueError, r"x: token -1 is out of range"),
        ([1, 7], ValueError, r"x: token 7 at \[n=1\] is out of range"),
        (np.zeros((1, 1), int), ValueError, r"x: expected a token id or shape \(N,\)"),
        (True, TypeError, r"x: expected"),
        (None, TypeError, r"x: expected"),
    ],
)
def test_bad_input(layer: Any, x: Any, error: Any, message: str) -> None:
    stepper = fastrnn.Stepper(layer)
    with pytest.raises(error, match=message):
        stepper.step(x)
    assert not as_tuple(stepper.state)[0].any()


def test_bad_arguments(layer: Any) -> None:
    both = make_layer("gru", I, H, bidirectional=True)
    with pytest.raises(ValueError, match=r"layer: expected bidirectional=False"):
        fastrnn.Stepper(both)
    assert both.flat_params.flags.writeable
    with pytest.raises(ValueError, match=r"layer: expected zoneout=0, got 0.1"):
        fastrnn.Stepper(make_layer("gru", I, H, zoneout=0.1))
    with pytest.raises(TypeError, match=r"layer: expected a layer .* got int"):
        fastrnn.Stepper(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rows: expected rows >= 1, got 0"):
        fastrnn.Stepper(layer, 0)
    stepper = fastrnn.Stepper(layer, 3)
    for rows, message in (
        (3, r"rows: row 3 is out of range 0 <= row < N = 3"),
        ([0, -1], r"rows: row -1 is out of range"),
        (np.array([True]), r"rows: expected shape \(N,\) = \(3,\) of bool, got \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            stepper.reset(rows)
    with pytest.raises(TypeError, match=r"rows: expected a bool or integer dtype"):
        stepper.reset([0.5])
    with pytest.raises(RuntimeError, match=r"expected __init__"):
        fastrnn.Stepper.__new__(fastrnn.Stepper).step(np.zeros(I, "f"))
    for weights, error in (("int8", ValueError), (8, TypeError)):
        with pytest.raises(error, match=r"weights: expected"):
            layer.eval(weights=weights)
    with pytest.raises(ValueError, match=r"weights: 'bfloat16' needs a float32"):
        make_layer("gru", I, H, dtype=np.float64).eval(weights="bfloat16")


@pytest.mark.parametrize("size", [("lstm", 8, 16), ("gru", 300, 300)])
def test_many_threads_each_with_its_own(size: Any) -> None:
    """One layer; small steps, and steps that release the GIL."""
    layer = make_layer(*size)
    stepper = fastrnn.Stepper(layer)
    x = [np.random.default_rng(k).standard_normal((40, layer.input_size))
         .astype(np.float32) for k in range(6)]  # fmt: skip
    expected = []
    for sequence in x:
        stepper.reset()
        expected.append(np.stack([stepper.step(x_t) for x_t in sequence]))
    steppers = [stepper, *(stepper.clone() for _ in x[1:])]
    for s in steppers:
        s.reset()
    found: list[Any] = [None] * len(x)
    start = threading.Barrier(len(x))

    def work(k: int) -> None:
        start.wait()
        found[k] = np.stack([steppers[k].step(x_t) for x_t in x[k]])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(x))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, expected, strict=True):
        assert_same_bits(a, b)


def test_a_second_thread_is_refused() -> None:
    """With two threads in one stepper, a step is complete or raises."""
    layer = make_layer("lstm", 700, 700)
    stepper = fastrnn.Stepper(layer)
    x = draw_input(layer, 1)[0, 0]
    begin, taken, refused = time.monotonic(), [], []

    def work() -> None:
        while time.monotonic() < begin + 20 and not (refused and len(taken) > 5):
            try:
                taken.append(stepper.step(x))
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) == {"Stepper: expected one thread at a time, got a second one"}
    in_turn = fastrnn.Stepper(layer)
    expected = {in_turn.step(x).tobytes() for _ in taken}
    assert {h.tobytes() for h in taken} == expected


def test_the_lock_is_released_in_long_steps() -> None:
    layer = make_layer("lstm", 1500, 1500)
    stepper = fastrnn.Stepper(layer)
    x = draw_input(layer, 1)[0, 0]
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    within = 0
    for _ in range(20):
        begin = time.perf_counter()
        stepper.step(x)
        end = time.perf_counter()
        margin = 0.2 * (end - begin)
        within += any(begin + margin < t < end - margin for t in list(ticks))
    done.set()
    ticker.join()
    assert within > 0
