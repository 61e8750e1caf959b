"""Whatever an argument is, the error names it: every public callable in turn."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

import fastrnn
from tests.fuzz.hostile import derived, outcome, shown, values
from tests.fuzz.public import GOOD, NEEDS, pool_for, public_names

VALUES = values()
VARIABLE = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


every = pytest.mark.parametrize("name", GOOD)


@pytest.fixture(autouse=True)
def _somewhere_else(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    name = request.node.callspec.params["name"]
    for prefix, module in NEEDS.items():
        if name.startswith(prefix):
            pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    before = fastrnn.get_num_threads()
    yield
    fastrnn.set_num_threads(before)


@pytest.mark.parametrize("name", ["all"])
def test_no_public_name_is_missing(name: str) -> None:
    assert {name.partition(" ")[0] for name in GOOD} == set(public_names())


@every
def test_the_calls_are_good_and_have_every_argument(name: str) -> None:
    good = GOOD[name]()
    good.call()
    if " " in name or name.endswith("=") or name == "Stepper":
        return  # a second call of a function, an assignment, or no signature at all
    parameters = inspect.signature(good.function).parameters
    if not any(p.kind in VARIABLE for p in parameters.values()):
        assert set(good.arguments) == set(parameters)


@every
def test_each_argument_in_turn(name: str) -> None:
    """Every hostile value, and what is nearly the right one."""
    wrong = []
    for argument, value in GOOD[name]().arguments.items():
        for bad in [*pool_for(name, VALUES), *derived(value)]:
            found = outcome(GOOD[name](), {argument: bad})
            if found:
                wrong.append(f"{argument}={shown(bad)}: {found}")
    assert not wrong, "\n".join(wrong)


class Index(NamedTuple):
    i: int


generated = st.one_of(
    # Sizes that fit into memory, and would take much of it, are not among them.
    st.integers(-5, 20) | st.integers(min_value=2**50) | st.integers(max_value=-99),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=2), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st_np.arrays(
        st_np.scalar_dtypes() | st_np.array_dtypes(max_size=2),
        st_np.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    ),
)


@every
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_values_for_any_arguments(name: str, data: st.DataObject) -> None:
    good = GOOD[name]()
    names = list(good.arguments)
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=3)) if names else []
    changed, values_here = {}, pool_for(name, VALUES)
    for argument in chosen:
        # By index, since hypothesis prints and compares what it draws.
        pool = [*values_here, *derived(good.arguments[argument])]
        found = data.draw(generated | st.integers(0, len(pool) - 1).map(Index))
        changed[argument] = pool[found.i] if isinstance(found, Index) else found
    found = outcome(good, changed)
    assert not found, f"{ ({a: shown(v) for a, v in changed.items()}) }: {found}"
