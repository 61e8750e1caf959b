"""`fastrnn` and `fastrnn.reference` have the same functions, documented alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import fastrnn
from fastrnn import reference

NAMES = reference.__all__
FUNCTIONS = [getattr(fastrnn, name) for name in NAMES]
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)


def section(function: Callable[..., Any]) -> str:
    """Return the Parameters section of a docstring, or nothing."""
    text = inspect.getdoc(function) or ""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n---|\Z)", text, re.M | re.S)
    return found[1] if found else ""


def documented(function: Callable[..., Any]) -> list[str]:
    """Return the names that a docstring explains, itself or by reference."""
    lines = section(function).splitlines()
    if lines:
        headings = [line.split(" : ")[0] for line in lines if line[:1].strip()]
        return [name for heading in headings for name in heading.split(", ")]
    text = inspect.getdoc(function) or ""
    (other,) = re.findall(r"(?:those of|parameters as) `(\w+)`", text)
    return [*documented(getattr(fastrnn, other)), *re.findall(r"``(\w+)", text)]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_the_same(name: str) -> None:
    ours = inspect.signature(getattr(fastrnn, name), eval_str=True)
    theirs = inspect.signature(getattr(reference, name), eval_str=True)
    assert ours == theirs


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_described_the_same(name: str) -> None:
    assert section(getattr(fastrnn, name)) == section(getattr(reference, name))


@every_function
def test_every_parameter_is_described(function: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(function).parameters)
    names = documented(function)
    assert [name for name in parameters if name not in names] == []
    if section(function):
        assert names == parameters


def test_all_functions_of_the_kernels_have_a_reference() -> None:
    kernels = {
        name
        for name in fastrnn.__all__
        if name.endswith(("_forward", "_backward", "_entropy", "_loss", "softmax"))
        or name in {"huber", "mean_absolute_error", "mean_squared_error"}
    }
    assert kernels == set(NAMES)
