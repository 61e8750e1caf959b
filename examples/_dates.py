"""Dates as people write them, each with its ISO form."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np

FIRST, DAYS = datetime.date(1950, 1, 1), 29_220  # 80 years
MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
WEEKDAYS = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
]
ENDINGS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


class Pair(NamedTuple):
    """A date as people write it, and in the form for computers."""

    written: str
    iso: str


def write(day: int, rng: np.random.Generator) -> Pair:
    """Write the day, counted from `FIRST`, in one of the ways people do."""
    date = FIRST + datetime.timedelta(day)
    month = MONTHS[date.month - 1]
    if rng.random() < 0.4:
        month = month[:3]
    d, y = str(date.day), str(date.year)
    if rng.random() < 0.3:
        d += ENDINGS.get(date.day, "th")
    if rng.random() < 0.3:
        y = y[2:]
    text = (
        f"{d} {month} {y}",
        f"{month} {d}, {y}",
        f"the {d} of {month} {y}",
        f"{date.day}.{date.month}.{y}",
        f"{date.month}/{date.day}/{y}",
        f"{month} the {d} {y}",
    )[rng.integers(6)]
    if rng.random() < 0.25:
        text = f"{WEEKDAYS[date.weekday()]}, {text}"
    return Pair(text, date.isoformat())
