"""Locks that no thread holds in a process that is forked meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

LOCKS: weakref.WeakSet[Any] = weakref.WeakSet()


def make_lock() -> Any:
    """Return a new `threading.Lock`, which a forked process finds unlocked."""
    lock = threading.Lock()
    LOCKS.add(lock)
    return lock


def unlock_all() -> None:
    for lock in list(LOCKS):
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=unlock_all)
