"""Count the threads that a call really starts, so that tests of threads can fail."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastrnn
from fastrnn import _core

TASKS = Path("/proc/self/task")
MAPS = Path("/proc/self/maps")
ALL = 1024  # more than any test asks for

needs_threads = pytest.mark.skipif(
    not fastrnn.build_info()["openmp"], reason="built without threads"
)


def list_threads() -> set[str]:
    """Return their ids. While threads of an earlier call end, a list may skip some."""
    while True:
        first, second, third = (set(os.listdir(TASKS)) for _ in range(3))
        if first == second == third:
            return first


def run_counting(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """Return the result of ``call``, and the number of threads it started.

    GCC's OpenMP keeps threads for the next call of the same caller; a new caller has
    none. LLVM's keeps them for every caller. The number is None if that or the system
    hides it.
    """
    found: list[Any] = []

    def count() -> None:
        _core.shrink_teams(ALL)  # even if others use the cores too
        before = list_threads()
        try:
            result = call()
        finally:
            _core.shrink_teams(0)
        found.extend([result, len(list_threads() - before)])

    if not TASKS.exists() or "libomp" in MAPS.read_text():
        return call(), None
    caller = threading.Thread(target=count)
    caller.start()
    caller.join()
    return found[0], found[1]


def run_as_team(call: Callable[[], Any], threads: int) -> Any:
    """Return the result of ``call``, which must use that many threads.

    LLVM's OpenMP gives it threads of callers that have ended: there it may start fewer.
    """
    result, started = run_counting(call)
    if started is not None:
        fewest = 0 if has_llvm_openmp() else threads - 1
        assert fewest <= started < threads
    return result


def has_llvm_openmp() -> bool:
    return "/libomp.so" in Path("/proc/self/maps").read_text()
