"""Both directions of a layer side by side: equal bits, errors and threads."""

import threading
import time
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _runtime
from fastrnn._layers import walk
from tests.comparing import assert_same_bits
from tests.implementations import ISAS, using
from tests.layers import CELLS, I, as_tuple, class_of

T, N, H = 30, 2, 60


def make_layer(cell: str, **options: Any) -> Any:
    return class_of(cell)(I, H, bidirectional=True, seed=0, **options)


def run(layer: Any, **options: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, N, I)).astype(np.float32)
    dy = rng.standard_normal((T, N, layer.output_size)).astype(np.float32)
    y, state = layer(x, **options)
    dx, dstate = layer.backward(dy)
    names = ("y", "dx", "h", "c", "dh", "dc")
    found = [y, dx, *as_tuple(state), *as_tuple(dstate)]
    return dict(zip(names, found, strict=False)) | {"grads": layer.flat_grads}


@pytest.fixture(autouse=True)
def no_work_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "WORTH_A_THREAD", 0)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Collect the thread of every call of a direction, and its limit of threads."""
    found: list[tuple[int, int]] = []

    def note(calls: Any) -> Any:
        def noted(call: Any) -> Any:
            found.append((threading.get_ident(), fastrnn.get_num_threads()))
            return call()

        return [lambda call=call: noted(call) for call in calls]

    side_by_side = _runtime.run_side_by_side
    monkeypatch.setattr(
        walk, "run_side_by_side", lambda *calls: side_by_side(*note(calls))
    )
    return found


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_the_bits_are_those_of_one_thread(
    cell: str, threads: int, seen: list[tuple[int, int]]
) -> None:
    options = {"lengths": [T, T // 2], "resets": np.eye(T, N, -7, bool)}
    rates = {"num_layers": 2, "dropout": 0.3, "zoneout": 0.2, "weight_dropout": 0.1}
    with using(ISAS[0], 1):
        expected = run(make_layer(cell, **rates), **options)
    assert not seen
    with using(ISAS[0], threads):
        got = run(make_layer(cell, **rates), **options)
    assert_same_bits(got, expected)
    # Two layers, forward and backward: pairs of calls that share all threads.
    assert len(seen) == 8
    assert len({ident for ident, _ in seen}) > 1
    assert sum(n for _, n in seen) == 4 * threads


def test_many_rows_or_little_work_is_done_one_by_one(
    seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with using(ISAS[0], 2):
        layer = make_layer("LSTM")
        layer(np.ones((20, 40, I), np.float32))
        fastrnn.LSTM(I, H, seed=0)(np.ones((T, N, I), np.float32))
        monkeypatch.setattr(walk, "WORTH_A_THREAD", 1e9)
        layer(np.ones((T, N, I), np.float32))
    assert not seen


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_either_direction_is_raised(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer("LSTM")
    run_forward = walk.run_forward

    def fail(s: Any, packed: Any, i: int) -> Any:
        if i == failing:
            raise MemoryError("no more")
        return run_forward(s, packed, i)

    monkeypatch.setattr(walk, "run_forward", fail)
    with using(ISAS[0], 2):
        with pytest.raises(MemoryError, match="no more"):
            run(layer)
        assert fastrnn.get_num_threads() == 2  # the limit is gone
        with pytest.raises(RuntimeError, match="got one that raised"):
            layer.backward(None)


def test_an_error_waits_for_the_other_direction() -> None:
    """It may still be writing into the caller's arrays."""
    begun, done = threading.Event(), threading.Event()

    def fail() -> None:
        begun.wait()
        raise MemoryError

    def go_on() -> None:
        begun.set()
        time.sleep(0.1)
        done.set()

    with pytest.raises(MemoryError):
        _runtime.run_side_by_side(fail, go_on)
    assert done.is_set()


def test_bad_input_raises_as_ever() -> None:
    with using(ISAS[0], 2), pytest.raises(ValueError, match=r"^lengths: length 31 at"):
        run(make_layer("GRU"), lengths=[T, T + 1])
