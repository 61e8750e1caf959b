"""Files that the programs read and write: texts, folders, pictures."""

from __future__ import annotations

import contextlib
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _errors import UserError, shown, user_errors

MOST_BYTES = 1 << 30  # of a text: its ids and batches take some ten times as much


def read_text(path: str) -> str:
    """Read the UTF-8 file of ``--text``; '' is Python's own language reference."""
    if not path:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise UserError(
                "--text: expected a file, got none, and this Python has no pydoc_data"
            ) from None
        return "\n\n".join(topics.values())
    expected = f"--text: expected a UTF-8 text file, got {shown(path)}"
    with user_errors(expected), Path(path).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{expected}: more than {MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{expected}: not UTF-8 ({error.reason})") from None
    if "\0" in text:
        # UTF-16 without a byte order mark is valid UTF-8, a zero in every other byte.
        raise UserError(f"{expected}: it has zero bytes, as UTF-16 or binary files do")
    return text


def read_checkpoint(name: str, path: str, kind: str) -> tuple[dict[str, Any], Any]:
    """Read the arrays and facts of the checkpoint given as `name`, say ``--resume``."""
    import fastrnn

    with unfit_checkpoint(name, path):
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("a folder" if stat.S_ISDIR(mode) else "not a file")
        try:
            return fastrnn.load(path, kind=kind)
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from None


@contextlib.contextmanager
def unfit_checkpoint(name: str, path: str) -> Iterator[None]:
    """Turn an error raised while a checkpoint is used into a `UserError`."""
    with user_errors(f"{name}: expected a checkpoint, got {shown(path)}"):
        yield


def make_folder(path: Path) -> Path:
    """Make the folder of ``--out`` if there is none; it must be possible to write."""
    with user_errors(f"--out: expected a folder to write to, got {shown(path)}"):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error raised while a file is written into a `UserError`."""
    with user_errors(f"{shown(path)}: cannot be written"):
        yield


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG."""
    with writing(path):
        figure.savefig(path, dpi=110)
