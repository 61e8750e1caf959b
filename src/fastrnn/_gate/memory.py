"""The memory of layers: which layer an array belongs to, and which arrays are retired.

The flat arrays of a layer, and all views of them, lie in one allocation. When the layer
moves into a `Sequential`, its parameters and gradients move into the model's arrays.
The ranges that they leave are retired: the layer does not read them any more, and work
on them would be lost without a word.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from fastrnn._types import FloatArray


class Allocation:
    """One array that owns its memory, with the layers in it."""

    def __init__(self, array: Any) -> None:
        self.tenants: dict[int, weakref.ref[Any]] = {}  # layers, by id, outermost first
        self.retired: list[tuple[int, int]] = []  # addresses: from, up to
        key = id(array)

        def forget(_: Any, tables: Any = (ALLOCATIONS, RETIRED)) -> None:
            for table in tables:
                table.pop(key, None)

        self._array = weakref.ref(array, forget)


ALLOCATIONS: dict[int, Allocation] = {}  # by id of the array, as long as it exists
RETIRED: dict[int, Allocation] = {}  # those with retired ranges: hardly ever any


def allocate(size: int, dtype: Any) -> FloatArray:
    """Return zeros; a view, so that flags of it can be set and unset at will."""
    whole: FloatArray = np.zeros(size, dtype)
    return whole[:]


def allocation_of(a: Any) -> Any:
    """Return the array that owns the memory of ``a``."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def addresses(a: Any) -> tuple[int, int]:
    """Return where a C-contiguous array begins and ends."""
    start: int = a.__array_interface__["data"][0]
    return start, start + a.nbytes


def find(a: Any) -> Allocation:
    whole = allocation_of(a)
    if id(whole) not in ALLOCATIONS:
        ALLOCATIONS[id(whole)] = Allocation(whole)
    return ALLOCATIONS[id(whole)]


def move_in(layer: Any, flat_params: FloatArray) -> None:
    """Note that a layer's parameters are here."""
    find(flat_params).tenants[id(layer)] = weakref.ref(layer)


def move_out(layer: Any, *flat_arrays: FloatArray) -> None:
    """Note that a layer has left these arrays: from now on they are refused."""
    for a in flat_arrays:
        allocation = find(a)
        allocation.tenants.pop(id(layer), None)
        if a.size:
            allocation.retired.append(addresses(a))
            RETIRED[id(allocation_of(a))] = allocation


def layer_of(a: Any) -> Any:
    """Return the innermost layer that all of an array belongs to, or None."""
    allocation = ALLOCATIONS.get(id(allocation_of(a)))
    found = None
    if allocation is not None and a.size:
        start, stop = addresses(a)
        for reference in list(allocation.tenants.values()):
            layer = reference()
            if layer is None:
                continue
            first, last = addresses(layer.flat_params)
            smaller = found is None or layer.flat_params.size < found.flat_params.size
            if first <= start and stop <= last and smaller:
                found = layer
    return found


def require_current(name: str, a: Any) -> None:
    """Refuse an array in memory that its layer has left; to be asked if `RETIRED`."""
    allocation = RETIRED.get(id(allocation_of(a)))
    if allocation is None:
        return
    start, stop = addresses(a)
    if any(first < stop and start < last for first, last in allocation.retired):
        raise RuntimeError(
            f"{name}: expected an array that a layer still uses, got one that it left "
            f"when it moved into a Sequential: make the optimizer after the model, or "
            f"pass the model itself"
        )


class Apart:
    """Refuses arrays that share memory, and knows those that it has last let pass."""

    def __init__(self) -> None:
        self._known: list[weakref.ref[Any]] = []

    def require(
        self, names: list[str], written: list[Any], read_name: str, read: list[Any]
    ) -> None:
        """Refuse arrays to write to that share memory with one another or with others.

        All are C-contiguous. ``read_name`` is that of the others, all together.
        """
        arrays = written + read
        if self._knows(arrays):
            return
        if not are_plainly_apart(written, read):
            several = len(read) > 1
            entries = [
                (*addresses(a), name, "")
                for name, a in zip(names, written, strict=True)
            ]
            entries += [
                (*addresses(a), f"{read_name}[{i}]" if several else read_name, "read")
                for i, a in enumerate(read)
            ]
            sweep(entries)
        self._known = [weakref.ref(a) for a in arrays]

    def _knows(self, arrays: list[Any]) -> bool:
        if len(self._known) != len(arrays):
            return False
        for reference, a in zip(self._known, arrays, strict=True):
            if reference() is not a:
                return False
        return True


def are_plainly_apart(written: list[Any], read: list[Any]) -> bool:
    """Whether they lie in different allocations, which is quickly seen."""
    mine: set[int] = set()
    theirs: set[int] = set()
    for found, arrays in ((mine, written), (theirs, read)):
        for a in arrays:
            base = a.base
            if base is None:
                base = a
            elif type(base) is not np.ndarray or base.base is not None:
                return False  # not NumPy's own memory, perhaps
            found.add(id(base))
    return len(mine) == len(written) and not mine & theirs


def sweep(entries: list[tuple[int, int, str, str]]) -> None:
    """Refuse ranges that overlap, unless both are only read."""
    reach: dict[str, tuple[int, str]] = {}  # the farthest end of each kind so far
    for start, stop, name, kind in sorted(entries):
        if start == stop:
            continue
        for other, (last, other_name) in reach.items():
            if start < last and (other != kind or not kind):
                raise ValueError(
                    f"{other_name}, {name}: expected arrays that share no memory, got "
                    f"two that do"
                )
        reach[kind] = max(reach.get(kind, (0, "")), (stop, name))
