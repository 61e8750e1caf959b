"""The gate: every argument of the sequence functions is checked here, once.

Both the compiled functions and `fastrnn.reference` call it, so their messages are the
same: ``TypeError`` for types and dtypes, ``ValueError`` for shapes and values, each
naming the argument, what was expected and what was given. Types and dtypes are checked
before sizes. NumPy only. Small models call it at every step, so valid arguments cost
only a few attribute tests per array, and no pass over data except tokens, lengths and
resets.
"""

import numbers
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from fastrnn._cells import CELLS, Cell, weight_symbols
from fastrnn._gate.arguments import (
    FLOATS,
    check_any_floating,
    check_choice,
    check_flag,
    check_floating,
    check_integers,
    check_number,
    check_optional,
    check_rank,
    check_shape,
    contiguous,
    copy_integers,
    from_sequence,
    plain,
    require_countable,
    require_positive,
)
from fastrnn._types import BoolArray, FloatArray, IntArray, Sequence, valid_steps
from fastrnn._types.results import Tape

PADDINGS = ("right", "left")
TANH, AFTER = "tanh", "after"
Own: TypeAlias = tuple[Any, Any, Any, Any, Any]
PLAIN: Own = (TANH, AFTER, False, None, None)


class Upstream(NamedTuple):
    """The gradients given to a backward function, checked and contiguous."""

    dy: FloatArray | None  # [T, N, H], as all of h [..., P] with a projection
    dh_n: FloatArray | None  # [N, H]
    dc_n: FloatArray | None  # [N, H]
    return_dh: bool


def check_forward(
    cell: str,
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    padding: Any = "right",
    resets: Any = None,
    reverse: Any = False,
    embedding: Any = None,
    training: Any = True,
    recurrent_mask: Any = None,
    zoneout: Any = None,
    own: Own = PLAIN,
) -> Sequence:
    """Check the arguments of ``<cell>_forward`` before any work.

    ``cell`` is trusted, since it comes from our own code; all others are arguments of
    that cell's public function. ``own`` are the options that some cells have: see
    `check_options`.

    Returns
    -------
    Sequence
        Sizes, dtype and arrays. Arrays that were not C-contiguous are copied; tokens,
        lengths and resets always are.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.
    """
    row = CELLS[cell]
    symbols = weight_symbols(row.gates)
    # Types and dtypes.
    x, w_ih, like = check_input_dtypes(x, w_ih, embedding)
    dtype = w_ih.dtype
    w_hh = check_floating("w_hh", w_hh, dtype, like)
    b_ih = check_optional("b_ih", b_ih, dtype, like)
    b_hh = check_optional("b_hh", b_hh, dtype, like)
    h0 = check_optional("h0", h0, dtype, like)
    c0 = check_optional("c0", c0, dtype, like)
    embedding = check_optional("embedding", embedding, dtype, like)
    recurrent_mask = check_optional("recurrent_mask", recurrent_mask, dtype, like)
    reverse = check_flag("reverse", reverse)
    training = check_flag("training", training)
    own = check_options(row, own, dtype, like)
    nonlinearity, reset, coupled, peephole, projection = own
    check_choice("padding", padding, PADDINGS)
    masks = {} if zoneout is None else check_zoneout_types(zoneout, row)
    # Shapes.
    T, N, I, V = check_input_sizes(x, w_ih, embedding, symbols[0])  # noqa: E741
    G = row.gates
    H, P = check_weight_shapes(w_ih, w_hh, b_ih, b_hh, projection, I, G, symbols)
    require_countable("x", x, G * H)
    if not (h0 is c0 is recurrent_mask is peephole is None):
        check_row_shapes(h0, c0, recurrent_mask, peephole, (N, H, P))
    # Values.
    zoneout_h, zoneout_c, zoneout_rate = check_zoneout_values(
        zoneout, masks, (T, N, H, P), training
    )
    if lengths is not None:
        lengths = check_lengths(lengths, T, N)
    if resets is not None:
        resets = check_resets(resets, T, N)
    tokens = None
    if like == "w_ih":
        tokens = check_tokens(x, V, lengths, padding)
        x = None
    # By position, in the order of the fields: names would cost a microsecond.
    return Sequence(
        cell, T, N, I, H, G, V, dtype, x, tokens, w_ih, w_hh, b_ih, b_hh, h0, c0,
        nonlinearity, reset, coupled, peephole, projection, P, lengths, padding, resets,
        reverse, embedding, training, recurrent_mask,
        zoneout_h, zoneout_c, zoneout_rate,
    )  # fmt: skip


def check_row_shapes(
    h0: Any, c0: Any, recurrent_mask: Any, peephole: Any, sizes: tuple[int, int, int]
) -> None:
    """Check shapes by (N, H, P); where h has H numbers, messages say so."""
    N, H, P = sizes
    h = "(N, H)" if P == H else "(N, P)"
    check_optional_shape("h0", h0, h, (N, P))
    check_optional_shape("c0", c0, "(N, H)", (N, H))
    check_optional_shape("recurrent_mask", recurrent_mask, h, (N, P))
    check_optional_shape("peephole", peephole, "(3, H)", (3, H))


