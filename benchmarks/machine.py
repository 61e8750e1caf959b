"""The machine behind the numbers: processor, instruction set, libraries."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .contestants import CONTESTANTS, SkippedError


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [
        line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
    ]
    return named[0] if named else platform.processor() or platform.machine()


def usable_cores() -> int:
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def fastrnn_isa() -> str:
    """Instruction set that fastrnn uses, ``""`` if it is not installed."""
    try:
        import fastrnn
    except ImportError:
        return ""
    return str(fastrnn.isa())


def library_version(contestant: str) -> str:
    """Return the version, or the reason why the library is missing."""
    try:
        return CONTESTANTS[contestant].version()
    except SkippedError as error:
        return f"skipped ({error})"


def describe_machine(contestants: Iterable[str]) -> dict[str, Any]:
    """Return the facts without which a report's numbers mean nothing."""
    import numpy

    described: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "isa": fastrnn_isa(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }
    return described | {name: library_version(name) for name in contestants}
