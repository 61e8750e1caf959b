"""Peak memory of one call: the growth of the process's peak during the call.

``python -m benchmarks.memory MODULE:FUNCTION`` reads two argument tuples (pickled, from
standard input). It prepares the library and calls it with the small one, so that its
code is loaded, then with the real one, whose inputs are already there, and prints the
growth in bytes. Each measurement has a fresh process, since an allocator that keeps
freed memory would hide the next growth.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from .worker import THREAD_VARIABLES


class MemoryUnavailableError(RuntimeError):
    """The system does not report peak memory."""


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise MemoryUnavailableError(f"/proc/self/status has no {field}")


def _measure(factory: str, small: tuple[Any, ...], real: tuple[Any, ...]) -> int:
    module, function = factory.split(":")
    prepare = getattr(importlib.import_module(module), function)
    prepare(*small).results()
    run = prepare(*real)
    run.use_threads()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from now
    before = _status_bytes("VmHWM")
    held = run.call()
    growth = _status_bytes("VmHWM") - before
    del held
    return growth


def measure_growth(
    factory: str, small: tuple[Any, ...], real: tuple[Any, ...], threads: int
) -> int:
    """Return the bytes by which a call of `factory`'s run lifts a process's peak.

    The call's results are held, so they count; its inputs do not.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise MemoryUnavailableError("memory: needs Linux's /proc/self/clear_refs")
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", factory],
        input=pickle.dumps((small, real)),
        capture_output=True,
        env=environment,
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    if done.returncode:
        raise MemoryUnavailableError(f"memory: {factory}:\n{done.stderr.decode()}")
    return int(done.stdout)


if __name__ == "__main__":
    print(_measure(sys.argv[1], *pickle.load(sys.stdin.buffer)))
