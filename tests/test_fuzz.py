"""The fuzz program (`python -m tests.fuzz.calls`) notices what it is there for."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from tests.fuzz import compared
from tests.fuzz.calls import PROGRESS, Fuzzer, grown, supervise
from tests.fuzz.hostile import complaint
from tests.fuzz.public import GOOD, Good


def test_some_calls() -> None:
    program = [sys.executable, "-m", "tests.fuzz.calls", "--calls=4000", "--seed=3"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.stdout.endswith("\n0 found\n"), done.stdout + done.stderr
    assert done.returncode == 0


CHILD = """
import os, struct, sys, time
number, _ = struct.unpack("qq", open(sys.argv[1] + "/progress", "rb").read())
if number == 0:
    {}
"""


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("os.kill(os.getpid(), 11)", "crash: exit code -11"),
        ("time.sleep(600)", "hang: more than 1 s"),
        ("raise SystemExit('told')", "crash: exit code 1"),
    ],
)
def test_a_child_that_ends_is_recorded_and_replaced(
    what: str, how: str, tmp_path: Path
) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(what).replace("sys.argv[1]", repr(str(tmp_path))))
    supervise([sys.executable, str(script)], tmp_path, patience=1)
    (line,) = (tmp_path / "found").read_text().splitlines()
    number, found, stderr = json.loads(line)
    assert (number, found) == (0, how)
    assert ("told" in stderr) == ("told" in what)
    assert PROGRESS.unpack((tmp_path / "progress").read_bytes()) == (1, 1)


def test_a_case_depends_on_its_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = Fuzzer(1), Fuzzer(1)
    about = [first.run(number).about for number in range(60)]
    assert [second.run(number).about for number in reversed(range(60))] == about[::-1]
    assert [Fuzzer(2).run(number).about for number in range(60)] != about


def test_foreign_errors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(a: Any) -> None:
        raise IndexError("tuple index out of range")

    for name in GOOD:
        monkeypatch.setitem(GOOD, name, lambda: Good(fails, {"a": 1}))
    cases = [Fuzzer(0).provoke(random.Random(i)) for i in range(5)]
    assert {case.wrong for case in cases} == {"IndexError: tuple index out of range"}


@pytest.mark.parametrize(
    ("check", "function"),
    [
        (compared.sequence, "lstm_forward"),
        (compared.sequence, "gru_backward"),
        (compared.linear, "linear_forward"),
        (compared.loss, "linear_cross_entropy"),
    ],
)
def test_wrong_values_are_found(
    check: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(reference, function)

    def wrong(*arguments: Any, **options: Any) -> Any:
        found = right(*arguments, **options)
        if isinstance(found, np.ndarray):
            return found + 1e-3
        changed = [
            a + 1e-3 if isinstance(a, (np.ndarray, np.floating)) else a for a in found
        ]
        return type(found)(*changed) if hasattr(found, "_fields") else tuple(changed)

    monkeypatch.setattr(reference, function, wrong)
    found = 0
    for i in range(40):
        try:
            check(random.Random(i), Counter())
        except AssertionError:
            found += 1
    assert found > 3


def test_growing_memory_is_found() -> None:
    first = [[10**4, 50], [2 * 10**4, 60], [3 * 10**4, 61]]
    assert grown([*first, [10**5, 62.9]]) is None
    assert grown([*first, [10**5, 63.1]]) == "grew from 60.0 to 63.1 MB"
    assert grown([*first, [4 * 10**4, 99]]) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ValueError("a: expected 1, got 2"), True),
        (TypeError("b[3]: expected an int, got str"), True),
        (KeyError("d['x']: expected a name, got none"), True),
        (ValueError("a: id 3 at [1] is out of range 0 <= id < V = 2"), True),
        (ValueError("a, b[0]: expected arrays that share no memory, got two"), True),
        (MemoryError("Unable to allocate 8. GiB for an array"), True),
        (FileNotFoundError(2, "No such file or directory", "there"), True),
        (FileNotFoundError(2, "No such file or directory"), False),
        (MemoryError("std::bad_alloc"), False),
        (MemoryError(), False),
        (ValueError("expected 1, got 2"), False),
        (ValueError("c: expected 1, got 2"), False),
        (ValueError("a: wrong"), False),
        (ZeroDivisionError("a: expected 1, got 0"), False),
    ],
    ids=repr,
)
def test_what_a_message_must_be(error: Exception, passes: bool) -> None:
    assert (complaint(error, ["a", "b", "d"]) is None) == passes
