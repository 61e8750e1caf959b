"""Last, MeanOverTime, MaxOverTime, Attention: lengths, padding, differences, models."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises

T, N, I = 6, 4, 4  # noqa: E741
LENGTHS = [6, 0, 1, 4]
LAYERS: dict[str, Any] = {
    "Last": lambda **_: fastrnn.Last(),
    "Last both": lambda **_: fastrnn.Last(bidirectional=True),
    "MeanOverTime": lambda **_: fastrnn.MeanOverTime(),
    "MaxOverTime": lambda **_: fastrnn.MaxOverTime(),
    "Attention": lambda **options: fastrnn.Attention(I, 5, seed=0, **options),
}
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}

layers = pytest.mark.parametrize("kind", LAYERS)
paddings = pytest.mark.parametrize("padding", ["right", "left"])
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f32", "f64"])


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def make(kind: str, dtype: Any = np.float64) -> Any:
    return LAYERS[kind](dtype=dtype)


def valid(lengths: Any, padding: str) -> Any:
    t = np.arange(T)[:, None]
    lengths = np.asarray(lengths)
    return t < lengths if padding == "right" else t >= T - lengths


def by_hand(kind: str, layer: Any, x: Any) -> Any:
    """Return y of one row's valid steps ``x [T, I]``, in NumPy."""
    if len(x) == 0:
        return np.zeros(I)
    if kind == "Last":
        return x[-1]
    if kind == "Last both":
        return np.concatenate([x[-1, : I // 2], x[0, I // 2 :]])
    if kind == "MeanOverTime":
        return x.mean(axis=0)
    if kind == "MaxOverTime":
        return x.max(axis=0)
    weight, bias, context = layer.params.values()
    scores = np.tanh(x @ weight.T + bias) @ context
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum()) @ x


@layers
@dtypes
@paddings
@pytest.mark.parametrize("batch_first", [False, True])
def test_values(kind: str, dtype: Any, padding: str, batch_first: bool) -> None:
    layer = make(kind, dtype)
    x, mask = draw(T, N, I, dtype=dtype), valid(LENGTHS, padding)
    expected = [by_hand(kind, layer, x[mask[:, n], n]) for n in range(N)]
    x[~mask] = np.nan
    given = x.swapaxes(0, 1) if batch_first else x
    before = given.copy()
    options = {"lengths": LENGTHS, "padding": padding, "batch_first": batch_first}
    y = layer(given, **options)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(given, before)
    dx = layer.backward(np.ones_like(y))
    assert dx.shape == given.shape
    assert dx.flags.c_contiguous
    dx = dx.swapaxes(0, 1) if batch_first else dx
    assert not dx[~mask].any()
    assert dx[mask].any()
    assert layer.backward(None) is None
    assert layer.eval()(given, **options).tobytes() == y.tobytes()


@layers
@paddings
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_gradients_by_differences(kind: str, padding: str, lengths: Any) -> None:
    layer, x, dy = make(kind), draw(T, N, I), draw(N, I, seed=1)
    options = {"lengths": lengths, "padding": padding}
    layer(x, **options)
    dx = layer.backward(dy)
    found, changed = [dx, *layer.grads.values()], [x, *layer.params.values()]
    for gradient, a in zip(found, changed, strict=True):
        for i in range(a.size):
            values = []
            for step in (1e-6, -2e-6):
                a.flat[i] += step
                values.append((layer(x, **options) * dy).sum())
            a.flat[i] += 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert gradient.flat[i] == pytest.approx(difference, abs=1e-8)


@layers
@dtypes
@pytest.mark.parametrize("width", [1, I])
def test_a_row_depends_on_nothing_else(kind: str, dtype: Any, width: int) -> None:
    """Bits: not on the other rows, their number, padding, or its side."""
    if width == 1 and kind in ("Last both", "Attention"):
        pytest.skip("the layer takes other sizes")
    layer, lengths = make(kind, dtype), [37, 5, 0, 21]
    x = draw(37, N, width, dtype=dtype)
    y = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone = layer(x[:length, n : n + 1].copy())
        assert alone.tobytes() == y[n : n + 1].tobytes()
    left = np.zeros_like(x)
    for n, length in enumerate(lengths):
        left[37 - length :, n] = x[:length, n]
    other = layer(left, lengths=lengths, padding="left")
    assert other.tobytes() == y.tobytes()


@layers
def test_nothing(kind: str) -> None:
    layer = make(kind)
    for shape in ((0, N, I), (T, 0, I), (0, 0, I)):
        y = layer(np.ones(shape))
        np.testing.assert_array_equal(y, np.zeros(shape[1:]))
        dx = layer.backward(y)
        assert dx.shape == shape


def test_ties_and_infinities_of_the_maximum() -> None:
    layer = fastrnn.MaxOverTime()
    x = np.full((T, 1, 2), -np.inf)
    y = layer(x, lengths=[2], padding="left")
    np.testing.assert_array_equal(y, [[-np.inf, -np.inf]])
    dx = layer.backward(np.ones((1, 2)))
    np.testing.assert_array_equal(np.flatnonzero(dx[:, 0, 0]), [T - 2])
    x[...] = 3
    layer(x)
    np.testing.assert_array_equal(
        np.flatnonzero(layer.backward(np.ones((1, 2)))), [0, 1]
    )
    x[2, 0, 1] = np.nan
    assert np.isnan(layer(x)[0, 1])


def test_shares_of_attention() -> None:
    layer = fastrnn.Attention(I, dtype=np.float64, seed=0)
    assert (layer.units, layer.input_size, layer.output_size) == (I, I, I)
    x = draw(T, N, I)
    y = layer(x, lengths=LENGTHS)
    np.testing.assert_allclose(layer.shares.sum(axis=0), [1, 0, 1, 1], rtol=1e-14)
    assert not layer.shares[~valid(LENGTHS, "right")].any()
    np.testing.assert_allclose((layer.shares[:, :, None] * x).sum(axis=0), y)
    layer.eval()(x)
    with raises(
        RuntimeError, "shares: expected the last call in training mode, got eval mode"
    ):
        _ = layer.shares


@layers
@paddings
@pytest.mark.parametrize("batch_first", [False, True])
def test_many_to_one(kind: str, padding: str, batch_first: bool) -> None:
    """In a model: the layers after it get no lengths, and the gradients are right."""
    rng = np.random.default_rng(0)
    options: Any = {"dtype": np.float64, "seed": rng}
    model = fastrnn.Sequential(
        rnn=fastrnn.GRU(
            3, I // 2, bidirectional=True, batch_first=batch_first, **options
        ),
        pooling=make(kind),
        norm=fastrnn.BatchNorm(I, dtype=np.float64),
        head=fastrnn.Linear(I, 5, **options),
    )
    assert model.removes_time
    assert (model.input_size, model.output_size) == (3, 5)
    x = draw(N, T, 3) if batch_first else draw(T, N, 3)
    how: Any = {"lengths": LENGTHS, "padding": padding}
    targets = [1, 2, 3, 0]
    model.cross_entropy(x, targets, **how)
    model.backward()
    found = {name: a.copy() for name, a in model.grads.items()}
    for name, a in model.params.items():
        for i in rng.choice(a.size, min(a.size, 3), replace=False):
            values = []
            for step in (1e-6, -2e-6):
                a.flat[i] += step
                values.append(model.cross_entropy(x, targets, **how)[0])
            a.flat[i] += 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert found[name].flat[i] == pytest.approx(difference, abs=2e-8)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same(x, **how)[0], model(x, **how)[0])
    y, _ = model(x, **how)
    nested, _ = fastrnn.Sequential(
        copy.deepcopy(model), fastrnn.LayerNorm(5, dtype="f8")
    )(x, **how)
    assert nested.shape == y.shape == (N, 5)
    if kind == "Last both":  # the final states of the directions, side by side
        rnn = copy.deepcopy(model.layers["rnn"])
        _, h = rnn(x, **how)
        pooled = fastrnn.Last(bidirectional=True)
        y = pooled(rnn(x, **how)[0], **how, batch_first=batch_first)
        np.testing.assert_array_equal(y, np.concatenate([h[0], h[1]], axis=1))


def test_repr() -> None:
    assert repr(fastrnn.Last()) == "Last()  # 0 parameters"
    assert repr(fastrnn.Last(bidirectional=True)).startswith("Last(bidirectional=True)")
    assert repr(fastrnn.MeanOverTime()) == "MeanOverTime()  # 0 parameters"
    assert repr(fastrnn.Attention(4, 5)) == "Attention(4, units=5)  # 30 parameters"


@layers
@bad_values(
    TypeError={
        "x: expected a NumPy array, got list": {"x": [[[1.0]]]},
        "lengths: expected an integer dtype, got float64": {"lengths": [1.0] * N},
        "padding: expected a str, got int": {"padding": 1},
        "batch_first: expected a bool, got int": {"batch_first": 1},
    },
    ValueError={
        "x: expected shape (T, N, I), got (4, 4)": {"x": np.ones((4, 4))},
        "x: expected shape (N, T, I), got (4, 4)": {
            "x": np.ones((4, 4)), "batch_first": True
        },
        "lengths: expected shape (N,) = (4,), got (3,)": {"lengths": [1, 2, 3]},
        "lengths: length 7 at [n=1] is out of range 0 <= length <= T = 6": {
            "lengths": [1, 7, 1, 1]
        },
        "padding: expected 'right' or 'left', got 'up'": {"padding": "up"},
    },
)  # fmt: skip
def test_bad_calls(kind: str, bad: Any, error: type[Exception], message: str) -> None:
    layer = make(kind)
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        layer.backward(np.ones((N, I)))
    with raises(error, message):
        layer(**{"x": np.ones((T, N, I)), **bad})


@layers
def test_bad_gradients(kind: str) -> None:
    layer = make(kind)
    layer(np.ones((T, N, I)))
    with raises(ValueError, "dy: expected shape (N, I) = (4, 4), got (6, 4, 4)"):
        layer.backward(np.ones((T, N, I)))
    with raises(TypeError, "dy: expected dtype float64 (that of x), got float32"):
        layer.backward(np.ones((N, I), np.float32))


def test_bad_options() -> None:
    with raises(TypeError, "bidirectional: expected a bool, got int"):
        fastrnn.Last(bidirectional=1)  # type: ignore[arg-type]
    with raises(
        ValueError, "x: expected an even number of inputs (two directions), got 3"
    ):
        fastrnn.Last(bidirectional=True)(np.ones((T, N, 3)))
    with raises(ValueError, "x: expected shape (T, N, I) with I = 4, got (6, 4, 3)"):
        make("Attention")(np.ones((T, N, 3)))
    with raises(
        TypeError, "x: expected dtype float64 (that of the layer), got float32"
    ):
        make("Attention")(np.ones((T, N, I), np.float32))
    with raises(ValueError, "units: expected units >= 1, got 0"):
        fastrnn.Attention(4, 0)
