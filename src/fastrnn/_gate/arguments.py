"""Checks of single arguments, from which the gates are made.

Every message names the argument, what was expected and what was given, whatever that
is: no value is trusted to have a short text, an honest length, or a conversion that
does not raise. NumPy only.

Integers that become addresses (tokens, lengths, rows) are copied first, and the copy is
checked: another thread may write into the caller's array meanwhile.
"""

from __future__ import annotations

import math
import numbers
import operator
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastrnn._types import BoolArray, DType, IntArray

BOOLS = (bool, np.bool_)
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MOST = 2**63 - 1  # what fits in an index
MOST_SIZE = 2**31 - 1  # of a size that memory is taken for

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, and short."""
    try:
        number = issubclass(type(value), numbers.Real)
        text = str(value)[:60] if number else _short.repr(value)
        return " ".join(text.split())
    except Exception:  # its own, or an int of too many digits
        return f"a value of type {type(value).__name__}"


# --- arrays --------------------------------------------------------------------------


def plain(name: str, a: Any) -> Any:
    """Return a subclass (memory map, matrix) as a plain array; refuse anything else."""
    # By type: a mock claims to be an instance of anything.
    kind = type(a)
    if not issubclass(kind, np.ndarray) or issubclass(kind, np.ma.MaskedArray):
        # A masked array's mask would be ignored.
        raise TypeError(f"{name}: expected a NumPy array, got {kind.__name__}")
    return np.ndarray.view(a, np.ndarray)


def from_sequence(name: str, value: Any) -> Any:
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:
        kind = type(value).__name__
        if isinstance(value, (list, tuple)) and isinstance(error, ValueError):
            raise ValueError(
                f"{name}: expected a rectangular array, got a ragged {kind}"
            ) from None
        raise TypeError(
            f"{name}: expected an array, got {kind}, which NumPy cannot convert: "
            f"{shown(error)}"
        ) from error


def contiguous(a: Any) -> Any:
    flags = a.flags
    if flags.c_contiguous and flags.aligned:
        return a
    return a.copy(order="C")


def check_any_floating(name: str, a: Any) -> Any:
    if type(a) is not np.ndarray:
        a = plain(name, a)
    if a.dtype not in FLOATS:
        raise TypeError(f"{name}: expected dtype float32 or float64, got {a.dtype}")
    return contiguous(a)


def check_floating(name: str, a: Any, dtype: DType, like: str) -> Any:
    if type(a) is not np.ndarray:
        a = plain(name, a)
    if a.dtype != dtype:
        raise TypeError(
            f"{name}: expected dtype {dtype} (that of {like}), got {a.dtype}"
        )
    return contiguous(a)


def check_optional(name: str, a: Any, dtype: DType, like: str) -> Any:
    return None if a is None else check_floating(name, a, dtype, like)


def check_integers(name: str, value: Any, kinds: str, expected: str) -> Any:
    """Return an array of any integer dtype; an empty list becomes int64."""
    if issubclass(type(value), np.ndarray):
        a = plain(name, value)
    else:
        a = from_sequence(name, value)
        if a.size == 0:
            a = a.astype(np.int64)
    if a.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {expected} dtype, got {a.dtype}")
    return a


def copy_integers(name: str, a: Any) -> tuple[IntArray, Any]:
    """Return a private copy of integers, int64, and a view of it to compare with.

    That view is unsigned if ``a`` is: of the largest uint64 the copy makes -1.
    """
    require_countable(name, a, 1)
    copy: IntArray = np.array(a, dtype=np.int64, order="C")
    return copy, copy.view(np.uint64) if a.dtype.kind == "u" else copy


def check_ids(name: str, noun: str, a: Any, V: int, ignored: int | None = None) -> Any:
    """Return a private int64 copy of ids; refuse those outside ``0 .. V-1``."""
    ids, values = copy_integers(name, a)
    # As unsigned numbers, negative ids are huge: one pass finds both errors.
    if ids.size and ids.view(np.uint64).max() >= V:
        bad = (values < 0) | (values >= V)
        if ignored is not None:
            bad &= values != ignored
        if bad.any():
            at = np.unravel_index(int(bad.argmax()), ids.shape)
            place = f" at {[int(i) for i in at]}" if at else ""
            raise ValueError(
                f"{name}: {noun} {values[at]}{place} is out of range "
                f"0 <= {noun} < V = {V}"
            )
    return ids


def check_rank(name: str, a: Any, symbols: str, rank: int) -> tuple[int, ...]:
    shape: tuple[int, ...] = a.shape
    if len(shape) != rank:
        raise ValueError(f"{name}: expected shape {symbols}, got {shape}")
    return shape


def check_shape(name: str, a: Any, symbols: str, shape: tuple[int, ...]) -> None:
    if a.shape != shape:
        raise ValueError(f"{name}: expected shape {symbols} = {shape}, got {a.shape}")


def require_positive(name: str, symbols: str, symbol: str, size: int, a: Any) -> None:
    if size < 1:
        raise ValueError(
            f"{name}: expected shape {symbols} with {symbol} >= 1, got {a.shape}"
        )


def check_leading(name: str, mask: Any, y: Any) -> BoolArray:
    """Return a mask on ``y`` or its leading sizes, with as many axes as ``y``."""
    found = check_integers(name, mask, "b", "a bool")
    if found.shape != y.shape[: found.ndim]:
        raise ValueError(
            f"{name}: expected shape {y.shape} (that of y) or its leading sizes, "
            f"got {found.shape}"
        )
    whole: BoolArray = found.reshape(found.shape + (1,) * (y.ndim - found.ndim))
    return whole


def require_not_negative(name: str, a: Any) -> None:
    """Refuse numbers below 0; NaN passes through."""
    bad = a < 0
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), a.shape)
        place = f" at {[int(i) for i in at]}" if at else ""
        raise ValueError(f"{name}: expected {name} >= 0, got {a[at]}{place}")


def require_countable(name: str, a: Any, last: int) -> None:
    """Refuse an array without elements whose results' sizes have no countable product.

    ``last`` is how many numbers a result has for each of the leading sizes. Of an array
    with elements, results are too large for memory long before.
    """
    if a.size == 0 and math.prod(max(n, 1) for n in a.shape) * last >= 2**59:
        raise ValueError(
            f"{name}: expected sizes of a product below 2**59, got {a.shape}"
        )


def zeros(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array of zeros, or say which argument makes it too large."""
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, OverflowError, ValueError):
        raise MemoryError(
            f"{name}: expected sizes that fit into memory, got an array {shape} of "
            f"{np.dtype(dtype)}"
        ) from None


