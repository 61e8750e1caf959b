"""Training that was cut off anywhere goes on to the same bits."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import schedules
from fastrnn.data import batches
from tests.comparing import assert_same_bits
from tests.errors import raises

V, O, EPOCHS = 6, 3, 6  # noqa: E741
rng = np.random.default_rng(0)
TOKENS = [rng.integers(0, V, n) for n in rng.integers(1, 8, 24)]
TAGS = [np.cumsum(a) % O for a in TOKENS]


class CutOffError(Exception):
    pass


class Cut:
    """Batches that end in an exception after so many steps in all."""

    def __init__(self, inner: Any, steps: int) -> None:
        self.inner, self.steps, self.rng = inner, steps, inner.rng

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.inner:
            if self.steps == 0:
                raise CutOffError
            self.steps -= 1
            yield batch


def train(path: Any, steps: int = -1, seed: Any = 4) -> tuple[Any, Any, Any]:
    """Make everything anew and train; everything that can be drawn from is."""
    model = fastrnn.Sequential(
        fastrnn.Embedding(V, 4, seed=0),
        fastrnn.GRU(4, 6, 2, dropout=0.2, zoneout=0.1, weight_dropout=0.1, seed=1),
        fastrnn.Dropout(0.2, seed=2),
        fastrnn.BatchNorm(6),
        fastrnn.Linear(6, O, seed=3),
    )
    adam = fastrnn.Adam(model, lr=0.05)
    data = Cut(batches(TOKENS[:16], TAGS[:16], rows=4, seed=seed), steps)
    history = fastrnn.fit(
        model,
        data,
        optimizer=adam,
        epochs=EPOCHS,
        validation=batches(TOKENS[16:], TAGS[16:], rows=4, seed=5),
        schedule=schedules.warmup(1, schedules.plateau(0.5, 1)),
        patience=3,
        checkpoint=path,
        callbacks=[lambda _, history: history.add(square=history["loss"][-1] ** 2)],
    )
    return model, adam, history


def assert_same(found: Any, expected: Any) -> None:
    (model, adam, history), (other, other_adam, other_history) = found, expected
    assert history == other_history
    assert vars(history) == vars(other_history)
    for name, a in model.state_dict().items():  # averages of BatchNorm too
        assert_same_bits(a, other.state_dict()[name])
    for name, a in adam.state_dict().items():
        assert_same_bits(a, other_adam.state_dict()[name])
    assert model.layers["1"].rng.bit_generator.state == (
        other.layers["1"].rng.bit_generator.state
    )
    assert adam.lr == other_adam.lr


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4 * EPOCHS), max_size=4))
def test_cut_off_anywhere(tmp_path_factory: Any, cuts: list[int]) -> None:
    path = tmp_path_factory.mktemp("fit") / "model.safetensors"
    expected = train(None)
    for steps in cuts:
        with contextlib.suppress(CutOffError):
            train(path, steps)
    assert_same(train(path), expected)
    assert_same(train(path), expected)  # nothing is left to do


@pytest.mark.parametrize(
    "kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"], ids=str
)
def test_every_generator(kind: str, tmp_path: Path) -> None:
    def seed() -> Any:
        return np.random.Generator(getattr(np.random, kind)(7))

    expected = train(None, seed=seed())
    with pytest.raises(CutOffError):
        train(tmp_path / "a", 11, seed())
    assert_same(train(tmp_path / "a", seed=seed()), expected)


PROGRAM = """
import sys
from tests.test_checkpoint import digest, train
print("begins", flush=True)
print(digest(train(sys.argv[1])), flush=True)
"""


def digest(trained: Any) -> str:
    model, adam, history = trained
    content = hashlib.sha256()
    for a in (*model.state_dict().values(), *adam.state_dict().values()):
        content.update(np.ascontiguousarray(a))
    content.update(repr((history, history.steps)).encode())
    return content.hexdigest()


@pytest.mark.slow
def test_killed_at_random(tmp_path: Path) -> None:
    expected, path = digest(train(None)), tmp_path / "model.safetensors"
    library = Path(fastrnn.__file__).parents[1]
    root = Path(__file__).parents[1]
    paths = {"PYTHONPATH": f"{library}:{root}"}
    killed, clock = 0, random.Random(0)
    for attempt in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=paths,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        if attempt < 19 and killed < 6:
            time.sleep(clock.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        found = process.stdout.read().strip()
        process.stdout.close()
        if process.wait() == -signal.SIGKILL:
            killed += 1
            continue
        assert found == expected
        if killed:
            return
        path.unlink()
    raise AssertionError("it was never killed in time")


# --- errors --------------------------------------------------------------------------


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    train(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    model = fastrnn.Sequential(fastrnn.LSTM(V, 5), fastrnn.Linear(5, O))
    with pytest.raises(
        ValueError,
        match=r"checkpoint: expected one of this model, optimizer and batches, got "
        r"'.*a': expected 2 generators of random numbers .* got 4",
    ):
        fastrnn.fit(
            model,
            batches(TOKENS, TAGS),
            optimizer=fastrnn.Adam(model),
            checkpoint=tmp_path / "a",
        )
    assert (tmp_path / "a").read_bytes() == before


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    fastrnn.save(path, {"x": np.zeros(2)})
    with pytest.raises(ValueError, match=r"expected a file of kind 'fastrnn\.fit'"):
        train(path)
    assert list(fastrnn.load(path)[0]) == ["x"]


def test_a_path_that_cannot_be_written_is_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        train(tmp_path / "missing" / "a", 0)
    with raises(TypeError, "checkpoint: expected a path, got int"):
        train(3)


def test_more_epochs_go_on(tmp_path: Path) -> None:
    model = fastrnn.Sequential(fastrnn.LSTM(V, 5, seed=0), fastrnn.Linear(5, O, seed=1))

    def fit(epochs: int, model: Any, path: Any) -> Any:
        return fastrnn.fit(
            model,
            batches(TOKENS, TAGS, seed=0),
            optimizer=fastrnn.Adam(model),
            epochs=epochs,
            checkpoint=path,
        )

    other = copy.deepcopy(model)
    fit(2, model, tmp_path / "a")
    assert fit(5, model, tmp_path / "a") == fit(5, other, None)
    assert_same_bits(model.flat_params, other.flat_params)
