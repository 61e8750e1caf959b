"""The gate of the linear layer and the loss: every bad call gets its message."""

import re
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from tests.bad_calls import f32, f64

RANGE = "is out of range 0 <= target < V = 5"
Table = dict[str, dict[str, Any]]

FORWARD_TYPES: Table = {
    "x: expected a NumPy array, got list": {"x": [1.0]},
    "x: expected dtype float32 or float64, got int64": {"x": np.ones((2, 3), np.int64)},
    "w: expected dtype float32 (that of x), got float64": {"w": f64(5, 3)},
    "b: expected a NumPy array, got float": {"b": 0.0},
    "b: expected dtype float32 (that of x), got float64": {"b": f64(5)},
}
FORWARD_VALUES: Table = {
    "x: expected shape (..., I), got ()": {"x": f32()},
    "x: expected shape (..., I) with I >= 1, got (2, 0)": {"x": f32(2, 0)},
    "w: expected shape (O, I), got (3,)": {"w": f32(3)},
    "w: expected shape (O, I) with O >= 1, got (0, 3)": {"w": f32(0, 3)},
    "w: expected shape (O, I) = (3, 3), got (3, 5)": {"w": f32(3, 5)},
    "b: expected shape (O,) = (5,), got (3,)": {"b": f32(3)},
}
BACKWARD_TYPES: Table = {
    "dy: expected a NumPy array, got NoneType": {"dy": None},
    "dy: expected dtype float32 (that of x), got float64": {"dy": f64(2, 5)},
    "bias: expected a bool, got int": {"bias": 1},
}
BACKWARD_VALUES: Table = {
    "dy: expected shape (..., O) = (2, 5), got (5, 2)": {"dy": f32(5, 2)},
}
LOSS_TYPES: Table = {
    "y: expected a NumPy array, got NoneType": {"y": None},
    "y: expected dtype float32 or float64, got float16": {"y": np.ones(3, np.float16)},
    "w: expected dtype float32 (that of y), got float64": {"w": f64(5, 3)},
    "b: expected dtype float32 (that of y), got float64": {"b": f64(5)},
    "targets: expected an integer dtype, got float64": {"targets": [0.0, 1.0]},
    "targets: expected an integer dtype, got bool": {"targets": [True, False]},
    "targets: expected an integer dtype, got object": {"targets": None},
    "ignore_index: expected an int, got float": {"ignore_index": -100.0},
    "ignore_index: expected an int, got bool": {"ignore_index": True},
    "reduction: expected a str, got NoneType": {"reduction": None},
    "training: expected a bool, got int": {"training": 1},
    "wanted: expected a tuple of names, got str": {"wanted": "dy"},
}
LOSS_VALUES: Table = {
    "targets: expected a rectangular array, got a ragged list": {
        "targets": [[1], [1, 2]]
    },
    "reduction: expected 'mean', 'sum' or 'none', got 'max'": {"reduction": "max"},
    "wanted: expected 'dy', 'dw' or 'db', got 'dx'": {"wanted": ("dy", "dx")},
    "wanted: expected 'dy', 'dw' or 'db', got 'x'": {
        "wanted": ("x",),
        "training": False,
    },
    "y: expected shape (..., H), got ()": {"y": f32()},
    "y: expected shape (..., H) with H >= 1, got (2, 0)": {"y": f32(2, 0)},
    "w: expected shape (V, H), got (3,)": {"w": f32(3)},
    "w: expected shape (V, H) with V >= 1, got (0, 3)": {"w": f32(0, 3)},
    "w: expected shape (V, H) = (3, 3), got (3, 5)": {"w": f32(3, 5)},
    "b: expected shape (V,) = (5,), got (5, 1)": {"b": f32(5, 1)},
    "targets: expected shape (...) of y (..., H) = (2,), got (3,)": {
        "targets": [0, 1, 2]
    },
    "ignore_index: expected a 64-bit int, got 9223372036854775808": {
        "ignore_index": 2**63
    },
    f"targets: target 5 at [1] {RANGE}": {"targets": [4, 5]},
    f"targets: target -1 at [0] {RANGE}": {"targets": np.array([-1, 9], np.int8)},
    f"targets: target -100 at [1] {RANGE}": {
        "targets": [-1, -100],
        "ignore_index": -1,
    },
    f"targets: target 6 at [0, 1] {RANGE}": {"y": f32(1, 2, 3), "targets": [[-100, 6]]},
    f"targets: target 18446744073709551615 at [0] {RANGE}": {
        "targets": np.full(2, 2**64 - 1, np.uint64)
    },
    f"targets: target 5 {RANGE}": {"y": f32(3), "targets": 5},
}


def calls(types: Table, values: Table) -> list[Any]:
    tables = ((TypeError, types), (ValueError, values))
    return [
        pytest.param(error, message, changed, id=message)
        for error, table in tables
        for message, changed in table.items()
    ]


@pytest.fixture(params=[reference, fastrnn], ids=["reference", "compiled"])
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


def check(
    function: Any,
    good: dict[str, Any],
    error: type[Exception],
    message: str,
    changed: dict[str, Any],
) -> None:
    function(**good)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        function(**{**good, **changed})


@pytest.mark.parametrize(
    ("error", "message", "changed"), calls(FORWARD_TYPES, FORWARD_VALUES)
)
def test_bad_forward(error: Any, message: str, changed: Any, module: Any) -> None:
    good = {"x": f32(2, 3), "w": f32(5, 3), "b": f32(5)}
    check(module.linear_forward, good, error, message, changed)


@pytest.mark.parametrize(
    ("error", "message", "changed"), calls(BACKWARD_TYPES, BACKWARD_VALUES)
)
def test_bad_backward(error: Any, message: str, changed: Any, module: Any) -> None:
    good = {"x": f32(2, 3), "w": f32(5, 3), "dy": f32(2, 5)}
    check(module.linear_backward, good, error, message, changed)


@pytest.mark.parametrize(
    ("error", "message", "changed"), calls(LOSS_TYPES, LOSS_VALUES)
)
def test_bad_loss(error: Any, message: str, changed: Any, module: Any) -> None:
    good = {"y": f32(2, 3), "w": f32(5, 3), "b": f32(5), "targets": [4, -100]}
    check(module.linear_cross_entropy, good, error, message, changed)
