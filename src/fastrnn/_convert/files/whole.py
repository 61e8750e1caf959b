"""Bytes to a file and back: the old ones or the new ones, never half.

A file is written beside its path under a random name, made durable, and renamed. Its
writer holds a lock on it. So a file of such a name without a lock was left behind by a
program that was killed, and the next writer to the same path removes it.

Windows has no such locks, and renames no open file: leftovers stay there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AS_IT_IS = getattr(os, "O_BINARY", 0)  # Windows has another way for text


def check_path(name: str, path: Any) -> str:
    """Return a path as a str.

    Raises
    ------
    TypeError
        It is not a path.
    ValueError
        No file can have it.
    """
    try:
        text = os.fsdecode(path)
        encoded = os.fsencode(text)
    except TypeError:
        raise TypeError(f"{name}: expected a path, got {type(path).__name__}") from None
    except UnicodeError:
        encoded = b""
    if not encoded or b"\0" in encoded:
        raise ValueError(f"{name}: expected a path that a file can have, got {path!r}")
    return text


def read_whole(path: str, size: int = -1) -> bytes:
    """Return the bytes of a regular file, or the first ones.

    Raises
    ------
    OSError
        It is not a regular file, or cannot be read.
    """
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            require_regular(os.fstat(file.fileno()))
            return file.read(size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def check_readable(path: str) -> None:
    """Raise what `read_whole` would, before another library opens the file."""
    read_whole(path, size=0)


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO too, which else waits until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Put a file of these bytes in the place of ``path``, or leave it as it was.

    Raises
    ------
    OSError
        It is not a regular file, may not be written, or cannot be.
    """
    path = os.fspath(path)
    try:
        replace(os.path.realpath(path), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def replace(target: str, data: bytes) -> None:
    folder, name = os.path.split(target)
    old = None
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(target)
    if old:
        require_regular(old)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    prefix = (
        f".{name[:40]}."  # 40 characters are at most 160 of the 255 bytes of a name
    )
    remove_leftovers(folder, prefix)
    # Until it has the old file's mode, nobody else may read it.
    fd, beside = create_beside(folder, prefix, 0o600 if old else 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if old:
                keep_mode(fd, old)
            os.fsync(fd)
            if fcntl:
                os.replace(beside, target)  # while it is locked
        if not fcntl:
            os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    synchronise_folder(folder)


def require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "expected a regular file")


def create_beside(folder: str, prefix: str, mode: int) -> tuple[int, str]:
    """Return a locked new file, which no link leads to, and its path."""
    while True:
        beside = os.path.join(folder, f"{prefix}{secrets.token_hex(8)}.tmp")
        try:
            fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | AS_IT_IS, mode)
        except FileExistsError:
            continue
        if not fcntl:
            return fd, beside
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, beside
        os.close(fd)  # another writer took it for a leftover before it was locked


def remove_leftovers(folder: str, prefix: str) -> None:
    """Remove the files of killed writers; whatever cannot be removed stays."""
    if not fcntl:
        return
    pattern = re.compile(re.escape(prefix) + r"[0-9a-f]{16}\.tmp")
    try:
        names = [name for name in os.listdir(folder) if pattern.fullmatch(name)]
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                require_regular(os.fstat(fd))
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(fd)


def keep_mode(fd: int, old: os.stat_result) -> None:
    """Give a file the owner, as far as we may, and the mode of an old one."""
    if not fcntl:
        return  # there a file is read-only or not, and a read-only one was refused
    mode = stat.S_IMODE(old.st_mode)
    try:
        os.fchown(fd, old.st_uid, old.st_gid)
    except OSError:
        try:
            os.fchown(fd, -1, old.st_gid)
        except OSError:
            mode &= ~stat.S_IRWXG  # it was meant for another group
    os.fchmod(fd, mode)


def synchronise_folder(folder: str) -> None:
    """Make a renaming durable, where folders can be synchronised."""
    if not fcntl:
        return
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
