"""Settings of a program: flags on the command line, checked as they are read."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import _readers as read
from _errors import UserError


class Setting(NamedTuple):
    """A flag ``--name``.

    A `fixed` one determines the shapes or positions in a checkpoint: a run that is
    resumed must have the same.
    """

    name: str
    default: Any
    help: str
    read: read.Reader = str
    fixed: bool = False

    @property
    def flag(self) -> str:
        """The flag as it is typed."""
        return "--" + self.name.replace("_", "-")


SEED = Setting("seed", 0, "of all randomness", read.seed)


class Parser(argparse.ArgumentParser):
    """A command line whose help is the program's docstring; errors are `UserError`s."""

    def __init__(self, doc: str | None, settings: Iterable[Setting]) -> None:
        """Add a flag per setting; those not given are absent from the namespace."""
        super().__init__(
            description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        for setting in settings:
            self.add_argument(
                setting.flag,
                type=setting.read,
                default=argparse.SUPPRESS,
                help=f"{setting.help} (default: {setting.default!r})",
            )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read ``--lr -1e5`` and ``--lr -inf`` as a flag and its value too."""
        words: list[str] = []
        for word in sys.argv[1:] if args is None else args:
            if re.match(r"-[\d.in]", word) and words and words[-1].startswith("--"):
                words[-1] += f"={word}"
            else:
                words.append(word)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> Any:
        """Raise an error of argparse in the form of all errors."""
        message = message.replace("expected one argument", "expected a value, got none")
        raise UserError(message.removeprefix("argument "))


def settle(
    settings: Iterable[Setting],
    given: argparse.Namespace,
    saved: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Take each setting from the command line, else from `saved`, else its default.

    Saved values are those of a checkpoint, or the values of ``--quick``. A fixed
    setting that differs from its saved value is a `UserError`.
    """
    settled = {}
    for setting in settings:
        name = setting.name
        before = (saved or {}).get(name, setting.default)
        settled[name] = getattr(given, name, before)
        if saved is not None and setting.fixed and settled[name] != before:
            raise UserError(
                f"{setting.flag}: expected {before}, as in the checkpoint, "
                f"got {settled[name]}"
            )
    return settled


def check_saved(settings: Iterable[Setting], saved: Mapping[str, Any]) -> None:
    """Raise ValueError unless the command line would take the saved values."""
    for setting in settings:
        try:
            value = setting.read(str(saved[setting.name]))
        except (argparse.ArgumentTypeError, KeyError) as error:
            raise ValueError(f"setting {setting.name}: {error}") from None
        if value != saved[setting.name]:
            raise ValueError(f"setting {setting.name}: expected {value!r}")
