"""Random combinations of all options, against the reference."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import reference
from tests.comparing import assert_near
from tests.implementations import DTYPES, ISAS, Compiled
from tests.problems import KINDS, VARIANTS, make_problem

paddings = st.sampled_from([None, "right", "left"])


@st.composite
def problems(
    draw: Any, variant: str, padding: Any = paddings, shortest: int = 0, **sizes: int
) -> Any:
    """Draw a problem in which optional arguments may be missing."""
    # In float32 a sum within a rounding of 0 may fall on the other side of relu's kink.
    dtypes = DTYPES[1:] if variant == "rnn-relu" else DTYPES
    problem = make_problem(
        variant,
        T=sizes.get("T", draw(st.integers(shortest, 12))),
        N=sizes.get("N", draw(st.integers(0, 34))),
        I=sizes.get("I", draw(st.integers(1, 40))),
        H=sizes.get("H", draw(st.integers(1, 40))),
        V=draw(st.integers(1, 60)),
        dtype=draw(st.sampled_from(dtypes)),
        kind=draw(st.sampled_from(KINDS)),
        padding=draw(padding),
        resets=draw(st.booleans()),
        reverse=draw(st.booleans()),
        recurrent_mask=draw(st.booleans()),
        zoneout=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
    ).contracting()
    optional = {"b_ih", "b_hh", "h0", "c0"}
    missing = draw(st.sets(st.sampled_from(sorted(optional))))
    absent = draw(st.sets(st.sampled_from(sorted(problem.upstream))))
    return problem._replace(
        arrays={k: a for k, a in problem.arrays.items() if k not in missing},
        upstream={k: a for k, a in problem.upstream.items() if k not in absent},
    )


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None, max_examples=60)
@given(
    data=st.data(), isa=st.sampled_from(ISAS), threads=st.sampled_from([1, 1, 1, 2, 3])
)
def test_all_options(variant: str, data: Any, isa: str, threads: int) -> None:
    problem = data.draw(problems(variant))
    expected = problem.converted(np.float64).run(reference)
    assert_near(problem.run(Compiled(isa, threads)), expected, problem.terms())
