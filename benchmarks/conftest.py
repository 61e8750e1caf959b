"""Fixtures of the pytest benchmarks: what each records besides its timings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.contestants import CONTESTANTS
from benchmarks.contestants.jax_scan import limit_threads
from benchmarks.machine import cpu_model, fastrnn_isa, library_version, usable_cores
from benchmarks.peak import PeakUnavailableError, measure_peak, usable_isas


def pytest_configure() -> None:
    # JAX keeps the thread count it starts with; compare.py times it at others too.
    limit_threads(1)


def thread_counts(contestant: str) -> list[int]:
    """Return 1 and all cores, or one count if the library cannot change it."""
    if contestant == "reference":  # NumPy's BLAS, as it started
        return [usable_cores()]
    return [1] if CONTESTANTS[contestant].fixed_threads else [1, usable_cores()]


def contestant_params(names: list[str]) -> list[Any]:
    """``(contestant, threads)`` with ids such as ``torch-2``."""
    return [
        pytest.param(name, threads, id=f"{name}-{threads}")
        for name in names
        for threads in sorted(set(thread_counts(name)))
    ]


@pytest.fixture
def record(benchmark: Any) -> Callable[..., None]:
    """Time a run and write speed, share of peak and circumstances into extra_info."""

    def peak(dtype: str, threads: int) -> float | None:
        isas = usable_isas()
        isa = fastrnn_isa() if fastrnn_isa() in isas else isas[0]
        try:
            return max(measure_peak(isa, dtype, threads) for _ in range(5))
        except PeakUnavailableError:
            return None

    def measure(
        run: Any, contestant: str, threads: int, *, flops: float, dtype: str
    ) -> None:
        run.use_threads()
        before = peak(dtype, threads)
        benchmark(run.call)
        after = peak(dtype, threads)
        info = benchmark.extra_info
        info |= {"cpu": cpu_model(), "isa": fastrnn_isa(), "threads": threads}
        info["version"] = library_version(contestant)
        if benchmark.stats is None:  # --benchmark-disable
            return
        gflops = flops * 1e-9 / benchmark.stats.stats.median
        info["gflops"] = round(gflops, 1)
        if before is not None and after is not None:
            info["peak_gflops"] = round((before + after) / 2, 1)
            info["share_of_peak"] = round(2 * gflops / (before + after), 3)

    return measure
