"""One layer in several threads: each has its own last call, and gradients add up."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import raises
from tests.layers import CLASSES
from tests.processes import run_program

T, N, I, H = 6, 4, 3, 8  # noqa: E741


def make_model() -> Any:
    rng, f64 = np.random.default_rng(0), np.float64
    return fastrnn.Sequential(
        fastrnn.Embedding(9, I, dtype=f64, seed=rng),
        fastrnn.LSTM(I, H, bidirectional=True, dtype=f64, seed=rng),
        fastrnn.Sequential(fastrnn.Linear(2 * H, 5, dtype=f64, seed=rng)),
    )


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(k: int) -> None:
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_threads_forward_then_both_backward() -> None:
    model, other = make_model(), make_model()
    tokens = np.random.default_rng(1).integers(0, 9, (2, T, N))
    dy = np.random.default_rng(2).standard_normal((2, T, N, 5))
    expected = []
    for k in range(2):
        y, _ = other(tokens[k])
        expected.append((y, other.backward(dy[k])[1][0]))
    barrier, found = threading.Barrier(2), [None, None]

    def work(k: int) -> None:
        y, _ = model(tokens[k])
        barrier.wait()
        found[k] = (y, model.backward(dy[k])[1][0])  # type: ignore[call-overload]

    in_threads(2, work)
    for got, wanted in zip(found, expected, strict=True):
        assert got is not None
        for a, b in zip((got[0], *got[1]), (wanted[0], *wanted[1]), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(model.flat_grads, other.flat_grads, rtol=0, atol=1e-13)


def test_gradients_of_many_threads_add_up() -> None:
    """Large enough for NumPy to give the lock away in the middle of a sum."""
    rounds, ones = 300, np.ones((600, 600))
    layer = fastrnn.Linear(600, 600, dtype=np.float64)
    start = threading.Barrier(4)

    def work(k: int) -> None:
        start.wait()
        for _ in range(rounds):
            layer._add_grads(weight=ones)

    in_threads(4, work)
    assert (layer.grads["weight"] == 4 * rounds).all()


class Watch:
    """In the place of a layer's lock: the gradients change under it alone."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.now = layer, layer.flat_grads.copy()

    def __enter__(self) -> None:
        np.testing.assert_array_equal(self.layer.flat_grads, self.now)

    def __exit__(self, *error: object) -> None:
        self.now = self.layer.flat_grads.copy()


@pytest.mark.parametrize("kind", ["Linear", *CLASSES, "Embedding"])
def test_gradients_are_added_under_a_lock(kind: str) -> None:
    size = 4
    layer = getattr(fastrnn, kind)(size, size, dtype=np.float64, seed=0)
    x = np.ones((2, 3), np.int64) if kind == "Embedding" else np.ones((2, 3, size))
    layer(x)
    layer._adding = watch = Watch(layer)
    layer.backward(np.ones((2, 3, size)))
    assert layer.flat_grads.any()
    np.testing.assert_array_equal(layer.flat_grads, watch.now)


def test_backward_in_a_thread_without_a_call() -> None:
    layer = fastrnn.Linear(I, I, dtype=np.float64)
    message = (
        "backward: expected a call of the layer in this thread before it, got none "
        "here but calls in other threads"
    )

    def work(k: int) -> None:
        with raises(RuntimeError, message):
            layer.backward(np.ones((N, I)))

    layer(np.ones((N, I)))
    in_threads(1, work)
    assert not layer.flat_grads.any()
    layer.backward(np.ones((N, I)))


def test_what_a_thread_kept_goes_with_it() -> None:
    layer = fastrnn.GRU(I, H)
    kept: list[Any] = []
    in_threads(
        1, lambda k: kept.append(weakref.ref(layer(np.ones((T, N, I), "f4"))[0]))
    )
    assert kept[0]() is None


def test_a_call_of_a_layer_between_the_model_and_backward() -> None:
    model = make_model()
    x, dy = np.zeros((T, N), np.int64), np.ones((T, N, 5))
    model(x)
    model.layers["1"](np.ones((T, N, I)))
    with raises(
        RuntimeError,
        "backward: expected no call since that of the model, got one of its layer 1",
    ):
        model.backward(dy)
    assert not model.flat_grads.any()
    model(x)
    model.backward(dy)
    model.backward(dy)  # again is fine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_gradients_are_added() -> None:
    run_program(
        """
import os, numpy as np, fastrnn
layer = fastrnn.Linear(2, 2)
with layer._adding:  # as if another thread were in the middle of it
    child = os.fork()
    if child == 0:
        layer(np.ones((1, 2), "f4"))
        layer.backward(np.ones((1, 2), "f4"))
        os._exit(0 if layer.flat_grads.all() else 1)
    done = os.waitpid(child, 0)[1]
assert done == 0, done
        """
    )
