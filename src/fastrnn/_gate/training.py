"""The gate of clipping, optimizers and state dicts; see `fastrnn._gate.sequence`."""

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import FLOATS, check_floating, check_several, plain
from fastrnn._gate.memory import RETIRED, allocation_of, require_current
from fastrnn._types import DType, FloatArray


class Arrays(NamedTuple):
    """One array or a sequence of them, each with its name for messages."""

    names: list[str]  # "grads", or "grads[0]", "grads[1]" and so on
    arrays: list[FloatArray]
    single: bool  # whether one array was given, not a sequence


def check_arrays(name: str, value: Any) -> Arrays:
    """Check arrays that are changed in place: floating, of one dtype, contiguous.

    Raises
    ------
    TypeError
        A value is not an array, or the dtypes are not all float32 or all float64.
    ValueError
        An array is read-only or not C-contiguous.
    """
    names, values, single = split(name, value)
    arrays = [
        a if type(a) is np.ndarray else plain(n, a)
        for n, a in zip(names, values, strict=True)
    ]
    for n, a in zip(names, arrays, strict=True):
        if a.dtype not in FLOATS:
            raise TypeError(f"{n}: expected dtype float32 or float64, got {a.dtype}")
        if a.dtype != arrays[0].dtype:
            raise TypeError(
                f"{n}: expected dtype {arrays[0].dtype} (that of {names[0]}), "
                f"got {a.dtype}"
            )
    for n, a in zip(names, arrays, strict=True):
        if RETIRED:
            require_current(n, a)
        require_writeable(n, a)
        if a.base is not None:
            require_writeable(n, allocation_of(a))
        if not a.flags.carray:
            kind = "strided" if a.flags.aligned else "misaligned"
            raise ValueError(f"{n}: expected a C-contiguous array, got a {kind} one")
    return Arrays(names, arrays, single)


def require_writeable(name: str, a: Any) -> None:
    if not a.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")


def split(name: str, value: Any) -> tuple[list[str], list[Any], bool]:
    if isinstance(value, np.ndarray):
        return [name], [value], True
    values = check_several(name, value, "a NumPy array or a sequence of them")
    return [f"{name}[{i}]" for i in range(len(values))], values, False


def check_like(name: str, value: Any, like: Arrays) -> list[FloatArray]:
    """Check arrays that are only read against those they belong to.

    Raises
    ------
    TypeError
        One array was given instead of a sequence or the reverse, or a dtype differs.
    ValueError
        The number of arrays or a shape differs.
    """
    names, values, single = split(name, value)
    if single != like.single:
        words = {True: "one array", False: "a sequence of arrays"}
        raise TypeError(f"{name}: expected {words[like.single]}, got {words[single]}")
    if len(values) != len(like.arrays):
        raise ValueError(
            f"{name}: expected {len(like.arrays)} arrays, got {len(values)}"
        )
    arrays = []
    for n, a, other_name, other in zip(
        names, values, like.names, like.arrays, strict=True
    ):
        a = check_floating(n, a, other.dtype, other_name)
        if RETIRED:
            require_current(n, a)
        if a.shape != other.shape:
            raise ValueError(
                f"{n}: expected shape {other.shape} (that of {other_name}), "
                f"got {a.shape}"
            )
        arrays.append(a)
    return arrays


def are_plainly_like(arrays: list[Any], like: list[Any]) -> bool:
    """Return whether `check_like` would find nothing amiss, in a tenth of its time."""
    if len(arrays) != len(like):
        return False
    for a, other in zip(arrays, like, strict=True):
        if type(a) is not np.ndarray or a.shape != other.shape:
            return False
        flags = a.flags
        if a.dtype != other.dtype or not (flags.c_contiguous and flags.aligned):
            return False
    return True


def check_state_dict(d: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Check that ``d`` holds arrays of the names, dtypes and shapes of ``expected``.

    Objects that convert to NumPy arrays (CPU tensors of PyTorch) are accepted.

    Raises
    ------
    KeyError
        A name is missing or unknown.
    TypeError
        A value is not an array, or a dtype differs.
    ValueError
        A shape differs.
    """
    if not isinstance(d, Mapping):
        raise TypeError(f"d: expected a dict of arrays, got {type(d).__name__}")
    wrong = [f"{name!r} missing" for name in expected if name not in d]
    wrong += [f"{name!r} unknown" for name in d if name not in expected]
    if wrong:
        raise KeyError(f"d: expected the names of the state, got {', '.join(wrong)}")
    found = {name: as_array(f"d[{name!r}]", d[name]) for name in expected}
    for name, like in expected.items():
        check_dtype(f"d[{name!r}]", found[name], like.dtype)
    for name, like in expected.items():
        if found[name].shape != like.shape:
            raise ValueError(
                f"d[{name!r}]: expected shape {like.shape}, got {found[name].shape}"
            )
    return found


def as_array(name: str, value: Any) -> Any:
    if hasattr(value, "__array__") and not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value)
        except Exception as error:
            kind = type(value).__name__
            raise TypeError(
                f"{name}: expected an array, got {kind}, whose __array__ raises "
                f"{type(error).__name__}: {error}"
            ) from error
    return plain(name, value)


def check_dtype(name: str, a: Any, dtype: DType) -> None:
    if a.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {a.dtype}")


def check_shapes(argument: str, shapes: Any) -> dict[str, tuple[int, ...]]:
    """Check the names and shapes of a layer's parameters or buffers."""
    if not isinstance(shapes, Mapping):
        kind = type(shapes).__name__
        raise TypeError(f"{argument}: expected a dict of names and shapes, got {kind}")
    checked = {}
    for name, shape in shapes.items():
        if not isinstance(name, str):
            kind = type(name).__name__
            raise TypeError(f"{argument}: expected names of type str, got {kind}")
        try:
            checked[name] = tuple(operator.index(n) for n in shape)
        except TypeError:
            kind = type(shape).__name__
            raise TypeError(
                f"{argument}[{name!r}]: expected a tuple of int, got {kind}"
            ) from None
        if min(checked[name], default=0) < 0:
            raise ValueError(f"{argument}[{name!r}]: expected sizes >= 0, got {shape}")
    return checked
