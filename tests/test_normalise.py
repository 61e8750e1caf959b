"""LayerNorm, BatchNorm: PyTorch's numbers, differences, padding, averages, bits."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.layers import assert_close

T, N, H = 7, 4, 5
LENGTHS = [7, 0, 2, 5]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}
KINDS = ("LayerNorm", "BatchNorm")

kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["f32", "f64"])
paddings = pytest.mark.parametrize("padding", ["right", "left"])


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (3 * rng.standard_normal(shape) + 1).astype(dtype)


def make(kind: str, dtype: Any = np.float64, **options: Any) -> Any:
    layer = getattr(fastrnn, kind)(H, dtype=dtype, **options)
    for name, a in layer.params.items():
        a[...] = draw(H, dtype=dtype, seed=len(name))
    return layer


def valid(padding: str) -> Any:
    t = np.arange(T)[:, None]
    lengths = np.array(LENGTHS)
    return t < lengths if padding == "right" else t >= T - lengths


@kinds
@dtypes
@pytest.mark.parametrize("shape", [(6, H), (T, N, H), (2, T, N, H)], ids=str)
def test_against_torch(kind: str, dtype: Any, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer = make(kind, dtype)
    make_other = torch.nn.LayerNorm if kind == "LayerNorm" else torch.nn.BatchNorm1d
    other = make_other(H, dtype=torch.float64)
    state = {k: torch.tensor(a.astype(float)) for k, a in layer.state_dict().items()}
    other.load_state_dict(state, strict=kind == "LayerNorm")
    for seed in range(3):
        x, dy = draw(*shape, dtype=dtype, seed=seed), draw(*shape, dtype=dtype, seed=9)
        fed = torch.tensor(x.astype(float), requires_grad=True)
        expected = other(fed if kind == "LayerNorm" else fed.reshape(-1, H))
        expected = expected.reshape(shape)
        expected.backward(torch.tensor(dy.astype(float)))
        before = x.copy()
        y, dx = layer(x), layer.backward(dy)
        wanted = [expected.detach().numpy(), fed.grad.numpy()]
        assert_close([y, dx], [a.astype(dtype) for a in wanted], 4 * TOLERANCE[dtype])
        np.testing.assert_array_equal(x, before)
    grads = [p.grad.numpy().astype(dtype) for p in other.parameters()]
    assert_close(list(layer.grads.values()), grads, 10 * TOLERANCE[dtype])
    if kind == "BatchNorm":
        running = [other.running_mean.numpy(), other.running_var.numpy()]
        for a, b in zip(layer.buffers.values(), running, strict=True):
            np.testing.assert_allclose(a, b, rtol=10 * TOLERANCE[dtype])
    x = draw(*shape, dtype=dtype)
    calm = other.eval()(torch.tensor(x.astype(float)).reshape(-1, H)).reshape(shape)
    assert_close(
        [layer.eval()(x)], [calm.detach().numpy().astype(dtype)], 4 * TOLERANCE[dtype]
    )


@kinds
def test_gradients_by_differences(kind: str) -> None:
    layer, x, dy = make(kind), draw(T, N, H), draw(T, N, H, seed=1)
    layer(x)
    dx = layer.backward(dy)
    found, changed = [dx, *layer.grads.values()], [x, *layer.params.values()]
    for gradient, a in zip(found, changed, strict=True):
        for i in np.random.default_rng(0).choice(a.size, 5, replace=False):
            values = []
            for step in (1e-6, -2e-6):
                a.flat[i] += step
                values.append((layer(x) * dy).sum())
            a.flat[i] += 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert gradient.flat[i] == pytest.approx(difference, abs=1e-7)
    assert layer.backward(None) is None


@dtypes
@paddings
@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_takes_no_part(dtype: Any, padding: str, batch_first: bool) -> None:
    mask, x, dy = valid(padding), draw(T, N, H, dtype=dtype), draw(T, N, H, dtype=dtype)
    layer, other = make("BatchNorm", dtype), make("BatchNorm", dtype)
    x[~mask] = dy[~mask] = np.nan
    options: Any = {"lengths": LENGTHS, "padding": padding, "batch_first": batch_first}
    swap = (lambda a: a.swapaxes(0, 1)) if batch_first else (lambda a: a)
    y = swap(layer(swap(x), **options))
    dx = swap(layer.backward(swap(dy)))
    expected, dexpected = other(x[mask]), other.backward(dy[mask])
    tolerance = TOLERANCE[dtype] * 10
    np.testing.assert_allclose(y[mask], expected, atol=tolerance)
    np.testing.assert_allclose(dx[mask], dexpected, atol=tolerance)
    assert not y[~mask].any()
    assert not dx[~mask].any()
    for name, a in other.buffers.items():
        np.testing.assert_allclose(layer.buffers[name], a, rtol=tolerance)
    calm = swap(layer.eval()(swap(x), **options))
    assert not calm[~mask].any()
    np.testing.assert_allclose(calm[mask], layer(x[mask]), atol=tolerance)


@dtypes
def test_a_row_of_layer_norm_depends_on_nothing_else(dtype: Any) -> None:
    for size in (1, 7, 130):
        layer = fastrnn.LayerNorm(size, dtype=dtype)
        x = draw(T, N, size, dtype=dtype)
        y = layer(x)
        for n in range(N):
            assert layer(x[:, n]).tobytes() == y[:, n].tobytes()
            assert layer(x[2, n]).tobytes() == y[2, n].tobytes()


def test_the_running_averages_belong_to_the_layer() -> None:
    """Saved, loaded, copied, pickled, in models and apart; not seen by optimizers."""
    norm = fastrnn.BatchNorm(H, dtype=np.float64)
    model = fastrnn.Sequential(
        body=fastrnn.Sequential(norm=norm),
        head=fastrnn.Linear(H, 2, dtype=np.float64, seed=0),
    )
    names = ["body.norm.running_mean", "body.norm.running_var"]
    assert list(model.buffers) == names
    assert list(model.state_dict()) == [*model.params, *names]
    assert model.flat_params.size == 2 * H + 2 * H + 2
    for seed in range(3):
        model(draw(T, N, H, seed=seed))
    saved = model.state_dict()
    assert saved[names[0]].any()
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for name in names:
            np.testing.assert_array_equal(same.buffers[name], saved[name])
            assert not np.shares_memory(same.buffers[name], model.buffers[name])
        same.eval()
        np.testing.assert_array_equal(
            same(draw(T, N, H))[0], copy.deepcopy(model).eval()(draw(T, N, H))[0]
        )
    adam = fastrnn.AdamW(model, weight_decay=0.5)
    model.flat_grads[...] = 1
    adam.step()
    for name in names:
        np.testing.assert_array_equal(model.buffers[name], saved[name])
    model(draw(T, N, H, seed=5))
    assert (model.buffers[names[0]] != saved[names[0]]).all()
    model.load_state_dict(saved)
    for name, a in model.state_dict().items():
        np.testing.assert_array_equal(a, saved[name])
    with pytest.raises(KeyError, match=r"'body.norm.running_var' missing"):
        model.load_state_dict({k: a for k, a in saved.items() if k != names[1]})
    with pytest.raises(AttributeError, match="got another object in its place"):
        model.buffers[names[0]] = np.ones(H)


def test_files_hold_the_averages(tmp_path: Any) -> None:
    layer = fastrnn.BatchNorm(H)
    layer(draw(T, H, dtype=np.float32))
    fastrnn.save(tmp_path / "norm.safetensors", layer)
    other = fastrnn.BatchNorm(H)
    other.load_state_dict(fastrnn.load(tmp_path / "norm.safetensors")[0])
    for name, a in layer.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], a)


@kinds
def test_nothing_and_extremes(kind: str) -> None:
    layer = make(kind)
    before = layer.state_dict()
    y = layer(np.ones((0, N, H)))
    assert y.shape == layer.backward(y).shape == (0, N, H)
    with np.errstate(all="raise"):
        x = draw(T, N, H)
        x[1, 2, 3] = np.nan
        assert np.isnan(layer(x)).any()
        constant = layer(np.full((T, N, H), 7.0))
    np.testing.assert_allclose(constant, np.broadcast_to(before["bias"], (T, N, H)))


def test_all_padding_leaves_the_averages() -> None:
    layer = make("BatchNorm")
    before = layer.state_dict()
    assert not layer(draw(T, N, H), lengths=[0] * N).any()
    for name, a in layer.state_dict().items():
        np.testing.assert_array_equal(a, before[name])


@kinds
def test_in_a_model(kind: str) -> None:
    rng = np.random.default_rng(0)
    model = fastrnn.Sequential(
        first=fastrnn.GRU(3, H, dtype=np.float64, seed=rng, batch_first=True),
        norm=make(kind),
        second=fastrnn.GRU(H, H, dtype=np.float64, seed=rng, batch_first=True),
    )
    x, how = draw(N, T, 3), {"lengths": LENGTHS, "padding": "left"}
    y, _ = model(x, **how)
    dx, _ = model.backward(y)
    i = (3, 4, 1)
    values = []
    for step in (1e-6, -2e-6):
        x[i] += step
        y, _ = model(x, **how)
        values.append((y * y).sum() / 2)
    assert dx[i] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-8)


def test_repr() -> None:
    assert repr(fastrnn.LayerNorm(8)) == "LayerNorm(8)  # 16 parameters"
    layer = fastrnn.BatchNorm(8, momentum=0.01)
    assert repr(layer) == "BatchNorm(8, momentum=0.01)  # 16 parameters"


@kinds
@bad_values(
    TypeError={
        "hidden_size: expected an int, got float": {"hidden_size": 2.0},
        "eps: expected a number, got str": {"eps": "x"},
        "dtype: expected float32 or float64, got int64": {"dtype": np.int64},
    },
    ValueError={
        "hidden_size: expected hidden_size >= 1, got 0": {"hidden_size": 0},
        "eps: expected a finite eps > 0, got 0": {"eps": 0},
    },
)
def test_bad_options(kind: str, bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        getattr(fastrnn, kind)(**{"hidden_size": H, **bad})


@kinds
def test_bad_calls(kind: str) -> None:
    layer = make(kind)
    with raises(
        RuntimeError, "backward: expected a call of the layer before it, got none"
    ):
        layer.backward(np.ones((T, N, H)))
    with raises(TypeError, "x: expected dtype float64 (that of the layer), got int64"):
        layer(np.ones((T, H), int))
    with raises(ValueError, "x: expected shape (..., H) with H = 5, got (7, 4)"):
        layer(np.ones((T, N)))
    with raises(ValueError, "x: expected shape (..., H), got ()"):
        layer(np.array(1.0))
    layer(draw(T, N, H))
    with raises(ValueError, "dy: expected shape (..., H) of x = (7, 4, 5), got (4, 5)"):
        layer.backward(np.ones((N, H)))


def test_bad_calls_of_batch_norm() -> None:
    layer, x = make("BatchNorm"), draw(T, N, H)
    before = layer.state_dict()
    message = "x: expected several valid steps in training mode, got a single one"
    with raises(ValueError, message):
        layer(x[:1, :1])
    with raises(ValueError, message):
        layer(x, lengths=[1, 0, 0, 0])
    with raises(ValueError, "momentum: expected 0 <= momentum <= 1, got 2"):
        fastrnn.BatchNorm(H, momentum=2)
    with raises(ValueError, "x: expected shape (T, N, I), got (7, 5)"):
        layer(x[:, 0], lengths=[1])
    with raises(ValueError, "padding: expected 'right' or 'left', got 'up'"):
        layer(x, padding="up")
    with raises(TypeError, "batch_first: expected a bool, got int"):
        layer(x, batch_first=1)
    for name, a in layer.state_dict().items():
        np.testing.assert_array_equal(a, before[name])
    assert layer.eval()(x[:1, :1]).shape == (1, 1, H)


def test_the_running_averages_by_hand() -> None:
    layer, x = fastrnn.BatchNorm(H, momentum=0.25, dtype=np.float64), draw(T, N, H)
    layer(x)
    rows = x.reshape(-1, H)
    mean, variance = layer.buffers.values()
    np.testing.assert_allclose(mean, 0.25 * rows.mean(axis=0))
    np.testing.assert_allclose(variance, 0.75 + 0.25 * rows.var(axis=0, ddof=1))
