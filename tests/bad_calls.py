"""Bad calls with the error each must raise: one table for every implementation.

A bad call is a good one with some arguments changed. The tables map the whole message
to the change.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tests.problems import (
    FUNCTIONS,
    GATES,
    STATES,
    TABLE,
    Problem,
    make_problem,
)

T, N, I, H, V = 3, 2, 4, 5, 7  # noqa: E741
ROWS = {cell: "H" if G == 1 else f"{G}*H" for cell, G in GATES.items()}
Table: TypeAlias = dict[str, dict[str, Any]]


class BadCall(NamedTuple):
    cell: str
    kind: str  # of input: "floating", "onehot" or "embedding"
    error: type[Exception]
    message: str
    changed: dict[str, Any]


def describe(call: BadCall) -> str:
    words = call.message.translate(str.maketrans("()[]=,:.'", " " * 9)).split()
    return "_".join([call.cell, call.kind, *words])[:70]


def good_problem(cell: str, kind: str) -> Problem:
    problem = make_problem(cell, T, N, I, H, V=V, dtype=np.float32, kind=kind)
    options = {"lengths": np.array([3, 1]), "padding": "right"}
    return problem._replace(options={**problem.options, **options})


def f32(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def f64(*shape: int) -> Any:
    return np.ones(shape, np.float64)


def ids(**tokens: int) -> Any:
    """Return tokens, all 0 except, with ``t0n1=12``, 12 at [t=0, n=1]."""
    a = np.zeros((T, N), np.int64)
    for place, token in tokens.items():
        a[int(place[1]), int(place[3])] = token
    return a


def type_errors() -> Table:
    array, flag = "expected a NumPy array", "expected a bool"
    dtypes = "expected dtype float32 or float64"
    one_of = "that of x"
    return {
        f"x: {array}, got list": {"x": [[[1.0]]]},
        f"x: {array}, got NoneType": {"x": None},
        f"x: {array}, got int": {"x": 3},
        f"x: {array}, got MaskedArray": {"x": np.ma.masked_array(f32(T, N, I))},
        f"w_ih: {array}, got list": {"w_ih": [[1.0]]},
        f"w_hh: {array}, got NoneType": {"w_hh": None},
        f"b_ih: {array}, got float": {"b_ih": 0.5},
        f"b_hh: {array}, got str": {"b_hh": "zero"},
        f"h0: {array}, got tuple": {"h0": ()},
        f"x: {dtypes}, got float16": {"x": np.ones((T, N, I), np.float16)},
        f"x: {dtypes}, got >f4": {"x": np.ones((T, N, I), ">f4")},
        f"x: {dtypes}, or integer token ids, got bool": {"x": np.ones((T, N), bool)},
        f"x: {dtypes}, or integer token ids, got complex64": {
            "x": np.ones((T, N, I), np.complex64)
        },
        f"w_ih: expected dtype float32 ({one_of}), got float64": {"w_ih": f64(1)},
        f"w_hh: expected dtype float32 ({one_of}), got float64": {"w_hh": f64(1)},
        f"b_ih: expected dtype float32 ({one_of}), got float64": {"b_ih": f64(1)},
        f"b_hh: expected dtype float32 ({one_of}), got float64": {"b_hh": f64(1)},
        f"h0: expected dtype float32 ({one_of}), got float64": {"h0": f64(N, H)},
        f"h0: expected dtype float32 ({one_of}), got int64": {
            "h0": np.ones((N, H), np.int64)
        },
        "embedding: expected x to be integer token ids, got x of float32": {
            "embedding": f32(V, I)
        },
        f"reverse: {flag}, got int": {"reverse": 1},
        f"training: {flag}, got NoneType": {"training": None},
        "padding: expected a str, got NoneType": {"padding": None},
        "lengths: expected an integer dtype, got float64": {"lengths": f64(N)},
        "lengths: expected an integer dtype, got bool": {"lengths": [True, False]},
        "lengths: expected an integer dtype, got object": {"lengths": [1, 2**70]},
        "lengths: expected a NumPy array, got MaskedArray": {
            "lengths": np.ma.masked_array([3, 1])
        },
        "resets: expected a bool or integer dtype, got float32": {"resets": f32(T, N)},
        f"recurrent_mask: {array}, got float": {"recurrent_mask": 0.5},
        f"recurrent_mask: expected dtype float32 ({one_of}), got bool": {
            "recurrent_mask": np.ones((N, H), bool)
        },
        "zoneout: expected a number, got bool": {"zoneout": True},
    }


def value_errors(cell: str) -> Table:
    GH, r = GATES[cell] * H, ROWS[cell]
    w_ih, w_hh = f"w_ih: expected shape ({r}, I)", f"w_hh: expected shape ({r}, H)"
    length_range = "is out of range 0 <= length <= T = 3"
    bias = f"expected shape ({r},) = ({GH},)"
    return {
        "x: expected shape (T, N, I), got (3, 4)": {"x": f32(T, I)},
        "x: expected shape (T, N, I), got ()": {"x": f32()},
        "x: expected shape (T, N, I) with I >= 1, got (3, 2, 0)": {"x": f32(T, N, 0)},
        f"{w_ih} = ({GH}, 4), got ({GH}, 5)": {"w_ih": f32(GH, I + 1)},
        f"{w_ih} = ({GH}, 4), got ({GH},)": {"w_ih": f32(GH)},
        f"{w_ih} = ({GH}, 3), got ({GH}, 4)": {"x": f32(T, N, 3)},
        f"{w_hh} = ({GH}, 5), got ({GH + 1}, 5)": {"w_hh": f32(GH + 1, H)},
        f"{w_hh}, got ({GH},)": {"w_hh": f32(GH)},
        f"{w_hh} with H >= 1, got (0, 0)": {"w_hh": f32(0, 0)},
        f"b_ih: {bias}, got ({GH}, 1)": {"b_ih": f32(GH, 1)},
        f"b_hh: {bias}, got (1,)": {"b_hh": f32(1)},
        "h0: expected shape (N, H) = (2, 5), got (2, 6)": {"h0": f32(N, H + 1)},
        "h0: expected shape (N, H) = (2, 5), got (1, 2, 5)": {"h0": f32(1, N, H)},
        "padding: expected 'right' or 'left', got 'both'": {"padding": "both"},
        "lengths: expected shape (N,) = (2,), got (3,)": {"lengths": [1, 1, 1]},
        "lengths: expected shape (N,) = (2,), got ()": {"lengths": 3},
        "lengths: expected shape (N,) = (2,), got (2, 1)": {"lengths": [[1], [1]]},
        "lengths: expected a rectangular array, got a ragged list": {
            "lengths": [[1], [1, 2]]
        },
        f"lengths: length 4 at [n=1] {length_range}": {"lengths": (3, 4)},
        f"lengths: length -1 at [n=0] {length_range}": {
            "lengths": np.array([-1, 9], np.int8)
        },
        f"lengths: length 18446744073709551615 at [n=1] {length_range}": {
            "lengths": np.array([0, 2**64 - 1], np.uint64)
        },
        "resets: expected shape (T, N) = (3, 2), got (2, 3)": {
            "resets": np.zeros((N, T), bool)
        },
        "resets: expected shape (T, N) = (3, 2), got (3,)": {"resets": [0, 1, 0]},
        "recurrent_mask: expected shape (N, H) = (2, 5), got (3, 2, 5)": {
            "recurrent_mask": f32(T, N, H)
        },
        "zoneout: expected 0 <= zoneout < 1, got 1.0": {"zoneout": 1.0},
        "zoneout: expected masks with training=True, got a number (the expectation "
        "over masks, which training=False computes)": {"zoneout": 0.5},
    }


def token_type_errors(cell: str, kind: str) -> Table:
    GH = GATES[cell] * H
    dtypes, same = "expected dtype float32 or float64", "that of w_ih"
    table: Table = {
        f"w_ih: {dtypes}, got int64": {"w_ih": np.ones((GH, V), np.int64)},
        f"w_ih: {dtypes}, got float16": {"w_ih": np.ones((GH, V), np.float16)},
        f"b_hh: expected dtype float32 ({same}), got float64": {"b_hh": f64(GH)},
    }
    if kind == "embedding":
        table |= {
            "embedding: expected a NumPy array, got list": {"embedding": [[1.0]]},
            f"embedding: expected dtype float32 ({same}), got float64": {
                "embedding": f64(V, I)
            },
        }
    return table


def token_value_errors(cell: str, kind: str) -> Table:
    """Lengths are 3 and 1 here: only one step is valid at n=1."""
    GH, r = GATES[cell] * H, ROWS[cell]
    w_ih = f"w_ih: expected shape ({r}, I)"
    token_range = "is out of range 0 <= token < V = 7"
    table: Table = {
        f"x: token 7 at [t=1, n=0] {token_range}": {"x": ids(t0n0=6, t1n0=7, t2n0=8)},
        f"x: token -1 at [t=0, n=1] {token_range}": {"x": ids(t0n1=-1, t2n0=99)},
        f"x: token 8 at [t=2, n=0] {token_range}": {"x": ids(t1n1=50, t2n0=8)},
        f"x: token 9 at [t=2, n=1] {token_range}": {
            "x": ids(t0n1=50, t2n1=9).astype(np.uint8),
            "padding": "left",
        },
        f"x: token 18446744073709551615 at [t=0, n=0] {token_range}": {
            "x": np.full((T, N), 2**64 - 1, np.uint64)
        },
        "x: expected shape (T, N), got (3, 2, 1)": {"x": np.zeros((T, N, 1), int)},
        "x: expected a rectangular array, got a ragged list": {"x": [[1, 2], [3]]},
    }
    if kind == "onehot":
        table |= {
            f"{w_ih} with I >= 1, got ({GH}, 0)": {"w_ih": f32(GH, 0)},
            f"{w_ih}, got ({GH},)": {"w_ih": f32(GH)},
        }
    else:
        wide = f32(V, I + 1)
        table |= {
            "embedding: expected shape (V, I), got (7,)": {"embedding": f32(V)},
            "embedding: expected shape (V, I) with I >= 1, got (7, 0)": {
                "embedding": f32(V, 0)
            },
            f"{w_ih} = ({GH}, 5), got ({GH}, 4)": {"embedding": wide},
        }
    return table


ONE_STATE: tuple[Table, Table] = (
    {
        "zoneout: expected a NumPy array, got tuple": {"zoneout": ()},
        "zoneout: expected dtype bool, got float32": {"zoneout": f32(T, N, H)},
    },
    {
        "zoneout: expected shape (T, N, H) = (3, 2, 5), got (3, 2)": {
            "zoneout": np.ones((T, N), bool)
        }
    },
)

NONLINEARITY: tuple[Table, Table] = (
    {"nonlinearity: expected a str, got ufunc": {"nonlinearity": np.tanh}},
    {
        "nonlinearity: expected 'tanh', 'relu' or 'elu', got 'gelu'": {
            "nonlinearity": "gelu"
        }
    },
)

TWO_STATES: tuple[Table, Table] = (
    {
        "c0: expected a NumPy array, got list": {"c0": [0.0]},
        "c0: expected dtype float32 (that of x), got float64": {"c0": f64(N, H)},
        "zoneout: expected a number or masks (of h, of c), got ndarray": {
            "zoneout": np.ones((2, T, N, H), bool)
        },
        "zoneout[1]: expected dtype bool, got int64": {
            "zoneout": (np.ones((T, N, H), bool), np.ones((T, N, H), int))
        },
    },
    {
        "c0: expected shape (N, H) = (2, 5), got (5, 2)": {"c0": f32(H, N)},
        "zoneout: expected masks (of h, of c), got 3 of them": {
            "zoneout": [np.ones((T, N, H), bool)] * 3
        },
        "zoneout[0]: expected shape (T, N, H) = (3, 2, 5), got (2, 3, 5)": {
            "zoneout": [np.ones((N, T, H), bool)] * 2
        },
    },
)

# Those of the options that one cell alone has.
OWN: dict[str, tuple[Table, Table]] = {
    "rnn": NONLINEARITY,
    "gru": (
        {"reset: expected a str, got bool": {"reset": True}},
        {"reset: expected 'after' or 'before', got 'never'": {"reset": "never"}},
    ),
    "lstm": (
        {
            "coupled: expected a bool, got int": {"coupled": 1},
            "peephole: expected a NumPy array, got bool": {"peephole": True},
            "peephole: expected dtype float32 (that of x), got float64": {
                "peephole": f64(3, H)
            },
            "projection: expected a NumPy array, got int": {"projection": 3},
        },
        {
            "peephole: expected shape (3, H) = (3, 5), got (15,)": {
                "peephole": f32(3 * H)
            },
            "projection: expected shape (P, H), got (5,)": {"projection": f32(H)},
            "projection: expected shape (P, H) with P >= 1, got (0, 5)": {
                "projection": f32(0, H)
            },
            "w_hh: expected shape (4*H, P) = (20, 3), got (20, 5)": {
                "projection": f32(3, H)
            },
            "h0: expected shape (N, P) = (2, 3), got (2, 5)": {
                "projection": f32(3, H),
                "w_hh": f32(4 * H, 3),
            },
            "zoneout[0]: expected shape (T, N, P) = (3, 2, 3), got (3, 2, 5)": {
                "projection": f32(3, H),
                "w_hh": f32(4 * H, 3),
                "h0": None,
                "zoneout": [np.ones((T, N, H), bool)] * 2,
            },
        },
    ),
}


def forward_calls() -> Iterator[BadCall]:
    for cell in FUNCTIONS:
        types, values = ONE_STATE if len(STATES[cell]) == 1 else TWO_STATES
        own_types, own_values = OWN[cell]
        types, values = types | own_types, values | own_values
        tables = [
            ("floating", type_errors() | types, value_errors(cell) | values),
            *(
                (kind, token_type_errors(cell, kind), token_value_errors(cell, kind))
                for kind in ("onehot", "embedding")
            ),
        ]
        for kind, types, values in tables:
            for error, table in ((TypeError, types), (ValueError, values)):
                for message, changed in table.items():
                    yield BadCall(cell, kind, error, message, changed)


def backward_calls() -> Iterator[BadCall]:
    for cell in FUNCTIONS:
        tape = f"tape: expected {TABLE[cell].tape.__name__} of {cell}_forward, got"
        same = "expected dtype float32 (that of the tape)"
        types: Table = {
            f"{tape} NoneType (training=False keeps no tape)": {"tape": None},
            f"{tape} list": {"tape": []},
            "dy: expected a NumPy array, got list": {"dy": [1.0]},
            f"dy: {same}, got float64": {"dy": f64(T, N, H)},
            "return_dh: expected a bool, got int": {"return_dh": 1},
        }
        values: Table = {
            "dy: expected shape (T, N, H) = (3, 2, 5), got (2, 3, 5)": {
                "dy": f32(N, T, H)
            }
        }
        for name in (f"d{s}_n" for s in STATES[cell]):
            types[f"{name}: {same}, got int64"] = {name: np.ones((N, H), np.int64)}
            shape = f"{name}: expected shape (N, H) = (2, 5), got (5,)"
            values[shape] = {name: f32(H)}
        for error, table in ((TypeError, types), (ValueError, values)):
            for message, changed in table.items():
                yield BadCall(cell, "floating", error, message, changed)


FORWARD = tuple(forward_calls())
BACKWARD = tuple(backward_calls())
