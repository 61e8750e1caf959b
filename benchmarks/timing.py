"""Alternating rounds, which make ratios of two timings meaningful.

The machine's speed varies (clocks, other processes). So contestants take turns, with
one short sample each per round, and ratios are taken within a round; the median over
rounds is the answer, and the quartiles say how far to trust it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

Key = tuple[str, int]  # contestant, threads
Turn = TypeVar("Turn", bound=Hashable)
TimeCalls = Callable[[int, bool], float]  # repeats, warm_up -> seconds a call

PAUSE_SECONDS = 20e-3  # lets thread pools that spin after a call go to sleep
MOST_SAMPLE_CALL = 0.2  # s; see `calibrate`
FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def text(self, digits: int = 2, sign: str = "×") -> str:
        d = digits
        return f"{self.median:.{d}f}{sign} ({self.low:.{d}f}–{self.high:.{d}f})"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, as stored in JSON."""
    return asdict(Spread.of(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of ``above / below``, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


@dataclass(frozen=True)
class Sampler:
    """The number of calls in a sample, and whether an uncounted one precedes it."""

    time_calls: TimeCalls
    repeats: int
    warm_up: bool
    seconds: float  # a call, as first measured

    def __call__(self) -> float:
        return self.time_calls(self.repeats, self.warm_up)

    @property
    def sample_seconds(self) -> float:
        return self.seconds * (self.repeats + self.warm_up) + PAUSE_SECONDS


def calibrate(time_calls: TimeCalls, sample_seconds: float) -> Sampler:
    """Find the repeats that make a sample of about `sample_seconds`.

    A call longer than ``MOST_SAMPLE_CALL`` needs no uncounted one before it: its start,
    with cold caches, is too small a part of it to matter.
    """
    repeats, seconds = 1, time_calls(1, True)
    while seconds * repeats < 0.5 * sample_seconds:
        repeats = max(repeats + 1, int(sample_seconds / max(seconds, 1e-7)))
        seconds = time_calls(repeats, True)
    repeats = max(1, round(sample_seconds / seconds))
    return Sampler(time_calls, repeats, seconds < MOST_SAMPLE_CALL, seconds)


def alternate(
    turns: Mapping[Turn, Callable[[], float]], rounds: int
) -> dict[Turn, list[float]]:
    """Return all samples, one per round; every other round runs in reverse order."""
    samples: dict[Turn, list[float]] = {key: [] for key in turns}
    order = list(turns)
    for _ in range(rounds):
        for key in order:
            time.sleep(PAUSE_SECONDS)
            samples[key].append(turns[key]())
        order.reverse()
    return samples


def take_turns(
    contestants: Mapping[Key, TimeCalls],
    extra: Mapping[Key, Callable[[], float]],
    *,
    rounds: int,
    budget: float,
    sample_seconds: float,
) -> dict[Key, list[float]]:
    """Return seconds per call of every contestant and the values of `extra`, by round.

    There are `rounds` rounds, or as many as fit into `budget` seconds, but at least
    ``FEWEST_ROUNDS``.
    """
    samplers = {k: calibrate(t, sample_seconds) for k, t in contestants.items()}
    a_round = sum(sampler.sample_seconds for sampler in samplers.values())
    rounds = min(rounds, max(FEWEST_ROUNDS, int(budget / max(a_round, 1e-9))))
    return alternate({**samplers, **extra}, rounds)


def summarise(samples: Mapping[Key, list[float]], work: float) -> dict[str, Any]:
    """Return speeds (`work` per second), ratios and scaling from `take_turns`.

    The contestant ``"peak"`` reports its speed directly. All ratios are of speed, of
    fastrnn over the others; ``"share"`` is relative to the peak, ``"scaling"`` is the
    most threads over the fewest.
    """
    speed = {
        key: values if key[0] == "peak" else [work / seconds for seconds in values]
        for key, values in samples.items()
    }
    names = list(dict.fromkeys(name for name, _ in speed))
    threads = sorted({n for _, n in speed})
    by_threads: dict[str, Any] = {}
    for n in threads:
        here = {name: speed[name, n] for name in names if (name, n) in speed}
        entry: dict[str, Any] = {"speed": {k: spread(v) for k, v in here.items()}}
        if mine := here.get("fastrnn"):
            others = {k: v for k, v in here.items() if k not in ("fastrnn", "peak")}
            entry["ratio"] = {k: ratio(mine, v) for k, v in others.items()}
            if "peak" in here:
                entry["share"] = ratio(mine, here["peak"])
        by_threads[str(n)] = entry
    few, many = threads[0], threads[-1]
    scaling = {
        name: ratio(speed[name, many], speed[name, few])
        for name in names
        if few != many and (name, few) in speed and (name, many) in speed
    }
    rounds = min(map(len, samples.values()))
    return {"rounds": rounds, "threads": by_threads, "scaling": scaling}
