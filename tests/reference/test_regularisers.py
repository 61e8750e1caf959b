"""The reference's recurrent masks and zoneout against their definitions."""

from typing import Any

import numpy as np
import pytest

from fastrnn import reference
from tests.problems import CELLS, STATES, VARIANTS, Problem, make_problem
from tests.reference.test_gradients import TOLERANCE, difference, floating, gradient

cells = pytest.mark.parametrize("cell", CELLS)


@cells
def test_a_mask_that_all_rows_share_is_one_of_the_weights(cell: str) -> None:
    """``w (m h) = (w m) h``; the state itself is not masked."""
    problem = make_problem(cell, resets=True)
    rng = np.random.default_rng(0)
    m = rng.random(problem.arrays["w_hh"].shape[1]) + 0.1
    m[1] = 0
    masked = problem.run(reference, recurrent_mask=np.tile(m, (4, 1)))
    scaled = problem.run(reference, w_hh=problem.arrays["w_hh"] * m)
    scaled["dw_hh"] = scaled["dw_hh"] * m
    for name, a in scaled.items():
        np.testing.assert_allclose(masked[name], a, rtol=0, atol=1e-13, err_msg=name)
    assert np.abs(masked["y"] - problem.run(reference)["y"]).max() > 0.01


@cells
def test_rows_have_masks_of_their_own(cell: str) -> None:
    problem = make_problem(cell, recurrent_mask=True)
    y = problem.forward(reference)[0]
    mask = problem.options["recurrent_mask"]
    for n in range(4):
        alone = problem.forward(reference, recurrent_mask=np.tile(mask[n], (4, 1)))[0]
        np.testing.assert_allclose(alone[:, n], y[:, n], rtol=0, atol=1e-14)


def step_by_step(problem: Problem, mix: Any) -> tuple[Any, list[Any]]:
    """Return y and the final states of single steps with ``mix(t, k, old, new)``."""
    plain = problem._replace(options={k: v for k, v in problem.options.items()
                                      if k not in ("zoneout", "resets")})  # fmt: skip
    names = [k for k in ("h0", "c0") if k in problem.arrays]
    states = [problem.arrays[k] for k in names]
    y = []
    for t, x in enumerate(problem.arrays["x"]):
        cut = problem.options["resets"][t]
        states = [np.where(cut[:, None], 0, a) for a in states]
        given = dict(zip(names, states, strict=True))
        _, new, _ = plain.forward(reference, x=x[None], **given)
        states = [
            mix(t, k, *pair) for k, pair in enumerate(zip(states, new, strict=True))
        ]
        y.append(states[0])
    return np.array(y), states


@cells
def test_zoneout_keeps_old_states(cell: str) -> None:
    """In an LSTM, h is computed from c before zoneout, and each has its own mask."""
    problem = make_problem(cell, zoneout=True, resets=True, recurrent_mask=True)
    masks = problem.options["zoneout"]
    masks = masks if isinstance(masks, tuple) else (masks,)
    y, final = step_by_step(
        problem, lambda t, k, old, new: np.where(masks[k][t], old, new)
    )
    got, got_final, _ = problem.forward(reference)
    np.testing.assert_allclose(got, y, rtol=0, atol=1e-14)
    for a, b in zip(got_final, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


@cells
def test_the_expectation_of_zoneout(cell: str) -> None:
    problem = make_problem(cell, resets=True)
    y, final = step_by_step(problem, lambda t, k, old, new: 0.3 * old + 0.7 * new)
    got, got_final, _ = problem.forward(reference, zoneout=0.3, training=False)
    np.testing.assert_allclose(got, y, rtol=0, atol=1e-14)
    for a, b in zip(got_final, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


@cells
def test_a_state_that_is_always_kept(cell: str) -> None:
    """The state passes unchanged, and so do the gradients; weights play no part."""
    problem = make_problem(cell)
    pair = len(STATES[cell]) == 2
    names = ("h0", "c0") if pair else ("h0",)
    keep = [np.ones((6, *problem.arrays[name].shape), bool) for name in names]
    out = problem.run(reference, zoneout=tuple(keep) if pair else keep[0])
    up = problem.upstream
    np.testing.assert_array_equal(out["y"], np.tile(problem.arrays["h0"], (6, 1, 1)))
    expected = up["dy"].sum(0) + up["dh_n"]
    np.testing.assert_allclose(out["dh0"], expected, rtol=1e-14, atol=1e-15)
    if pair:
        np.testing.assert_array_equal(out["c_n"], problem.arrays["c0"])
        np.testing.assert_array_equal(out["dc0"], up["dc_n"])
    assert not any(out[k].any() for k in ("dx", "dw_ih", "dw_hh", "db_ih", "db_hh"))


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("padding", [None, "right", "left"], ids=str)
@pytest.mark.parametrize("given", ["recurrent_mask", "zoneout", "both"])
@pytest.mark.parametrize("cell", VARIANTS)
def test_gradients(cell: str, given: str, padding: str | None, reverse: bool) -> None:
    """Check element by element, against central differences."""
    problem = make_problem(
        cell, 5, 3, 2, 4, padding=padding, resets=True, reverse=reverse,
        recurrent_mask=given != "zoneout", zoneout=given != "recurrent_mask",
    )  # fmt: skip
    for name in floating(problem):
        got = gradient(problem, name)
        expected = np.zeros_like(got)
        for index in np.ndindex(got.shape):
            direction = np.zeros_like(got)
            direction[index] = 1
            expected[index] = difference(problem, name, direction)
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=TOLERANCE * (1 + np.abs(got).max()),
            err_msg=name,
        )  # fmt: skip
