"""What the pages print, and the messages that they quote, are right."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Adam, Last, Linear, Sequential, data
from tests.test_code_blocks import BLOCK, ROOT, program, run
from tests.test_code_blocks import in_a_folder_with_the_docs as in_a_folder

__all__ = ["in_a_folder"]
of_keras = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own
os.environ.setdefault("KERAS_BACKEND", "numpy")


def printed(page: str, language: str = "python") -> list[Any]:
    """Run a page of docs/ and return what it prints, each call a tuple."""
    said: list[Any] = []
    run(ROOT / "docs" / page, language, print=lambda *a: said.append(a))
    return said


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def test_the_models_of_the_training_page_learn() -> None:
    (area,), (forecast,), (losses, hits), (perplexity,) = printed("training.md")
    assert area > 0.9
    assert forecast.shape == (1, 3)
    assert len(losses) == len(hits) == 2
    assert perplexity < 2  # 11 characters, of which most follow from the last few


def test_the_estimators_of_the_training_page_learn() -> None:
    pytest.importorskip("sklearn")
    assert printed("training.md", "python|py")[-1][1] > 0.9


def test_the_forecasts_of_time_series_are_as_printed() -> None:
    (stopped,), *table, (following,) = printed("time_series.md")
    page = text("time_series.md")
    lines = [" ".join(line) for line in table]
    for line in lines[:-1]:
        assert line in page
    assert stopped.startswith("stopped after ")
    means = [float(line.split()[-1]) for line in lines]
    assert min(means) == means[-1] < 0.7  # the net is the best over half a year
    assert following.shape == (6,)
    assert 20 < following.min() < following.max() < 28


def test_the_picture_of_time_series_is_drawn() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    printed("time_series.md", "python|py")
    assert Path("time_series.png").stat().st_size > 20_000


def test_sequences_of_unequal_length_are_classified() -> None:
    sizes, (area,), _, steps = printed("unequal_lengths.md")
    assert sizes == (600, (45, 2), (54, 2))
    assert steps == ((45, 2), (54, 2))
    assert area > 0.95


def test_the_classifier_takes_twelve_lines() -> None:
    """With class weights, schedule, early stopping, progress and area: as in Keras."""
    page = text("unequal_lengths.md")
    section = page[page.index("## Twelve lines") :]
    block = BLOCK.search(section)
    assert block is not None
    lines = [line for line in block[3].splitlines() if line.strip()]
    assert len(lines) <= 12
    for part in ("weights=weights", "schedule=", "patience=", "validation=", "area"):
        assert part in block[3]
    assert "progress=False" not in block[3]


def test_the_stepper_of_streaming_forecasts() -> None:
    (error,), (letter,), (step,), (shape,) = printed("streaming.md")
    assert 0.08 < error < 0.09
    assert letter == "s"
    assert step.shape == (1,)
    assert shape == (3, 1)


@of_keras
def test_the_model_from_keras_is_the_same() -> None:
    pytest.importorskip("keras", exc_type=ImportError)
    *_, (difference,) = printed("from_keras.md", "python|py")
    assert difference < 1e-6


def test_the_model_from_pytorch_is_the_same() -> None:
    pytest.importorskip("torch")
    (report,), (loss,), (difference,) = printed("from_pytorch.md", "python|py")
    assert str(report) in text("from_pytorch.md")
    assert loss < 1.3
    assert difference < 1e-6


# --- messages ------------------------------------------------------------------------

PIECES = [np.zeros((n, 2), np.float32) for n in (5, 3)]
WIDE = [a.astype(np.float64) for a in PIECES]


def classifier(*between: fastrnn.Layer) -> Sequential:
    return Sequential(GRU(2, 8, seed=0), *between, Linear(8, 2, seed=0))


def train(model: Sequential, x: Any, targets: Any, **options: Any) -> None:
    fastrnn.fit(model, data.batches(x, targets), optimizer=Adam(model), **options)


def train_on_gaps() -> None:
    gaps = [np.full((4, 2), np.nan, np.float32)]
    train(
        classifier(Last()),
        gaps,
        np.ones((1, 2), np.float32),
        loss=fastrnn.mean_squared_error,
    )


def step_with_other_rows() -> None:
    stepper = fastrnn.Stepper(GRU(2, 8), rows=3)
    stepper.step(np.zeros((2, 2), np.float32))


def write_beside_a_stepper() -> None:
    layer = GRU(2, 8)
    stepper = fastrnn.Stepper(layer)
    layer.params["weight_hh_l0"][0] = 1
    del stepper


def step_after_training() -> None:
    layer = GRU(2, 8)
    stepper = fastrnn.Stepper(layer)
    layer.train()
    stepper.step(np.zeros(2, np.float32))


def backward_in_eval_mode() -> None:
    layer = LSTM(2, 4).eval()
    layer(np.zeros((3, 1, 2), np.float32))
    layer.backward(np.zeros((3, 1, 4), np.float32))


MESSAGES: dict[str, list[Callable[[], object]]] = {
    "time_series.md": [
        lambda: train(classifier(Last()), WIDE, [0, 1]),
        lambda: data.windows(np.zeros(20), 24, horizon=6),
        train_on_gaps,
    ],
    "unequal_lengths.md": [
        lambda: train(classifier(Last()), WIDE, [0, 1]),
        lambda: data.batches(PIECES, ["worse", "good"]),
        lambda: data.batches([PIECES[0], PIECES[1][:, :1]], [0, 1]),
        lambda: data.batches([a.T for a in PIECES], [0, 1]),
        lambda: train(classifier(), PIECES, [0, 1]),
        lambda: Sequential(GRU(2, 8, bidirectional=True), Last(), Linear(8, 2)),
        lambda: train(classifier(Last()), PIECES, [0, 2]),
    ],
    "streaming.md": [
        lambda: fastrnn.Stepper(classifier(Last())),
        lambda: fastrnn.Stepper(GRU(2, 8, bidirectional=True)),
        lambda: fastrnn.Stepper(GRU(2, 8)).step(np.zeros(2)),
        step_with_other_rows,
        write_beside_a_stepper,
        step_after_training,
    ],
    "from_pytorch.md": [
        lambda: LSTM(2, 4)(np.zeros((3, 1, 2))),
        lambda: LSTM(2, 4).backward(None),
        backward_in_eval_mode,
    ],
}


def quoted(page: str) -> list[str]:
    """Return the messages of a page's last table, as patterns: … is anything."""
    section = text(page).rpartition("## What goes wrong")[2]
    found = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    return [".*".join(map(re.escape, message.split("…"))) for message in found]


