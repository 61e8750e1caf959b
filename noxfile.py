"""Sessions: `nox -s lint`, `tests`, `asan`, `bench`; what follows `--` is passed on."""

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]

# Pinned: another version of a formatter formats otherwise.
LINTERS = ["ruff==0.17.6", "mypy==2.4.1", "clang-format==23.1.5"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and formatting."""
    session.install(*LINTERS, "numpy>=2")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    patterns = ("csrc/**/*.h", "csrc/**/*.cpp", "benchmarks/**/*.cpp")
    sources = [str(file) for pattern in patterns for file in Path().glob(pattern)]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with all that they can compare against."""
    session.install(".[test,torch,examples]")
    session.run("pytest", *session.posargs)


@nox.session
def asan(session: nox.Session) -> None:
    """Run the tests on a build with the address and undefined behaviour sanitizers."""
    session.install(
        "-Cbuild-dir=build/asan-wheel",
        "-Ccmake.build-type=Debug",
        "-Ccmake.define.FASTRNN_SANITIZE=address,undefined",
        ".[test]",
    )
    # libstdc++ as well: without it, nothing that is thrown is ever caught.
    runtimes = [
        subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    session.run(
        "pytest",
        *session.posargs,
        env={
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0",  # CPython's own are not ours to find
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with the libraries that are installed; print and write the table."""
    session.install(".[test,torch,examples]")
    session.run("python", "-m", "benchmarks.compare", *session.posargs)
