"""Settings of an example: flags on the command line that travel in its checkpoints."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from _common import UserError


class Setting(NamedTuple):
    """A flag `--name`; a `fixed` one shapes the arrays or positions in a checkpoint."""

    name: str
    default: Any
    help: str
    type: Callable[[str], Any] = str
    choices: list[str] | None = None
    fixed: bool = False


def number(
    kind: Callable[[str], float], low: float, high: float = math.inf
) -> Callable[[str], float]:
    """Return what reads a number in [low, high] for argparse."""

    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            bounds = f"of at least {low}" if high == math.inf else f"in {low}…{high}"
            raise argparse.ArgumentTypeError(f"expected a number {bounds}, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse says "invalid int value" by it
    return read


def several(low: int) -> Callable[[str], tuple[int, ...]]:
    """Return what reads whole numbers of at least `low`, as in 4,8, for argparse."""

    def read(text: str) -> tuple[int, ...]:
        try:
            values = tuple(int(word) for word in text.split(","))
        except ValueError:
            values = ()
        if not values or min(values) < low:
            raise argparse.ArgumentTypeError(
                f"expected whole numbers of at least {low}, as in 4,8, got {text}"
            )
        return values

    return read


def add_settings(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    """Add a flag for each; those not given stay absent from the parsed namespace."""
    for setting in settings:
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            type=setting.type,
            choices=setting.choices,
            default=argparse.SUPPRESS,
            help=f"{setting.help} (default: {setting.default!r})",
        )


def settle(
    settings: Iterable[Setting],
    given: argparse.Namespace,
    saved: Mapping[str, Any] | None = None,
    where: str = "",
) -> dict[str, Any]:
    """Take each setting from the command line, else the checkpoint, else its default.

    A fixed one that the checkpoint `where` has otherwise is a `UserError`.
    """
    settled = {}
    for name, default, *_, fixed in settings:
        before = (saved or {}).get(name, default)
        settled[name] = getattr(given, name, before)
        if saved is not None and fixed and settled[name] != before:
            flag = "--" + name.replace("_", "-")
            raise UserError(
                f"{where}: another configuration: {flag} is {before} there, "
                f"{settled[name]} here"
            )
    return settled
