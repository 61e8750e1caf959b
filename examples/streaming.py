"""A net that listens: one sample at a time, with the latency of every step.

A sensor is watched: a wave whose period drifts, with noise and, now and then, a bump
that does not belong there. First a GRU learns from sequences to predict the next
sample. Then the trained layer goes live: `fastrnn.Stepper` takes each sample as it
arrives and predicts the next one; a sample far from its prediction is reported. Last
come the latencies, and a proof that single steps give the same result as the whole
sequence, to the last bit.

    python examples/streaming.py
    python examples/streaming.py --rate 8000 --seconds 10   # paced, as in real time
"""

from __future__ import annotations

import sys
import time
from typing import Any

import _readers as read
import numpy as np
from _errors import UserError, run
from _program import descend
from _settings import SEED, Parser, Setting, settle

import fastrnn

SETTINGS = [
    Setting("steps", 300, "steps of training", read.steps),
    Setting("hidden", 32, "hidden units", read.number(int, 1, 512)),
    Setting("seconds", 2.5, "length of the signal", read.number(float, 0.1, 60)),
    Setting(
        "rate", 0, "samples per second; 0: 8000, without waiting",
        read.number(float, 0, 20_000),
    ),
    SEED,
]  # fmt: skip
UNPACED = 8000  # samples per second of a signal without a rate
PERCENTILES = (50, 90, 99, 99.9)
WARM_UP = 200  # samples until the state follows the wave
ALARM = 5.0  # an error this many times the usual one is reported
BUMP = 12  # samples of a bump


