"""Building without what it needs says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.c.building import ROOT, find_cmake, run

WITHOUT_COMPILER = {"PATH": "/nowhere"}


@pytest.mark.skipif(os.name != "posix", reason="Windows has a way of its own")
@pytest.mark.parametrize("cxx", [None, "/nowhere/g++"])
def test_without_a_compiler(cxx: str | None, tmp_path: Path) -> None:
    environment = WITHOUT_COMPILER | ({"CXX": cxx} if cxx else {})
    done = subprocess.run(
        [find_cmake(), "-S", ROOT, "-B", tmp_path, "-DCMAKE_MAKE_PROGRAM=/bin/true"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "fastrnn: " in line]
    assert len(lines) == 1
    assert "no C++ compiler found; " in lines[0]
    assert not cxx or f"CXX is {cxx}" in lines[0]
    assert len(done.stderr.splitlines()) < 10


def test_the_digest_of_all_kernels_compiles() -> None:
    """Only a workflow builds and runs it."""
    cxx = shutil.which(os.environ.get("CXX", "c++"))
    if not cxx:
        pytest.skip("no C++ compiler")
    options = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    run(cxx, *options, "-Icsrc/include", "tests/csrc/digest.cpp", cwd=ROOT)
