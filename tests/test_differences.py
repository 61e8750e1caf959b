"""check_gradients, and the gradients that reach the states of layers and models."""

import copy
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.layers import CELLS, class_of

T, N, V, I, H = 6, 3, 7, 4, 5  # noqa: E741
f64: Any = np.float64


class Scale(fastrnn.Layer):
    """``y = x * gain``; its gradient is wrong by a factor, if wanted."""

    def __init__(self, size: int, factor: float = 1.0, dtype: Any = f64) -> None:
        super().__init__({"gain": (size,)}, dtype)
        self.size, self.factor = size, factor
        self.input_size = self.output_size = size
        self.params["gain"][...] = np.linspace(0.5, 1.5, size)

    def __call__(self, x: Any) -> Any:
        self._forget()
        self._remember(x)
        return x * self.params["gain"]

    def backward(self, dy: Any) -> Any:
        x = self._recall("backward")
        gain = (x * dy).reshape(-1, self.size).sum(axis=0)
        self._add_grads(gain=gain * self.dtype.type(self.factor))
        return dy * self.params["gain"]


def make_model(factor: float = 1.0, dtype: Any = f64) -> Any:
    rng = np.random.default_rng(0)
    return fastrnn.Sequential(
        embedding=fastrnn.Embedding(V, I, dtype=dtype, seed=rng),
        body=fastrnn.Sequential(
            rnn=fastrnn.LSTM(
                I, H, 2, bidirectional=True, dropout=0.3, dtype=dtype, seed=rng
            ),
            scale=Scale(2 * H, factor, dtype),
        ),
        drop=fastrnn.Dropout(0.2, seed=rng),
        norm=fastrnn.BatchNorm(2 * H, dtype=dtype),
        pooling=fastrnn.Attention(2 * H, dtype=dtype, seed=rng),
        head=fastrnn.Linear(2 * H, V, dtype=dtype, seed=rng),
    )


TOKENS = np.random.default_rng(1).integers(0, V, (T, N))
HOW: Any = {"lengths": [6, 2, 4], "padding": "left"}


@pytest.mark.parametrize("dtype", [np.float32, f64], ids=["f32", "f64"])
@pytest.mark.parametrize("targets", ["classes", "numbers", None])
def test_a_model_that_is_right(dtype: Any, targets: str | None) -> None:
    """With dropout, running averages, lengths; it is left as it was."""
    model = make_model(dtype=dtype)
    model.flat_grads[...] = 3
    before = model.state_dict()
    drawn = [
        layer.rng.bit_generator.state
        for layer in (model.layers["drop"], model.layers["body"].layers["rnn"])
    ]
    wanted: Any = {
        "classes": [1, 2, 3],
        "numbers": np.ones((N, V), dtype),
        None: None,
    }[targets]
    errors = fastrnn.check_gradients(model, TOKENS, wanted, samples=4, **HOW)
    assert list(errors) == list(model.params)
    assert max(errors.values()) < (1e-6 if dtype == f64 else 0.2)
    assert max(errors.values()) > 0
    for name, a in model.state_dict().items():
        np.testing.assert_array_equal(a, before[name])
    assert (model.flat_grads == 3).all()
    after = [
        layer.rng.bit_generator.state
        for layer in (model.layers["drop"], model.layers["body"].layers["rnn"])
    ]
    assert after == drawn


def test_a_wrong_gradient_is_found() -> None:
    model = make_model(factor=1.01)
    with pytest.raises(ValueError, match=r"^grads\['body.scale.gain'\]: expected "):
        fastrnn.check_gradients(model, TOKENS, [1, 2, 3], **HOW)
    errors = fastrnn.check_gradients(
        model, TOKENS, [1, 2, 3], tolerance=np.inf, samples=100, **HOW
    )
    assert max(errors, key=lambda name: errors[name]) == "body.scale.gain"
    assert errors["body.scale.gain"] == pytest.approx(0.01, rel=0.05)


def test_the_message() -> None:
    layer = Scale(1, factor=2.0)
    x = np.full((1, 1), 3.0)
    with raises(ValueError, "grads['gain']: expected 3 at [0] (by differences), got 6"):
        fastrnn.check_gradients(layer, x, loss=lambda y, _: (y.sum(), np.ones_like(y)))


def test_inputs_heads_and_own_losses() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, N, I))
    model = fastrnn.Sequential(
        fastrnn.GRU(I, H, dtype=f64, seed=rng),
        fastrnn.Heads(
            a=fastrnn.Linear(H, 2, dtype=f64, seed=rng),
            b=fastrnn.Linear(H, 1, dtype=f64, seed=rng),
        ),
    )
    errors = fastrnn.check_gradients(model, x)
    assert "x" in errors
    assert max(errors.values()) < 1e-7

    def loss(y: Any, targets: Any) -> Any:
        value, da = fastrnn.huber(y["a"], targets)
        return value, {"a": da}

    targets = np.zeros((T, N, 2))
    assert max(fastrnn.check_gradients(model, x, targets, loss=loss).values()) < 1e-7
    errors = fastrnn.check_gradients(fastrnn.Activation("gelu"), x)
    assert list(errors) == ["x"]

    class Wrong(fastrnn.Activation):
        def backward(self, dy: Any) -> Any:
            return -super().backward(dy)  # type: ignore[operator]

    with pytest.raises(ValueError, match=r"^dx: expected "):
        fastrnn.check_gradients(Wrong("tanh"), x)