# --- numbers -------------------------------------------------------------------------


def as_integer(name: str, value: Any) -> int:
    """Return an int of any size; a bool and a float are none."""
    try:
        number = operator.index(value)
    except Exception:
        number = None
    if number is None or isinstance(value, BOOLS):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    return number


def check_integer(name: str, value: Any, least: int = -MOST, most: int = MOST) -> int:
    number = as_integer(name, value)
    if number < least:
        raise ValueError(f"{name}: expected {name} >= {least}, got {shown(number)}")
    if number > most:
        raise ValueError(f"{name}: expected {name} <= {most}, got {shown(number)}")
    return number


def check_size(name: str, value: Any) -> int:
    """Check a size that memory is taken for; of a mere count see `check_integer`."""
    return check_integer(name, value, 1, MOST_SIZE)


def as_real(name: str, value: Any) -> float:
    """Return a real number as float, also NaN and infinity; a bool is none."""
    # The type again, as in `plain`: float() of a mock is 1.
    if not issubclass(type(value), numbers.Real) or isinstance(value, BOOLS):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return float(value)
    except Exception:  # an int or fraction that is too large, or its own
        raise ValueError(
            f"{name}: expected a number that float64 can hold, got {shown(value)}"
        ) from None


def check_number(
    name: str, value: Any, *, below: float = math.inf, infinite: bool = False
) -> float:
    """Check ``0 <= value < below``; with ``infinite``, infinity is allowed too."""
    number = as_real(name, value)
    if not (0 <= number < below or (infinite and number == math.inf)):
        if below < math.inf:
            expected = f"0 <= {name} < {below:g}"
        else:
            expected = "a number >= 0" if infinite else "a finite number >= 0"
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return number


def check_positive(name: str, value: Any, below: float = math.inf) -> float:
    """Check ``0 < value < below``."""
    number = as_real(name, value)
    if not 0 < number < below:
        end = f" < {below:g}" if below < math.inf else ""
        expected = f"0 < {name}{end}" if end else f"a finite {name} > 0"
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return number


def check_share(name: str, value: Any) -> float:
    """Check ``0 <= value <= 1``."""
    number = as_real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: expected 0 <= {name} <= 1, got {shown(value)}")
    return number


def make_generator(seed: Any) -> np.random.Generator:
    """Return a generator of what NumPy takes for a seed, checked: it may crash."""
    kinds = np.random.Generator, np.random.BitGenerator, np.random.SeedSequence
    if seed is None or issubclass(type(seed), kinds):
        return np.random.default_rng(seed)
    error: type[Exception] = TypeError
    several = type(seed) in (list, tuple) or issubclass(type(seed), np.ndarray)
    try:
        numbers = [as_integer("seed", n) for n in (seed if several else [seed])]
        if numbers and min(numbers) >= 0:
            return np.random.default_rng(numbers if several else numbers[0])
        error = ValueError
    except TypeError:
        pass
    raise error(
        f"seed: expected None, an int >= 0 or a NumPy generator, got {shown(seed)}"
    )


# --- the rest ------------------------------------------------------------------------


def check_flag(name: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if type(value) is not np.bool_:
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return bool(value)


def check_text(name: str, value: Any) -> str:
    if not issubclass(type(value), str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    text: str = value
    return text


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if type(value) is str and value in choices:
        return
    if check_text(name, value) not in choices:
        listed = ", ".join(repr(c) for c in choices[:-1])
        raise ValueError(
            f"{name}: expected {listed} or {choices[-1]!r}, got {shown(value)}"
        )


def as_dtype(name: str, value: Any, kinds: str, expected: str) -> np.dtype[Any]:
    """Return a dtype of one of the kinds; None, NumPy's float64, is refused."""
    try:
        dtype: np.dtype[Any] | None = None if value is None else np.dtype(value)
    except Exception:
        dtype = None
    if dtype is None or dtype.kind not in kinds:
        got = dtype or (value[:60] if isinstance(value, str) else shown(value))
        raise TypeError(f"{name}: expected {expected}, got {got}")
    return dtype


def check_several(name: str, value: Any, expected: str) -> list[Any]:
    """Return the members of a list, an iterator or an array; refuse text and dicts."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        try:
            members = iter(value)
        except Exception:  # an array without dimensions, or its own
            members = None
        if members is not None:
            try:
                return list(members)
            except MemoryError:
                raise MemoryError(
                    f"{name}: expected {expected} that fits into memory, "
                    f"got {type(value).__name__} of too many members"
                ) from None
    raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
