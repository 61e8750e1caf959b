"""Count the threads that a call really uses, so that tests of threads can fail."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastrnn import _core

TASKS = Path("/proc/self/task")
ALL = 1024  # more than any test asks for


def list_threads() -> set[str]:
    """Return their ids. While threads of an earlier call end, a list may skip some."""
    while True:
        first, second, third = (set(os.listdir(TASKS)) for _ in range(3))
        if first == second == third:
            return first


def run_as_team(call: Callable[[], Any], threads: int) -> Any:
    """Return the result of ``call``, which must use that many threads."""
    _core.shrink_teams(ALL)  # even if others use the cores too
    _core.take_largest_team()
    try:
        result = call()
    finally:
        _core.shrink_teams(0)
    assert _core.take_largest_team() == threads
    return result