def check_options(row: Cell, own: Own, dtype: Any, like: str) -> Own:
    """Check the types of nonlinearity, reset, coupled, peephole and projection.

    Most are as in `PLAIN`, which needs no check.
    """
    nonlinearity, reset, coupled, peephole, projection = own
    if nonlinearity is not TANH:
        check_choice("nonlinearity", nonlinearity, row.nonlinearities)
    if reset is not AFTER:
        check_choice("reset", reset, row.resets)
    if coupled is not False:
        coupled = check_flag("coupled", coupled)
    if peephole is not None:
        peephole = check_floating("peephole", peephole, dtype, like)
    if projection is not None:
        projection = check_floating("projection", projection, dtype, like)
    return nonlinearity, reset, coupled, peephole, projection


def check_weight_shapes(
    w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, projection: Any,
    I: int, G: int, symbols: tuple[str, str, str],  # noqa: E741
) -> tuple[int, int]:  # fmt: skip
    """Return H and the width of h, P."""
    ih, hh, bias = symbols
    if projection is None:
        H = P = check_rank("w_hh", w_hh, hh, 2)[1]
        require_positive("w_hh", hh, "H", H, w_hh)
    else:
        hh = hh.replace(", H)", ", P)")
        P, H = check_rank("projection", projection, "(P, H)", 2)
        require_positive("projection", "(P, H)", "P", P, projection)
        require_positive("projection", "(P, H)", "H", H, projection)
    check_shape("w_ih", w_ih, ih, (G * H, I))
    check_shape("w_hh", w_hh, hh, (G * H, P))
    check_optional_shape("b_ih", b_ih, bias, (G * H,))
    check_optional_shape("b_hh", b_hh, bias, (G * H,))
    return H, P


def check_optional_shape(
    name: str, a: Any, symbols: str, shape: tuple[int, ...]
) -> None:
    if a is not None and a.shape != shape:
        check_shape(name, a, symbols, shape)


def check_input_dtypes(x: Any, w_ih: Any, embedding: Any) -> tuple[Any, Any, str]:
    """Return x and w_ih as arrays, and the one whose dtype all others must have.

    That is "x", or "w_ih" if x is integer (tokens).
    """
    if type(x) is not np.ndarray:
        x = plain_input(x)
    dtype = x.dtype
    if dtype.kind == "f":
        if dtype not in FLOATS:
            raise TypeError(f"x: expected dtype float32 or float64, got {dtype}")
        if embedding is not None:
            raise TypeError(
                f"embedding: expected x to be integer token ids, got x of {dtype}"
            )
        return contiguous(x), check_floating("w_ih", w_ih, dtype, "x"), "x"
    if dtype.kind in "iu":
        return x, check_any_floating("w_ih", w_ih), "w_ih"
    raise TypeError(
        f"x: expected dtype float32 or float64, or integer token ids, got {dtype}"
    )


def check_input_sizes(
    x: Any, w_ih: Any, embedding: Any, w_ih_symbols: str
) -> tuple[int, int, int, int]:
    """Return T, N, I, V; with tokens, I is the width of the table that they index."""
    if x.dtype.kind == "f":
        T, N, I = check_rank("x", x, "(T, N, I)", 3)  # noqa: E741
        require_positive("x", "(T, N, I)", "I", I, x)
        return T, N, I, 0
    T, N = check_rank("x", x, "(T, N)", 2)
    if embedding is None:
        _, I = check_rank("w_ih", w_ih, w_ih_symbols, 2)  # noqa: E741
        require_positive("w_ih", w_ih_symbols, "I", I, w_ih)
        return T, N, I, I
    V, I = check_rank("embedding", embedding, "(V, I)", 2)  # noqa: E741
    require_positive("embedding", "(V, I)", "I", I, embedding)
    return T, N, I, V


