"""Random problems for the sequence functions: every argument distinct and non-zero."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fastrnn._cells import CELLS as TABLE

FUNCTIONS = tuple(TABLE)  # there is <name>_forward
# Options under which a cell computes something else, by a word for each.
OPTIONS: dict[str, dict[str, Any]] = {
    "before": {"reset": "before"},
    "peephole": {"peephole": True},
    "coupled": {"coupled": True},
    "projection": {"proj_size": 4},
}
# A cell, perhaps with options: gru-before.
CELLS = (*FUNCTIONS, "gru-before", "lstm-peephole", "lstm-coupled", "lstm-projection")
GATES = {cell: TABLE[cell.partition("-")[0]].gates for cell in CELLS}
STATES = {cell: TABLE[cell.partition("-")[0]].states for cell in CELLS}
# The cells that let the user choose a nonlinearity, with each of them.
CHOICES = {
    name: row.nonlinearities
    for name, row in TABLE.items()
    if len(row.nonlinearities) > 1
}
VARIANTS = (
    *(
        f"{cell}-{choice}" if choice else cell
        for cell in CELLS
        for choice in CHOICES.get(cell, ("",))
    ),
    "lstm-coupled-peephole-projection",
)
KINDS = ("floating", "onehot", "embedding")
WEIGHTS = ("w_ih", "w_hh", "b_ih", "b_hh")


class Problem(NamedTuple):
    """One call: arrays and options by argument name, and upstream gradients."""

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

    def run(self, module: Any, **changed: Any) -> dict[str, Any]:
        """Return all results but None by name, forward and backward."""
        upstream = {k: changed.pop(k) for k in self.upstream if k in changed}
        outputs, tape = self.outputs(module, **changed)
        grads = self.backward(module, tape, return_dh=True, **upstream)
        found = {k: a for k, a in grads._asdict().items() if a is not None}
        return outputs | found

    def outputs(self, module: Any, **changed: Any) -> tuple[dict[str, Any], Any]:
        """Return the forward results and the tape's arrays by name, and the tape."""
        y, final, tape = self.forward(module, **changed)
        found = {"y": y, **dict(zip(("h_n", "c_n"), final, strict=False))}
        if tape is not None:
            found["gates"] = tape.gates
            found |= {s: getattr(tape, s) for s in STATES[self.cell][1:]}
        return found, tape

    def converted(self, dtype: Any) -> "Problem":
        """Return the same problem in another floating dtype."""

        def convert(arrays: dict[str, Any]) -> dict[str, Any]:
            return {
                k: a.astype(dtype) if a.dtype.kind == "f" else a
                for k, a in arrays.items()
            }

        options = self.options
        if "recurrent_mask" in options:
            mask = options["recurrent_mask"].astype(dtype)
            options = {**options, "recurrent_mask": mask}
        return self._replace(
            arrays=convert(self.arrays),
            options=options,
            upstream=convert(self.upstream),
        )

    def contracting(self) -> "Problem":
        """Return the same with smaller ``w_hh``, so that no step amplifies an error."""
        w_hh = self.arrays["w_hh"]
        w_hh = w_hh / w_hh.dtype.type(1.25 * np.linalg.norm(w_hh, 2))
        return self._replace(arrays={**self.arrays, "w_hh": w_hh})

    def take_rows(self, rows: Any) -> "Problem":
        """Return the same problem with only the given rows, in any order."""
        axes = {"x": 1, "resets": 1, "zoneout": 1}
        axes |= dict.fromkeys(("h0", "c0", "lengths", "recurrent_mask"), 0)

        def take(named: dict[str, Any]) -> dict[str, Any]:
            def of_rows(name: str, a: Any) -> Any:
                axis = axes.get(name)
                return a if axis is None else each(a, lambda b: np.take(b, rows, axis))

            return {name: of_rows(name, a) for name, a in named.items()}

        return self._replace(arrays=take(self.arrays), options=take(self.options))

    def padded_left(self) -> "Problem":
        """Return the same problem with each row moved to the end of the steps."""
        lengths, moving = self.options["lengths"], ("x", "resets", "zoneout", "dy")

        def move(named: dict[str, Any]) -> dict[str, Any]:
            return {
                name: each(a, lambda b: shift(b, lengths)) if name in moving else a
                for name, a in named.items()
            }

        return self._replace(
            arrays=move(self.arrays),
            options={**move(self.options), "padding": "left"},
            upstream=move(self.upstream),
        )

    def terms(self) -> int:
        """Return the length of the longest sum: of gates, of gradients, of dw."""
        T, N = self.arrays["x"].shape[:2]
        GH, I = self.arrays["w_ih"].shape  # noqa: E741
        return max(I + self.arrays["w_hh"].shape[1], GH, T * N)

    def valid(self) -> Any:
        """Return bool [T, N], written again here to be independent of the gate."""
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
    seed: Any = 0,
    kind: str = "floating",
    nonlinearity: str = "tanh",
    padding: str | None = None,
    resets: bool = False,
    reverse: bool = False,
    bias: bool = True,
    state: bool = True,
    recurrent_mask: bool = False,
    zoneout: bool = False,
) -> Problem:
    """Draw a problem of one of ``CELLS`` or ``VARIANTS``; ``kind`` is one of ``KINDS``.

    With ``padding`` the lengths are random; from 3 rows on, 0 and T are among them.
    A recurrent mask is 0 in places, and zoneout keeps a third of the states.
    """
    cell, chosen = parse(cell)
    nonlinearity = chosen.pop("nonlinearity", nonlinearity)
    rng = np.random.default_rng(seed)
    G = GATES[cell]

    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    projected = chosen.pop("proj_size", 0) > 0
    P = H * 2 // 3 + 1 if projected else H
    scale = dtype(1 / np.sqrt(max(H, 1)))
    I = V if kind == "onehot" else I  # noqa: E741
    arrays: dict[str, Any] = {
        "x": draw(T, N, I) if kind == "floating" else rng.integers(0, V, (T, N)),
        "w_ih": draw(G * H, I) * scale,
        "w_hh": draw(G * H, P) * scale,
    }
    if kind == "embedding":
        arrays["embedding"] = draw(V, I)
    if bias:
        arrays |= {"b_ih": draw(G * H), "b_hh": draw(G * H)}
    peephole = chosen.pop("peephole", False)
    states = STATES[cell]
    if state:
        arrays |= {f"{s}0": draw(N, w) for s, w in zip(states, (P, H), strict=False)}
    options: dict[str, Any] = {"reverse": reverse, **chosen}
    if cell in CHOICES:
        options["nonlinearity"] = nonlinearity
    if padding is not None:
        lengths = rng.integers(0, T + 1, N)
        if N > 2:
            lengths[:2] = T, 0
        options |= {"lengths": rng.permutation(lengths), "padding": padding}
    if resets:
        options["resets"] = rng.random((T, N)) < 0.3
    if recurrent_mask:
        mask = rng.random((N, P)) * (rng.random((N, P)) < 0.7)
        options["recurrent_mask"] = mask.astype(dtype)
    if zoneout:
        widths = (P, H)[: len(states)]
        keep = [rng.random((T, N, width)) < 0.33 for width in widths]
        options["zoneout"] = tuple(keep) if len(keep) > 1 else keep[0]
    upstream = {"dy": draw(T, N, P)}
    upstream |= {f"d{s}_n": draw(N, w) for s, w in zip(states, (P, H), strict=False)}
    if peephole:  # last, so that all else is as without it
        arrays["peephole"] = draw(3, H) * dtype(0.2)  # large ones amplify errors
    if projected:
        arrays["projection"] = draw(P, H) * scale
    return Problem(cell, arrays, options, upstream)


