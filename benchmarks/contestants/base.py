"""A contestant: one library, made ready for one workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..workloads import Array

# Names: y, h_n, c_n (LSTM) and, in training, dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0
# (LSTM); shapes, layout and gate order as in the contract, whatever the library's own.
Results = dict[str, Array]


class SkippedError(RuntimeError):
    """Raised if a library cannot do a workload; the text says why."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Run:
    """A contestant made ready: inputs converted, models built, functions compiled.

    Attributes
    ----------
    call : callable
        Does the work that a user of the library pays for in one pass, and returns the
        library's own objects. Only this part is timed.
    to_numpy : callable
        Turns the value of `call` into `Results`.
    use_threads : callable
        Sets the library's thread count. Called before a series of calls, not timed.
    """

    call: Callable[[], Any]
    to_numpy: Callable[[Any], Results]
    use_threads: Callable[[], None] = _nothing

    def results(self) -> Results:
        self.use_threads()
        return self.to_numpy(self.call())