@pytest.mark.parametrize("page", MESSAGES)
def test_messages_are_those_of_the_library(page: str) -> None:
    patterns = quoted(page)
    for call, pattern in zip(MESSAGES[page], patterns, strict=False):
        with pytest.raises(
            (TypeError, ValueError, RuntimeError, FloatingPointError), match=pattern
        ) as raised:
            call()
        assert re.fullmatch(pattern, str(raised.value))
    of_torch = page == "from_pytorch.md"  # one more, see below
    assert len(patterns) == len(MESSAGES[page]) + of_torch


def test_pytorch_modules_are_refused_as_the_page_says() -> None:
    torch = pytest.importorskip("torch")

    class Tagger(torch.nn.Module):  # type: ignore[name-defined, misc]
        pass

    with pytest.raises(ValueError, match=quoted("from_pytorch.md")[-1]):
        fastrnn.load_torch(Tagger())


@of_keras
def test_keras_refuses_what_the_page_says() -> None:
    keras = pytest.importorskip("keras", exc_type=ImportError)
    make = keras.layers
    refused = {
        make.Embedding(10, 4, mask_zero=True, name="embedding"): (2, 5),
        make.LSTM(4, stateful=True, name="lstm"): (2, 5, 3),
        make.LSTM(4, activation="relu", name="lstm"): (2, 5, 3),
        make.Dense(3, activation="softmax", name="dense"): (2, 5, 3),
    }
    page = text("from_keras.md")
    for layer, shape in refused.items():
        layer.build(shape)
        with pytest.raises(ValueError, match=layer.name) as raised:
            fastrnn.load_keras(layer)
        assert f"| `{raised.value}` |" in page


def test_layers_move_to_a_model_that_steps() -> None:
    """As streaming.md says of models with `Last`."""
    gru, _, head = classifier(Last()).layers.values()
    model = Sequential(copy.deepcopy(gru), copy.deepcopy(head))
    assert fastrnn.Stepper(model).step(np.zeros(2, np.float32)).shape == (2,)


def test_the_layer_of_the_jax_page_learns() -> None:
    jax = pytest.importorskip("jax")
    said: list[Any] = []
    names = run(ROOT / "docs/jax.md", "python|py", print=lambda *a: said.append(a))
    (first, last), (shape,) = said
    assert last < first / 2
    assert shape == (2, 20, 8, 16)
    pytest.importorskip("flax")
    exec(program(ROOT / "docs/jax.md", "python3"), names)
    model = names["LSTM"](3, 16, rngs=names["nnx"].Rngs(0))
    assert names["nnx"].jit(lambda m, x: m(x))(model, names["x"]).shape == (20, 8, 16)
    assert jax.tree.leaves(names["nnx"].grad(lambda m: m(names["x"]).sum())(model))


def test_the_model_of_the_onnx_page_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    (difference,), _, (same,), shapes = printed("onnx.md", "python|py")
    assert difference < 1e-5
    assert same
    assert shapes == ((5, 1, 2, 4), (1, 2, 4))
