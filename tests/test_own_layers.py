"""Layers written outside the package, alone and in a `Sequential`."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import raises

T, N, V, I, H = 6, 3, 7, 4, 5  # noqa: E741


class Scale(fastrnn.Layer):
    """``y = x * gain + shift``: parameters, and nothing else."""

    def __init__(self, size: int, *, factor: float = 1.0) -> None:
        super().__init__({"gain": (size,), "shift": (size,)}, np.float64)
        self.size, self.factor = size, factor
        self.input_size = self.output_size = size
        self.params["gain"][...] = np.linspace(0.5, 1.5, size)

    def __call__(self, x: Any) -> Any:
        self._forget()
        self._remember(x)
        return (x * self.params["gain"] + self.params["shift"]) * self.factor

    def backward(self, dy: Any) -> Any:
        x = self._recall("backward")
        dy = dy * self.factor
        self._add_grads(
            gain=(x * dy).reshape(-1, self.size).sum(axis=0),
            shift=dy.reshape(-1, self.size).sum(axis=0),
        )
        return dy * self.params["gain"]


class Decay(fastrnn.Layer):
    """``h_t = rate * h_{t-1} + x_t``: a state, and one parameter."""

    has_state = True

    def __init__(self, size: int) -> None:
        super().__init__({"rate": (1,)}, "float64")
        self.input_size = self.output_size = size
        self.params["rate"][...] = 0.7

    def __call__(self, x: Any, state: Any = None) -> Any:
        self._forget()
        rate = self.params["rate"]
        hs = [np.zeros(x.shape[1:]) if state is None else state]
        for x_t in x:
            hs.append(rate * hs[-1] + x_t)
        self._remember(hs)
        return np.stack(hs[1:]), hs[-1]

    def backward(self, dy: Any, dstate: Any = None) -> Any:
        hs = self._recall("backward")
        dx, drate = np.empty_like(dy), 0.0
        dh = np.zeros_like(hs[0]) if dstate is None else dstate
        for t in reversed(range(len(dy))):
            dh = dh + dy[t]
            dx[t] = dh
            drate += (dh * hs[t]).sum()
            dh = dh * self.params["rate"]
        self._add_grads(rate=np.array([drate]))
        return dx, dh


class Mean(fastrnn.Layer):
    """The mean over the valid steps of each row, ``[T, N, I]`` to ``[N, I]``."""

    wants = ("lengths", "padding")

    def __init__(self) -> None:
        super().__init__({})

    def __call__(self, x: Any, *, lengths: Any = None, padding: str = "right") -> Any:
        self._forget()
        steps, n = np.arange(len(x))[:, None], np.full(x.shape[1], len(x))
        if lengths is not None:
            n = np.asarray(lengths)
        valid = steps < n if padding == "right" else steps >= len(x) - n
        weights = (valid / n)[:, :, None]
        self._remember(weights)
        return (x * weights).sum(axis=0)

    def backward(self, dy: Any) -> Any:
        weights = self._recall("backward")
        return dy * weights


def make_model() -> Any:
    rng, f64 = np.random.default_rng(0), np.float64
    return fastrnn.Sequential(
        embedding=fastrnn.Embedding(V, I, dtype=f64, seed=rng),
        body=fastrnn.Sequential(
            scale=Scale(I),
            rnn=fastrnn.GRU(I, H, dtype=f64, seed=rng),
            decay=Decay(H),
        ),
        mean=Mean(),
        head=fastrnn.Linear(H, V, dtype=f64, seed=rng),
    )


def draw_tokens(lengths: Any, padding: str) -> Any:
    tokens = np.random.default_rng(1).integers(0, V, (T, N))
    for n, length in enumerate(lengths):
        tokens[slice(length, None) if padding == "right" else slice(T - length), n] = -1
    return tokens


@pytest.mark.parametrize("padding", ["right", "left"])
def test_gradients_by_differences(padding: str) -> None:
    """Own layers among others and nested, with states, lengths and tokens of -1."""
    model, lengths = make_model(), [6, 2, 4]
    x, targets = draw_tokens(lengths, padding), [3, 0, 5]
    rng = np.random.default_rng(2)
    states = ((rng.standard_normal((1, N, H)), rng.standard_normal((N, H))),)
    weights = rng.standard_normal((1, N, H)), rng.standard_normal((N, H))

    def loss() -> Any:
        value, ((h, decayed),) = model.cross_entropy(
            x, targets, states, lengths=lengths, padding=padding
        )
        return value + (weights[0] * h).sum() + (weights[1] * decayed).sum()

    loss()
    dx, ((dh, ddecayed),) = model.backward(dstate=(weights,))
    assert dx is None
    found = [*model.grads.values(), dh, ddecayed]
    changed = [*model.params.values(), *states[0]]
    assert all(a.any() for a in found)
    for gradient, a in zip(found, changed, strict=True):
        for i in rng.choice(a.size, min(a.size, 6), replace=False):
            values = []
            for step in (1e-6, -2e-6):
                a.flat[i] += step
                values.append(loss())
            a.flat[i] += 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert gradient.flat[i] == pytest.approx(difference, abs=2e-8)


def test_they_are_layers_like_the_others(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    model = make_model()
    assert list(model.params)[1:3] == ["body.scale.gain", "body.scale.shift"]
    x = draw_tokens([T] * N, "right")
    fastrnn.save(tmp_path / "m.safetensors", model)
    other = make_model()
    other.flat_params[...] = 1
    other.load_state_dict(fastrnn.load(tmp_path / "m.safetensors")[0])
    for same in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same(x)[0], model(x)[0])
    scale = model.layers["body"].layers["scale"]
    assert np.shares_memory(scale.params["gain"], model.flat_params)
    assert not model.eval().layers["body"].layers["decay"].training


def test_what_a_model_takes_and_gives() -> None:
    model = fastrnn.Sequential(Mean(), Scale(3), fastrnn.Dropout(0.1))
    assert (model.input_size, model.output_size) == (3, 3)
    assert model.has_state
    with raises(
        ValueError, "1: expected 3 inputs (the outputs of 0), got a layer of 4"
    ):
        fastrnn.Sequential(model, Scale(4))


def test_a_state_of_a_model_within_a_model() -> None:
    inner = fastrnn.Sequential(Decay(2))
    model = fastrnn.Sequential(inner, Scale(2))
    x = np.ones((T, N, 2))
    whole, _ = model(x)
    first, state = model(x[:2])
    second, _ = model(x[2:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_options_show_and_stay() -> None:
    assert repr(Scale(3)) == "Scale(3)  # 6 parameters"
    layer = Scale(3, factor=2.0)
    assert repr(layer) == "Scale(3, factor=2.0)  # 6 parameters"
    with raises(
        AttributeError,
        "factor: expected to stay as the layer was made, got an assignment",
    ):
        layer.factor = 3.0
    with raises(
        AttributeError, "size: expected to stay as the layer was made, got a deletion"
    ):
        del layer.size
    layer.anything_else = 1
    layer.anything_else = 2


class Forgetful(fastrnn.Layer):
    def __init__(self) -> None:
        pass


class Greedy(Mean):
    wants = ("lengths", "breadths")


class Empty(fastrnn.Layer):
    """Neither a call nor backward."""


def test_mistakes_of_authors() -> None:
    with raises(
        TypeError, "0: expected Forgetful to call super().__init__(), got none"
    ):
        fastrnn.Sequential(Forgetful())
    message = (
        "0: expected its wants among lengths, padding, resets, batch_first, "
        "got ('lengths', 'breadths')"
    )
    with raises(ValueError, message):
        fastrnn.Sequential(Greedy())
    layer = Empty({"w": (2, 3)})
    assert layer.dtype == np.float32
    with raises(NotImplementedError, "Empty: expected a method __call__"):
        layer(1)
    with raises(NotImplementedError, "Empty: expected a method backward"):
        layer.backward(1)
    with raises(TypeError, "shapes: expected a dict of names and shapes, got list"):
        Empty([])  # type: ignore[arg-type]
    with raises(TypeError, "shapes: expected names of type str, got int"):
        Empty({1: (2,)})  # type: ignore[dict-item]
    with raises(TypeError, "shapes['w']: expected a tuple of int, got float"):
        Empty({"w": 2.5})  # type: ignore[dict-item]
    with raises(ValueError, "shapes['w']: expected sizes >= 0, got (2, -1)"):
        Empty({"w": (2, -1)})
    with raises(TypeError, "dtype: expected float32 or float64, got None"):
        Empty({}, None)


@pytest.mark.parametrize(
    "name",
    [
        *("RNN", "GRU", "LSTM", "Layer", "Embedding", "Linear", "Dropout"),
        *("Sequential", "SGD", "RMSprop", "Adagrad", "Adam", "AdamW"),
    ],
)
def test_public_classes_name_the_package(name: str) -> None:
    kind = getattr(fastrnn, name)
    assert kind.__module__ == "fastrnn"
    assert pickle.loads(pickle.dumps(kind)) is kind