def check_backward(
    cell: str,
    tape: Any,
    dy: Any = None,
    dh_n: Any = None,
    dc_n: Any = None,
    *,
    return_dh: Any = False,
) -> Upstream:
    """Check the arguments of ``<cell>_backward`` before any work.

    Raises
    ------
    TypeError
        ``tape`` is not a tape of this cell, or a type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    if type(tape) is not CELLS[cell].tape:
        refuse_tape(cell, tape)
    s: Sequence = tape.sequence
    if s.cell != cell:
        refuse_tape(cell, tape)
    return_dh = check_flag("return_dh", return_dh)
    state, of_y, of_h = (s.N, s.H), "(T, N, H)", "(N, H)"
    dc_n = check_upstream("dc_n", dc_n, of_h, state, s.dtype)
    if s.projection is not None:
        state, of_y, of_h = (s.N, s.P), "(T, N, P)", "(N, P)"
    dy = check_upstream("dy", dy, of_y, (s.T, *state), s.dtype)
    dh_n = check_upstream("dh_n", dh_n, of_h, state, s.dtype)
    return Upstream(dy, dh_n, dc_n, return_dh)


def check_upstream(
    name: str, a: Any, symbols: str, shape: tuple[int, ...], dtype: Any
) -> Any:
    if a is None:
        return None
    a = check_floating(name, a, dtype, "the tape")
    if a.shape != shape:
        check_shape(name, a, symbols, shape)
    return a


def refuse_tape(cell: str, tape: object) -> NoReturn:
    expected, got = CELLS[cell].tape.__name__, type(tape).__name__
    if isinstance(tape, Tape):
        got += f" of {tape.sequence.cell}_forward"
    hint = " (training=False keeps no tape)" if tape is None else ""
    raise TypeError(f"tape: expected {expected} of {cell}_forward, got {got}{hint}")


def check_lengths(lengths: Any, T: int, N: int) -> IntArray:
    lengths = check_integers("lengths", lengths, "iu", "an integer")
    found, a = copy_integers("lengths", lengths)
    check_shape("lengths", a, "(N,)", (N,))
    bad = (a < 0) | (a > T)
    if bad.any():
        n = int(bad.argmax())
        raise ValueError(
            f"lengths: length {a[n]} at [n={n}] is out of range 0 <= length <= T = {T}"
        )
    return found


def check_resets(resets: Any, T: int, N: int) -> BoolArray:
    """Return resets as bool; any integer other than 0 is a reset."""
    found = check_integers("resets", resets, "biu", "a bool or integer")
    a: BoolArray = np.array(found, dtype=np.bool_, order="C")
    check_shape("resets", a, "(T, N)", (T, N))
    return a


def check_zoneout_types(zoneout: Any, cell: Cell) -> dict[str, Any]:
    """Return the masks by name, one for each array of the state; none for a number."""
    if isinstance(zoneout, numbers.Real):
        check_number("zoneout", zoneout, below=1)
        return {}
    if len(cell.states) == 1:
        return {"zoneout": check_mask("zoneout", zoneout)}
    listed = ", ".join(f"of {state}" for state in cell.states)
    if not isinstance(zoneout, (tuple, list)):
        kind = type(zoneout).__name__
        raise TypeError(f"zoneout: expected a number or masks ({listed}), got {kind}")
    if len(zoneout) != len(cell.states):
        raise ValueError(
            f"zoneout: expected masks ({listed}), got {len(zoneout)} of them"
        )
    return {
        f"zoneout[{i}]": check_mask(f"zoneout[{i}]", a) for i, a in enumerate(zoneout)
    }


def check_zoneout_values(
    zoneout: Any,
    masks: dict[str, Any],
    sizes: tuple[int, int, int, int],
    training: bool,
) -> tuple[Any, Any, float]:
    """Return the masks of h and of c, and the rate; by (T, N, H, P)."""
    if zoneout is None:
        return None, None, 0.0
    if not masks:
        if zoneout > 0 and training:
            raise ValueError(
                "zoneout: expected masks with training=True, got a number (the "
                "expectation over masks, which training=False computes)"
            )
        return None, None, float(zoneout)
    T, N, H, P = sizes
    for (name, a), width in zip(masks.items(), (P, H), strict=False):
        check_shape(name, a, f"(T, N, {'H' if width == H else 'P'})", (T, N, width))
    of_h, of_c = (*masks.values(), None)[:2]
    return of_h, of_c, 0.0


def check_mask(name: str, a: Any) -> BoolArray:
    a = plain(name, a)
    if a.dtype != np.bool_:
        raise TypeError(f"{name}: expected dtype bool, got {a.dtype}")
    mask: BoolArray = contiguous(a)
    return mask


def check_tokens(a: Any, V: int, lengths: IntArray | None, padding: str) -> IntArray:
    """Return a private int64 copy of token ids; those on padding are not checked."""
    ids, values = copy_integers("x", a)
    # As unsigned numbers, negative ids are huge: one pass finds both errors.
    if ids.size and ids.view(np.uint64).max() >= V:
        T, N = ids.shape
        bad = ((values < 0) | (values >= V)) & valid_steps(T, N, lengths, padding)
        if bad.any():
            t, n = divmod(int(bad.argmax()), N)
            raise ValueError(
                f"x: token {values[t, n]} at [t={t}, n={n}] is out of range "
                f"0 <= token < V = {V}"
            )
    return ids


def plain_input(x: Any) -> Any:
    """Return x as a plain array: a subclass, or a list of tokens."""
    if isinstance(x, np.ndarray):
        return plain("x", x)
    a = from_sequence("x", x)
    if a.ndim == 0 or a.dtype.kind not in "iu":
        raise TypeError(f"x: expected a NumPy array, got {type(x).__name__}")
    return a
