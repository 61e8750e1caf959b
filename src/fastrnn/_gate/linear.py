"""The gate of the linear layer and of the loss on it; see `fastrnn._gate.sequence`."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn._gate.arguments import (
    as_integer,
    check_any_floating,
    check_choice,
    check_flag,
    check_floating,
    check_ids,
    check_integers,
    check_optional,
    check_rank,
    check_shape,
    check_share,
    require_countable,
    require_not_negative,
    require_positive,
    shown,
)
from fastrnn._types import DType, FloatArray, IntArray

REDUCTIONS = ("mean", "sum", "none")
GRADIENTS = ("dy", "dw", "db")


class Linear(NamedTuple):
    """The arguments of a linear function, checked and contiguous."""

    rows: int  # product of the leading sizes
    I: int  # noqa: E741 - the contract's symbol
    O: int  # noqa: E741
    lead: tuple[int, ...]  # the leading sizes of x: [..., I]
    dtype: DType
    x: FloatArray  # [..., I]
    w: FloatArray  # [O, I]
    b: FloatArray | None  # [O]
    dy: FloatArray | None  # [..., O], backward only
    bias: bool  # backward: whether to compute db


class CrossEntropy(NamedTuple):
    """The arguments of ``linear_cross_entropy``, checked and contiguous.

    ``targets`` is a private copy: no caller can change an index after it was checked.
    """

    rows: int  # product of the leading sizes
    H: int
    V: int
    lead: tuple[int, ...]  # the leading sizes of y: [..., H]
    dtype: DType
    y: FloatArray  # [..., H]
    w: FloatArray  # [V, H]
    b: FloatArray | None  # [V]
    targets: IntArray  # [...]
    ignore_index: int
    reduction: str  # "mean", "sum" or "none"
    training: bool
    wanted: frozenset[str]  # of "dy", "dw" and "db"; empty without training
    weights: FloatArray | None  # [...]
    class_weights: FloatArray | None  # [V]
    label_smoothing: float  # 0 ... 1


def check_linear(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    dy: Any = None,
    bias: Any = True,
    backward: bool = False,
) -> Linear:
    """Check ``linear_forward(x, w, b)`` or ``linear_backward(x, w, dy, bias=bias)``.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape is wrong.
    """
    x = check_any_floating("x", x)
    dtype = x.dtype
    w = check_floating("w", w, dtype, "x")
    b = check_optional("b", b, dtype, "x")
    if backward:
        dy = check_floating("dy", dy, dtype, "x")
        bias = check_flag("bias", bias)
    lead, I = check_last("x", x, "I")  # noqa: E741
    O = check_rank("w", w, "(O, I)", 2)[0]  # noqa: E741
    require_positive("w", "(O, I)", "O", O, w)
    check_shape("w", w, "(O, I)", (O, I))
    if x.size == 0:
        require_countable("x", x, O)
    if b is not None:
        check_shape("b", b, "(O,)", (O,))
    if backward:
        check_shape("dy", dy, "(..., O)", (*lead, O))
    return Linear(x.size // I, I, O, lead, dtype, x, w, b, dy, bias)


def check_cross_entropy(
    y: Any,
    w: Any,
    b: Any,
    targets: Any,
    *,
    ignore_index: Any = -100,
    reduction: Any = "mean",
    training: Any = True,
    wanted: Any = GRADIENTS,
    weights: Any = None,
    class_weights: Any = None,
    label_smoothing: Any = 0.0,
) -> CrossEntropy:
    """Check the arguments of ``linear_cross_entropy`` before any work.

    Raises
    ------
    TypeError
        A type or dtype is wrong.
    ValueError
        A shape or value is wrong.
    """
    y = check_any_floating("y", y)
    dtype = y.dtype
    w = check_floating("w", w, dtype, "y")
    b = check_optional("b", b, dtype, "y")
    targets = check_integers("targets", targets, "iu", "an integer")
    weights = check_optional("weights", weights, dtype, "y")
    class_weights = check_optional("class_weights", class_weights, dtype, "y")
    label_smoothing = check_share("label_smoothing", label_smoothing)
    ignore_index = check_ignored(ignore_index)
    check_choice("reduction", reduction, REDUCTIONS)
    training = check_flag("training", training)
    wanted = check_wanted(wanted)
    lead, H = check_last("y", y, "H")
    V = check_rank("w", w, "(V, H)", 2)[0]
    require_positive("w", "(V, H)", "V", V, w)
    check_shape("w", w, "(V, H)", (V, H))
    require_countable("y", y, 1)
    if b is not None:
        check_shape("b", b, "(V,)", (V,))
    check_shape("targets", targets, "(...) of y (..., H)", lead)
    if weights is not None:
        check_shape("weights", weights, "(...) of y (..., H)", lead)
        if reduction == "mean":
            require_not_negative("weights", weights)
    if class_weights is not None:
        check_shape("class_weights", class_weights, "(V,)", (V,))
        require_not_negative("class_weights", class_weights)
    targets = check_ids("targets", "target", targets, V, ignore_index)
    return CrossEntropy(
        y.size // H, H, V, lead, dtype, y, w, b, targets,
        ignore_index, reduction, training, wanted if training else frozenset(),
        weights, class_weights, label_smoothing,
    )  # fmt: skip


def check_ignored(ignore_index: Any) -> int:
    ignored = as_integer("ignore_index", ignore_index)
    if not -(2**63) <= ignored < 2**63:
        raise ValueError(f"ignore_index: expected a 64-bit int, got {shown(ignored)}")
    return ignored


def check_wanted(wanted: Any) -> frozenset[str]:
    if isinstance(wanted, str) or not isinstance(wanted, (tuple, list, set, frozenset)):
        raise TypeError(
            f"wanted: expected a tuple of names, got {type(wanted).__name__}"
        )
    for name in wanted:
        check_choice("wanted", name, GRADIENTS)
    return frozenset(wanted)


def check_last(name: str, a: Any, symbol: str) -> tuple[tuple[int, ...], int]:
    """Return the leading sizes and the last one, which must be positive."""
    symbols = f"(..., {symbol})"
    if a.ndim < 1:
        raise ValueError(f"{name}: expected shape {symbols}, got {a.shape}")
    require_positive(name, symbols, symbol, a.shape[-1], a)
    return a.shape[:-1], a.shape[-1]
