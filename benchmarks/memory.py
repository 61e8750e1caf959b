"""Peak memory of one call: how far it lifts the process above where it stood.

``python -m benchmarks.memory MODULE:FUNCTION`` reads two argument tuples (pickled, from
standard input), makes the library ready and calls it with the small one, so that its
code is loaded, then with the real one's inputs already there, and prints the growth in
bytes. A fresh process each time: an allocator that kept freed memory would hide the
next growth.
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
    """The system does not tell peak memory."""


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
    """Bytes by which one call of `factory`'s run lifts a fresh process's peak.

    What the call returns is held, so it counts; its inputs do not.
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
