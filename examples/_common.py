"""What the examples share: clear errors, texts, drawing from logits, whole files.

Nothing here knows about networks; each example keeps its lesson to itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class UserError(Exception):
    """What the user can mend: printed as one line, without a traceback."""


def run(main: Callable[[], int]) -> int:
    """Call `main`; a `UserError` becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)
    try:
        return main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def require(*names: str) -> None:
    """Fail unless the optional libraries are installed."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)} not installed: pip install 'fastrnn[examples]'"
        )


# --- texts ---------------------------------------------------------------------------


def read_text(path: str) -> str:
    """Read a UTF-8 file; '' stands for the language reference inside every CPython."""
    if not path:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise UserError("this Python has no pydoc_data: give --text FILE") from None
        return "\n\n".join(topics.values())
    try:
        return Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"--text {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"--text {path}: not UTF-8 (byte {error.start}: {error.reason})"
        ) from None


class Vocabulary:
    """The distinct characters of a text in order; a character's place is its id."""

    def __init__(self, text: str) -> None:
        self._codes = np.unique(_codes(text))
        self.characters = "".join(map(chr, self._codes))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Return the ids, int32 [len(text)]."""
        codes = _codes(text)
        ids = np.searchsorted(self._codes, codes).clip(max=len(self) - 1)
        unknown = np.flatnonzero(self._codes[ids] != codes)
        if len(unknown):
            at = unknown[0]
            raise UserError(f"character {text[at]!r} at {at} is not in the vocabulary")
        return ids.astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids."""
        return "".join(self.characters[i] for i in ids)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


# --- drawing -------------------------------------------------------------------------


def choose(
    logits: np.ndarray,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> int:
    """Draw one id from softmax(logits / temperature), logits [V].

    Only the `top_k` likeliest are drawn from (0: all), and of these only the fewest
    that together hold at least `top_p` of the probability. Temperature 0 takes the
    likeliest.
    """
    order = np.argsort(-logits, kind="stable")
    if temperature == 0:
        return int(order[0])
    if top_k:
        order = order[:top_k]
    scores = logits[order].astype(np.float64)
    p = np.exp((scores - scores[0]) / temperature)
    edges = np.cumsum(p / p.sum())
    edges = edges[: np.searchsorted(edges, top_p) + 1]
    drawn = rng.random() * edges[-1]
    return int(order[np.searchsorted(edges[:-1], drawn, side="right")])


# --- files ---------------------------------------------------------------------------


def make_folder(path: Path) -> Path:
    """Make the folder if there is none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: no folder for results: {error.strerror}") from None
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside `path`, then rename it: `path` is the old or the new one."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def save_checkpoint(
    path: Path, kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """Write arrays and JSON-able facts as one safetensors file.

    All facts are one metadata entry, named `kind`: safetensors writes several in no
    fixed order, and equal runs should leave equal files.
    """
    from safetensors.numpy import save

    write_whole(path, save(dict(arrays), {kind: json.dumps(facts)}))


def load_checkpoint(
    path: Path, kind: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_checkpoint` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            facts = (file.metadata() or {}).get(kind)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or not a checkpoint: {error}") from None
    if facts is None:
        raise UserError(f"{path}: not a checkpoint of {kind}")
    return arrays, json.loads(facts)


@contextlib.contextmanager
def fitting(path: str) -> Iterator[None]:
    """Turn what loading arrays raises when they do not fit into a `UserError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: arrays do not fit its settings: {error}") from None


def plot_losses(
    path: Path,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    lines: Mapping[str, float],
    unit: str,
    title: str,
) -> None:
    """Draw curves (steps, values) and horizontal lines into a PNG."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(8, 5), layout="constrained")).subplots()
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, label=name, marker="." if len(steps) < 50 else "")
    for style, (name, value) in zip(("--", ":", "-."), lines.items(), strict=False):
        axes.axhline(value, color="gray", linestyle=style, label=f"{name} {value:.2f}")
    axes.set(xlabel="step", ylabel=unit, title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(png := io.BytesIO(), format="png", dpi=120)
    write_whole(path, png.getvalue())


# --- stopping ------------------------------------------------------------------------


@contextlib.contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """Let Ctrl-C set the event instead of cutting a step in two; a second one kills."""
    pressed = threading.Event()

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
