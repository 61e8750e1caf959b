"""The contestants' worker processes, their tasks, and the peak among them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .contestants import SkippedError
from .contestants.base import Results
from .machine import fastrnn_isa, usable_cores
from .peak import PeakUnavailableError, measure_peak, usable_isas
from .timing import Key, summarise, take_turns
from .worker import Worker


def make_parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """Options that all comparisons share."""
    p = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=text)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument("--threads", nargs="+", type=int, default=[1, usable_cores()])
    p.add_argument("--rounds", type=int, default=21)
    p.add_argument("--budget", type=float, default=60, help="seconds for one row")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--markdown", action="store_true", help="tables for a README")
    p.add_argument("--quick", action="store_true", help="only see that it works")
    return p


class Arena:
    """A worker process for each contestant and thread count.

    Attributes
    ----------
    skipped : dict
        Reasons why a contestant or a measurement was left out.
    peak_isa : str
        Instruction set of the peak loop: fastrnn's own.
    """

    def __init__(self, threads: Iterable[int]) -> None:
        self.threads = sorted(set(threads))
        self.skipped: dict[str, str] = {}
        self._workers: dict[Key, Worker] = {}
        isas = usable_isas()
        self.peak_isa = fastrnn_isa() if fastrnn_isa() in isas else isas[0]

    def _worker(self, key: Key) -> Worker:
        if key not in self._workers:
            self._workers[key] = Worker(key[1])
        return self._workers[key]

    def prepare(
        self,
        factories: Mapping[str, str],
        args: tuple[Any, ...],
        check: Callable[[Results, str], object],
    ) -> dict[Key, Worker]:
        """Return the workers that can do the task, their answers checked.

        `factories` maps contestants to ``module:function``; the function is called with
        `args` and the number of threads.
        """
        ready: dict[Key, Worker] = {}
        for name, factory in factories.items():
            for n in self.threads:
                worker = self._worker((name, n))
                try:
                    results = worker.prepare(factory, *args, n)
                except SkippedError as error:
                    self.skipped.setdefault(f"{name} {args[-1]}", str(error))
                    continue
                check(results, f"{name}, {n} threads")
                ready[name, n] = worker
        return ready

    def _peaks(self, dtype: str) -> dict[Key, Callable[[], float]]:
        try:
            measure_peak(self.peak_isa, dtype)
        except PeakUnavailableError as error:
            self.skipped["peak"] = str(error)
            return {}

        def sampler(n: int) -> Callable[[], float]:
            return lambda: measure_peak(self.peak_isa, dtype, n)

        return {("peak", n): sampler(n) for n in self.threads}

    def time(
        self,
        ready: Mapping[Key, Worker],
        options: argparse.Namespace,
        *,
        work: float,
        peak_dtype: str | None = None,
    ) -> dict[str, Any]:
        """Run alternating rounds of all ready workers, and of the peak for a dtype."""
        samples = take_turns(
            {key: worker.time_calls for key, worker in ready.items()},
            self._peaks(peak_dtype) if peak_dtype else {},
            rounds=min(3, options.rounds) if options.quick else options.rounds,
            budget=options.budget,
            sample_seconds=5e-3 if options.quick else 20e-3,
        )
        return summarise(samples, work)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
