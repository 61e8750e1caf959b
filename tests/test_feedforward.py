"""Embedding, Linear, Dropout: PyTorch's numbers, gradients, and every bad argument."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.layers import assert_close

T, N, V, I, O = 5, 3, 7, 4, 6  # noqa: E741
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}

dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f32", "f64"])


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def tokens(*shape: int) -> Any:
    return np.random.default_rng(1).integers(0, V, shape)


def tensors(torch: Any, layer: Any) -> Any:
    return {name: torch.tensor(a) for name, a in layer.state_dict().items()}


@dtypes
@pytest.mark.parametrize("shape", [(), (T,), (T, N), (2, T, N)], ids=str)
def test_embedding_against_torch(dtype: Any, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = fastrnn.Embedding(V, I, dtype=dtype, seed=0)
    other = torch.nn.Embedding(V, I, dtype=getattr(torch, np.dtype(dtype).name))
    other.load_state_dict(tensors(torch, layer))
    x, dy = tokens(*shape), draw(*shape, I, dtype=dtype)
    y = layer(x)
    expected = other(torch.tensor(x))
    np.testing.assert_array_equal(y, expected.detach().numpy())
    assert layer.backward(dy) is None
    expected.backward(torch.tensor(dy))
    found = [layer.grads["weight"]]
    assert_close(found, [other.weight.grad.numpy()], TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(), (N,), (T, N)], ids=str)
def test_linear_against_torch(dtype: Any, bias: bool, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = fastrnn.Linear(I, O, bias=bias, dtype=dtype, seed=0)
    other = torch.nn.Linear(I, O, bias, dtype=getattr(torch, np.dtype(dtype).name))
    other.load_state_dict(tensors(torch, layer))
    x, dy = draw(*shape, I, dtype=dtype), draw(*shape, O, dtype=dtype, seed=1)
    y, fed = layer(x), torch.tensor(x, requires_grad=True)
    expected = other(fed)
    dx = layer.backward(dy)
    expected.backward(torch.tensor(dy))
    found = [y, dx, *layer.grads.values()]
    wanted = [expected.detach(), fed.grad, *(p.grad for p in other.parameters())]
    assert_close(found, [a.numpy() for a in wanted], TOLERANCE[dtype])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_that_of_a_call(reduction: str) -> None:
    torch = pytest.importorskip("torch")
    layer = fastrnn.Linear(I, O, dtype=np.float64, seed=0)
    x, targets = draw(T, N, I), np.random.default_rng(0).integers(0, O, (T, N))
    targets[0, 1] = -1
    logits = torch.tensor(layer(x), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(-1, O),
        torch.tensor(targets.ravel()),
        ignore_index=-1,
        reduction=reduction,
    )
    expected.sum().backward()
    wanted = [layer.backward(logits.grad.numpy()), layer.flat_grads.copy()]
    layer.zero_grad()
    loss = layer.cross_entropy(x, targets, ignore_index=-1, reduction=reduction)
    np.testing.assert_allclose(
        np.ravel(loss), expected.detach().numpy().ravel(), rtol=1e-13
    )
    assert_close([layer.backward(), layer.flat_grads], wanted, 1e-13)
    message = "dy: expected None after cross_entropy, got ndarray"
    with raises(TypeError, message):
        layer.backward(x)
    assert layer.eval().cross_entropy(x, targets, ignore_index=-1) > 0
    with raises(
        RuntimeError, "backward: expected the last call in training mode, got eval mode"
    ):
        layer.backward()


@dtypes
def test_dropout(dtype: Any) -> None:
    layer = fastrnn.Dropout(0.25, seed=0)
    x = np.full((100, 200), 3, dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert set(np.unique(y)) == {dtype(0), dtype(3) * dtype(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.013)  # 4 σ
    np.testing.assert_array_equal(layer.backward(x), y)
    assert (layer(x) != y).any()
    again = fastrnn.Dropout(0.25, seed=0)
    np.testing.assert_array_equal(again(x), y)
    calm = layer.eval()(x)
    np.testing.assert_array_equal(calm, x)
    assert not np.shares_memory(calm, x)


def test_dropout_is_that_of_the_recurrent_layers() -> None:
    """Two layers in one, and the same two with Dropout between them."""
    both = fastrnn.LSTM(I, 8, 2, dropout=0.4, seed=0)
    first, second = fastrnn.LSTM(I, 8, seed=1), fastrnn.LSTM(8, 8, seed=1)
    arrays = both.state_dict()
    first.load_state_dict({k: a for k, a in arrays.items() if "_l0" in k})
    second.load_state_dict(
        {k.replace("_l1", "_l0"): a for k, a in arrays.items() if "_l1" in k}
    )
    rng = np.random.default_rng()
    rng.bit_generator.state = both.rng.bit_generator.state
    model = fastrnn.Sequential(first, fastrnn.Dropout(0.4, seed=rng), second)
    x, dy = draw(T, N, I, dtype=np.float32), draw(T, N, 8, dtype=np.float32)
    np.testing.assert_array_equal(model(x)[0], both(x)[0])
    np.testing.assert_array_equal(model.backward(dy)[0], both.backward(dy)[0])
    np.testing.assert_array_equal(model.flat_grads, both.flat_grads)


def test_gradients_accumulate() -> None:
    embedding = fastrnn.Embedding(V, I, dtype=np.float64, seed=0)
    linear = fastrnn.Linear(I, O, dtype=np.float64, seed=0)
    x, dy = tokens(T, N), draw(T, N, O)
    y = linear(embedding(x))
    assert y.shape == (T, N, O)
    for _ in range(2):
        embedding.backward(linear.backward(dy))
    twice = [embedding.flat_grads.copy(), linear.flat_grads.copy()]
    for layer in (embedding, linear):
        layer.zero_grad()
    embedding.backward(linear.backward(dy))
    for a, b in zip(twice, (embedding, linear), strict=True):
        np.testing.assert_array_equal(a, 2 * b.flat_grads)
    embedding.backward(None)
    np.testing.assert_array_equal(twice[0], 2 * embedding.flat_grads)


def test_a_token_that_did_not_come_has_no_gradient() -> None:
    layer = fastrnn.Embedding(V, I, seed=0)
    layer([[2, 5], [5, 2]])
    layer.backward(np.ones((2, 2, I), np.float32))
    expected = np.zeros((V, I))
    expected[[2, 5]] = 2
    np.testing.assert_array_equal(layer.grads["weight"], expected)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_tokens_on_padding_are_not_read(padding: str, batch_first: bool) -> None:
    layer = fastrnn.Embedding(V, I, dtype=np.float64, seed=0)
    lengths, x = [3, 0, 5], tokens(T, N)
    valid = np.arange(T)[:, None] < lengths
    if padding == "left":
        valid = valid[::-1]
    marked, dy = np.where(valid, x, -1), draw(T, N, I)
    if batch_first:
        x, marked, valid, dy = x.T, marked.T, valid.T, dy.swapaxes(0, 1).copy()
    expected = np.where(valid[:, :, None], layer(x), 0)
    layer.backward(np.where(valid[:, :, None], dy, 0))
    grads = layer.flat_grads.copy()
    layer.zero_grad()
    how = {"lengths": lengths, "padding": padding, "batch_first": batch_first}
    y = layer(marked, **how)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, expected)
    layer.backward(dy)  # what it holds on padding is not read
    np.testing.assert_allclose(layer.flat_grads, grads, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_reach_an_embedding_in_a_model(batch_first: bool, nested: bool) -> None:
    """Also where T = N, so that only the layout tells which axis is time."""
    rng, lengths = np.random.default_rng(0), [3, 1, 2]
    embedding: Any = fastrnn.Embedding(V, I, seed=rng)
    rnn = fastrnn.GRU(I, 8, batch_first=batch_first, seed=rng)
    if nested:
        embedding = fastrnn.Sequential(embedding)
    model = fastrnn.Sequential(embedding, rnn)
    x = tokens(3, 3)
    valid = np.arange(3)[:, None] < lengths
    marked = np.where(valid, x, -1)
    if batch_first:
        x, marked = x.T, marked.T
    y, state = model(marked, lengths=lengths)
    expected, wanted = rnn(
        (embedding.layers["0"] if nested else embedding)(x), lengths=lengths
    )
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(state[-1], wanted)
    with raises(
        ValueError,
        f"batch_first: expected {batch_first} (that of the layers), "
        f"got {not batch_first}",
    ):
        model(x, batch_first=not batch_first)


def test_two_layouts_in_one_model() -> None:
    layers = (
        fastrnn.GRU(3, 3),
        fastrnn.Linear(3, 3),
        fastrnn.GRU(3, 3, batch_first=True),
    )
    with raises(ValueError, "2: expected batch_first=False (that of 0), got True"):
        fastrnn.Sequential(*layers)


@bad_values(
    TypeError={
        "batch_first: expected a bool, got int": {"batch_first": 1},
        "padding: expected a str, got int": {"padding": 1},
        "lengths: expected an integer dtype, got float64": {"lengths": np.ones(N)},
    },
    ValueError={
        "padding: expected 'right' or 'left', got 'no'": {"padding": "no"},
        "lengths: expected shape (N,) = (3,), got (2,)": {"lengths": [1, 2]},
        "lengths: length 6 at [n=1] is out of range 0 <= length <= T = 5": {
            "lengths": [0, 6, 1]
        },
        "x: token -1 at [t=1, n=0] is out of range 0 <= token < V = 7": {
            "lengths": [2, 1, 1]
        },
        "x: expected shape (T, N), got (5,)": {
            "x": np.zeros(T, np.int64), "lengths": [5]
        },
    },
)  # fmt: skip
def test_bad_options_of_embedding(
    bad: Any, error: type[Exception], message: str
) -> None:
    x = tokens(T, N)
    x[1:] = -1 if "lengths" in bad else 0
    with raises(error, message):
        fastrnn.Embedding(V, I)(**{"x": x, **bad})


def test_empty() -> None:
    embedding, linear = fastrnn.Embedding(V, I, seed=0), fastrnn.Linear(I, O, seed=0)
    x = np.zeros((0, N), np.int64)
    y = linear(embedding(x))
    assert y.shape == (0, N, O)
    assert linear.backward(y).shape == (0, N, I)
    embedding.backward(np.zeros((0, N, I), np.float32))
    assert not embedding.flat_grads.any()


def test_first_values() -> None:
    weight = fastrnn.Embedding(200, 100, seed=0).params["weight"]
    assert abs(weight.mean()) < 0.03
    assert weight.std() == pytest.approx(1, abs=0.03)
    layer = fastrnn.Linear(16, 2000, seed=0)
    for a in layer.params.values():
        assert abs(a.mean()) < 0.02
        assert np.abs(a).max() == pytest.approx(0.25, abs=0.001)
        assert np.abs(a).max() <= 0.25


# --- bad arguments -------------------------------------------------------------------


@bad_values(
    TypeError={
        "num_embeddings: expected an int, got float": {"num_embeddings": 1.0},
        "embedding_dim: expected an int, got bool": {"embedding_dim": True},
        "dtype: expected float32 or float64, got int64": {"dtype": np.int64},
        "seed: expected None, an int >= 0 or a NumPy generator, got 'a'": {"seed": "a"},
    },
    ValueError={
        "num_embeddings: expected num_embeddings >= 1, got 0": {"num_embeddings": 0},
        "embedding_dim: expected embedding_dim >= 1, got -2": {"embedding_dim": -2},
    },
)
def test_bad_embeddings(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Embedding(**{"num_embeddings": V, "embedding_dim": I, **bad})


@bad_values(
    TypeError={
        "in_features: expected an int, got float": {"in_features": 1.0},
        "out_features: expected an int, got NoneType": {"out_features": None},
        "bias: expected a bool, got int": {"bias": 1},
    },
    ValueError={
        "in_features: expected in_features >= 1, got 0": {"in_features": 0},
        "out_features: expected out_features >= 1, got 0": {"out_features": 0},
    },
)
def test_bad_linear_layers(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Linear(**{"in_features": I, "out_features": O, **bad})


@bad_values(
    TypeError={"p: expected a number, got str": "0.5"},
    ValueError={
        "p: expected 0 <= p < 1, got 1": 1,
        "p: expected 0 <= p < 1, got -0.1": -0.1,
    },
)
def test_bad_dropout(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Dropout(bad)


@bad_values(
    TypeError={
        "x: expected an integer dtype, got float32": np.ones((T, N), np.float32),
        "x: expected an integer dtype, got bool": np.ones((T, N), bool),
    },
    ValueError={
        "x: token 7 at [1, 0] is out of range 0 <= token < V = 7": [[0], [7]],
        "x: token -1 at [0, 1] is out of range 0 <= token < V = 7": [[0, -1]],
        "x: expected a rectangular array, got a ragged list": [[0, 1], [1]],
    },
)
def test_bad_tokens(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        fastrnn.Embedding(V, I)(bad)


@bad_values(
    TypeError={
        "x: expected a NumPy array, got list": [[1.0] * I],
        "x: expected dtype float32 (that of the layer), got float64": draw(T, N, I),
    },
    ValueError={
        f"x: expected shape (..., I) with I = 4, got {(T, N, 5)}": draw(
            T, N, 5, dtype=np.float32
        ),
        "x: expected shape (..., I), got ()": np.array(1, np.float32),
    },
)
def test_bad_inputs_of_linear(bad: Any, error: type[Exception], message: str) -> None:
    layer = fastrnn.Linear(I, O)
    with raises(error, message):
        layer(bad)
    with raises(error, message):
        layer.cross_entropy(bad, [0])


@bad_values(
    TypeError={
        "dy: expected dtype float32 (that of the layer), got float64": draw(T, N, I)
    },
    ValueError={
        f"dy: expected shape (..., {{}}) = {(T, N, I)}, got {(T, I)}": draw(
            T, I, dtype=np.float32
        )
    },
)
def test_bad_gradients(bad: Any, error: type[Exception], message: str) -> None:
    embedding, linear = fastrnn.Embedding(V, I), fastrnn.Linear(I, I)
    for layer in (embedding, linear):
        with raises(
            RuntimeError, "backward: expected a call of the layer before it, got none"
        ):
            layer.backward(bad)
    linear(embedding(tokens(T, N)))
    for layer, symbol in ((embedding, "I"), (linear, "O")):
        with raises(error, message.replace("{}", symbol)):
            layer.backward(bad)
        assert not layer.flat_grads.any()
    with raises(TypeError, "dy: expected the gradient of y, got None"):
        linear.backward()


def test_bad_calls_of_dropout() -> None:
    layer = fastrnn.Dropout(0.5)
    x = np.ones((T, N), np.float32)
    with raises(TypeError, "x: expected dtype float32 or float64, got int64"):
        layer(tokens(T, N))
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        layer.backward(x)
    layer(x)
    with raises(TypeError, "dy: expected dtype float32 (that of x), got float64"):
        layer.backward(x.astype(np.float64))
    with raises(ValueError, "dy: expected shape (...) of x = (5, 3), got (5,)"):
        layer.backward(x[:, 0])
