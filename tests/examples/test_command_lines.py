"""Every program refuses hostile arguments in one line that names the flag."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.programs import EXAMPLES, load

LIBRARIES = {"forecast": ["statsmodels"], "distributed_char_lm": ["torch"]}
NAMES = sorted(p.stem for p in EXAMPLES.glob("*.py") if not p.stem.startswith("_"))
NO_NUMBERS = ("nan", "inf", "-inf", "-1", "-1e5", "1e400", str(10**30), "9" * 5000)
NO_WORDS = ("", " ", "x", "0x10", "1,x", "4,,8", "1\n2", "\udcff", "é" * 200)
ZERO_IS_FINE = {
    ("char_lm", "--dropout"),
    ("char_lm", "--length"),
    ("char_lm", "--temperature"),
    ("char_lm", "--top-k"),
    ("char_lm", "--top-p"),
    ("distributed_char_lm", "--threads"),
    ("forecast", "--decay"),
    ("music", "--decay"),
    ("music", "--temperature"),
    ("speech", "--noise"),
    ("streaming", "--rate"),
    ("video", "--noise"),
    ("word_lm", "--dropout"),
}
PATHS = ("--text", "--resume", "--sample", "--out")


def call(name: str, *words: str, capsys: Any, monkeypatch: Any) -> tuple[int, str, str]:
    """Run a program in this process; return its exit code, stdout and stderr."""
    module = load(name)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLES / f"{name}.py"), *words])
    capsys.readouterr()
    try:
        code = load("_errors").run(module.main)
    except SystemExit as end:  # --help
        code = end.code
    return (code, *capsys.readouterr())


def flags(name: str) -> list[str]:
    """Return the flags that take a value, from the settings and the usual extras."""
    own = [setting.flag for setting in load(name).SETTINGS]
    text = Path(EXAMPLES / f"{name}.py").read_text()
    extras = re.findall(r'"(--[a-z-]+)"', text)
    if "begin(" in text:
        extras += ["--seed"]
    if "begin(" in text or "add_out_and_threads(" in text:
        extras += ["--out", "--threads"]
    return [*dict.fromkeys(own + extras)]


FLAGS = [(name, flag) for name in NAMES for flag in flags(name) if flag != "--prompt"]


def check_line(name: str, flag: str, done: tuple[int, str, str]) -> str:
    """Check that a program failed as it should; return the part after the flag."""
    code, out, err = done
    assert code == 2, err
    assert not out
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 400
    line = re.fullmatch(rf"{name}\.py: error: {flag}: (expected .*, got .*)\n", err)
    assert line, err
    return line[1]


def test_there_are_programs_and_flags() -> None:
    assert len(NAMES) >= 15
    assert len(FLAGS) > 100
    assert {flag for _, flag in FLAGS} >= {"--lr", "--hidden", "--cuts", *PATHS}


@pytest.mark.parametrize("name", NAMES)
def test_help_lists_every_flag(name: str, capsys: Any, monkeypatch: Any) -> None:
    code, out, err = call(name, "--help", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0
    assert not err
    assert load(name).__doc__.strip() in out
    listed = set(re.findall(r"^  (--[a-z-]+) [A-Z]", out, re.M))
    assert listed >= {flag for program, flag in FLAGS if program == name}
    fixed = {"--prompt"} if name == "char_lm" else set()
    assert listed <= {flag for program, flag in FLAGS if program == name} | fixed


@pytest.mark.parametrize(
    ("name", "flag"), [(n, f) for n, f in FLAGS if f not in PATHS], ids=str
)
def test_a_value_that_is_none(
    name: str, flag: str, capsys: Any, monkeypatch: Any
) -> None:
    zero = () if flag == "--seed" or (name, flag) in ZERO_IS_FINE else ("0",)
    for text in (*NO_NUMBERS, *NO_WORDS, *zero):
        words = [flag, text] if text else [f"{flag}="]
        done = call(name, *words, capsys=capsys, monkeypatch=monkeypatch)
        said = check_line(name, flag, done)
        if text.isalnum() and len(text) < 60:
            assert said.endswith(f"got {text}")
    done = call(name, flag, capsys=capsys, monkeypatch=monkeypatch)
    assert check_line(name, flag, done) == "expected a value, got none"


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, Path]:
    """Return paths that are neither texts nor checkpoints."""
    contents = {
        "empty": b"",
        "binary": bytes(range(256)) * 100,
        "zeros": bytes(10_000),
        "latin-1": "é".encode("latin-1") * 9999,
        "utf-16": ("hello\n" * 9999).encode("utf-16"),
        "utf-16-le": ("hello\n" * 9999).encode("utf-16-le"),
        "surrogate": b"\xed\xa0\x80" * 9999,
    }
    paths = {name: tmp_path / name for name in contents}
    for name, data in contents.items():
        paths[name].write_bytes(data)
    paths["unreadable"] = tmp_path / "unreadable"
    paths["unreadable"].write_text("hello\n" * 9999)
    paths["unreadable"].chmod(0)
    if os.access(paths["unreadable"], os.R_OK):  # by root
        del paths["unreadable"]
    return paths | {
        "folder": tmp_path,
        "missing": tmp_path / "none",
        "below a file": paths["empty"] / "file",
        "long": tmp_path / ("x" * 300),
        "line": tmp_path / "a\nb",
        "device": Path(os.devnull),
    }


def need(name: str) -> None:
    for library in ["matplotlib", "safetensors", "tqdm", *LIBRARIES.get(name, [])]:
        pytest.importorskip(library, reason=f"{library} is not installed (examples)")


@pytest.mark.parametrize(
    ("name", "flag"),
    [(n, f) for n, f in FLAGS if f in ("--text", "--resume", "--sample")],
    ids=str,
)
def test_a_path_that_does_not_do(
    name: str,
    flag: str,
    hostile: dict[str, Path],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: Any,
) -> None:
    need(name)
    monkeypatch.chdir(tmp_path)
    for kind, path in hostile.items():
        words = (flag, str(path))
        done = call(name, *words, capsys=capsys, monkeypatch=monkeypatch)
        said = check_line(name, flag, done)
        reasons = {"folder": "folder|directory", "missing": "No such file"}
        if flag == "--text":
            reasons["utf-16-le"] = reasons["zeros"] = "zero bytes"
            reasons |= dict.fromkeys(["latin-1", "utf-16", "surrogate"], "not UTF-8")
        assert re.search(reasons.get(kind, ""), said), (kind, said)


@pytest.mark.parametrize(
    "name", [n for n, f in FLAGS if f == "--out"], ids=lambda name: name
)
def test_a_folder_that_does_not_do(
    name: str, hostile: dict[str, Path], tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    need(name)
    monkeypatch.chdir(tmp_path)
    for path in (hostile["empty"], hostile["below a file"], hostile["long"], ""):
        words = f"--out={path}"
        done = call(name, words, capsys=capsys, monkeypatch=monkeypatch)
        check_line(name, "--out", done)


def test_a_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("héllo".encode("utf-8-sig"))
    assert load("_files").read_text(str(path)) == "héllo"
    path.write_bytes("héllo\r\n".encode())
    assert load("_files").read_text(str(path)) == "héllo\r\n"


def test_a_text_may_be_a_pipe(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    assert load("_files").read_text(f"/dev/fd/{read}") == "hello"
    os.close(read)


def test_a_text_without_an_end(monkeypatch: Any) -> None:
    files = load("_files")
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(load("_errors").UserError, match="more than 1,000 bytes"):
        files.read_text("/dev/zero")


@pytest.mark.parametrize("name", ["dna", "music", "forecast"])
def test_a_gradient_that_is_not_finite(
    name: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    need(name)
    fastrnn = importlib.import_module("fastrnn")

    def fail(*_: object) -> float:
        raise ValueError("grads: the norm is not finite")

    monkeypatch.setattr(fastrnn, "clip_grad_norm", fail)
    code, _, err = call(
        name, "--quick", "--out", str(tmp_path), capsys=capsys, monkeypatch=monkeypatch
    )
    assert code == 2
    expected = "learning rate: expected one at which the gradient stays finite, got 0."
    assert f"{name}.py: error: {expected}" in err.splitlines()[-1]


def test_too_little_memory(capsys: Any) -> None:
    def main() -> int:
        raise MemoryError("Unable to allocate 9 EiB")

    assert load("_errors").run(main) == 2
    assert "error: not enough memory: Unable to allocate" in capsys.readouterr().err
