"""A progress bar on stderr: tqdm's if it is installed, a plain line otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Sized
from types import TracebackType
from typing import Any

PAUSE = 0.2  # seconds between two versions of the plain line


class Progress:
    """The bar of one epoch; silent where stderr is neither terminal nor notebook."""

    def __init__(self, shown: bool, title: str, batches: Any) -> None:
        self._title = title
        self._total = len(batches) if isinstance(batches, Sized) else None
        self._shown = shown and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self._bar: Any = None
        self._done, self._time, self._width = 0, 0.0, 0

    def __enter__(self) -> Progress:
        if self._shown:
            try:
                from tqdm import tqdm
            except ImportError:
                return self
            self._bar = tqdm(total=self._total, desc=self._title, unit="step")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._shown:
            print(file=sys.stderr)

    def step(self, mean: float) -> None:
        """Show one more step, and the mean loss so far."""
        if not self._shown:
            return
        self._done += 1
        text = f"loss {mean:.4g}"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        elif time.monotonic() - self._time > PAUSE:
            total = "" if self._total is None else f"/{self._total}"
            self._write(f"step {self._done}{total}, {text}")

    def finish(self, **values: float) -> None:
        """Show the results of the epoch."""
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif self._shown:
            self._write(text)

    def _write(self, text: str) -> None:
        line = f"{self._title}: {text}"
        print(f"\r{line:{self._width}}", end="", file=sys.stderr, flush=True)
        self._time, self._width = time.monotonic(), len(line)
