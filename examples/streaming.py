"""A network that listens: one sample at a time, and how long each step takes.

A sensor is watched: a wave whose period wanders, with noise and now and then a bump
that does not belong there. First a GRU learns, on sequences, to say the next sample
before it comes. Then the trained layer goes live: `fastrnn.Stepper` takes each sample
as it arrives, says the next one, and a sample far from what was said is reported. At
the end come the latencies, and the proof that one step at a time gives what the whole
sequence gives, to the last bit.

    python examples/streaming.py
    python examples/streaming.py --rate 8000 --seconds 10   # paced, as in real time
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from _common import UserError, run

import fastrnn

PERCENTILES = (50, 90, 99, 99.9)
WARM_UP = 200  # samples until the state knows the wave
ALARM = 5.0  # errors this many times the usual one are reported
BUMP = 12  # samples that one lasts


class Signal:
    """The sensor: samples one after another, without an end."""

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
    """A GRU and a linear layer on it, which say the next sample."""

    def __init__(self, hidden: int, seed: int) -> None:
        self.rnn = fastrnn.GRU(1, hidden, seed=seed)
        rng = np.random.default_rng(seed)
        self.w = (rng.standard_normal((1, hidden)) / hidden**0.5).astype(np.float32)
        self.b = np.zeros(1, np.float32)
        self.adam = fastrnn.Adam([self.rnn.flat_params, self.w, self.b], lr=3e-3)

    def train(self, steps: int, seed: int, T: int = 100, N: int = 32) -> float:
        """Learn from sequences; returns the last root mean square error."""
        samples = Signal(seed, bumps=False).read(N * (T + 1) * 4).reshape(4 * N, -1).T
        rng = np.random.default_rng(seed)
        error = np.nan
        for step in range(steps):
            rows = rng.choice(samples.shape[1], N, replace=False)
            x = np.ascontiguousarray(samples[:, rows])[..., None]  # [T + 1, N, 1]
            y, _ = self.rnn(x[:-1])
            said = fastrnn.linear_forward(y, self.w, self.b)
            miss = said - x[1:]
            head = fastrnn.linear_backward(y, self.w, 2 / miss.size * miss)
            self.rnn.zero_grad()
            self.rnn.backward(head.dx)
            grads = [self.rnn.flat_grads, head.dw, head.db]
            fastrnn.clip_grad_norm(grads, 1.0)
            self.adam.step(grads)
            error = float(np.sqrt(np.mean(miss[WARM_UP // 4 :] ** 2)))
            if step % 50 == 49:
                print(f"step {step + 1:4d}  error {error:.3f}")
        return error


class Listener:
    """Takes samples as they come, and says the next one each time."""

    def __init__(self, model: Forecaster) -> None:
        self._stepper = fastrnn.Stepper(model.rnn)
        self._w, self._b = model.w[0], float(model.b[0])
        self._x = np.empty(1, np.float32)
        self.h: Any = None

    def hear(self, sample: float) -> float:
        self._x[0] = sample
        self.h = self._stepper.step(self._x)
        return float(self.h @ self._w) + self._b


def listen(
    listener: Listener, samples: Any, rate: float, usual: float
) -> tuple[Any, Any, list[int]]:
    """Return the states [T, H], nanoseconds a step, and where a report was made."""
    states, nanoseconds, reports = [], [], []
    said, quiet_until = 0.0, WARM_UP
    due = time.perf_counter()
    for t, sample in enumerate(samples.tolist()):
        if rate:
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
        if t >= quiet_until and abs(sample - said) > ALARM * usual:
            reports.append(t)
            quiet_until = t + 3 * BUMP
            print(f"sample {t}: {sample:+.2f}, expected {said:+.2f}")
        before = time.perf_counter_ns()
        said = listener.hear(sample)
        nanoseconds.append(time.perf_counter_ns() - before)
        states.append(listener.h)
    return np.stack(states), np.array(nanoseconds), reports


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument("--steps", type=int, default=300, help="of training")
    p.add_argument("--hidden", type=int, default=32)
    p.add_argument("--seconds", type=float, default=2.5, help="of signal, at 8000 Hz")
    p.add_argument("--rate", type=float, default=0, help="samples a second; 0: no wait")
    p.add_argument("--seed", type=int, default=0)
    options = p.parse_args(argv)
    if options.steps < 1 or options.hidden < 1:
        raise UserError("--steps, --hidden: expected at least 1")
    if options.rate < 0 or not 0.1 <= options.seconds <= 3600:
        raise UserError("--rate, --seconds: expected rate >= 0, 0.1 <= seconds <= 3600")

    model = Forecaster(options.hidden, options.seed)
    usual = model.train(options.steps, options.seed)

    signal = Signal(options.seed + 1, bumps=True)
    samples = signal.read(int((options.rate or 8000) * options.seconds))
    states, nanoseconds, reports = listen(Listener(model), samples, options.rate, usual)

    starts = [t for t in signal.bump_starts if t >= WARM_UP]
    found = [t for t in starts if any(t <= r < t + BUMP for r in reports)]
    false = [r for r in reports if not any(t <= r < t + 2 * BUMP for t in starts)]
    print(f"{len(found)} of {len(starts)} bumps reported, {len(false)} false reports")
    said = (states @ model.w.T + model.b)[WARM_UP:-1, 0]
    miss, still = said - samples[WARM_UP + 1 :], np.diff(samples[WARM_UP:])
    print(
        f"median error {np.median(np.abs(miss)):.3f}; "
        f"of 'the next sample is this one' {np.median(np.abs(still)):.3f}"
    )
    microseconds = 1e-3 * nanoseconds[WARM_UP:]
    texts = [f"{q:g} %: {np.percentile(microseconds, q):.2f}" for q in PERCENTILES]
    print(f"latency in µs of a step and the linear layer, {len(microseconds)} samples:")
    print("  " + "   ".join(texts) + f"   worst: {microseconds.max():.2f}")

    y, _ = model.rnn.eval()(samples[:, None, None])
    same = y[:, 0].tobytes() == states.tobytes()
    print("the same bits as the whole sequence at once: " + ("yes" if same else "NO"))
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(run(main))
