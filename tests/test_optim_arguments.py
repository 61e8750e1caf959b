"""Optimizers: every bad argument gets its message and changes nothing."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises

ONE = np.ones(3, np.float32)
READ_ONLY = np.ones(3, np.float32)
READ_ONLY.flags.writeable = False
MISALIGNED = np.zeros(13, np.uint8)[1:].view(np.float32)
SEQUENCE = "expected a NumPy array or a sequence of them"
FLOATS = "expected dtype float32 or float64"
CONTIGUOUS = "expected a C-contiguous array"


@bad_values(
    TypeError={
        f"params: {SEQUENCE}, got NoneType": None,
        f"params: {SEQUENCE}, got dict": {"w": ONE},
        f"params: {SEQUENCE}, got str": "weights",
        "params[1]: expected a NumPy array, got list": [ONE, [1.0]],
        "params[0]: expected a NumPy array, got float": [1.0],
        f"params: {FLOATS}, got int64": np.ones(3, np.int64),
        f"params[1]: {FLOATS}, got >f4": [ONE, ONE.astype(">f4")],
        "params[1]: expected dtype float32 (that of params[0]), got float64": [
            ONE,
            np.ones(3),
        ],
    },
    ValueError={
        "params: expected at least one array, got none": [],
        "params[1]: expected a writeable array, got a read-only one": [ONE, READ_ONLY],
        f"params: {CONTIGUOUS}, got a strided one": ONE[::2],
        f"params[0]: {CONTIGUOUS}, got a strided one": [np.ones((2, 3)).T],
        f"params: {CONTIGUOUS}, got a misaligned one": MISALIGNED,
    },
)
def test_bad_params(bad: Any, error: type[Exception], message: str) -> None:
    for name in ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW"):
        with raises(error, message):
            getattr(fastrnn, name)(bad, 0.1)


@bad_values(
    TypeError={
        "grads: expected one array, got a sequence of arrays": (ONE, [ONE]),
        "grads: expected a sequence of arrays, got one array": ([ONE], ONE),
        f"grads: {SEQUENCE}, got NoneType": ([ONE], None),
        "grads[1]: expected a NumPy array, got NoneType": ([ONE, ONE], [ONE, None]),
        "grads[1]: expected dtype float32 (that of params[1]), got float64": (
            [ONE, ONE],
            [ONE, np.ones(3)],
        ),
        "grads: expected dtype float32 (that of params), got float64": (
            ONE,
            np.ones(3),
        ),
    },
    ValueError={
        "grads: expected 2 arrays, got 1": ([ONE, ONE], [ONE]),
        "grads[1]: expected shape (3,) (that of params[1]), got (2,)": (
            [ONE, ONE],
            [ONE, ONE[:2]],
        ),
        "grads: expected shape (3,) (that of params), got (3, 1)": (ONE, ONE[:, None]),
    },
)
def test_bad_grads(bad: Any, error: type[Exception], message: str) -> None:
    params, grads = bad
    optimizer = fastrnn.Adam(params)
    with raises(error, message):
        optimizer.step(grads)
    np.testing.assert_array_equal(ONE, 1)
    assert optimizer.state_dict()["step"] == 0


NUMBER = "expected a finite number >= 0"


@bad_values(
    TypeError={
        "lr: expected a number, got str": ("Adam", {"lr": "1"}),
        "lr: expected a number, got bool": ("SGD", {"lr": True}),
        "nesterov: expected a bool, got int": ("SGD", {"nesterov": 1}),
        "momentum: expected a number, got NoneType": ("RMSprop", {"momentum": None}),
        "betas: expected a pair, got float": ("Adam", {"betas": 0.9}),
    },
    ValueError={
        f"lr: {NUMBER}, got -0.1": ("SGD", {"lr": -0.1}),
        f"lr: {NUMBER}, got nan": ("Adagrad", {"lr": np.nan}),
        f"lr: {NUMBER}, got inf": ("AdamW", {"lr": np.inf}),
        f"momentum: {NUMBER}, got -1": ("SGD", {"momentum": -1}),
        f"momentum: {NUMBER}, got -2": ("RMSprop", {"momentum": -2}),
        "momentum: expected momentum > 0 with nesterov, got 0": (
            "SGD",
            {"nesterov": True},
        ),
        f"weight_decay: {NUMBER}, got -1": ("SGD", {"weight_decay": -1}),
        f"weight_decay: {NUMBER}, got -2": ("RMSprop", {"weight_decay": -2}),
        f"weight_decay: {NUMBER}, got -3": ("Adagrad", {"weight_decay": -3}),
        f"weight_decay: {NUMBER}, got -4": ("Adam", {"weight_decay": -4}),
        f"weight_decay: {NUMBER}, got inf": ("AdamW", {"weight_decay": np.inf}),
        f"eps: {NUMBER}, got -1": ("RMSprop", {"eps": -1}),
        f"eps: {NUMBER}, got nan": ("Adagrad", {"eps": np.nan}),
        f"eps: {NUMBER}, got -2": ("Adam", {"eps": -2}),
        "alpha: expected 0 <= alpha < 1, got 1": ("RMSprop", {"alpha": 1}),
        "betas: expected a pair, got 1 numbers": ("Adam", {"betas": (0.9,)}),
        "betas[0]: expected 0 <= betas[0] < 1, got 1.0": (
            "Adam",
            {"betas": (1.0, 0.9)},
        ),
        "betas[1]: expected 0 <= betas[1] < 1, got -0.1": (
            "AdamW",
            {"betas": (0.9, -0.1)},
        ),
    },
)
def test_bad_numbers(bad: Any, error: type[Exception], message: str) -> None:
    name, options = bad
    with raises(error, message):
        getattr(fastrnn, name)(ONE.copy(), **{"lr": 0.1, **options})


def good_state() -> dict[str, Any]:
    state = {f"{s}.{i}": np.ones(n) for s in "mv" for i, n in enumerate((2, 3))}
    return {"step": np.array(4), **state}


NAMES = "d: expected the names of the state"


@bad_values(
    KeyError={
        f"{NAMES}, got 'm.1' missing": {"m.1": None},
        f"{NAMES}, got 'step' missing, 'u.0' unknown": {"step": None, "u.0": ONE},
    },
    TypeError={
        "d['v.1']: expected a NumPy array, got list": {"v.1": [1.0, 1.0, 1.0]},
        "d['v.1']: expected dtype float64, got float32": {"v.1": ONE},
        "d['step']: expected dtype int64, got float64": {"step": np.array(4.0)},
    },
    ValueError={
        "d['v.1']: expected shape (3,), got (2,)": {"v.1": np.ones(2)},
        "d['step']: expected shape (), got (1,)": {"step": np.array([4])},
        "d['step']: expected step >= 0, got -1": {"step": np.array(-1)},
        f"d['step']: expected step < 2**62, got {2**63 - 1}": {
            "step": np.array(2**63 - 1)
        },
    },
)
def test_bad_state(bad: Any, error: type[Exception], message: str) -> None:
    adam = fastrnn.Adam([np.ones(2), np.ones(3)])
    state = {k: v for k, v in {**good_state(), **bad}.items() if v is not None}
    with raises(error, message):
        adam.load_state_dict(state)
    for name, a in adam.state_dict().items():
        assert not a.any(), name
    adam.load_state_dict(good_state())
    for name, a in adam.state_dict().items():
        np.testing.assert_array_equal(a, good_state()[name])


def test_the_last_steps_that_can_be_loaded() -> None:
    adam = fastrnn.Adam([np.ones(2), np.ones(3)])
    adam.load_state_dict({**good_state(), "step": np.array(2**62 - 1)})
    adam.step([np.ones(2), np.ones(3)])
    assert adam.state_dict()["step"] == 2**62


class Hostile:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("no")


def test_an_array_that_cannot_be_made() -> None:
    message = "expected an array, got Hostile"
    with pytest.raises(TypeError, match=rf"^d\['m.1'\]: {message}"):
        fastrnn.Adam([np.ones(2), np.ones(3)]).load_state_dict(
            {**good_state(), "m.1": Hostile()}
        )
    layer = fastrnn.Linear(2, 2)
    with pytest.raises(TypeError, match=rf"^d\['bias'\]: {message}"):
        layer.load_state_dict({**layer.state_dict(), "bias": Hostile()})


HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("lr", lambda n: fastrnn.SGD(ONE, n)),
        ("betas[0]", lambda n: fastrnn.Adam(ONE, betas=(n, 0.9))),
        ("eps", lambda n: fastrnn.RMSprop(ONE, eps=n)),
        ("momentum", lambda n: fastrnn.SGD(ONE, 0.1, momentum=n)),
        ("weight_decay", lambda n: fastrnn.AdamW(ONE, weight_decay=n)),
        ("alpha", lambda n: fastrnn.RMSprop(ONE, alpha=n)),
        ("max_norm", lambda n: fastrnn.clip_grad_norm(ONE, n)),
        ("clip_value", lambda n: fastrnn.clip_grad_value(ONE, n)),
    ],
)
def test_numbers_beyond_float(name: str, make: Any) -> None:
    for number in (HUGE, 10**5000, Fraction(HUGE, 3)):
        message = rf"^{re.escape(name)}: expected .{{,120}}$"
        with pytest.raises(ValueError, match=message):
            make(number)
    np.testing.assert_array_equal(ONE, 1)


def test_flags_of_clipping() -> None:
    with raises(TypeError, "error_if_nonfinite: expected a bool, got int"):
        fastrnn.clip_grad_norm(ONE, 1.0, error_if_nonfinite=1)  # type: ignore[arg-type]


def test_gradients_are_left_out_for_layers_alone() -> None:
    layer = fastrnn.Linear(2, 1)
    for params in (ONE, [layer, ONE], layer.flat_params):
        with pytest.raises(TypeError, match=r"^grads: expected .* got NoneType$"):
            fastrnn.SGD(params, 0.1).step()
    sgd = fastrnn.SGD([layer, ONE.copy()], 0.1)
    message = "grads[1]: expected shape (3,) (that of params[1]), got (2,)"
    with raises(ValueError, message):
        sgd.step([layer, ONE[:2]])
    sgd.step([layer, ONE])
    with raises(TypeError, "grads: expected one array, got a sequence of arrays"):
        fastrnn.SGD(layer, 0.1).step([layer])


def test_state_must_be_a_dict() -> None:
    with raises(TypeError, "d: expected a dict of arrays, got list"):
        fastrnn.Adam(np.ones(2)).load_state_dict([])
