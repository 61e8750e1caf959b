"""`fit` and `predict` do what the loop written by hand does, bit for bit."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.data import Batch, StreamBatch, batches, stream_batches
from tests.comparing import assert_same_bits
from tests.errors import bad_values, raises

V, O = 7, 3  # noqa: E741
rng = np.random.default_rng(0)
TOKENS = [rng.integers(0, V, n) for n in rng.integers(1, 9, 30)]
TAGS = [np.cumsum(a) % O for a in TOKENS]
SERIES = [rng.random((n, 2)).astype(np.float32) for n in rng.integers(1, 9, 30)]
NUMBERS = [a.cumsum(axis=0)[:, :1] for a in SERIES]


def tagger(**options: Any) -> fastrnn.Sequential:
    return fastrnn.Sequential(
        fastrnn.Embedding(V, 4, seed=0),
        fastrnn.LSTM(4, 8, seed=1, **options),
        fastrnn.Dropout(0.2, seed=2),
        fastrnn.Linear(8, O, seed=3),
    )


def counter(**options: Any) -> fastrnn.Sequential:
    return fastrnn.Sequential(
        fastrnn.GRU(2, 8, seed=1, **options), fastrnn.Linear(8, 1, seed=3)
    )


def tags(seed: int = 5, **options: Any) -> fastrnn.data.Batches:
    return batches(TOKENS, TAGS, rows=8, seed=seed, **options)


def fit(model: Any, data: Any, **options: Any) -> fastrnn.History:
    return fastrnn.fit(
        model, data, **{"optimizer": fastrnn.Adam(model, lr=0.01), **options}
    )


# --- the loop ------------------------------------------------------------------------


def test_it_is_the_loop_by_hand() -> None:
    model, other = tagger(), tagger()
    history = fit(model, tags(), epochs=3, clip=0.5)
    adam, losses, data = fastrnn.Adam(other, lr=0.01), [], tags()
    for _ in range(3):
        for b in data:
            loss, _ = other.cross_entropy(b.x, b.targets, lengths=b.lengths)
            other.zero_grad()
            other.backward()
            fastrnn.clip_grad_norm(other, 0.5)
            adam.step()
            losses.append(float(loss))
    assert history.steps == losses
    assert_same_bits(model.flat_params, other.flat_params)
    assert (history.epochs, history.best, history.stopped) == (3, None, False)


def test_the_loss_of_an_epoch_is_the_mean_over_targets() -> None:
    model = tagger().eval()
    every = [
        model.cross_entropy(a[:, None], t[:, None], reduction="none")[0].ravel()
        for a, t in zip(TOKENS, TAGS, strict=True)
    ]
    expected = float(np.concatenate(every).mean())
    history = fit(
        model, tags(), optimizer=fastrnn.SGD(model, lr=0.0), validation=tags(6)
    )
    assert history["validation"] == [pytest.approx(expected, rel=1e-6)]
    assert not model.training


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_function_sees_valid_steps(batch_first: bool) -> None:
    model, other = (counter(batch_first=batch_first) for _ in range(2))
    seen = []

    def loss(y: Any, targets: Any) -> Any:
        seen.append(y.shape)
        return fastrnn.mean_squared_error(y, targets)

    def data() -> Any:
        return batches(SERIES, NUMBERS, seed=0, rows=8, batch_first=batch_first)

    history = fit(model, data(), loss=loss)
    adam, losses, weights = fastrnn.Adam(other, lr=0.01), [], []
    for b in data():
        y, _ = other(b.x, lengths=b.lengths)
        axis = y.shape[1] if batch_first else y.shape[0]
        mask = np.arange(axis) < b.lengths[:, None]
        mask = mask if batch_first else mask.T
        value, dy = fastrnn.mean_squared_error(y, b.targets, mask=mask)
        other.zero_grad()
        other.backward(dy)
        fastrnn.clip_grad_norm(other, 1.0)
        adam.step()
        losses.append(float(value))
        weights.append(int(b.lengths.sum()))
    np.testing.assert_allclose(history.steps, losses, rtol=1e-6)
    np.testing.assert_allclose(model.flat_params, other.flat_params, rtol=1e-4)
    assert seen == [(n, 1) for n in weights]
    np.testing.assert_allclose(
        history["loss"], np.average(losses, weights=weights), rtol=1e-6
    )


def test_a_named_loss_is_the_function() -> None:
    model, other = counter(), counter()
    data = batches(SERIES, NUMBERS, seed=0), batches(SERIES, NUMBERS, seed=0)
    first = fit(model, data[0], loss="mean_squared_error", epochs=2)
    second = fit(other, data[1], loss=fastrnn.mean_squared_error, epochs=2)
    assert first.steps == second.steps


def test_one_target_for_a_sequence() -> None:
    """The first T targets of N are no targets of T steps, though T is N."""
    x = np.stack([a[:1].repeat(4, 0) for a in SERIES[:4]])
    targets = np.arange(16, dtype=np.float32).reshape(4, 4)
    shapes = []

    class Mean(fastrnn.Layer):
        def __init__(self) -> None:
            super().__init__({})

        def __call__(self, x: Any) -> Any:
            self._forget()
            self._remember(x.shape)
            return x.mean(axis=0)

        def backward(self, dy: Any) -> Any:
            T = self._recall("backward")[0]
            return np.repeat(dy[None] / T, T, 0)

    def loss(y: Any, targets: Any) -> Any:
        shapes.append((y.shape, targets.shape))
        return fastrnn.mean_squared_error(y, targets)

    model = fastrnn.Sequential(
        fastrnn.GRU(2, 5, seed=1), Mean(), fastrnn.Linear(5, 4, seed=3)
    )
    fit(model, batches(list(x), targets), loss=loss)
    assert shapes == [((4, 4), (4, 4))]


def test_weights_of_labels_are_weights_of_classes() -> None:
    labels = np.array([a[0] % O for a in TOKENS])
    w = np.array([0.5, 2.0, 1.0], np.float32)

    def make() -> Any:
        return fastrnn.Sequential(
            fastrnn.Embedding(V, 4, seed=0),
            fastrnn.LSTM(4, 8, seed=1),
            fastrnn.Last(),
            fastrnn.Linear(8, O, seed=3),
        )

    def data() -> Any:
        return batches(TOKENS, labels, rows=8, seed=1, weights=w[labels])

    model, other = make(), make()
    history = fit(model, data(), validation=data())
    adam, losses, weights = fastrnn.Adam(other, lr=0.01), [], []
    for b in data():
        loss, _ = other.cross_entropy(
            b.x, b.targets, lengths=b.lengths, class_weights=w
        )
        other.zero_grad()
        other.backward()
        fastrnn.clip_grad_norm(other, 1.0)
        adam.step()
        losses.append(float(loss))
        weights.append(float(w[b.targets].sum()))
    assert_same_bits(model.flat_params, other.flat_params)
    np.testing.assert_allclose(history["loss"], np.average(losses, weights=weights))


def test_weights_of_sequences_reach_their_steps() -> None:
    w = np.linspace(0.1, 2, len(SERIES)).astype(np.float32)
    model = counter()
    history = fit(
        model,
        batches(SERIES, NUMBERS, weights=w, seed=0),
        loss="mean_squared_error",
        optimizer=fastrnn.SGD(model, lr=0.0),
    )
    squares = [
        np.square(y - t).sum()
        for y, t in zip(fastrnn.predict(model, SERIES), NUMBERS, strict=True)
    ]
    expected = w @ squares / (w @ [len(a) for a in SERIES])
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize("batch_first", [False, True])
def test_labels_without_alignment(batch_first: bool) -> None:
    """Each run of equal values is a label: `ctc_loss`, row by row, and it learns."""
    draw = np.random.default_rng(3)
    labels = [draw.integers(1, 4, n) for n in draw.integers(1, 6, 40)]
    runs = [draw.integers(3, 6, len(a)) for a in labels]
    signals = [
        np.eye(4, dtype=np.float32)[np.repeat(a, n)]
        for a, n in zip(labels, runs, strict=True)
    ]
    labels[0] = labels[0][:0]
    model = fastrnn.Sequential(
        fastrnn.GRU(4, 16, batch_first=batch_first, seed=0),
        fastrnn.Linear(16, 4, seed=0),
    )
    data = batches(
        signals, labels, rows=8, seed=1, aligned=False, batch_first=batch_first
    )
    expected = []
    for x, a in zip(signals, labels, strict=True):
        y, _ = model(x[None] if batch_first else x[:, None])
        y = y.swapaxes(0, 1).copy() if batch_first else y
        expected.append(fastrnn.ctc_loss(y, a[None], [len(x)], [len(a)])[0])
    still = fastrnn.SGD(model, lr=1e-30)
    history = fit(model, data, loss="ctc", optimizer=still, validation=data)
    for losses in history.values():
        assert losses == pytest.approx([np.mean(expected)], rel=1e-5)
    history = fit(model, data, loss="ctc", epochs=40)
    assert history["loss"][-1] < 0.2 * history["loss"][0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"padding": "left"}, "padding: expected 'right' with 'ctc', got 'left'"),
        (
            {"weights": np.ones(2, np.float32)},
            "weights: expected None with 'ctc', got ndarray",
        ),
        (
            {"targets": np.array([[1, 2], [-100, 1]])},
            "targets: expected -100 after the last label only, got [-100, 1] in row 1",
        ),
        ({"targets": np.array([1, 2])}, "targets: expected shape (N, S), got (2,)"),
    ],
)
def test_batches_that_ctc_refuses(changed: Any, message: str) -> None:
    x = np.zeros((3, 2, 2), np.float32)
    batch = Batch(x, np.array([[1, -100], [1, 2]]), np.array([3, 3]))
    model = fastrnn.Sequential(fastrnn.GRU(2, 8, seed=1), fastrnn.Linear(8, 3, seed=3))
    fit(model, [batch], loss="ctc")
    with raises(ValueError, f"batches: {message}"):
        fit(model, [batch._replace(**changed)], loss="ctc")
    pooled = fastrnn.Sequential(fastrnn.GRU(2, 3, seed=1), fastrnn.Last())
    shape = "expected a model with logits for each step with 'ctc', got (2, 3)"
    with raises(ValueError, f"loss: {shape}"):
        fit(pooled, [batch], loss="ctc")


def test_heads() -> None:
    x = np.stack([a[:1].repeat(4, 0) for a in SERIES])
    model = fastrnn.Sequential(
        fastrnn.GRU(2, 5, seed=1),
        fastrnn.Last(),
        fastrnn.Heads(a=fastrnn.Linear(5, 1, seed=2), b=fastrnn.Linear(5, 2, seed=3)),
    )

    def loss(y: Any, targets: Any) -> Any:
        first, da = fastrnn.mean_squared_error(y["a"], targets[:, :1])
        second, db = fastrnn.mean_squared_error(y["b"], targets)
        return first + second, {"a": da, "b": db}

    history = fit(model, batches(x, x[:, 0], seed=0), loss=loss, epochs=30)
    assert history["loss"][-1] < history["loss"][0] / 2
    found = fastrnn.predict(model, list(x), rows=4)
    assert {name: y.shape for name, y in found.items()} == {"a": (30, 1), "b": (30, 2)}
    assert_same_bits(found["b"], fastrnn.predict(model, x)["b"])


def test_streams_carry_the_state() -> None:
    text = np.random.default_rng(1).integers(0, V, 200)
    pieces = stream_batches(text, rows=4, steps=7)

    def make() -> Any:
        return fastrnn.Sequential(fastrnn.LSTM(V, 8, seed=1), fastrnn.Linear(8, V))

    model = make()
    other = make()
    other.flat_params[:] = model.flat_params
    history = fit(model, pieces, epochs=2, validation=pieces)
    adam, losses = fastrnn.Adam(other, lr=0.01), []
    for _ in range(2):
        state = None
        for x, targets in pieces:
            loss, state = other.cross_entropy(x, targets, state)
            other.zero_grad()
            other.backward()
            fastrnn.clip_grad_norm(other, 1.0)
            adam.step()
            losses.append(float(loss))
    assert history.steps == losses
    total, count, state = 0.0, 0, None
    other.eval()
    for x, targets in pieces:
        loss, state = other.cross_entropy(x, targets, state, reduction="sum")
        total, count = total + float(loss), count + int((targets != -100).sum())
    assert history["validation"][-1] == pytest.approx(total / count, rel=1e-6)
    apart = [Batch(*piece) for piece in pieces]
    assert fit(make(), apart).steps != losses[: len(pieces)]


def test_a_layer_without_state_and_pairs() -> None:
    x = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    model = fastrnn.Linear(3, 2, seed=0)
    history = fit(model, [(x, (x[:, 0] > 0.5).astype(int))], epochs=50)
    assert history["loss"][-1] < history["loss"][0]
    assert len(history.steps) == 50


def test_targets_may_be_anything_that_the_loss_takes() -> None:
    seen = []

    def loss(y: Any, targets: Any) -> Any:
        seen.append(targets)
        return 0.0, np.zeros_like(y)

    targets = ([1, 2], "b")
    fit(counter(), [Batch(SERIES[0][:, None], targets, lengths=[1])], loss=loss)
    assert seen == [targets]


def test_a_batch_without_targets_counts_nothing() -> None:
    x, nothing = TOKENS[0][:, None], np.full((len(TOKENS[0]), 1), -100)
    model = tagger()
    history = fit(
        model, [(x, TAGS[0][:, None])], validation=[(x, nothing), (x, TAGS[0][:, None])]
    )
    assert np.isfinite(history["validation"]).all()


@pytest.mark.parametrize("kind", ["layers", "flat", "named", "model"])
def test_optimizers_of_layers_and_arrays(kind: str) -> None:
    def start() -> tuple[Any, Any]:
        model = counter()
        params = {
            "layers": list(model.layers.values()),
            "flat": model.flat_params,
            "named": list(model.params.values()),
            "model": model,
        }[kind]
        return model, fastrnn.SGD(params, lr=0.1)

    model, sgd = start()
    other = counter()
    data = [batches(SERIES, NUMBERS, seed=0) for _ in range(2)]
    fit(model, data[0], loss="mean_squared_error", optimizer=sgd)
    fit(other, data[1], loss="mean_squared_error", optimizer=fastrnn.SGD(other, lr=0.1))
    assert_same_bits(model.flat_params, other.flat_params)


# --- what happens around it ----------------------------------------------------------


def test_validation_changes_no_bit() -> None:
    model, other = tagger(dropout=0.3, num_layers=2), tagger(dropout=0.3, num_layers=2)
    fit(model, tags(), epochs=2)
    fit(other, tags(), epochs=2, validation=tags(9))
    assert_same_bits(model.flat_params, other.flat_params)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays(training: bool) -> None:
    model = tagger().train() if training else tagger().eval()
    for validation in (None, tags()):
        fit(model, tags(), validation=validation)
        assert model.training == training


def test_patience_puts_the_best_parameters_back() -> None:
    model, states = tagger(), []
    history = fit(
        model,
        batches(TOKENS[:20], TAGS[:20], seed=0, rows=8),
        optimizer=fastrnn.Adam(model, lr=0.1),
        epochs=100,
        validation=batches(TOKENS[20:], TAGS[20:], shuffle=False),
        patience=4,
        callbacks=[lambda model, history: states.append(model.state_dict())],
    )
    assert history.stopped
    assert history.best == int(np.argmin(history["validation"])) + 1
    assert history.epochs == history.best + 4 < 100
    for name, a in model.params.items():
        assert_same_bits(a, states[history.best - 1][name])


def test_patience_without_validation_goes_by_the_loss() -> None:
    model = tagger()
    history = fit(
        model, tags(), optimizer=fastrnn.SGD(model, lr=0.0), epochs=9, patience=2
    )
    assert history.epochs <= 9
    assert history.best is not None


def test_the_best_parameters_come_back_at_the_last_epoch_too() -> None:
    model, states = tagger(), []
    adam = fastrnn.Adam(model, lr=0.01)

    def spoil(model: Any, history: Any) -> None:
        states.append(model.flat_params.copy())
        if history.epochs == 1:
            adam.lr = 10.0

    history = fit(
        model, tags(), optimizer=adam, epochs=2, patience=5, callbacks=[spoil]
    )
    assert (history.best, history.stopped) == (1, False)
    assert_same_bits(model.flat_params, states[0])
    assert adam.lr == 10.0  # without a schedule it is the caller's


def test_schedule() -> None:
    model, asked, rates = tagger(), [], []
    adam = fastrnn.Adam(model, lr=0.5)
    step = adam.step

    def record(*arguments: Any) -> None:
        rates.append(adam.lr)
        step(*arguments)

    adam.step = record  # type: ignore[method-assign]

    def schedule(epoch: float, history: Any) -> float:
        asked.append(epoch)
        return 1 / (1 + epoch)

    fit(model, tags(), optimizer=adam, epochs=2, schedule=schedule)
    middles = (np.arange(8) + 0.5) / 4
    np.testing.assert_allclose(asked, middles)
    np.testing.assert_allclose(rates, 0.5 / (1 + middles))
    assert adam.lr == 0.5


def test_schedule_with_an_unknown_number_of_batches() -> None:
    class Stream:
        def __iter__(self) -> Iterator[Any]:
            return iter(tags())

    asked = []

    def schedule(epoch: float, history: Any) -> float:
        asked.append(epoch)
        return 1.0

    fit(tagger(), Stream(), epochs=2, schedule=schedule)
    assert asked == [0, 0, 0, 0, 1.125, 1.375, 1.625, 1.875]


def test_callbacks() -> None:
    seen = []
    model = tagger()

    def callback(given: Any, history: fastrnn.History) -> None:
        assert given is model
        accuracy = np.mean(
            [
                (y.argmax(axis=1) == tag).mean()
                for y, tag in zip(fastrnn.predict(model, TOKENS), TAGS, strict=True)
            ]
        )
        history.add(accuracy=float(accuracy))
        seen.append(history.epochs)
        history.stopped = history.epochs == 3

    history = fit(model, tags(), epochs=9, callbacks=[callback])
    assert seen == [1, 2, 3]
    assert history.stopped
    assert len(history["accuracy"]) == 3
    other = tagger()
    fit(other, tags(), epochs=3)
    assert_same_bits(model.flat_params, other.flat_params)


def test_ctrl_c_returns_what_is_there() -> None:
    def interrupted(after: int) -> Iterator[Any]:
        for k, batch in enumerate(tags()):
            if k == after:
                raise KeyboardInterrupt
            yield batch

    class Data:
        epochs = 0

        def __iter__(self) -> Iterator[Any]:
            self.epochs += 1
            return interrupted(2 if self.epochs == 3 else 99)

    model = tagger()
    adam = fastrnn.Adam(model, lr=0.01)
    history = fit(
        model,
        Data(),
        optimizer=adam,
        epochs=9,
        schedule=fastrnn.schedules.exponential(0.5),
    )
    assert history.epochs == 2
    assert len(history.steps) == 10
    assert adam.lr == 0.01
    assert model.training


def test_a_gradient_that_is_not_finite() -> None:
    x = SERIES[0][:, None].copy()
    model = counter()
    before = model.flat_params.copy()
    bad = x.copy()
    bad[0] = np.nan
    with raises(
        FloatingPointError,
        "epoch 1, step 1: expected a finite gradient, got a norm of nan; a smaller "
        "learning rate may help, or data without infinite and missing values",
    ):
        fit(model, [(bad, x[..., :1])], loss="mean_squared_error")
    assert_same_bits(model.flat_params, before)
    history = fit(model, [(bad, x[..., :1])], loss="mean_squared_error", clip=None)
    assert np.isnan(history["loss"]).all()


# --- progress ------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_progress(with_tqdm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    history = fit(tagger(), tags(), epochs=2, validation=tags())
    last = shown.getvalue().split("\r")[-1]
    assert "epoch 2/2" in last
    assert f"loss {history['loss'][1]:.4g}" in last
    assert f"validation {history['validation'][1]:.4g}" in last
    assert "epoch 1/2" in shown.getvalue()


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, progress in ((io.StringIO(), True), (Terminal(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        fit(tagger(), tags(), progress=progress)
        assert stream.getvalue() == ""


def test_the_history_draws_itself() -> None:
    pytest.importorskip("matplotlib")
    figure = fastrnn.plot.losses(fit(tagger(), tags(), epochs=3, validation=tags()))
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["loss", "validation"]
    assert axes.get_xlabel() == "epoch"


# --- predict -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_predict(rows: int, batch_first: bool) -> None:
    model = counter(batch_first=batch_first)
    found = fastrnn.predict(model, SERIES, rows=rows)
    assert model.training
    model.eval()
    for y, x in zip(found, SERIES, strict=True):
        one = model(x[None] if batch_first else x[:, None])[0]
        assert_same_bits(y, one[0] if batch_first else one[:, 0])


def test_predict_of_an_array_and_of_vectors() -> None:
    x = np.random.default_rng(0).random((9, 5, 2)).astype(np.float32)
    model = counter().eval()
    y = fastrnn.predict(model, x, rows=4)
    assert not model.training
    assert_same_bits(y, model(x.swapaxes(0, 1).copy())[0].swapaxes(0, 1))


def test_dropout_is_off_in_predict() -> None:
    model = tagger()
    first, second = (fastrnn.predict(model, TOKENS) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert_same_bits(a, b)


# --- errors --------------------------------------------------------------------------

CONVERT = (
    "fastrnn.data.batches(..., dtype=np.float32) converts, and so does "
    "a.astype(np.float32)"
)


@bad_values(
    TypeError={
        "model: expected a layer, got str": {"model": "a"},
        "optimizer: expected one such as fastrnn.Adam(model), got str": {
            "optimizer": "adam"
        },
        "loss: expected a name or a function, got NoneType": {"loss": None},
        "epochs: expected an int, got float": {"epochs": 1.5},
        "clip: expected a number, got str": {"clip": "a"},
        "progress: expected a bool, got int": {"progress": 1},
        "batches[0]: expected a fastrnn.data.Batch or a pair (x, targets), got int": {
            "batches": [1]
        },
        "batches[0].x: expected dtype float32 (that of the model), got float64; "
        + CONVERT: {"batches": [(np.ones((2, 1, 2)), np.ones((2, 1, 1), np.float32))]},
        "batches[0].targets: expected dtype float32 (that of the model), got float64; "
        + CONVERT: {"batches": [(np.ones((2, 1, 2), np.float32), np.ones((2, 1, 1)))]},
    },
    ValueError={
        "loss: expected 'cross_entropy', 'mean_squared_error', 'mean_absolute_error', "
        "'huber', 'binary_cross_entropy' or 'ctc', got 'mse'": {"loss": "mse"},
        "epochs: expected epochs >= 0, got -1": {"epochs": -1},
        "patience: expected patience >= 1, got 0": {"patience": 0},
        "optimizer: expected one of the model's parameters, Adam(model), got one of "
        "others": {"optimizer": fastrnn.Adam(fastrnn.Linear(2, 1))},
        "batches: expected at least one batch in every epoch, got none (an iterator "
        "is used up after the first; a list begins anew)": {"batches": []},
        "batches: expected targets for the loss, got None": {
            "batches": [Batch(np.ones((2, 1, 2), np.float32))],
            "loss": "cross_entropy",
        },
    },
)
def test_bad_arguments(bad: Any, error: Any, message: str) -> None:
    model = counter()
    options: dict[str, Any] = {
        "model": model,
        "batches": batches(SERIES, NUMBERS),
        "loss": "mean_squared_error",
        "optimizer": fastrnn.Adam(model),
    }
    with raises(error, message):
        fastrnn.fit(**options | bad)


def test_an_iterator_is_used_up() -> None:
    with pytest.raises(ValueError, match="an iterator is used up after the first"):
        fit(tagger(), iter(tags()), epochs=2)


def test_predict_says_how_to_convert() -> None:
    with pytest.raises(TypeError, match=r"expected dtype float32 .* got float64; "):
        fastrnn.predict(counter(), [np.ones((3, 2))])


def test_a_model_without_cross_entropy() -> None:
    with raises(
        TypeError,
        "loss: expected a function, or a model that ends in Linear for "
        "'cross_entropy', got GRU",
    ):
        model = fastrnn.GRU(2, 3)
        fit(model, [(SERIES[0][:, None], np.zeros((len(SERIES[0]), 1), int))])


def test_stream_batches_are_pairs() -> None:
    assert StreamBatch._fields == ("x", "targets")
