"""Layers: every bad argument gets its message, before any work."""

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.errors import bad_values, raises
from tests.layers import CELLS, class_of

T, N, I, H = 3, 2, 4, 5  # noqa: E741


def f32(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def f64(*shape: int) -> Any:
    return np.ones(shape, np.float64)


def make_layer(name: str, **options: Any) -> Any:
    return getattr(fastrnn, name)(I, H, 2, seed=0, bidirectional=True, **options)


@bad_values(
    TypeError={
        "input_size: expected an int, got float": {"input_size": 3.0},
        "hidden_size: expected an int, got NoneType": {"hidden_size": None},
        "num_layers: expected an int, got bool": {"num_layers": True},
        "bias: expected a bool, got int": {"bias": 1},
        "batch_first: expected a bool, got NoneType": {"batch_first": None},
        "bidirectional: expected a bool, got str": {"bidirectional": "yes"},
        "dropout: expected a number, got str": {"dropout": "0.5"},
        "init: expected a str, got NoneType": {"init": None},
        "dtype: expected float32 or float64, got float16": {"dtype": np.float16},
        "dtype: expected float32 or float64, got >f4": {"dtype": ">f4"},
        "dtype: expected float32 or float64, got nonsense": {"dtype": "nonsense"},
        "dtype: expected float32 or float64, got None": {"dtype": None},
        "seed: expected None, an int >= 0 or a NumPy generator, got 'a'": {"seed": "a"},
    },
    ValueError={
        "input_size: expected input_size >= 1, got 0": {"input_size": 0},
        "hidden_size: expected hidden_size >= 1, got -1": {"hidden_size": -1},
        "num_layers: expected num_layers >= 1, got 0": {"num_layers": 0},
        "dropout: expected 0 <= dropout < 1, got 1.0": {"dropout": 1.0},
        "dropout: expected 0 <= dropout < 1, got -0.1": {"dropout": -0.1},
        "dropout: expected 0 <= dropout < 1, got nan": {"dropout": np.nan},
        "init: expected 'uniform', 'keras' or 'identity', got 'zeros'": {
            "init": "zeros"
        },
        "seed: expected None, an int >= 0 or a NumPy generator, got -1": {"seed": -1},
    },
)
@pytest.mark.parametrize("cell", CELLS)
def test_bad_construction(
    cell: str, bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        class_of(cell)(**{"input_size": I, "hidden_size": H, **bad})


@bad_values(
    TypeError={
        "peephole: expected a bool, got int": ("LSTM", {"peephole": 1}),
        "coupled: expected a bool, got NoneType": ("LSTM", {"coupled": None}),
        "proj_size: expected an int, got float": ("LSTM", {"proj_size": 3.0}),
        "reset: expected a str, got bool": ("GRU", {"reset": True}),
    },
    ValueError={
        "proj_size: expected proj_size >= 0, got -1": ("LSTM", {"proj_size": -1}),
        "reset: expected 'after' or 'before', got 'never'": ("GRU", {"reset": "never"}),
    },
)
def test_bad_options_of_a_cell(
    bad: tuple[str, Any], error: type[Exception], message: str
) -> None:
    with raises(error, message):
        getattr(fastrnn, bad[0])(I, H, **bad[1])


def test_the_state_of_an_lstm_with_a_projection() -> None:
    layer = make_layer("LSTM", proj_size=3)
    assert layer.output_size == 2 * 3
    h, c = np.zeros((4, N, H)), np.zeros((4, N, H))
    message = f"state[0]: expected shape (L*D, N, P) = (4, {N}, 3), got (4, {N}, {H})"
    with raises(ValueError, message):
        layer(f32(T, N, I), (h.astype(np.float32), c.astype(np.float32)))
    y, (h, c) = layer(f32(T, N, I))
    assert (y.shape, h.shape, c.shape) == ((T, N, 6), (4, N, 3), (4, N, H))
    assert "proj_size=3" in repr(layer)


MOST = (2**63 - 1) // 4


@bad_values(
    ValueError={
        "num_layers: expected num_layers <= 65536, got 2147483647": (1, 1, 2**31 - 1),
        f"sizes: expected at most {MOST} parameters of float32 in all (the bytes that "
        f"an array can have), got {2**31 * 2**31 * 8 - 2**31 * 16 + 8}": (
            2**31 - 1, 2**31 - 1,
        ),
    },
)  # fmt: skip
def test_sizes_beyond_all_memory(
    bad: Any, error: type[Exception], message: str
) -> None:
    with raises(error, message):
        fastrnn.LSTM(*bad, bias=False)


def test_sizes_beyond_this_memory() -> None:
    with pytest.raises(MemoryError, match=r"^sizes: expected parameters and gradients"):
        fastrnn.Linear(2**31 - 1, 2**29)


def test_bad_nonlinearity() -> None:
    message = "nonlinearity: expected 'tanh', 'relu' or 'elu', got 'sigmoid'"
    with raises(ValueError, message):
        fastrnn.RNN(I, H, nonlinearity="sigmoid")
    with pytest.raises(TypeError, match="nonlinearity"):
        fastrnn.LSTM(I, H, nonlinearity="tanh")


OF_THE_LAYER = "expected dtype float32 (that of the layer)"
STATE = "expected shape (L*D, N, H) = (4, 2, 5)"
PAIR = "state: expected a pair (h, c)"


@bad_values(
    TypeError={
        "x: expected a NumPy array, got NoneType": {"x": None},
        "x: expected a NumPy array, got list": {"x": [[[1.0]]]},
        f"x: {OF_THE_LAYER} or integer token ids, got float64": {"x": f64(T, N, I)},
        f"x: {OF_THE_LAYER} or integer token ids, got bool": {"x": f32(T, N) > 0},
        f"{PAIR}, got ndarray": {"state": f32(4, N, H)},
        "state[0]: expected a NumPy array, got list": {"state": ([], None)},
        f"state[1]: {OF_THE_LAYER}, got float64": {"state": (None, f64(4, N, H))},
        "lengths: expected an integer dtype, got float32": {"lengths": f32(N)},
        "padding: expected a str, got NoneType": {"padding": None},
        "resets: expected a bool or integer dtype, got float32": {"resets": f32(T, N)},
    },
    ValueError={
        "x: expected shape (T, N, I) with I = 4, got (3, 2, 5)": {"x": f32(T, N, 5)},
        "x: expected shape (T, N, I) with I = 4, got (3, 4)": {"x": f32(T, I)},
        "x: expected shape (T, N) of token ids, got (3, 2, 4)": {
            "x": np.ones((T, N, I), np.int64)
        },
        "x: token 4 at [t=1, n=0] is out of range 0 <= token < V = 4": {
            "x": [[0, 3], [4, 0], [0, 0]]
        },
        f"{PAIR}, got 1 arrays": {"state": (f32(4, N, H),)},
        f"state[0]: {STATE}, got (2, 5)": {"state": (f32(N, H), f32(4, N, H))},
        f"state[1]: {STATE}, got (4, 3, 5)": {"state": (f32(4, N, H), f32(4, 3, H))},
        "lengths: expected shape (N,) = (2,), got (3,)": {"lengths": [1, 1, 1]},
        "padding: expected 'right' or 'left', got 'both'": {"padding": "both"},
        "resets: expected shape (T, N) = (3, 2), got (2, 3)": {"resets": f32(N, T) > 0},
    },
)
def test_bad_call(bad: Any, error: type[Exception], message: str) -> None:
    layer = make_layer("LSTM")
    with raises(error, message):
        layer(**{"x": f32(T, N, I), **bad})
    layer(f32(T, N, I))  # a bad call spoils nothing


def test_bad_call_in_eval_mode() -> None:
    """A layer of one direction, which takes a path of its own there."""
    layer = fastrnn.LSTM(I, H).eval()
    with raises(ValueError, "padding: expected 'right' or 'left', got 'both'"):
        layer(f32(T, N, I), padding="both")


@pytest.mark.parametrize("cell", ["RNN", "GRU"])
def test_a_single_state(cell: str) -> None:
    layer = make_layer(cell)
    with raises(TypeError, "state: expected a NumPy array, got tuple"):
        layer(f32(T, N, I), (f32(4, N, H), f32(4, N, H)))
    with raises(ValueError, f"state: {STATE}, got (4, 5)"):
        layer(f32(T, N, I), f32(4, H))


@bad_values(
    ValueError={
        "x: expected shape (N, T, I) with I = 4, got (2, 3, 5)": {"x": f32(N, T, 5)},
        "x: expected shape (N, T) of token ids, got (2,)": {"x": [1, 2]},
        f"state[0]: {STATE}, got (2, 4, 5)": {"state": (f32(N, 4, H), None)},
        "resets: expected shape (N, T) = (2, 3), got (3, 2)": {"resets": f32(T, N) > 0},
        "lengths: expected shape (N,) = (2,), got (3,)": {"lengths": [1, 1, 1]},
    },
    TypeError={
        "resets: expected a bool or integer dtype, got float32": {"resets": f32(N, T)}
    },
)
def test_bad_call_batch_first(bad: Any, error: type[Exception], message: str) -> None:
    layer = make_layer("LSTM", batch_first=True)
    with raises(error, message):
        layer(**{"x": f32(N, T, I), **bad})


@bad_values(
    TypeError={
        "dy: expected a NumPy array, got list": {"dy": [1.0]},
        f"dy: {OF_THE_LAYER}, got float64": {"dy": f64(T, N, 2 * H)},
        "dstate: expected a pair (h, c), got ndarray": {"dstate": f32(4, N, H)},
        f"dstate[1]: {OF_THE_LAYER}, got float64": {"dstate": (None, f64(4, N, H))},
    },
    ValueError={
        "dy: expected shape (T, N, D*H) = (3, 2, 10), got (3, 2, 5)": {
            "dy": f32(T, N, H)
        },
        f"dstate[0]: {STATE}, got (4, 2, 4)": {"dstate": (f32(4, N, 4), None)},
    },
)
def test_bad_backward(bad: Any, error: type[Exception], message: str) -> None:
    layer = make_layer("LSTM")
    layer(f32(T, N, I))
    with raises(error, message):
        layer.backward(**{"dy": f32(T, N, 2 * H), **bad})
    assert not layer.flat_grads.any()


def test_bad_backward_batch_first() -> None:
    layer = make_layer("LSTM", batch_first=True)
    layer(f32(N, T, I))
    with raises(
        ValueError, "dy: expected shape (N, T, D*H) = (2, 3, 10), got (3, 2, 10)"
    ):
        layer.backward(f32(T, N, 2 * H))


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_backward_needs_a_call_in_training_mode(cell: str, D: int) -> None:
    layer = class_of(cell)(I, H, bidirectional=D == 2)
    none_yet = "backward: expected a call of the layer before it, got none"
    with raises(RuntimeError, none_yet):
        layer.backward(f32(T, N, layer.output_size))
    layer(f32(T, N, I))
    layer.eval()
    layer.backward(f32(T, N, layer.output_size))  # the last call was in training mode
    layer(f32(T, N, I))
    in_eval = "backward: expected the last call in training mode, got eval mode"
    with raises(RuntimeError, in_eval):
        layer.backward(f32(T, N, layer.output_size))
    layer.train()
    with raises(RuntimeError, in_eval):
        layer.backward(f32(T, N, layer.output_size))
    layer(f32(T, N, I))
    layer.backward(f32(T, N, layer.output_size))


NAMES = "d: expected the names of the state"


@bad_values(
    KeyError={
        f"{NAMES}, got 'bias_hh_l0' missing": {"bias_hh_l0": None},
        f"{NAMES}, got 'weight_ih_l1' missing, 'head.w' unknown": {
            "weight_ih_l1": None,
            "head.w": f32(1),
        },
    },
    TypeError={
        "d['bias_hh_l1_reverse']: expected dtype float32, got float64": {
            "bias_hh_l1_reverse": f64(3 * H)
        },
        "d['bias_hh_l0']: expected a NumPy array, got int": {"bias_hh_l0": 0},
    },
    ValueError={
        "d['weight_ih_l1']: expected shape (15, 10), got (10, 15)": {
            "weight_ih_l1": f32(2 * H, 3 * H)
        },
        "d['bias_hh_l0']: expected shape (15,), got (15, 1)": {
            "bias_hh_l0": f32(3 * H, 1)
        },
    },
)
def test_bad_state_dict(bad: Any, error: type[Exception], message: str) -> None:
    layer = make_layer("GRU")
    before = layer.flat_params.copy()
    good = {name: f32(*a.shape) for name, a in layer.params.items()}
    state = {name: a for name, a in {**good, **bad}.items() if a is not None}
    with raises(error, message):
        layer.load_state_dict(state)
    np.testing.assert_array_equal(layer.flat_params, before)
    layer.load_state_dict(good)
    np.testing.assert_array_equal(layer.flat_params, 1)


def test_state_dict_is_a_copy() -> None:
    layer = make_layer("GRU")
    before = layer.flat_params.copy()
    for a in layer.state_dict().values():
        a[...] = 7
    np.testing.assert_array_equal(layer.flat_params, before)
