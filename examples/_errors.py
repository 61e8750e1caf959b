"""Errors that the user can fix: one line on stderr and exit code 2, no traceback.

Every program runs as ``run(main)``; the line reads

    program.py: error: --name: expected …, got …
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST_SHOWN = 160  # characters of a value that is quoted in an error


class UserError(Exception):
    """An error that the user can fix; `run` prints it without a traceback."""


def run(main: Callable[[], int]) -> int:
    """Call `main`; a `UserError` becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)
    try:
        return main()
    except UserError as error:
        message = str(error)
    except MemoryError as error:
        message = f"not enough memory: {error}"
    except KeyboardInterrupt:
        return 130
    line = " ".join(message.split())
    print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)
    return 2


def shown(value: object) -> str:
    """Return a value as it appears in an error: on one line, and not too long."""
    text = str(value)
    if not text or not text.isprintable() or text != text.strip():
        text = repr(text)
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]}…{text[-half:]}"


def require(*names: str) -> None:
    """Fail unless the optional libraries are installed."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        extra = "torch" if missing == ["torch"] else "examples"
        raise UserError(
            f"{', '.join(missing)} not installed: in a clone of fastrnn, "
            f"pip install '.[{extra}]'"
        )


@contextlib.contextmanager
def user_errors(expected: str) -> Iterator[None]:
    """Turn an error raised inside into a `UserError`; `expected` begins its line.

    For calls that can only fail because of something the user gave.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{expected}: {error.strerror or error}") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise UserError(f"{expected}: {reason}") from None
