"""What the examples share: clear errors, texts, whole files, stopping.

Nothing here knows about networks; each example keeps its lesson to itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


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


@contextlib.contextmanager
def clear_errors(where: str = "") -> Iterator[None]:
    """Turn what the library says of an argument or a file into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{where}{error.strerror or error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}{error.args[0]}") from None


# --- files ---------------------------------------------------------------------------


def make_folder(path: Path) -> Path:
    """Make the folder if there is none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: no folder for results: {error.strerror}") from None
    return path


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG."""
    with clear_errors(f"{path}: cannot be written: "):
        figure.savefig(path, dpi=110)


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
