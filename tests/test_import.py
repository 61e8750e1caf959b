"""Importing fastrnn is light: names that few programs need are imported on use."""

import subprocess
import sys

import pytest

import fastrnn


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_only_what_is_needed_is_imported() -> None:
    found = run("import fastrnn, sys; print(*sys.modules)").split()
    heavy = {
        "matplotlib",
        "safetensors",
        "torch",
        "keras",
        "jax",
        "numpy.random",
        "json",
    }
    assert not heavy & set(found)
    parts = {
        f"fastrnn.{name}" for name in ("data", "text", "plot", "reference", "_convert")
    }
    assert not parts & set(found)


def test_parts_come_when_used() -> None:
    assert run("import fastrnn; print(fastrnn.text.Vocabulary('ab'))") == (
        "Vocabulary(2 characters)"
    )
    assert run("import fastrnn; print(fastrnn.plot.__name__)") == "fastrnn.plot"


def test_all_is_there() -> None:
    for name in fastrnn.__all__:
        assert hasattr(fastrnn, name)
    assert sorted(fastrnn.__all__) == sorted(set(fastrnn.__all__))
    with pytest.raises(AttributeError, match="module 'fastrnn' has no attribute 'x'"):
        fastrnn.x  # noqa: B018


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("jax", "fastrnn.jax"),
        ("onnx", "fastrnn.load_onnx('a.onnx')"),
        ("onnx", "fastrnn.save_onnx(fastrnn.Linear(2, 3), 'a.onnx')"),
    ],
)
def test_what_to_install_is_said(library: str, use: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None  # as if it were not installed
import fastrnn
try:
    {use}
except ModuleNotFoundError as error:
    print(error)
"""
    assert run(program).endswith(f"pip install 'fastrnn[{library}]'")