@bad_values(
    TypeError={
        "model: expected a layer, got int": {"model": 1},
        "loss: expected a function, got str": {"loss": "mse"},
        "samples: expected an int, got float": {"samples": 1.5},
        "targets: expected None or floating ones for a Scale, got integers": {
            "targets": [1, 2]
        },
    },
    ValueError={
        "samples: expected samples >= 1, got 0": {"samples": 0},
        "step: expected a finite step > 0, got 0": {"step": 0},
        "tolerance: expected a number >= 0, got -1": {"tolerance": -1},
    },
    RuntimeError={
        "model: expected training mode, got eval mode: call train()": {
            "model": Scale(2).eval()
        }
    },
)
def test_bad_arguments(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.check_gradients(**{"model": Scale(2), "x": np.ones((3, 2)), **bad})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_of_the_states_of_a_layer(cell: str, batch_first: bool) -> None:
    options: Any = {"bidirectional": True, "dtype": f64, "batch_first": batch_first}
    layer = class_of(cell)(I, H, 2, seed=0, **options)
    x = np.random.default_rng(0).standard_normal((T, N, I))
    given = x.swapaxes(0, 1) if batch_first else x
    y, _ = layer(given)
    plain = layer.backward(y)
    grads = layer.flat_grads.copy()
    layer.zero_grad()
    dx, _, dh = layer.backward(y, return_dh=True)
    np.testing.assert_array_equal(dx, plain[0])
    np.testing.assert_array_equal(layer.flat_grads, grads)
    assert list(dh) == ["l1", "l1_reverse", "l0", "l0_reverse"]
    P = layer.output_size // 2
    assert {a.shape for a in dh.values()} == {(T, N, P)}
    backward = getattr(fastrnn, f"{layer._cell}_backward")
    time_major = y.swapaxes(0, 1) if batch_first else y
    for d, name in enumerate(("l1", "l1_reverse")):
        half = np.ascontiguousarray(time_major[:, :, d * P : (d + 1) * P])
        expected = backward(layer.tapes[2 + d], half, return_dh=True)
        np.testing.assert_array_equal(dh[name], expected.dh)
    with raises(TypeError, "return_dh: expected a bool, got int"):
        layer.backward(y, return_dh=1)


def test_gradients_of_the_states_of_a_model() -> None:
    model = make_model()
    y, _ = model(TOKENS)
    dx, dstate, dh = model.backward(y, return_dh=True)
    assert dx is None
    assert len(dstate) == 1
    names = [f"body.rnn.l{k}{end}" for k in (1, 0) for end in ("", "_reverse")]
    assert list(dh) == names
    assert all(a.any() for a in dh.values())
    heads = fastrnn.Heads(
        a=fastrnn.GRU(I, H, dtype=f64), b=fastrnn.Linear(I, 2, dtype=f64)
    )
    whole = fastrnn.Sequential(first=fastrnn.RNN(I, I, dtype=f64), heads=heads)
    y, _ = whole(np.ones((T, N, I)))
    _, _, dh = whole.backward(y, return_dh=True)
    assert list(dh) == ["heads.a.l0", "first.l0"]
    plain = fastrnn.Heads(b=fastrnn.Linear(I, 2, dtype=f64))
    dx, dh = plain.backward({"b": plain(np.ones((T, I)))["b"]}, return_dh=True)
    assert dh == {}


def test_a_picture_of_them() -> None:
    pytest.importorskip("matplotlib")
    model = make_model()
    y, _ = model(TOKENS)
    _, _, dh = model.backward(y, return_dh=True)
    pictures = [fastrnn.plot.gradient_norms(a).axes[0] for a in (dh, model)]
    for axes in pictures:
        assert [line.get_label() for line in axes.lines] == list(dh)
    for ours, given in zip(*(axes.lines for axes in pictures), strict=True):
        np.testing.assert_array_equal(ours.get_ydata(), given.get_ydata())


NO_DH = (
    "dh: expected backward(..., return_dh=True) of the layer's last call before it, "
    "got none"
)


def test_a_picture_is_that_of_the_last_backward() -> None:
    pytest.importorskip("matplotlib")
    draw = fastrnn.plot.gradient_norms
    x = np.ones((T, N, I), np.float32)
    for model, label in [
        (fastrnn.GRU(I, H, seed=0), "l0"),
        (fastrnn.Sequential(a=fastrnn.LSTM(I, H, seed=0)), "a.l0"),
        (fastrnn.Heads(a=fastrnn.RNN(I, H, seed=0)), "a.l0"),
    ]:
        with raises(RuntimeError, NO_DH):
            draw(model)
        y, _ = model(x)
        model.backward(y, return_dh=True)
        assert draw(model).axes[0].lines[0].get_label() == label
        model.backward(y)  # of the same call, but without
        with raises(RuntimeError, NO_DH):
            draw(model)
        *_, dh = model.backward(y, return_dh=True)
        assert list(dh) == [label]
        with raises(RuntimeError, NO_DH):
            draw(copy.deepcopy(model))
        model(x)
        with raises(RuntimeError, NO_DH):
            draw(model)
    plain = fastrnn.Sequential(fastrnn.Linear(I, 2))
    plain(x)
    plain.backward(np.ones((T, N, 2), np.float32), return_dh=True)
    with raises(ValueError, "dh: expected at least one gradient, got none"):
        draw(plain)


def test_steps_and_losses_that_tell_nothing() -> None:
    with raises(ValueError, "step: expected a step that moves 1e+30 (of x), got 1e-05"):
        fastrnn.check_gradients(fastrnn.Activation("relu"), np.full(3, 1e30))
    with raises(ValueError, "loss: expected a finite loss, got nan"):
        fastrnn.check_gradients(Scale(2), np.full((3, 2), np.nan))
