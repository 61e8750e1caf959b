"""Sessions: `nox --list`.

Arguments after ``--`` are passed on.
"""

import os
import subprocess

import nox

nox.options.sessions = ["lint", "tests"]

# The tests of threads that the thread sanitizer can run: it knows no fork.
THREADED = [
    "tests/runtime/test_busy_cores.py",
    "tests/runtime/test_concurrency.py",
    "tests/sequence/test_sharing.py",
    "tests/sequence/test_threads.py",
    "tests/stepper",
    "tests/test_layers_threads.py",
    "-knot fork",
]

EXTRAS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, formatting, spelling and workflows."""
    session.install(*EXTRAS["lint"], "numpy>=2")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with all that they can compare against."""
    session.install(".[test,torch,keras,jax,onnx,examples]")
    session.run("pytest", *session.posargs)


def install_debug(session: nox.Session, sanitizers: str, isas: str) -> None:
    """Install a build for debugging tools; ``isas`` as FASTRNN_ONLY_ISAS has it."""
    session.install(
        f"-Cbuild-dir=build/{session.name}-wheel",
        "-Ccmake.build-type=Debug",
        f"-Ccmake.define.FASTRNN_SANITIZE={sanitizers}",
        f"-Ccmake.define.FASTRNN_ONLY_ISAS={isas}",
        ".[test]",
    )


def library(name: str) -> str:
    """Return where the compiler finds a library."""
    command = ["g++", f"-print-file-name={name}"]
    return os.path.realpath(subprocess.check_output(command, text=True).strip())


@nox.session
def asan(session: nox.Session) -> None:
    """Run the tests on a build with the address and undefined behaviour sanitizers."""
    install_debug(session, "address,undefined", isas="")
    # libstdc++ as well: without it, nothing that is thrown is ever caught.
    session.run(
        "pytest",
        *session.posargs,
        env={
            "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so')}",
            # CPython's own leaks are not ours to find; too large a block is an error.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    )


@nox.session
def tsan(session: nox.Session) -> None:
    """Run the tests of threads on a build with the thread sanitizer."""
    install_debug(session, "thread", isas="avx2")
    session.run(
        "pytest",
        *(session.posargs or THREADED),
        env={
            "LD_PRELOAD": f"{library('libtsan.so')} {library('libstdc++.so')}",
            "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:report_thread_leaks=0",
        },
    )


@nox.session
def valgrind(session: nox.Session) -> None:
    """Run some calls of all public names in valgrind, which is to be installed."""
    install_debug(session, "", isas="avx2")
    session.run(
        *("valgrind", "--quiet", "--error-exitcode=1"),
        "--suppressions=.ci/valgrind.supp",
        *("python", "-m", "tests.fuzz.calls", "--here"),
        *(session.posargs or ["--calls=3000"]),
        env={"PYTHONMALLOC": "malloc"},  # so that valgrind sees each block
        external=True,
    )


@nox.session
def tidy(session: nox.Session) -> None:
    """Compile everything through clang-tidy."""
    session.install(
        *EXTRAS["tidy"], "cmake", "ninja", "pybind11>=2.13", "Cython", "numpy"
    )
    session.run(
        "cmake",
        "--preset=tidy",
        "-GNinja",
        "-DCMAKE_CXX_CLANG_TIDY=clang-tidy;--quiet",
        *session.posargs,
    )
    session.run("cmake", "--build", "--preset=tidy", "--", "-k0")


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with the libraries that are installed; print and write the table."""
    session.install(".[test,torch,keras,examples]")
    session.run("python", "-m", "benchmarks.compare", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Make and check the files of a release in `dist/`; see RELEASE.md."""
    session.install("build", "twine")
    session.run("python", ".ci/package.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Call all public names at random, and compare with the reference."""
    session.install(".[test,torch,keras,examples]")
    calls = session.posargs or ["--calls=1000000"]
    session.run("python", "-m", "tests.fuzz.calls", *calls)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site in `build/site`, and check every link within it."""
    session.install(".[docs,keras,sklearn,torch]")
    strict = ("-n", "-W", "--keep-going")
    folders = ("-d", "build/site-cache", "docs", "build/site")
    session.run("sphinx-build", *strict, *session.posargs, *folders)
    session.run("python", "docs/_ext/links.py", "build/site")
