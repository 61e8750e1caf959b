"""Sessions: `nox -s lint`, `tests`, `asan`, `tidy`, `bench`, `fuzz`, `package`.

Arguments after ``--`` are passed on.
"""

import subprocess

import nox

nox.options.sessions = ["lint", "tests"]

EXTRAS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, formatting, spelling and workflows."""
    session.install(*EXTRAS["lint"], "numpy>=2")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")


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
def tidy(session: nox.Session) -> None:
    """Compile everything through clang-tidy."""
    session.install(
        *EXTRAS["tidy"], "cmake", "ninja", "pybind11>=2.13", "Cython", "numpy"
    )
    # GCC's header of OpenMP: clang-tidy has none of its own.
    headers = subprocess.check_output(["g++", "-print-file-name=include"], text=True)
    session.run(
        "cmake",
        "--preset=tidy",
        "-GNinja",
        f"-DCMAKE_CXX_CLANG_TIDY=clang-tidy;--quiet;--extra-arg=-idirafter{headers.strip()}",
        *session.posargs,
    )
    session.run("cmake", "--build", "--preset=tidy", "--", "-k0")


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with the libraries that are installed; print and write the table."""
    session.install(".[test,torch,examples]")
    session.run("python", "-m", "benchmarks.compare", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Make and check the files of a release in `dist/`; see RELEASE.md."""
    session.install("build", "twine")
    session.run("python", ".ci/package.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Call all public names at random, and compare with the reference."""
    session.install(".[test,torch,examples]")
    calls = session.posargs or ["--calls=1000000"]
    session.run("python", "-m", "tests.fuzz.calls", *calls)
