"""Threads and instruction set: those the environment asks for, and those in use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

from fastrnn import _core
from fastrnn._gate.arguments import as_integer, shown

MAX_THREADS = 1024
SHARINGS = ("best", "none", "rows", "units")
ResultT = TypeVar("ResultT")
_helpers: Any = None  # the process id, and its threads


def isa() -> str:
    """Return the instruction set in use: baseline, avx2, avx512 or neon.

    It is the widest that both the machine and the build support, or the one that
    ``FASTRNN_ISA`` named when fastrnn was imported.
    """
    return _core.isa()


def available_isas() -> list[str]:
    """Return the instruction sets that can be used here, widest first."""
    return _core.available_isas()


def get_num_threads() -> int:
    """Return the number of threads that a call may use.

    The initial value is ``FASTRNN_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the
    number of cores that this process may use. Small calls use fewer. Results are the
    same, bit for bit, for every number of threads.
    """
    return _core.get_num_threads()


def set_num_threads(n: SupportsIndex) -> None:
    """Set the number of threads that a call may use, for the whole process.

    Parameters
    ----------
    n : int
        1 to 1024.

    Raises
    ------
    TypeError
        ``n`` is not an integer.
    ValueError
        ``n`` is out of range.
    """
    threads = as_integer("n", n)
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"n: expected 1 <= n <= {MAX_THREADS}, got {shown(threads)}")
    _core.set_num_threads(threads)


def trim_memory() -> None:
    """Give memory that fastrnn keeps for later calls back to the system.

    Up to 256 MiB of freed blocks wait for the next call that wants blocks of their
    sizes, because memory fresh from the system is slow: it is cleared first. A program
    that will not call fastrnn for a while, or has to make room for something else, can
    give them back. What arrays hold stays, and so do the packed weights of layers in
    eval mode. With glibc, other free memory of the process is given back too.
    """
    _core.trim_memory()


def run_side_by_side(
    first: Callable[[], ResultT], second: Callable[[], ResultT]
) -> list[ResultT]:
    """Run two calls at the same time, each on half the threads; return both results.

    Where no thread can be started (at exit, or for a limit on threads), the second runs
    after the first. If one raises, the other ends at its next chunk.
    """
    half = get_num_threads() // 2
    stop = _core.StopFlag()
    try:
        other = helpers().submit(run_limited, second, half, stop)
    except RuntimeError:
        other = None
    if other is None:
        stop.set()  # it may be in a queue nevertheless
        return [first(), second()]
    try:
        return [run_limited(first, get_num_threads() - half), other.result()]
    except BaseException:
        stop.set()
        other.exception()  # waits
        raise


def run_limited(call: Callable[[], ResultT], threads: int, stop: Any = None) -> ResultT:
    """Run a call on so many threads; it is given up when ``stop`` is set."""
    before = _core.limit_threads(threads)
    _core.heed(stop)
    try:
        return call()
    finally:
        _core.heed(None)
        _core.limit_threads(before)


def helpers() -> Any:
    """Return the pool that runs second calls; a forked child needs its own.

    RuntimeError at exit, when no pool can be made.
    """
    from concurrent.futures import ThreadPoolExecutor  # not at import: it takes 5 ms

    global _helpers
    if _helpers is None or _helpers[0] != os.getpid():
        _helpers = os.getpid(), ThreadPoolExecutor(thread_name_prefix="fastrnn")
    return _helpers[1]


def build_info() -> dict[str, Any]:
    """Return how fastrnn was built.

    Returns
    -------
    dict
        ``version``, ``compiler`` and ``build_type``.
    """
    return _core.build_info()


def usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not available on this system
        return os.cpu_count() or 1


def threads_of_environment() -> int:
    for name in ("FASTRNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").strip()
        if not value:
            continue
        if name == "OMP_NUM_THREADS":
            value = value.split(",")[0]  # one number per nesting level
        digits = value.lstrip("0")
        # At most four of them: Python refuses to convert thousands.
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 5
        if is_number and int(digits) <= MAX_THREADS:
            return int(digits)
        raise ImportError(
            f"{name}: expected a number from 1 to {MAX_THREADS}, "
            f"got {shown(os.environ[name])}"
        )
    return min(usable_cores(), MAX_THREADS)


def sharing_of_environment() -> str:
    """Return how threads are to share a call: ``FASTRNN_SHARE``, for tests."""
    way = os.environ.get("FASTRNN_SHARE", "").strip() or "best"
    if way not in SHARINGS:
        raise ImportError(
            f"FASTRNN_SHARE: expected one of {', '.join(SHARINGS)}, got {way!r}"
        )
    return way


def apply_environment() -> None:
    """Apply ``FASTRNN_ISA`` and the thread settings, or stop the import."""
    name = os.environ.get("FASTRNN_ISA", "").strip()
    if name:
        usable = available_isas()
        if name not in usable:
            raise ImportError(
                f"FASTRNN_ISA: expected one of {', '.join(usable)} on this machine, "
                f"got {name!r}"
            )
        _core.select_isa(name)
    _core.set_num_threads(threads_of_environment())
    _core.set_sharing(sharing_of_environment())


apply_environment()
