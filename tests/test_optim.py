"""Optimizers: the papers' equations, PyTorch's numbers, equal bits everywhere."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from tests.errors import raises

# Every branch of every rule, with values other than the defaults.
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-decay": ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    "sgd-momentum": ("SGD", {"lr": 0.1, "momentum": 0.8}),
    "sgd-nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "sgd-all": (
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.3},
    ),
    "rmsprop": ("RMSprop", {}),
    "rmsprop-eps": ("RMSprop", {"lr": 0.1, "alpha": 0.7, "eps": 0.1}),
    "rmsprop-all": (
        "RMSprop",
        {"lr": 0.1, "alpha": 0.7, "eps": 0.1, "momentum": 0.8, "weight_decay": 0.3},
    ),
    "adagrad": ("Adagrad", {}),
    "adagrad-all": ("Adagrad", {"lr": 0.1, "eps": 0.1, "weight_decay": 0.3}),
    "adam": ("Adam", {}),
    "adam-all": (
        "Adam",
        {"lr": 0.1, "betas": (0.7, 0.8), "eps": 0.1, "weight_decay": 0.3},
    ),
    "adamw": ("AdamW", {}),
    "adamw-all": (
        "AdamW",
        {"lr": 0.1, "betas": (0.7, 0.8), "eps": 0.1, "weight_decay": 0.3},
    ),
}
DTYPES = (np.float32, np.float64)
# Around the lanes of one, two and four vectors of every instruction set; several arrays
# of several ranks.
SHAPES: tuple[tuple[int, ...], ...] = (
    (1,), (2, 1), (7,), (8,), (3, 3), (15,), (4, 2, 2), (17,), (31,), (33,), (131,),
)  # fmt: skip
STEPS = 5

rules = pytest.mark.parametrize("rule", RULES)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    isa, threads = fastrnn.isa(), fastrnn.get_num_threads()
    yield
    _core.select_isa(isa)
    fastrnn.set_num_threads(threads)


def draw(dtype: Any, shapes: Any = SHAPES) -> tuple[list[Any], list[list[Any]]]:
    """Return parameters, and gradients for each step."""
    rng = np.random.default_rng(0)
    params, *grads = (
        [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        for _ in range(1 + STEPS)
    )
    return params, grads


def run(rule: str, dtype: Any, shapes: Any = SHAPES) -> list[Any]:
    """Return the parameters after some steps."""
    name, options = RULES[rule]
    params, grads = draw(dtype, shapes)
    optimizer = getattr(fastrnn, name)(params, **options)
    for g in grads:
        optimizer.step(g)
    return params


def transcribe(
    rule: str,
    p: float,
    grads: list[float],
    *,
    lr: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    alpha: float = 0.99,
    eps: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float | None = None,
) -> float:
    """Apply the steps to one number, as the papers write them."""
    default = {"SGD": math.nan, "RMSprop": 1e-2, "Adagrad": 1e-2}.get(rule, 1e-3)
    lr = default if lr is None else lr
    eps = (1e-10 if rule == "Adagrad" else 1e-8) if eps is None else eps
    decay = weight_decay
    if decay is None:
        decay = 1e-2 if rule == "AdamW" else 0.0
    u = m = v = 0.0
    for t, g in enumerate(grads, 1):
        if rule == "AdamW":
            p = p - lr * decay * p
        else:
            g = g + decay * p
        if rule == "SGD":
            direction = g
        elif rule == "RMSprop":
            v = alpha * v + (1 - alpha) * g**2
            direction = g / (math.sqrt(v) + eps)
        elif rule == "Adagrad":
            v = v + g**2
            direction = g / (math.sqrt(v) + eps)
        else:
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
            direction = m_hat / (math.sqrt(v_hat) + eps)
        if momentum:
            u = momentum * u + direction
            direction = direction + momentum * u if nesterov else u
        p = p - lr * direction
    return p


def assert_close(got: list[Any], expected: list[Any], dtype: Any) -> None:
    """Each step rounds about ten times, at the size of the parameters: below 8."""
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        atol = 10 * STEPS * np.finfo(dtype).eps * 8
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@rules
@dtypes
def test_equations(rule: str, dtype: Any) -> None:
    name, options = RULES[rule]
    params, grads = draw(dtype)
    expected = []
    for i, p in enumerate(params):
        columns = np.stack([g[i].ravel() for g in grads], axis=1)
        numbers = [
            transcribe(name, float(a), [float(g) for g in column], **options)
            for a, column in zip(p.ravel(), columns, strict=True)
        ]
        expected.append(np.reshape(numbers, p.shape))
        assert np.abs(expected[-1]).max() < 8
    assert_close(run(rule, dtype), expected, dtype)


@rules
@dtypes
def test_torch(rule: str, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    name, options = RULES[rule]
    params, grads = draw(dtype)
    tensors = [torch.tensor(p) for p in params]
    optimizer = getattr(torch.optim, name)(tensors, **options)
    for g in grads:
        for tensor, a in zip(tensors, g, strict=True):
            tensor.grad = torch.tensor(a)
        optimizer.step()
    assert_close(run(rule, dtype), [t.numpy() for t in tensors], dtype)


@rules
@dtypes
def test_every_instruction_set_gives_the_same_bits(rule: str, dtype: Any) -> None:
    results = []
    for isa in fastrnn.available_isas():
        _core.select_isa(isa)
        assert fastrnn.isa() == isa
        results.append([p.tobytes() for p in run(rule, dtype)])
    assert all(result == results[0] for result in results)


@rules
@dtypes
def test_every_number_of_threads_gives_the_same_bits(rule: str, dtype: Any) -> None:
    results = []
    for threads in (1, 2, 3):
        fastrnn.set_num_threads(threads)
        results.append(run(rule, dtype, [(70_001,)])[0].tobytes())
    assert results[1:] == results[:1] * 2


@rules
def test_elements_do_not_touch_one_another(rule: str) -> None:
    """Not even NaN: the other arrays are as without it."""
    name, options = RULES[rule]
    for place in (0, 16, 32):
        results = []
        for value in (1.0, np.nan):
            p, g = np.ones(33, np.float32), np.ones(33, np.float32)
            g[place] = value
            getattr(fastrnn, name)(p, **options).step(g)
            results.append(p)
        others = np.arange(33) != place
        np.testing.assert_array_equal(results[0][others], results[1][others])
        assert np.isnan(results[1][place])


@rules
@pytest.mark.parametrize("size", [1, 15, 17, 33])
def test_what_lies_around_is_not_touched(size: int, rule: str) -> None:
    name, options = RULES[rule]
    buffer = np.full(size + 34, 5, np.float32)
    getattr(fastrnn, name)(buffer[17:-17], **options).step(np.ones(size, np.float32))
    assert (buffer[17:-17] < 5).all()
    assert (buffer[:17] == 5).all()
    assert (buffer[-17:] == 5).all()


def test_no_weight_decay_does_not_read_the_parameters() -> None:
    """0 times infinity would be NaN."""
    p = np.array([np.inf, -np.inf, 1], np.float32)
    fastrnn.SGD(p, 0.5).step(np.ones(3, np.float32))
    np.testing.assert_array_equal(p, [np.inf, -np.inf, 0.5])


@rules
def test_state_continues_exactly(rule: str) -> None:
    name, options = RULES[rule]
    expected = run(rule, np.float64)
    params, grads = draw(np.float64)
    first = getattr(fastrnn, name)(params, **options)
    for g in grads[:2]:
        first.step(g)
    saved = first.state_dict()
    copies = [p.copy() for p in params]
    first.step(grads[2])  # must not change what was saved
    second = getattr(fastrnn, name)(copies, **options)
    second.load_state_dict(saved)
    for g in grads[2:]:
        second.step(g)
    for a, b in zip(copies, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.state_dict()["step"] == STEPS


@pytest.mark.parametrize(
    ("rule", "symbols"),
    [("sgd", ""), ("sgd-nesterov", "u"), ("rmsprop", "v"), ("rmsprop-all", "uv"),
     ("adagrad", "v"), ("adam", "mv"), ("adamw", "mv")],
)  # fmt: skip
def test_names_of_the_state(rule: str, symbols: str) -> None:
    name, options = RULES[rule]
    params = [np.ones((2, 3)), np.ones(4)]
    optimizer = getattr(fastrnn, name)(params, **options)
    optimizer.step([np.ones((2, 3)), np.ones(4)])
    state = optimizer.state_dict()
    assert list(state) == ["step"] + [f"{s}.{i}" for s in symbols for i in range(2)]
    assert (state["step"].dtype, state["step"].shape) == (np.int64, ())
    for key, a in state.items():
        if key != "step":
            assert (a.dtype, a.shape) == (np.float64, params[int(key[-1])].shape)
            assert (a != 0).all()


def test_one_array_and_a_sequence_are_the_same() -> None:
    p, q = np.ones(5), np.ones(5)
    one, several = fastrnn.Adam(p), fastrnn.Adam((q[:2], q[2:]))
    g = np.arange(1.0, 6.0)
    one.step(g)
    several.step(a for a in (g[:2], g[2:]))
    np.testing.assert_array_equal(p, q)
    assert p[0] < 1


def test_lr_can_be_set() -> None:
    p = np.ones(3)
    sgd = fastrnn.SGD(p, 0.5)
    sgd.lr = np.float32(0.25)
    assert sgd.lr == 0.25
    sgd.step(np.ones(3))
    np.testing.assert_array_equal(p, 0.75)
    with raises(ValueError, "lr: expected a finite number >= 0, got -1"):
        sgd.lr = -1
    assert sgd.lr == 0.25


def test_strided_gradients_are_copied() -> None:
    p = np.zeros((2, 3))
    g = np.arange(6.0).reshape(3, 2).T
    fastrnn.SGD(p, 1.0).step(g)
    np.testing.assert_array_equal(p, -g)


def test_empty_arrays() -> None:
    p = [np.zeros(0), np.ones(1)]
    fastrnn.Adam(p, 0.5).step([np.zeros(0), np.ones(1)])
    np.testing.assert_allclose(p[1], 0.5)