class Signal:
    """The sensor: an endless sequence of samples."""

    def __init__(self, seed: int, bumps: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._phase, self._step = 0.0, 0.25
        self._bumps, self._left, self._count = bumps, 0, -1
        self.bump_starts: list[int] = []

    def read(self, count: int) -> np.ndarray[Any, Any]:
        """Return the next samples, float32 [count]."""
        return np.array([self._next() for _ in range(count)], np.float32)

    def _next(self) -> float:
        rng = self._rng
        self._count += 1
        self._step += 0.002 * rng.standard_normal() + 0.01 * (0.25 - self._step)
        self._phase += self._step
        value = np.sin(self._phase) + 0.4 * np.sin(2 * self._phase + 1)
        value += 0.02 * rng.standard_normal()
        if self._bumps and self._left == 0 and rng.random() < 1 / 2000:
            self._left = BUMP
            self.bump_starts.append(self._count)
        if self._left > 0:
            self._left -= 1
            value += 1.0
        return float(value)


class Forecaster:
    """A GRU and a linear layer that predict the next sample."""

    def __init__(self, hidden: int, seed: int) -> None:
        self.rnn = fastrnn.GRU(1, hidden, seed=seed)
        rng = np.random.default_rng(seed)
        self.w = (rng.standard_normal((1, hidden)) / hidden**0.5).astype(np.float32)
        self.b = np.zeros(1, np.float32)
        self.adam = fastrnn.Adam([self.rnn.flat_params, self.w, self.b], lr=3e-3)

    def train(self, steps: int, seed: int, T: int = 100, N: int = 32) -> float:
        """Learn from sequences; return the last root mean squared error."""
        samples = Signal(seed, bumps=False).read(N * (T + 1) * 4).reshape(4 * N, -1).T
        rng = np.random.default_rng(seed)
        error = np.nan
        for step in range(steps):
            rows = rng.choice(samples.shape[1], N, replace=False)
            x = np.ascontiguousarray(samples[:, rows])[..., None]  # [T + 1, N, 1]
            y, _ = self.rnn(x[:-1])
            errors = fastrnn.linear_forward(y, self.w, self.b) - x[1:]
            head = fastrnn.linear_backward(y, self.w, 2 / errors.size * errors)
            self.rnn.zero_grad()
            self.rnn.backward(head.dx)
            descend(self.adam, [self.rnn.flat_grads, head.dw, head.db])
            error = float(np.sqrt(np.mean(errors[WARM_UP // 4 :] ** 2)))
            if step % 50 == 49:
                print(f"step {step + 1:4d}  error {error:.3f}")
        return error


class Listener:
    """Takes samples as they arrive, and predicts the next one each time."""

    def __init__(self, model: Forecaster) -> None:
        self._stepper = fastrnn.Stepper(model.rnn)
        self._w, self._b = model.w[0], float(model.b[0])
        self._x = np.empty(1, np.float32)
        self.h: Any = None

    def hear(self, sample: float) -> float:
        """Take a sample; return a prediction of the next one."""
        self._x[0] = sample
        self.h = self._stepper.step(self._x)
        return float(self.h @ self._w) + self._b


def listen(
    listener: Listener, samples: Any, rate: float, usual: float
) -> tuple[Any, Any, list[int]]:
    """Return the states [T, H], the nanoseconds per step, and the reported samples."""
    states, nanoseconds, reports = [], [], []
    predicted, quiet_until = 0.0, WARM_UP
    due = time.perf_counter()
    for t, sample in enumerate(samples.tolist()):
        if rate:
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
        if t >= quiet_until and abs(sample - predicted) > ALARM * usual:
            reports.append(t)
            quiet_until = t + 3 * BUMP
            print(f"sample {t}: {sample:+.2f}, predicted {predicted:+.2f}")
        before = time.perf_counter_ns()
        predicted = listener.hear(sample)
        nanoseconds.append(time.perf_counter_ns() - before)
        states.append(listener.h)
    return np.stack(states), np.array(nanoseconds), reports


def main() -> int:
    """Train, listen, report the latencies, compare with the whole sequence."""
    options = Parser(__doc__, SETTINGS).parse_args()
    options.__dict__ |= settle(SETTINGS, options)
    rate = options.rate or UNPACED
    if rate * options.seconds < 2 * WARM_UP:
        raise UserError(
            f"--seconds: expected at least {2 * WARM_UP / rate:g} at {rate:g} samples "
            f"per second, got {options.seconds:g}"
        )
    model = Forecaster(options.hidden, options.seed)
    usual = model.train(options.steps, options.seed)

    signal = Signal(options.seed + 1, bumps=True)
    samples = signal.read(int(rate * options.seconds))
    states, nanoseconds, reports = listen(Listener(model), samples, options.rate, usual)
    print_accuracy(model, signal, samples, states, reports)
    print_latencies(nanoseconds)

    y, _ = model.rnn.eval()(samples[:, None, None])
    same = y[:, 0].tobytes() == states.tobytes()
    print("the same bits as the whole sequence at once: " + ("yes" if same else "NO"))
    return 0 if same else 1


def print_accuracy(
    model: Forecaster, signal: Signal, samples: Any, states: Any, reports: list[int]
) -> None:
    """Print how many bumps were reported, and the error of the predictions."""
    starts = [t for t in signal.bump_starts if t >= WARM_UP]
    reported = [t for t in starts if any(t <= r < t + BUMP for r in reports)]
    false = [r for r in reports if not any(t <= r < t + 2 * BUMP for t in starts)]
    print(
        f"{len(reported)} of {len(starts)} bumps reported, {len(false)} false reports"
    )
    predicted = (states @ model.w.T + model.b)[WARM_UP:-1, 0]
    errors, changes = predicted - samples[WARM_UP + 1 :], np.diff(samples[WARM_UP:])
    print(
        f"median error {np.median(np.abs(errors)):.3f}; "
        f"of 'the next sample is this one' {np.median(np.abs(changes)):.3f}"
    )


def print_latencies(nanoseconds: Any) -> None:
    """Print percentiles of the latency."""
    microseconds = 1e-3 * nanoseconds[WARM_UP:]
    texts = [f"{q:g} %: {np.percentile(microseconds, q):.2f}" for q in PERCENTILES]
    print(f"latency in µs of a step and the linear layer, {len(microseconds)} samples:")
    print("  " + "   ".join(texts) + f"   worst: {microseconds.max():.2f}")


if __name__ == "__main__":
    sys.exit(run(main))
