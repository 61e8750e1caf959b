"""The machine's multiply-add peak, by a loop that is compiled at first use.

A share of peak is honest only against a peak of the same minute: clocks change, and
other processes come and go. So :func:`measure_peak` is short (about 5 ms), and the
benchmarks call it in turn with the contestants.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("peak.cpp")

# name -> (bytes in a vector, compiler flags)
ISAS: dict[str, tuple[int, list[str]]] = {
    "avx512": (64, ["-mavx512f", "-mfma", "-mprefer-vector-width=512"]),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "baseline": (16, []),
}
ISAS_ARM: dict[str, tuple[int, list[str]]] = {"neon": (16, []), "baseline": (16, [])}

SAMPLE_SECONDS = 5e-3


class PeakUnavailableError(RuntimeError):
    """There is no compiler, or the processor lacks the instruction set."""


def cpu_flags() -> set[str]:
    """Instruction-set flags of this processor, as Linux names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    for line in lines:
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def usable_isas() -> list[str]:
    """Instruction sets the peak loop can use on this machine, widest first."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return list(ISAS_ARM)
    flags = cpu_flags()
    needed = {"avx512": {"avx512f", "fma"}, "avx2": {"avx2", "fma"}, "baseline": set()}
    return [isa for isa in ISAS if needed[isa] <= flags]


@functools.cache
def build_folder() -> Path:
    """Temporary folder for the compiled loops; removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="fastrnn-peak-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def build_loop(source: Path, isa: str) -> ctypes.CDLL:
    """Compile `source` for `isa` and load it."""
    if isa not in usable_isas():
        raise PeakUnavailableError(f"peak: {isa} is not among {usable_isas()} here")
    named = os.environ.get("CXX", "")
    compiler = next(
        filter(None, map(shutil.which, (named, "c++", "g++", "clang++"))), ""
    )
    if not compiler:
        raise PeakUnavailableError("peak: no C++ compiler (c++, g++, clang++, $CXX)")
    width, flags = {**ISAS_ARM, **ISAS}[isa]
    library = build_folder() / f"{source.stem}_{isa}.so"
    command = [compiler, "-O2", "-std=c++17", "-shared", "-fPIC", "-pthread", "-w"]
    command += ["-ffp-contract=fast", *flags, f"-DVECTOR_BYTES={width}"]
    command += [str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeakUnavailableError(f"peak: {' '.join(command)} failed:\n{done.stderr}")
    return ctypes.CDLL(str(library))


@functools.cache
def load_peak(isa: str) -> ctypes.CDLL:
    """Compile the loop for `isa` (once per process) and load it."""
    loops = build_loop(SOURCE, isa)
    for dtype in ("float32", "float64"):
        loop = getattr(loops, f"peak_{dtype}")
        loop.argtypes, loop.restype = [ctypes.c_int, ctypes.c_long], ctypes.c_double
    return loops


@functools.cache
def calibrate(isa: str, dtype: str) -> int:
    """Return the repeats of the loop that take about ``SAMPLE_SECONDS``."""
    loop = getattr(load_peak(isa), f"peak_{dtype}")
    repeats = 1 << 16
    gflops = max(loop(1, repeats) for _ in range(3))
    lanes = {**ISAS_ARM, **ISAS}[isa][0] // (4 if dtype == "float32" else 8)
    return max(1, int(gflops * 1e9 * SAMPLE_SECONDS / (2 * 12 * lanes)))


def measure_peak(isa: str, dtype: str = "float32", threads: int = 1) -> float:
    """Return GFLOP/s of one short run of the multiply-add loop.

    Parameters
    ----------
    isa : {"avx512", "avx2", "baseline", "neon"}
        Instruction set of the loop.
    dtype : {"float32", "float64"}
        Type of the numbers.
    threads : int
        Threads that run it at the same time; the sum of their speeds is returned.

    Raises
    ------
    PeakUnavailableError
        If there is no compiler or the processor lacks `isa`.
    """
    loop = getattr(load_peak(isa), f"peak_{dtype}")
    return float(loop(threads, calibrate(isa, dtype)))
