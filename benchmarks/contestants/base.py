"""What a contestant is: one library, made ready for one workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..workloads import Array

# Names: y, h_n, c_n (LSTM) and, in training, dx, dw_ih, dw_hh, db_ih, db_hh, dh0, dc0
# (LSTM); shapes, layout and gate order as in the contract, whatever the library's own.
Results = dict[str, Array]


class SkippedError(RuntimeError):
    """Raised where a library cannot do a workload; the text says why."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Run:
    """A contestant made ready: inputs converted, models built, functions compiled.

    Attributes
    ----------
    call : callable
        Does what the user of the library pays for one pass, and returns the library's
        own objects. The only part that is timed.
    to_numpy : callable
        Turns what `call` returned into `Results`.
    use_threads : callable
        Sets the library's thread count. Called before a series of calls, not timed.
    """

    call: Callable[[], Any]
    to_numpy: Callable[[Any], Results]
    use_threads: Callable[[], None] = _nothing

    def results(self) -> Results:
        self.use_threads()
        return self.to_numpy(self.call())
