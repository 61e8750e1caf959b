"""A process for each contestant and thread count, controlled over a pipe.

JAX and NumPy's BLAS fix their thread count when they start, so one process cannot time
them at 1 and at 2 threads. In processes of their own, all have the right number of
threads, pools of different libraries do not meet, and rounds still alternate: an idle
worker is blocked on its pipe.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
import traceback
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from .contestants.base import Results, Run, SkippedError

if TYPE_CHECKING:
    from collections.abc import Iterator

THREAD_VARIABLES = (
    "NPROC",  # JAX
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "FASTRNN_NUM_THREADS",
)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Variables that a process started inside inherits."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def time_calls(run: Run, repeats: int, warm_up: bool = True) -> float:
    """Return seconds per call, over `repeats` calls after one that is not counted."""
    run.use_threads()
    if warm_up:
        run.call()
    start = time.perf_counter()
    for _ in range(repeats):
        run.call()
    return (time.perf_counter() - start) / repeats


def _serve(pipe: Connection) -> None:
    run: Run | None = None
    while True:
        request, *args = pipe.recv()
        try:
            if request == "close":
                return
            if request == "prepare":
                run = None  # free the last one first
                module, function = args[0].split(":")
                run = getattr(importlib.import_module(module), function)(*args[1])
                pipe.send(("done", run.results()))
            elif request == "time":
                assert run is not None, "time: nothing is prepared"
                pipe.send(("done", time_calls(run, *args)))
        except SkippedError as error:
            pipe.send(("skipped", str(error)))
        except Exception:
            pipe.send(("failed", traceback.format_exc()))


class Worker:
    """A process that prepares runs and times them on request."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _environment(threads):
            self._process.start()
        theirs.close()

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        status, answer = self._pipe.recv()
        if status == "skipped":
            raise SkippedError(answer)
        if status == "failed":
            raise RuntimeError(f"in the worker process:\n{answer}")
        return answer

    def prepare(self, factory: str, *args: Any) -> Results:
        """Load ``module:function``, call it for a `Run`, return that run's results."""
        results: Results = self._ask("prepare", factory, args)
        return results

    def time_calls(self, repeats: int, warm_up: bool = True) -> float:
        """Return seconds per call."""
        return float(self._ask("time", repeats, warm_up))

    def close(self) -> None:
        self._pipe.send(("close",))
        self._process.join(timeout=5)
        self._process.kill()
