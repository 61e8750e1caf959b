"""Sequential: the layers' own results, one flat array, and every bad argument."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises

T, N, V, I, H = 5, 3, 7, 4, 6  # noqa: E741


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def tokens(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, V, shape)


def make_layers() -> dict[str, Any]:
    rng, f64 = np.random.default_rng(0), np.float64
    return {
        "embedding": fastrnn.Embedding(V, I, dtype=f64, seed=rng),
        "first": fastrnn.GRU(I, H, bidirectional=True, dtype=f64, seed=rng),
        "drop": fastrnn.Dropout(0.3, seed=5),
        "second": fastrnn.LSTM(2 * H, H, dtype=f64, seed=rng),
        "head": fastrnn.Linear(H, V, dtype=f64, seed=rng),
    }


def make_model() -> Any:
    return fastrnn.Sequential(**make_layers())


def test_it_is_its_layers_one_after_another() -> None:
    model, a = make_model(), make_layers()
    x, dy, lengths = tokens(T, N), draw(T, N, V), [5, 2, 4]
    states = draw(2, N, H), (draw(1, N, H, seed=1), draw(1, N, H, seed=2))
    dstates = draw(2, N, H, seed=3), (None, draw(1, N, H, seed=4))
    y, final = model(x, states, lengths=lengths)
    expected = a["embedding"](x)
    expected, first = a["first"](expected, states[0], lengths=lengths)
    expected, second = a["second"](a["drop"](expected), states[1], lengths=lengths)
    np.testing.assert_array_equal(y, a["head"](expected))
    for got, wanted in zip([final[0], *final[1]], [first, *second], strict=True):
        np.testing.assert_array_equal(got, wanted)

    dx, dinitial = model.backward(dy, dstates)
    assert dx is None
    back, dsecond = a["second"].backward(a["head"].backward(dy), dstates[1])
    back, dfirst = a["first"].backward(a["drop"].backward(back), dstates[0])
    a["embedding"].backward(back)
    for got, wanted in zip(
        [dinitial[0], *dinitial[1]], [dfirst, *dsecond], strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    flat = np.concatenate([layer.flat_grads for layer in a.values()])
    assert all(layer.flat_grads.any() for layer in a.values() if layer.params)
    np.testing.assert_array_equal(model.flat_grads, flat)


def test_cross_entropy_is_that_of_its_head() -> None:
    model = make_model()
    x, targets = tokens(T, N), tokens(T, N, seed=2)
    targets[3:, 1] = -100
    how = {"lengths": [5, 3, 4], "padding": "left"}
    loss, state = model.cross_entropy(x, targets, **how)
    model.backward()
    *body, head = make_layers().values()
    inner = fastrnn.Sequential(*body)
    y, expected_state = inner(x, **how)
    assert loss == head.cross_entropy(y, targets)
    np.testing.assert_array_equal(state[1][1], expected_state[1][1])
    assert loss == pytest.approx(np.log(V), rel=0.3)
    inner.backward(head.backward())
    np.testing.assert_array_equal(
        model.flat_grads, np.concatenate([inner.flat_grads, head.flat_grads])
    )


def test_gradients_by_differences() -> None:
    layers = make_layers()
    del layers["drop"]
    model = fastrnn.Sequential(**layers)
    x, targets = tokens(T, N), tokens(T, N, seed=2)
    model.cross_entropy(x, targets)
    model.backward()
    rng, step = np.random.default_rng(3), 1e-6
    for i in rng.choice(model.flat_params.size, 30, replace=False):
        values = []
        for sign in (1, -1):
            model.flat_params[i] += sign * step
            values.append(model.cross_entropy(x, targets)[0])
            model.flat_params[i] -= sign * step
        difference = (values[0] - values[1]) / (2 * step)
        assert model.flat_grads[i] == pytest.approx(difference, abs=1e-8)


def test_names_and_order_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(V, I)
            self.first = torch.nn.GRU(I, H, bidirectional=True)
            self.drop = torch.nn.Dropout(0.3)
            self.second = torch.nn.LSTM(2 * H, H)
            self.head = torch.nn.Linear(H, V)

    other = Module().double().state_dict()
    model = make_model()
    assert list(model.params) == list(model.grads) == list(other)
    model.load_state_dict(other)
    np.testing.assert_array_equal(
        model.layers["second"].params["weight_hh_l0"], other["second.weight_hh_l0"]
    )


def test_one_flat_array_holds_everything() -> None:
    model = make_model()
    before = make_layers()
    np.testing.assert_array_equal(
        model.flat_params, np.concatenate([a.flat_params for a in before.values()])
    )
    for name, layer in model.layers.items():
        for key in layer.params:
            for mine, its in (
                (model.params, layer.params),
                (model.grads, layer.grads),
            ):
                whole = mine[f"{name}.{key}"]
                assert whole.ctypes.data == its[key].ctypes.data
    model.flat_params -= 1
    np.testing.assert_array_equal(
        model.layers["head"].params["bias"], before["head"].params["bias"] - 1
    )
    model(tokens(T, N))
    model.backward(draw(T, N, V))
    assert all(a.flat_grads.any() for a in model.layers.values() if a.params)
    model.zero_grad()
    assert not any(layer.flat_grads.any() for layer in model.layers.values())


def test_modes_reach_all_layers() -> None:
    model = make_model()
    assert model.eval() is model
    assert not any(layer.training for layer in model.layers.values())
    x = tokens(T, N)
    np.testing.assert_array_equal(model(x)[0], model(x)[0])
    message = "backward: expected the last call in training mode, got eval mode"
    with raises(RuntimeError, message):
        model.backward(draw(T, N, V))
    assert model.train() is model
    assert all(layer.training for layer in model.layers.values())
    assert (model(x)[0] != model(x)[0]).any()


def test_a_model_within_a_model() -> None:
    layers = list(make_layers().values())
    inner = fastrnn.Sequential(*layers[1:4])
    model = fastrnn.Sequential(layers[0], fastrnn.Sequential(inner), layers[4])
    flat = make_model()
    assert "1.0.2.weight_hh_l0" in model.params
    x, dy = tokens(T, N), draw(T, N, V)
    y, ((state,),) = model(x)
    expected, expected_state = flat(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(state[0], expected_state[0])
    model.backward(dy)
    flat.backward(dy)
    np.testing.assert_array_equal(model.flat_grads, flat.flat_grads)
    y, _ = model(x, ((state,),))
    np.testing.assert_array_equal(y, flat(x, expected_state)[0])


def test_state_dicts() -> None:
    model, other = make_model(), make_model()
    other.flat_params += 1
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(model.flat_params, other.flat_params)
    d = model.state_dict()
    d["head.bias"] = np.zeros(3)
    with raises(ValueError, "d['head.bias']: expected shape (7,), got (3,)"):
        model.load_state_dict(d)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))],
    ids=["deepcopy", "pickle"],
)
def test_copies_stand_alone(duplicate: Callable[[Any], Any]) -> None:
    model = fastrnn.Sequential(make_model())
    x, dy = tokens(T, N), draw(T, N, V)
    model(x)
    other = duplicate(model)
    with pytest.raises(RuntimeError):
        other.backward(dy)
    inner = other.layers["0"].layers["head"]
    assert np.shares_memory(inner.flat_params, other.flat_params)
    assert not np.shares_memory(other.flat_params, model.flat_params)
    y, _ = model(x)
    np.testing.assert_array_equal(other(x)[0], y)
    model.backward(dy)
    other.backward(dy)
    np.testing.assert_array_equal(other.flat_grads, model.flat_grads)
    model.flat_params[:] = 0
    assert other.flat_params.all()
    assert len(pickle.dumps(model)) < 2 * model.flat_params.nbytes + 6000


def test_it_learns() -> None:
    """Every second token is predictable, the others are not: ln 10 / 2."""
    rng = np.random.default_rng(0)
    model = fastrnn.Sequential(
        fastrnn.Embedding(10, 8, seed=rng),
        fastrnn.GRU(8, 32, seed=rng),
        fastrnn.Linear(32, 10, seed=rng),
    )
    adam = fastrnn.Adam(model, lr=1e-2)
    for _ in range(300):
        x = rng.integers(0, 10, (10, 32)).repeat(2, axis=0)
        loss, _ = model.cross_entropy(x[:-1], x[1:])
        model.zero_grad()
        model.backward()
        fastrnn.clip_grad_norm(model, 1.0)
        adam.step()
    assert np.log(10) * 9 / 19 < loss < 1.25


# --- bad arguments -------------------------------------------------------------------


@bad_values(
    TypeError={
        "head: expected a layer, got int": {"head": 3},
        "head: expected dtype float64 (that of embedding), got float32": {
            "head": fastrnn.Linear(H, V)
        },
    },
    ValueError={
        "head: expected 6 inputs (the outputs of second), got a layer of 5": {
            "head": fastrnn.Linear(5, V, dtype=np.float64)
        },
        "second: expected 12 inputs (the outputs of first), got a layer of 6": {
            "second": fastrnn.LSTM(6, H, dtype=np.float64)
        },
        "a.b: expected a name without a dot": {"a.b": fastrnn.Dropout(0.1)},
    },
)
def test_bad_layers(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Sequential(**{**make_layers(), **bad})


def test_no_layers_or_one_twice() -> None:
    with raises(ValueError, "layers: expected at least one, got none"):
        fastrnn.Sequential()
    layer = fastrnn.GRU(H, H)
    with raises(ValueError, "1: expected a layer of its own, got that of 0"):
        fastrnn.Sequential(layer, layer)
    with raises(TypeError, "layers: expected all with names or none, got both"):
        fastrnn.Sequential(layer, other=layer)


@bad_values(
    TypeError={
        "state: expected a tuple of states, got ndarray": draw(2, N, H),
        "state: expected a pair (h, c), got ndarray": (None, draw(1, N, H)),
    },
    ValueError={
        "state: expected 2 states, got 1": (None,),
        "state: expected shape (L*D, N, H) = (2, 3, 6), got (1, 3, 6)": (
            draw(1, N, H),
            None,
        ),
    },
)
def test_bad_states(bad: Any, error: type[Exception], message: str) -> None:
    model = make_model()
    with raises(error, message):
        model(tokens(T, N), bad)
    model(tokens(T, N))
    with raises(error, message.replace("state:", "dstate:", 1)):
        model.backward(draw(T, N, V), bad)


def test_bad_calls() -> None:
    model = make_model()
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        model.backward(draw(T, N, V))
    with raises(TypeError, "cross_entropy: expected Linear as last layer, got LSTM"):
        fastrnn.Sequential(fastrnn.LSTM(I, H)).cross_entropy([[0]], [[0]])
    with pytest.raises(TypeError, match="length"):
        model(tokens(T, N), length=[1, 2, 3])
    model(tokens(T, N))
    with pytest.raises(ValueError, match=r"^x: token \d+ at"):
        model(tokens(T, N) + 7 - tokens(T, N).min())
    with raises(
        RuntimeError, "backward: expected the last call to succeed, got one that raised"
    ):
        model.backward(draw(T, N, V))
