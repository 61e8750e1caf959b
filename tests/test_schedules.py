"""`fastrnn.schedules`: the factors, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn import schedules
from tests.errors import bad_values, raises


def factors(schedule: Any, *epochs: float, **history: Any) -> Any:
    return [schedule(epoch, history) for epoch in epochs]


def test_cosine() -> None:
    np.testing.assert_allclose(
        factors(schedules.cosine(8), 0, 2, 4, 8, 9), [1, 0.5 + 0.5**1.5, 0.5, 0, 0]
    )
    np.testing.assert_allclose(
        factors(schedules.cosine(2, final=0.2), 0, 1, 2), [1, 0.6, 0.2]
    )


def test_warmup_then_another() -> None:
    np.testing.assert_allclose(
        factors(schedules.warmup(2), 0.5, 1, 2, 3), [0.25, 0.5, 1, 1]
    )
    schedule = schedules.warmup(2, schedules.exponential(0.5))
    np.testing.assert_allclose(factors(schedule, 1, 2, 3, 4), [0.5, 1, 0.5, 0.25])


def test_exponential() -> None:
    np.testing.assert_allclose(
        factors(schedules.exponential(0.25), 0, 0.5, 1), [1, 0.5, 0.25]
    )


@pytest.mark.parametrize(
    ("losses", "factor"),
    [
        ([], 1),
        ([3, 2, 1], 1),
        ([3, 3], 1),
        ([3, 3, 3], 0.1),
        ([3, 3, 3, 3], 0.1),
        ([3, 3, 3, 3, 3], 0.01),
        ([3, 3, 2, 3], 1),
        ([3, 2.9999, 2.9998], 0.1),
        ([3, np.nan, 3], 0.1),
        ([np.nan, 3, 2], 1),
        ([-1, -2, -3], 1),
    ],
)
def test_plateau(losses: list[float], factor: float) -> None:
    schedule = schedules.plateau(0.1, 2)
    np.testing.assert_allclose(factors(schedule, 5, loss=losses), factor)
    better = [1.0 / (i + 1) for i in range(9)]
    np.testing.assert_allclose(
        factors(schedule, 5, loss=better, validation=losses or better), factor
    )


@bad_values(
    TypeError={
        "epochs: expected a number, got str": {"warmup": ("1",)},
        "then: expected a schedule (a function), got float": {"warmup": (1, 0.5)},
        "patience: expected an int, got float": {"plateau": (0.5, 1.5)},
    },
    ValueError={
        "epochs: expected a finite number > 0, got 0": {"cosine": (0,)},
        "factor: expected 0 < factor <= 1, got 2": {"exponential": (2,)},
        "factor: expected 0 <= factor < 1, got 1": {"plateau": (1,)},
    },
)
def test_bad_arguments(bad: Any, error: Any, message: str) -> None:
    ((name, arguments),) = bad.items()
    with raises(error, message):
        getattr(schedules, name)(*arguments)
