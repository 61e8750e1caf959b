"""`fastrnn.Stepper` under hostile use: threads, no ``__init__``, huge sizes, copies."""

import contextlib
import copy
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.comparing import assert_same_bits
from tests.implementations import every_dtype
from tests.layers import as_tuple
from tests.problems import CELLS
from tests.processes import run_program
from tests.stepper.test_bits import draw_input, draw_state, make_layer

BUSY = "Stepper: expected one thread at a time, got a second one"

# Each is done by two threads beside two others that take steps. Before, buffers were
# replaced under the feet of a step, and the process crashed.
DISTURBANCES = """
import sys, threading, time
import numpy as np
import fastrnn

layer = fastrnn.LSTM(512, 512, seed=0)
stepper = fastrnn.Stepper(layer)
one, four = np.ones(512, np.float32), np.ones((4, 512), np.float32)
three = (np.zeros((1, 3, 512), np.float32),) * 2

def set_state():
    stepper.state = three
    stepper.state = None

def step_other_rows():
    stepper.reset()
    stepper.step(four)
    stepper.reset()
    stepper.step(one)

def release():
    layer.train()
    stepper.refresh()

DO = {
    "state": set_state,
    "rows": step_other_rows,
    "refresh": stepper.refresh,
    "release": release,
    "clone": lambda: stepper.clone().step(four),
    "read": lambda: stepper.state,
}
expected = {
    "Stepper: expected one thread at a time, got a second one",
    "Stepper: expected the layer's parameters as they were packed, got changed ones: "
    "call refresh()",
}

def loop(call):
    while time.monotonic() < end:
        try:
            call()
        except RuntimeError as error:
            found.add(str(error))
        except ValueError as error:  # of another number of rows than the state's
            assert "expected shape" in str(error), error

found, end = set(), time.monotonic() + 0.7
calls = [DO[sys.argv[1]]] * 2 + [lambda: stepper.step(four), lambda: stepper.step(one)]
threads = [threading.Thread(target=loop, args=(call,)) for call in calls]
[t.start() for t in threads]
[t.join() for t in threads]
assert found <= expected, found
stepper.refresh()
stepper.reset()
assert (stepper.step(one) == fastrnn.Stepper(layer).step(one)).all()
print("done")
"""


@pytest.mark.parametrize(
    "what", ["state", "rows", "refresh", "release", "clone", "read"]
)
def test_threads_in_one_stepper(what: str) -> None:
    """Each gets the right result, or a RuntimeError; in the end all is well."""
    program = DISTURBANCES.replace("sys.argv[1]", repr(what))
    assert run_program(program, FASTRNN_NUM_THREADS="2") == "done"


def set_state(stepper: Any) -> None:
    stepper.state = None


WITHOUT_INIT: dict[str, Callable[[Any], Any]] = {
    "step": lambda s: s.step(np.zeros((0, 0), bool)),
    "step of a token": lambda s: s.step(0),
    "state": lambda s: s.state,
    "state =": set_state,
    "rows": lambda s: s.rows,
    "layer": lambda s: s.layer,
    "reset": lambda s: s.reset(),
    "reset of rows": lambda s: s.reset([0]),
    "clone": lambda s: s.clone(),
    "refresh": lambda s: s.refresh(),
    "_release": lambda s: s._release(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("what", WITHOUT_INIT)
def test_without_init(what: str) -> None:
    stepper = fastrnn.Stepper.__new__(fastrnn.Stepper)
    with pytest.raises(RuntimeError, match="expected __init__ to have been called"):
        WITHOUT_INIT[what](stepper)


def test_a_second_init_is_refused() -> None:
    layer = make_layer("gru", 3, 4)
    stepper = fastrnn.Stepper(layer)
    with pytest.raises(RuntimeError, match="expected one call of __init__"):
        stepper.__init__(layer)  # type: ignore[misc]
    stepper.step(1)


@pytest.mark.parametrize("rows", [2**53, 2**58, 2**60, 2**62, 2**63 - 1, 2**70])
def test_rows_whose_size_would_wrap_round(rows: int) -> None:
    layer = fastrnn.LSTM(1, 64)
    with pytest.raises((MemoryError, ValueError), match=str(rows)):
        fastrnn.Stepper(layer, rows=rows)
    gc.collect()
    layer.flat_params[:] = 0  # not locked


def copies(stepper: Any) -> list[Any]:
    return [
        copy.copy(stepper),
        copy.deepcopy(stepper),
        pickle.loads(pickle.dumps(stepper)),
    ]


@every_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_copies_go_on_as_the_original(cell: str, dtype: Any) -> None:
    layer = make_layer(cell, 5, 20, num_layers=2, dtype=dtype)
    x = draw_input(layer, 3)
    stepper = fastrnn.Stepper(layer)
    stepper.state = draw_state(layer, 3)
    stepper.step(x[0])
    shared, *own = copies(stepper)
    expected = stepper.step(x[1])
    assert shared.layer is layer
    for other in (shared, *own):
        assert other.rows == 3
        assert_same_bits(other.step(x[1]), expected)
        with pytest.raises(ValueError, match="expected shape"):
            other.step(x[0, :2])
    for other in own:
        assert other.layer is not layer
        assert not other.layer.flat_params.flags.writeable
        other.layer.train()
        other.layer.flat_params[:] = 0
    stepper.step(x[2])
    for a, b in zip(as_tuple(stepper.state), as_tuple(shared.state), strict=True):
        assert not np.array_equal(a, b)


def test_a_copy_beside_its_layer_is_one_of_it() -> None:
    layer = make_layer("lstm", 5, 20)
    pair = {"layer": layer, "stepper": fastrnn.Stepper(layer)}
    for other in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert other["stepper"].layer is other["layer"]


def test_copies_keep_what_was_packed() -> None:
    layer = make_layer("gru", 5, 20).eval(weights="bfloat16")
    stepper = fastrnn.Stepper(layer)
    expected = stepper.clone().step(3)
    assert_same_bits(copy.deepcopy(stepper).step(3), expected)


def test_a_copy_of_a_released_stepper_is_released() -> None:
    layer = make_layer("gru", 5, 20)
    stepper = fastrnn.Stepper(layer)
    layer.train()
    for other in copies(stepper):
        with pytest.raises(RuntimeError, match="got changed ones"):
            other.step(3)
        other.refresh()
        other.step(3)


def test_a_stale_stepper_is_not_copied() -> None:
    layer = make_layer("gru", 5, 20)
    older = layer.flat_params[:]
    stepper = fastrnn.Stepper(layer)
    older += 1
    with pytest.raises(RuntimeError, match="got changed ones"):
        copy.deepcopy(stepper)


class Counting(fastrnn.Stepper):
    steps = 0


def test_copies_of_a_derived_class() -> None:
    stepper = Counting(make_layer("gru", 5, 20))
    stepper.steps = 7
    other = copy.deepcopy(stepper)
    assert type(other) is Counting
    assert other.steps == 7


def test_tokens_written_to_meanwhile() -> None:
    """They are copied before they are checked: no step reads beyond its weights."""
    layer = make_layer("rnn", 4, 8)
    stepper = fastrnn.Stepper(layer)
    tokens = np.zeros(20_000, np.int64)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            tokens[::7] = 2**40
            tokens[::7] = 0

    writer = threading.Thread(target=write)
    writer.start()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            with contextlib.suppress(ValueError):
                stepper.step(tokens)
    finally:
        done.set()
        writer.join()