def parse(cell: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a cell's functions, and its layer's options."""
    name, *words = cell.split("-")
    options: dict[str, Any] = {}
    for word in words:
        options |= OPTIONS.get(word, {"nonlinearity": word})
    return name, options


def each(a: Any, change: Any) -> Any:
    """Return an array changed by a function, or a pair of them (masks of h and c)."""
    return tuple(map(change, a)) if isinstance(a, tuple) else change(a)


def shift(a: Any, lengths: Any, back: bool = False) -> Any:
    """Return ``a [T, N, ...]`` with the first steps of each row moved to its end."""
    T, N = a.shape[:2]
    moves = T - lengths if back else lengths
    places = (np.arange(T)[:, None] + moves) % max(T, 1)
    return a[places, np.arange(N)]


def rows_of(outputs: dict[str, Any], rows: Any) -> dict[str, Any]:
    """Return some rows of every output: [T, N, ...] or a final state [N, H]."""
    return {k: a[rows] if k in ("h_n", "c_n") else a[:, rows]
            for k, a in outputs.items()}  # fmt: skip


def size_id(size: tuple[int, ...]) -> str:
    return "-".join(f"{s}={n}" for s, n in zip("TNIH", size, strict=True))


# Every combination of the options that changes what is computed.
COMBINATIONS = tuple(
    product(
        CELLS,
        KINDS,
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
