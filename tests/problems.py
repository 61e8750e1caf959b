"""Random problems for the sequence functions: every argument distinct and non-zero."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

CELLS = ("rnn", "gru", "lstm")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
WEIGHTS = ("w_ih", "w_hh", "b_ih", "b_hh")


class Problem(NamedTuple):
    """One call: arrays and options by argument name, and gradients from upstream."""

    cell: str
    arrays: dict[str, Any]
    options: dict[str, Any]
    upstream: dict[str, Any]

    def forward(self, module: Any, **changed: Any) -> Any:
        """Return ``y``, the final states as a tuple, and the tape."""
        function = getattr(module, f"{self.cell}_forward")
        y, final, tape = function(**{**self.arrays, **self.options, **changed})
        return y, final if isinstance(final, tuple) else (final,), tape

    def backward(self, module: Any, tape: Any, **changed: Any) -> Any:
        function = getattr(module, f"{self.cell}_backward")
        return function(tape, **{**self.upstream, **changed})

    def valid(self) -> Any:
        """Return bool [T, N], written once more to be independent of the gate."""
        T, N = self.arrays["x"].shape[:2]
        valid = np.ones((T, N), bool)
        lengths = self.options.get("lengths")
        if lengths is not None:
            for n, length in enumerate(lengths):
                valid[:, n] = False
                if self.options["padding"] == "right":
                    valid[:length, n] = True
                else:
                    valid[T - length :, n] = True
        return valid


def make_problem(
    cell: str,
    T: int = 6,
    N: int = 4,
    I: int = 3,  # noqa: E741
    H: int = 5,
    *,
    V: int = 7,
    dtype: Any = np.float64,
    seed: int = 0,
    kind: str = "floating",
    nonlinearity: str = "tanh",
    padding: str | None = None,
    resets: bool = False,
    reverse: bool = False,
    bias: bool = True,
    state: bool = True,
) -> Problem:
    """Draw a problem. ``kind`` is "floating", "onehot" or "embedding".

    With ``padding`` the lengths are random; from 3 rows on, 0 and T are among them.
    """
    rng = np.random.default_rng(seed)
    G = GATES[cell]

    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    scale = dtype(1 / np.sqrt(max(H, 1)))
    I = V if kind == "onehot" else I  # noqa: E741
    arrays: dict[str, Any] = {
        "x": draw(T, N, I) if kind == "floating" else rng.integers(0, V, (T, N)),
        "w_ih": draw(G * H, I) * scale,
        "w_hh": draw(G * H, H) * scale,
    }
    if kind == "embedding":
        arrays["embedding"] = draw(V, I)
    if bias:
        arrays |= {"b_ih": draw(G * H), "b_hh": draw(G * H)}
    states = ("h", "c") if cell == "lstm" else ("h",)
    if state:
        arrays |= {f"{s}0": draw(N, H) for s in states}
    options: dict[str, Any] = {"reverse": reverse}
    if cell == "rnn":
        options["nonlinearity"] = nonlinearity
    if padding is not None:
        lengths = rng.integers(0, T + 1, N)
        if N > 2:
            lengths[:2] = T, 0
        options |= {"lengths": rng.permutation(lengths), "padding": padding}
    if resets:
        options["resets"] = rng.random((T, N)) < 0.3
    upstream = {"dy": draw(T, N, H)} | {f"d{s}_n": draw(N, H) for s in states}
    return Problem(cell, arrays, options, upstream)


# Every combination of the options that changes what is computed.
COMBINATIONS = tuple(
    product(
        CELLS,
        ("floating", "onehot", "embedding"),
        (None, "right", "left"),  # padding
        (False, True),  # resets
        (False, True),  # reverse
    )
)


def combination_id(combination: tuple[Any, ...]) -> str:
    cell, kind, padding, resets, reverse = combination
    words = [cell, kind]
    words += [f"pad_{padding}"] if padding else []
    words += ["resets"] if resets else []
    words += ["reverse"] if reverse else []
    return "-".join(words)
