"""Hostile values for any argument, and the verdict on what a call made of them."""

from __future__ import annotations

import decimal
import fractions
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np

HUGE = 10**400
ERRORS = (TypeError, ValueError, KeyError, RuntimeError, AttributeError, MemoryError)
# The rest of a message behind the argument's name.
FORMS = re.compile(r"expected .*\bgot\b|is out of range|is not in the vocabulary", re.S)


class Refuses:
    """Nothing can be done with it, not even print it."""

    def fail(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("hostile")

    __array__ = __bool__ = __float__ = __index__ = __int__ = __len__ = __iter__ = fail
    __getitem__ = __eq__ = __repr__ = __hash__ = __call__ = keys = fail  # type: ignore[assignment]


class NoArray:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.value


class Subclass(np.ndarray):
    """An array that fails as soon as anything is made of it."""

    def __array_finalize__(self, other: Any) -> None:
        pass

    def view(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("hostile")


def numbers() -> Iterator[Any]:
    yield from (True, False, 0, 1, -1, 2, 7, 2**62, 2**63, 2**64, -(2**63), HUGE, -HUGE)
    yield 10**5000  # too many digits to print
    yield from (0.5, -0.5, 2.9, math.nan, math.inf, -math.inf, 1e308, 5e-324, -0.0)
    yield from (1j, decimal.Decimal("0.5"), fractions.Fraction(1, 3))
    yield from (fractions.Fraction(HUGE), fractions.Fraction(1, HUGE))
    yield from (np.True_, np.float16(0.5), np.float32(math.nan), np.float64(-1))
    yield from (np.longdouble("1e4000"), np.int8(-1), np.uint64(2**64 - 1), np.int64(3))
    yield from (np.complex64(1), np.datetime64("2000-01-01"), np.timedelta64(1, "D"))


def texts() -> Iterator[Any]:
    yield from ("", "a", "tanh", "right", "mean", "1", "nan", "\0", "\ud800", "é" * 99)
    yield from (b"", b"a", bytearray(b"ab"), memoryview(b"abc"), np.str_("a"))


def objects() -> Iterator[Any]:
    yield from (None, Ellipsis, NotImplemented, object(), object, int, np, print, len)
    yield from (
        lambda *_: None,
        lambda *_: (None, None),
        slice(None),
        range(3),
        iter(()),
    )
    yield from (Refuses(), Refuses, mock.Mock(spec=np.ndarray), mock.MagicMock())
    yield from (NoArray(None), NoArray(np.ones(3)), NoArray(np.ones(3, object)))


def collections() -> Iterator[Any]:
    yield from ([], (), {}, set(), frozenset(), [1], [0.5], [None], [[]], [[1], [1, 2]])
    yield from (["a", 1], [HUGE], [math.nan], [Refuses()], [np.ones(2), np.ones(3)])
    yield from ({"a": 1}, {1: 2}, {"a": Refuses()}, {Ellipsis: []}, [1, [2, [3]]])
    yield from ((1, 2), (0.9, 0.999), (0.9,), (None, None), ("a", "b", "c"), (HUGE, 1))
    yield [True, False]
    yield {"a": np.ones(2, np.float32)}
    loop: list[Any] = []
    loop.append(loop)
    yield loop


def dtypes() -> Iterator[Any]:
    yield from (np.float16, np.float32, np.longdouble, np.complex128, np.int8, np.bool_)
    yield from ("f4", ">f4", "O", "S1", "U1", "M8[s]", "nonsense", "f4,f4", "(2,)f4")
    yield from (np.dtype("f8"), np.dtype([("a", "f4")]), float, int, object)


def arrays() -> Iterator[Any]:
    for dtype in "f4", "f8", "i8", "u1", "?":
        for shape in (), (0,), (1,), (3,), (0, 0), (2, 3), (3, 2, 5), (2, 0, 3):
            yield np.ones(shape, dtype)
    for dtype in (
        "f2",
        ">f4",
        "g",
        "c8",
        "O",
        "S3",
        "U3",
        "M8[s]",
        "m8[s]",
        "f4,i4",
        "V2",
    ):
        for shape in (), (3,), (2, 3):
            yield np.zeros(shape, dtype)
    yield np.array([2**64 - 1], np.uint64)
    yield np.zeros((0, 2**60), np.int8)
    yield np.zeros((2**60, 0), np.int8)
    yield np.zeros((2**60, 0, 1), np.float32)
    yield np.zeros((0, 2**60, 1), np.float32)
    yield np.ma.masked_array(np.ones(3, np.float32), [0, 1, 0])
    yield np.ones(3, np.float32).view(Subclass)


def values() -> list[Any]:
    groups = (numbers, texts, objects, collections, dtypes, arrays)
    return [value for group in groups for value in group()]


def derived(good: Any) -> list[Any]:
    """Return what is nearly the good argument: other dtypes, shapes and layouts."""
    if isinstance(good, (tuple, list)):
        kind = type(good)
        places = [(i, a) for i, one in enumerate(good) for a in near(one)]
        changed = [kind([*good[:i], a, *good[i + 1 :]]) for i, a in places]
        return [*changed, kind(good[:-1]), kind([*good, *good])]
    if isinstance(good, dict):
        return [
            *({**good, name: a} for name, one in good.items() for a in near(one)),
            *({k: v for k, v in good.items() if k != name} for name in good),
            {**good, "unknown": 1},
        ]
    return near(good)


def near(good: Any) -> list[Any]:
    if isinstance(good, (int, float)) and not isinstance(good, bool):
        return [-good, good + 1, str(good), [good], np.array(good), np.array([good])]
    if hasattr(good, "untyped_storage"):
        from tests.fuzz.public_torch import near as near_tensor

        return near_tensor(good)
    if not isinstance(good, np.ndarray):
        return [None, 1, "a", Refuses()]
    dtypes = ("f2", "f4", "f8", "c16", "i4", "i8", "?", "O", "U9")
    found = [good.astype(d) for d in dtypes]
    found += [good.astype(good.dtype.newbyteorder()), good[None], good[..., None]]
    found += [good.T, good.ravel(), np.asfortranarray(good), good.tolist()]
    found += [np.broadcast_to(good, (2, *good.shape)), memoryview(good)]
    found += [np.ma.masked_array(good), good.view(Subclass), NoArray(good)]
    found += [misaligned(good), read_only(good)]
    if good.ndim:
        found += [good[:0], good[..., :0], good[1:], good[..., 1:], good[::-1]]
        found += [np.concatenate([good, good])]
    if good.dtype.kind in "iu" and good.size:
        found += [np.full_like(good, n) for n in (-1, 100, 2**31 - 1)]
        found += [np.full(good.shape, 2**64 - 1, np.uint64)]
    if good.dtype.kind == "f":
        found += [np.full_like(good, n) for n in (math.nan, math.inf, 1e38, 1e-45)]
    return found


def misaligned(a: Any) -> Any:
    moved = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def read_only(a: Any) -> Any:
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def outcome(good: Any, changed: dict[str, Any]) -> str | None:
    """Say what is wrong with how a call of `tests.fuzz.public` ended, if anything."""
    for name in good.called:
        value = changed.get(name)
        if any(map(callable, value if isinstance(value, list) else [value])):
            return None
    try:
        with np.errstate(all="raise"):  # NumPy's warnings are none of the caller's
            good.call(**changed)
    except Exception as error:
        paths = [a for a in changed.values() if isinstance(a, str) and a]
        return complaint(error, [*good.arguments, *good.names, *paths])
    return None


def shown(value: Any) -> str:
    try:
        if hasattr(value, "untyped_storage"):  # to print one without memory crashes
            return f"Tensor {list(value.shape)} {value.dtype} on {value.device}"
        # Without addresses: a case is the same in every process.
        text = re.sub(r" at 0x[0-9a-f]+", "", f"{type(value).__name__} {value!r}")
        return " ".join(text[:100].split())
    except Exception:
        return type(value).__name__


def complaint(error: BaseException, names: Iterable[str]) -> str | None:
    """Say what is wrong with an error, if it does not name an argument as it should."""
    kind = type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        return None  # of the system, with the path
    if not isinstance(error, ERRORS):
        return f"{kind}: {error}"
    message = str(error.args[0]) if error.args else ""
    if isinstance(error, MemoryError) and message.startswith("Unable to allocate"):
        return None  # NumPy's own, with shape and dtype
    any_name = "|".join(map(re.escape, names))
    name = rf"(?:{any_name})(?:\[[^\]]*\]|'s key)*"
    named = re.match(rf"{name}(?:, {name})*: ", message)
    if named and FORMS.search(message, named.end()):
        return None
    return f"{kind}: {message}"
