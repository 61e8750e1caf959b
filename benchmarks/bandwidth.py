"""Large layers with one row against the bound: ``python -m benchmarks.bandwidth``.

With one row, every weight is used once per step, so a call takes at least the time of
reading ``w_hh`` T times and ``w_ih`` once, for all steps together. The speed of reading
is measured in the same rounds, over memory of the same size, by a loop that does
nothing else (`bandwidth.cpp`). Sequences are run by an LSTM, ``I = H``, in eval mode.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .arena import make_parser
from .machine import describe_machine, fastrnn_isa
from .peak import build_loop, usable_isas
from .report import layout, percent_text, times_text
from .timing import alternate, ratio, spread

SIZES = (256, 512, 1024, 2048)
T = 25
SAMPLE_SECONDS = 0.02


@functools.cache
def load_bandwidth() -> ctypes.CDLL:
    isa = fastrnn_isa() if fastrnn_isa() in usable_isas() else usable_isas()[0]
    from .peak import SOURCE

    loop = build_loop(SOURCE.with_name("bandwidth.cpp"), isa)
    loop.bandwidth_allocate.argtypes = [ctypes.c_long]
    loop.bandwidth_allocate.restype = ctypes.c_void_p
    loop.bandwidth_free.argtypes = [ctypes.c_void_p]
    loop.bandwidth.argtypes = [ctypes.c_void_p, *[ctypes.c_long] * 3]
    loop.bandwidth.argtypes[2] = ctypes.c_int
    loop.bandwidth.restype = ctypes.c_double
    return loop


class Memory:
    """Memory to be read repeatedly."""

    def __init__(self, size: int) -> None:
        self._loop, self.size = load_bandwidth(), size
        self._memory = self._loop.bandwidth_allocate(size)
        if not self._memory:
            raise MemoryError(f"bandwidth: no {size} bytes")
        speed = self.read(1, 3)
        self._repeats = max(1, int(speed * SAMPLE_SECONDS / size))

    def read(self, threads: int, repeats: int | None = None) -> float:
        """Return bytes per second."""
        n = self._repeats if repeats is None else repeats
        return float(self._loop.bandwidth(self._memory, self.size, threads, n))

    def free(self) -> None:
        self._loop.bandwidth_free(self._memory)


def caller(H: int, weights: str | None) -> Callable[[int], float]:
    """Return a function that measures seconds per call, on that many threads."""
    import fastrnn

    layer = fastrnn.LSTM(H, H, seed=0).eval(weights=weights)
    x = np.random.default_rng(0).standard_normal((T, 1, H)).astype(np.float32)

    def sample(threads: int) -> float:
        fastrnn.set_num_threads(threads)
        layer(x)
        start, calls = time.perf_counter(), 0
        while time.perf_counter() < start + SAMPLE_SECONDS:
            layer(x)
            calls += 1
        return (time.perf_counter() - start) / calls

    return sample


def measure(H: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row: shares of the bound, and the gain of bfloat16 and a second thread."""
    w_hh = 4 * H * H * 4
    work = (T + 1) * w_hh
    memory = Memory(w_hh)
    full, half = caller(H, None), caller(H, "bfloat16")
    turns: dict[Any, Callable[[], float]] = {}
    for n in options.threads:
        turns["full", n] = functools.partial(full, n)
        turns["half", n] = functools.partial(half, n)
        turns["read", n] = functools.partial(memory.read, n)
    found = alternate(turns, 3 if options.quick else options.rounds)
    memory.free()
    row: dict[str, Any] = {"H": H, "bytes": w_hh, "threads": {}}
    for n in options.threads:
        bounds = [work / speed for speed in found["read", n]]
        row["threads"][str(n)] = {
            "bandwidth": spread([1e-9 * speed for speed in found["read", n]]),
            "milliseconds": spread([1e3 * s for s in found["full", n]]),
            "share": ratio(bounds, found["full", n]),
            "bfloat16": ratio(found["full", n], found["half", n]),
        }
    first, last = options.threads[0], options.threads[-1]
    row["scaling"] = ratio(found["full", first], found["full", last])
    return row


def main(argv: list[str] | None = None) -> None:
    options = make_parser("bandwidth", __doc__).parse_args(argv)
    options.threads = sorted(set(options.threads))
    rows = [measure(H, options) for H in (SIZES[:1] if options.quick else SIZES)]
    report = {"kind": "bandwidth", "machine": describe_machine(["fastrnn"])}
    report |= {"rows": rows}
    for n in map(str, options.threads):
        body = []
        for row in rows:
            at = row["threads"][n]
            body.append(
                [
                    f"{row['H']}, {row['bytes'] / 2**20:.0f} MiB",
                    f"{at['bandwidth']['median']:.0f}",
                    f"{at['milliseconds']['median']:.3f}",
                    percent_text(at["share"]),
                    times_text(at["bfloat16"]),
                ]
            )
        header = ["H, w_hh", "GB/s", "ms a call", "of the bound", "bfloat16"]
        print(f"\n{n} thread{'s' if n != '1' else ''}, LSTM, N = 1, T = {T}\n")
        print(layout((header, body), markdown=options.markdown))
    texts = [f"H = {row['H']} {times_text(row['scaling'])}" for row in rows]
    print("\nmost threads ÷ fewest: " + ", ".join(texts))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
