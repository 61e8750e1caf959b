"""Heads; embeddings that are not trained; a Linear tied to an embedding."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises

T, N, V, I, H = 5, 3, 7, 4, 6  # noqa: E741
f64: Any = np.float64


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def duplicates(model: Any) -> list[Any]:
    return [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]


def differences(a: Any, i: int, loss: Any) -> Any:
    values = []
    for step in (1e-6, -2e-6):
        a.flat[i] += step
        values.append(loss())
    a.flat[i] += 1e-6
    return (values[0] - values[1]) / 2e-6


def make_heads(batch_first: bool = False) -> Any:
    rng = np.random.default_rng(0)
    return fastrnn.Sequential(
        rnn=fastrnn.GRU(I, H, dtype=f64, seed=rng, batch_first=batch_first),
        heads=fastrnn.Heads(
            policy=fastrnn.Linear(H, 3, dtype=f64, seed=rng),
            value=fastrnn.Linear(H, 1, dtype=f64, seed=rng),
            whole=fastrnn.Sequential(
                fastrnn.LSTM(H, 2, dtype=f64, seed=rng, batch_first=batch_first),
                fastrnn.Last(),
            ),
        ),
    )


@pytest.mark.parametrize("batch_first", [False, True])
def test_heads_in_a_model(batch_first: bool) -> None:
    model, x = make_heads(batch_first), draw(T, N, I)
    x = x.swapaxes(0, 1).copy() if batch_first else x
    lead = (N, T) if batch_first else (T, N)
    how: Any = {"lengths": [5, 2, 3], "padding": "left"}
    y, (h, (((h2, c2),),)) = model(x, **how)
    assert {name: a.shape for name, a in y.items()} == {
        "policy": (*lead, 3), "value": (*lead, 1), "whole": (N, 2)
    }  # fmt: skip
    assert h.shape == (1, N, H)
    assert h2.shape == c2.shape == (1, N, 2)
    dy = {name: draw(*a.shape, seed=len(name)) for name, a in y.items()}
    dx, _ = model.backward(dy)
    found = [dx, *(a.copy() for a in model.grads.values())]

    def loss() -> Any:
        y, _ = model(x, **how)
        return sum((y[name] * d).sum() for name, d in dy.items())

    rng = np.random.default_rng(1)
    for gradient, a in zip(found, [x, *model.params.values()], strict=True):
        assert gradient.any()
        for i in rng.choice(a.size, min(a.size, 3), replace=False):
            expected = differences(a, i, loss)
            assert gradient.flat[i] == pytest.approx(expected, abs=1e-7)
    y, _ = model(x, **how)
    for same in duplicates(model):
        for name, a in same(x, **how)[0].items():
            np.testing.assert_array_equal(a, y[name])


def test_gradients_that_are_left_out_are_zero() -> None:
    model, x = make_heads(), draw(T, N, I)
    y, _ = model(x)
    dy = {name: draw(*a.shape) for name, a in y.items()}
    zeros = {name: 0 * a for name, a in y.items()}
    for given in ({"policy": dy["policy"]}, {"policy": dy["policy"], "value": None}):
        model(x)
        model.zero_grad()
        dx, _ = model.backward(given)
        found = model.flat_grads.copy()
        model(x)
        model.zero_grad()
        expected, _ = model.backward({**zeros, "policy": dy["policy"]})
        np.testing.assert_allclose(dx, expected, atol=1e-15)
        np.testing.assert_allclose(found, model.flat_grads, atol=1e-15)
    heads = fastrnn.Heads(a=fastrnn.Linear(2, 1), b=fastrnn.Linear(2, 3))
    assert not heads.has_state
    heads(np.ones((4, 2), np.float32))
    assert heads.backward(None) is None
    assert heads.backward({}) is None


def test_states_of_heads() -> None:
    """In pieces, with the states carried, as at once; and their gradients."""
    model = fastrnn.Heads(
        fast=fastrnn.GRU(I, H, dtype=f64, seed=0),
        plain=fastrnn.Linear(I, 2, dtype=f64, seed=1),
        slow=fastrnn.LSTM(I, H, dtype=f64, seed=2),
    )
    x = draw(T, N, I)
    y, state = model(x)
    first, middle = model(x[:2])
    second, last = model(x[2:], middle)
    for name in y:
        np.testing.assert_array_equal(
            np.concatenate([first[name], second[name]]), y[name]
        )
    np.testing.assert_array_equal(last[0], state[0])
    dx, dstate = model.backward({"fast": second["fast"]}, (None, state[1]))
    assert dx.shape == (3, N, I)
    assert dstate[0].any()
    assert dstate[1][0].any()
    _, dstate = model.backward({"fast": second["fast"]})
    assert dstate[1] is None


def test_what_heads_take() -> None:
    heads = fastrnn.Heads(a=fastrnn.Linear(H, 2), b=fastrnn.Dropout(0.1))
    assert heads.input_size == H
    assert repr(heads).splitlines() == [
        "Heads(               # 14 parameters",
        "    a=Linear(6, 2),  # 14",
        "    b=Dropout(0.1),  #  0",
        ")",
    ]
    pooled = fastrnn.Heads(a=fastrnn.Last(), b=fastrnn.MeanOverTime())
    assert pooled.removes_time
    y = pooled(draw(T, N, I), lengths=[1, 2, 3])
    np.testing.assert_array_equal(y["a"][1], draw(T, N, I)[1, 1])
    with raises(ValueError, "layers: expected at least one, got none"):
        fastrnn.Heads()
    with raises(TypeError, "a: expected a layer, got int"):
        fastrnn.Heads(a=1)  # type: ignore[arg-type]
    with raises(ValueError, "b: expected 6 inputs (those of a), got a layer of 5"):
        fastrnn.Heads(a=fastrnn.Linear(6, 2), b=fastrnn.Linear(5, 2))
    one = fastrnn.Linear(6, 2)
    with raises(ValueError, "b: expected a layer of its own, got that of a"):
        fastrnn.Heads(a=one, b=one)
    with raises(TypeError, "b: expected dtype float32 (that of a), got float64"):
        fastrnn.Heads(a=one, b=fastrnn.Linear(6, 2, dtype=f64))


def test_bad_gradients_of_heads() -> None:
    heads = fastrnn.Heads(a=fastrnn.Linear(2, 1), b=fastrnn.Linear(2, 3))
    x = np.ones((4, 2), np.float32)
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        heads.backward({})
    heads(x)
    with raises(TypeError, "dy: expected a dict of gradients by name, got ndarray"):
        heads.backward(x)  # type: ignore[arg-type]
    with raises(KeyError, "dy: expected names among 'a', 'b', got 'c'"):
        heads.backward({"c": x})
    heads.layers["a"](x)
    with raises(
        RuntimeError,
        "backward: expected no call since that of the model, got one of its layer a",
    ):
        heads.backward({"a": x[:, :1]})


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_vectors_that_are_not_trained(optimizer: str) -> None:
    embedding = fastrnn.Embedding(V, I, trainable=False, dtype=f64, seed=0)
    np.testing.assert_array_equal(
        embedding.weight, fastrnn.Embedding(V, I, dtype=f64, seed=0).weight
    )
    model = fastrnn.Sequential(
        embedding=embedding, rnn=fastrnn.GRU(I, H, dtype=f64, seed=1)
    )
    assert "embedding.weight" not in model.params
    assert list(model.buffers) == ["embedding.weight"]
    saved = model.state_dict()
    options: Any = {"lr": 0.1, "weight_decay": 0.5}
    stepper = getattr(fastrnn, optimizer)(model, **options)
    x = np.random.default_rng(0).integers(0, V, (T, N))
    y, _ = model(x, lengths=[5, 0, 2])
    model.backward(y)
    stepper.step()
    np.testing.assert_array_equal(
        model.buffers["embedding.weight"], saved["embedding.weight"]
    )
    assert (model.params["rnn.weight_hh_l0"] != saved["rnn.weight_hh_l0"]).all()
    for same in duplicates(model):
        np.testing.assert_array_equal(same(x)[0], model(x)[0])
    vectors = draw(V, I, seed=3)
    embedding.weight[...] = vectors
    np.testing.assert_array_equal(embedding(x), vectors[x])
    assert repr(embedding).startswith(
        "Embedding(7, 4, trainable=False, dtype='float64')"
    )
    with raises(TypeError, "trainable: expected a bool, got int"):
        fastrnn.Embedding(V, I, trainable=0)  # type: ignore[arg-type]
    with raises(TypeError, "1: expected dtype float64 (that of 0), got float32"):
        fastrnn.Sequential(
            fastrnn.Embedding(V, I, trainable=False, dtype=f64), fastrnn.GRU(I, H)
        )


def make_tied(trainable: bool = True) -> Any:
    rng = np.random.default_rng(0)
    embedding = fastrnn.Embedding(V, I, trainable=trainable, dtype=f64, seed=rng)
    return fastrnn.Sequential(
        embedding=embedding,
        body=fastrnn.Sequential(fastrnn.GRU(I, I, dtype=f64, seed=rng)),
        head=fastrnn.Linear(I, V, tied=embedding, dtype=f64, seed=rng),
    )


@pytest.mark.parametrize("through", ["call", "cross_entropy"])
def test_tied_weights(through: str) -> None:
    model = make_tied()
    assert [n for n in model.params if "body" not in n] == [
        "embedding.weight", "head.bias"
    ]  # fmt: skip
    assert model.layers["head"].weight is model.layers["embedding"].params["weight"]
    x = np.random.default_rng(0).integers(0, V, (T, N))
    dy = draw(T, N, V)

    def loss() -> Any:
        if through == "call":
            return (model(x)[0] * dy).sum()
        return model.cross_entropy(x, x)[0]

    loss()
    model.backward(dy if through == "call" else None)
    for name, a in model.params.items():
        found = model.grads[name].copy()
        for i in np.random.default_rng(1).choice(a.size, min(4, a.size), replace=False):
            expected = differences(a, i, loss)
            assert found.flat[i] == pytest.approx(expected, abs=1e-7), name


def test_tied_weights_against_torch() -> None:
    torch = pytest.importorskip("torch")
    layer = fastrnn.Embedding(V, I, dtype=f64, seed=0)
    head = fastrnn.Linear(I, V, tied=layer, dtype=f64, seed=1)
    other = torch.nn.Embedding(V, I, dtype=torch.float64)
    linear = torch.nn.Linear(I, V, dtype=torch.float64)
    linear.weight = other.weight
    with torch.no_grad():
        other.weight.copy_(torch.tensor(layer.weight))
        linear.bias.copy_(torch.tensor(head.params["bias"]))
    optimizer = torch.optim.AdamW([*other.parameters(), linear.bias], lr=0.1)
    adam = fastrnn.AdamW([layer, head], lr=0.1)
    x = np.array([0, 3, 3, 5])
    for _ in range(3):
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(
            linear(other(torch.tensor(x))), torch.tensor(x)
        )
        expected.backward()
        optimizer.step()
        layer.zero_grad()
        head.zero_grad()
        loss = head.cross_entropy(layer(x), x)
        layer.backward(head.backward())
        adam.step()
        assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(layer.weight, other.weight.detach().numpy(), rtol=1e-9)


def test_copies_stay_tied() -> None:
    model = make_tied()
    x = np.arange(6).reshape(3, 2)
    for same in duplicates(model):
        embedding, head = same.layers["embedding"], same.layers["head"]
        assert head.tied is embedding
        assert np.shares_memory(head.weight, same.flat_params)
        assert not np.shares_memory(head.weight, model.flat_params)
        np.testing.assert_array_equal(same(x)[0], model(x)[0])
        embedding.params["weight"][...] = 0
        assert not (same(x)[0] - same.params["head.bias"]).any()
    other = make_tied()
    other.flat_params[...] = 1
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x)[0], model(x)[0])
    assert "tied=Embedding(7, 4, dtype='float64')" in repr(model)


def test_tied_to_vectors_that_are_not_trained() -> None:
    model = make_tied(trainable=False)
    before = model.layers["embedding"].weight.copy()
    adam = fastrnn.AdamW(model, lr=0.1)
    x = np.arange(6).reshape(3, 2)
    model.cross_entropy(x, x)
    model.backward()
    adam.step()
    np.testing.assert_array_equal(model.layers["head"].weight, before)


def test_an_optimizer_needs_the_owner_of_tied_weights() -> None:
    embedding = fastrnn.Embedding(V, I)
    head = fastrnn.Sequential(fastrnn.Linear(I, V, tied=embedding))
    with raises(
        ValueError,
        "params: expected the Embedding that a Linear is tied to among the layers, "
        "got the latter alone",
    ):
        fastrnn.Adam(head)
    fastrnn.Adam([fastrnn.Sequential(embedding), head])


@bad_values(
    TypeError={
        "tied: expected an Embedding, got ndarray": {"tied": np.ones((V, I))},
        "tied: expected dtype float32 (that of the layer), got float64": {
            "tied": fastrnn.Embedding(V, I, dtype=f64)
        },
    },
    ValueError={
        "tied: expected vectors (out_features, in_features) = (7, 4), got (4, 7)": {
            "tied": fastrnn.Embedding(I, V)
        },
    },
)
def test_bad_ties(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Linear(I, V, **bad)


def test_buffers_of_own_layers() -> None:
    class Counter(fastrnn.Layer):
        def __init__(self) -> None:
            super().__init__({"w": (2,)}, np.float64, {"count": (1,)})

    layer = Counter()
    layer.buffers["count"][0] = 3
    assert list(layer.state_dict()) == ["w", "count"]
    assert copy.deepcopy(layer).buffers["count"][0] == 3
    with raises(
        ValueError, "buffers['w']: expected a name of its own, got that of a parameter"
    ):
        fastrnn.Layer({"w": (2,)}, np.float32, {"w": (2,)})
    with raises(TypeError, "buffers: expected a dict of names and shapes, got list"):
        fastrnn.Layer({}, np.float32, [])  # type: ignore[arg-type]
