"""Whole files: writers beside one another, killed ones, modes, links, no leftovers."""

import fcntl
import os
import secrets
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn._convert.files import whole
from fastrnn._convert.files.whole import write_whole

LARGE = 200_000  # numbers: a file of more than a megabyte takes a while to write


@pytest.fixture(params=[0o022, 0o077], ids=["umask-022", "umask-077"])
def umask(request: Any) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
    with path.open("rb") as before:
        write_whole(path, b"new")
        assert before.read() == b"old"  # another file, of the same name
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
def test_nothing_is_left_when_a_step_fails(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device", "another name")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_file_and_folder_are_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it is renamed, the folder after."""
    done = []
    fsync, replace = os.fsync, os.replace

    def log_fsync(fd: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def log_replace(*paths: Any) -> None:
        done.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "replace", log_replace)
    write_whole(tmp_path / "file", b"new")
    assert done[0].startswith(f"{tmp_path}/.file.")
    assert done[1:] == ["replace", str(tmp_path)]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_of_the_old_file_stays(mode: int, umask: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    assert mode_of(path) == 0o666 & ~umask
    path.chmod(mode)
    write_whole(path, b"new")
    assert mode_of(path) == mode


def test_a_private_file_is_private_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    path.chmod(0o600)
    modes = []
    fsync = os.fsync

    def look(fd: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", look)
    monkeypatch.setattr(os, "fchmod", lambda fd, mode: look(fd))  # before it is changed
    write_whole(path, b"new")
    assert modes[0] == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=f"{path}"):
        write_whole(path, b"new")


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "file", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"new", b"newer"):  # the first makes it
        write_whole(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert [*(tmp_path / "folder").iterdir()] == [target]


def test_a_link_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should somebody guess one of 2^64 names."""
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"precious")
    names = iter(["0" * 16, "1" * 16])
    planted = tmp_path / f".file.{'0' * 16}.tmp"
    planted.symlink_to(victim)
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(names))
    write_whole(path, b"new")
    assert victim.read_bytes() == b"precious"
    assert path.read_bytes() == b"new"
    assert planted.is_symlink()  # nor is it taken for a leftover


@pytest.mark.parametrize("name", ["file", "é" * 127, "a" * 255])
def test_leftovers_of_killed_writers_go(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_whole(path, b"old")
    left = tmp_path / f".{name[:40]}.{'a' * 16}.tmp"
    living = tmp_path / f".{name[:40]}.{'b' * 16}.tmp"
    others = [tmp_path / f".{name[:40]}.tmp", tmp_path / f".x.{'a' * 16}.tmp"]
    for other in (left, living, *others):
        other.write_bytes(b"half")
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert {*tmp_path.iterdir()} == {path, living, *others}


def test_a_writer_whose_file_was_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment it was made, and the moment it was locked."""
    flock, seen = fcntl.flock, []

    def late(fd: int, how: int) -> None:
        if not seen and how == fcntl.LOCK_EX:
            seen.append(os.readlink(f"/proc/self/fd/{fd}"))
            os.unlink(seen[0])
        flock(fd, how)

    monkeypatch.setattr(whole.fcntl, "flock", late)
    write_whole(tmp_path / "file", b"new")
    assert seen
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


WRITER = """
import sys, numpy as np, fastrnn
path, k, count, size = sys.argv[1], *map(int, sys.argv[2:])
print(flush=True)
while count:
    fastrnn.save(path, {"a": np.full(size, k)}, {"k": k})
    count -= 1
"""


def start_writer(path: Path, k: int, count: int) -> Any:
    command = [sys.executable, "-c", WRITER, path, str(k), str(count), str(LARGE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    return process


def check(path: Path) -> int:
    arrays, facts = fastrnn.load(path)
    assert arrays["a"].shape == (LARGE,)
    assert (arrays["a"] == facts["k"]).all()
    return int(facts["k"])


def test_many_threads_and_processes_at_one_path(tmp_path: Path) -> None:
    """Whoever reads finds one writer's whole file; in the end nothing is left."""
    path = tmp_path / "file"
    fastrnn.save(path, {"a": np.zeros(LARGE)}, {"k": 0})
    errors: list[BaseException] = []
    done = threading.Event()

    def run(call: Any) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    def write(k: int) -> None:
        for _ in range(30):
            fastrnn.save(path, {"a": np.full(LARGE, k)}, {"k": k})

    def read() -> None:
        while not done.is_set():
            check(path)

    processes = [start_writer(path, k, 30) for k in (10, 11)]
    readers = [threading.Thread(target=run, args=(read,)) for _ in range(2)]
    writers = [
        threading.Thread(target=run, args=(lambda k=k: write(k),)) for k in range(1, 5)
    ]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    codes = [process.wait() for process in processes]
    done.set()
    for thread in readers:
        thread.join()
    for process in processes:
        process.stdout.close()
    assert not errors, errors[0]
    assert codes == [0, 0]
    check(path)
    assert [*tmp_path.iterdir()] == [path]


def test_killed_writers(tmp_path: Path) -> None:
    """No file is damaged, and the next save removes all that they leave behind."""
    path = tmp_path / "file"
    fastrnn.save(path, {"a": np.zeros(LARGE)}, {"k": 0})
    for k in range(1, 9):
        process = start_writer(path, k, -1)
        while check(path) != k:
            pass  # until it has written once
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        check(path)
        assert len([*tmp_path.iterdir()]) <= 2  # a save removes what is left before it
    fastrnn.save(path, {"a": np.zeros(LARGE)}, {"k": 0})
    assert [*tmp_path.iterdir()] == [path]
