"""Environment variables, the modules that an import loads, and build information."""

import ast
import importlib.metadata
import os
import re
from pathlib import Path

import pytest

import fastrnn
from fastrnn import _core, reference
from tests.errors import bad_values, raises
from tests.implementations import ISAS, every_isa, using
from tests.processes import run_program, run_python

THREADS = "import fastrnn; print(fastrnn.get_num_threads())"
ISA = "import fastrnn; print(fastrnn.isa())"

every_variable = pytest.mark.parametrize(
    "variable", ["FASTRNN_NUM_THREADS", "OMP_NUM_THREADS"]
)


def import_error(**variables: str) -> str:
    done = run_python("-c", "import fastrnn", **variables)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@every_isa
def test_isa_of_the_environment(isa: str) -> None:
    assert run_program(ISA, FASTRNN_ISA=isa) == isa
    assert run_program(ISA, FASTRNN_ISA=f" {isa} ") == isa


@pytest.mark.parametrize("empty", ["", " "])
def test_the_widest_isa_is_the_default(empty: str) -> None:
    assert run_program(ISA) == run_program(ISA, FASTRNN_ISA=empty) == ISAS[0]


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2,avx512"])
def test_unusable_isa(name: str) -> None:
    assert import_error(FASTRNN_ISA=name) == (
        f"ImportError: FASTRNN_ISA: expected one of {', '.join(ISAS)} "
        f"on this machine, got {name!r}"
    )


@pytest.mark.parametrize("value", ["1", "3", " 7 ", "1024", "007"])
@every_variable
def test_threads_of_the_environment(variable: str, value: str) -> None:
    assert run_program(THREADS, **{variable: value}) == str(int(value))


def test_our_variable_goes_before_that_of_openmp() -> None:
    both = {"FASTRNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}
    assert run_program(THREADS, **both) == "3"
    both["FASTRNN_NUM_THREADS"] = ""
    assert run_program(THREADS, **both) == "5"


def test_openmp_may_list_levels() -> None:
    assert run_program(THREADS, OMP_NUM_THREADS="4,2") == "4"


def test_the_default_is_the_cores_of_this_process() -> None:
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    assert run_program(THREADS) == str(len(usable))


@pytest.mark.parametrize("value", ["0", "-1", "1025", "2.0", "two", "2 3", "²", "1e3"])
@every_variable
def test_unusable_number_of_threads(variable: str, value: str) -> None:
    assert import_error(**{variable: value}) == (
        f"ImportError: {variable}: expected a number from 1 to 1024, got {value!r}"
    )


def test_a_number_of_thousands_of_digits() -> None:
    """Python refuses to make an int of them, in an error of its own."""
    error = import_error(FASTRNN_NUM_THREADS="9" * 5000)
    start = "ImportError: FASTRNN_NUM_THREADS: expected a number from 1 to 1024, got '9"
    assert error.startswith(start)
    assert len(error) < 200


@bad_values(
    TypeError={
        "n: expected an int, got float": 2.0,
        "n: expected an int, got str": "2",
        "n: expected an int, got NoneType": None,
        "n: expected an int, got bool": True,
    },
    ValueError={
        "n: expected 1 <= n <= 1024, got 0": 0,
        "n: expected 1 <= n <= 1024, got -3": -3,
        "n: expected 1 <= n <= 1024, got 1025": 1025,
        "n: expected 1 <= n <= 1024, got 1267650600228229401496703205376": 2**100,
    },
)
def test_bad_number_of_threads(bad: object, error: type, message: str) -> None:
    before = fastrnn.get_num_threads()
    with raises(error, message):
        fastrnn.set_num_threads(bad)  # type: ignore[arg-type]
    assert fastrnn.get_num_threads() == before


def test_number_of_threads() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    with using(ISAS[0]):
        for n in (1, 1024, Index()):
            fastrnn.set_num_threads(n)
            assert fastrnn.get_num_threads() == int(n.__index__())


@every_isa
def test_isa_is_the_one_in_use(isa: str) -> None:
    with using(isa):
        assert fastrnn.isa() == isa
    message = f"expected one of {', '.join(ISAS)}, got 'mmx'"
    with pytest.raises(ValueError, match=re.escape(message)):
        _core.select_isa("mmx")


def test_build_info() -> None:
    info = fastrnn.build_info()
    assert list(info) == ["version", "compiler", "build_type"]
    assert info["version"] == fastrnn.__version__
    assert re.match(r"(GCC|Clang) \d+\.\d+", info["compiler"])
    assert info["build_type"] in ("release", "debug")


def test_the_version_is_that_of_the_project() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    (version,) = re.findall(r'^version = "(.*)"', project.read_text("utf-8"), re.M)
    assert fastrnn.__version__ == version
    try:
        installed = importlib.metadata.version("fastrnn")
    except importlib.metadata.PackageNotFoundError:
        return
    assert installed == version


def test_the_module_prints_itself() -> None:
    done = run_python("-m", "fastrnn", FASTRNN_NUM_THREADS="3", FASTRNN_ISA=ISAS[-1])
    assert done.returncode == 0
    assert done.stderr == ""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    facts = dict(lines)
    assert facts["version"] == fastrnn.__version__
    assert facts["isa"] == ISAS[-1]
    assert facts["available_isas"] == ", ".join(ISAS)
    assert facts["num_threads"] == "3"
    assert Path(facts["location"]) == Path(fastrnn.__file__).parent
    assert facts.keys() >= {"compiler", "build_type", "numpy", "python"}


def test_an_import_brings_in_numpy_only() -> None:
    program = """
import sys
before = set(sys.modules)
import fastrnn
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""
    owners = importlib.metadata.packages_distributions()
    brought = run_program(program).split()
    assert {d for name in brought for d in owners.get(name, [])} <= {"numpy", "fastrnn"}
    assert {"fastrnn", "numpy"} <= set(brought)


def test_the_reference_needs_no_compiled_module() -> None:
    """It runs in a package that was never initialised, and has none."""
    program = f"""
import importlib.machinery, sys, types
import numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name != "fastrnn._core", "the compiled module is imported"

sys.meta_path.insert(0, Refuse())
package = types.ModuleType("fastrnn")
package.__path__ = [{str(Path(fastrnn.__file__).parent)!r}]
sys.modules["fastrnn"] = package
from fastrnn import reference

w = np.ones((4, 1), np.float32)
y, _, tape = reference.lstm_forward(np.ones((2, 1, 1), np.float32), w, w)
reference.lstm_backward(tape, y)
reference.linear_cross_entropy(y, w, None, [[0], [1]])
print(y.shape, "fastrnn._core" in sys.modules)
"""
    assert run_program(program) == "(2, 1, 1) False"


def test_every_public_name_has_a_docstring_and_is_listed() -> None:
    source = Path(fastrnn.__file__).read_text(encoding="utf-8")
    imported = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("fastrnn")
        for alias in node.names
    }
    need_libraries = {"jax", "keras", "onnx", "sklearn", "torch"}
    assert imported == {*fastrnn.__all__, *need_libraries}
    assert set(reference.__all__) <= imported
    for name in fastrnn.__all__:
        assert getattr(fastrnn, name).__doc__, name


def test_main_prints_only_as_a_program(tmp_path: Path) -> None:
    done = run_python("-c", "import fastrnn.__main__")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    here = tmp_path / "ż"
    here.mkdir()
    (here / "fastrnn").symlink_to(fastrnn.__path__[0])
    done = run_python("-m", "fastrnn", PYTHONPATH=str(here), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("/\\u017c/fastrnn\n")
