"""Whatever an argument is given, the error names it: every public callable in turn."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastrnn
from tests.fuzz.hostile import complaint, derived, values
from tests.fuzz.public import GOOD, Good, public_names

VALUES = values()
every = pytest.mark.parametrize("name", GOOD)


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = fastrnn.get_num_threads()
    yield
    fastrnn.set_num_threads(before)


def test_no_public_name_is_missing() -> None:
    assert {name.partition(" ")[0] for name in GOOD} == set(public_names())


@every
def test_the_calls_are_good_unchanged(name: str) -> None:
    good = GOOD[name]()
    good.call()
    given_names = set(good.arguments)
    if not inspect.isbuiltin(good.function) and not name.endswith("="):
        named = inspect.signature(good.function).parameters
        variable = {n for n, p in named.items() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not variable:
            assert given_names == set(named)


def outcome(good: Good, changed: dict[str, Any]) -> str | None:
    if any(callable(changed[name]) for name in good.called if name in changed):
        return None
    try:
        good.call(**changed)
    except Exception as error:
        return complaint(error, [*good.arguments, *good.names])
    return None


@every
def test_each_argument_in_turn(name: str) -> None:
    wrong = []
    for argument in GOOD[name]().arguments:
        for value in [*VALUES, *derived(GOOD[name]().arguments[argument])]:
            found = outcome(GOOD[name](), {argument: value})
            if found:
                wrong.append(f"{argument}={describe(value)}: {found}")
    assert not wrong, "\n".join(wrong)


def describe(value: Any) -> str:
    try:
        return f"{type(value).__name__} {value!r}"[:100]
    except Exception:
        return type(value).__name__
