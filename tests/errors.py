"""Bad arguments in tests: the whole message is matched and serves as the test's id."""

import re
from typing import Any

import pytest


def raises(error: type[Exception], message: str) -> Any:
    # The text of a KeyError is quoted.
    return pytest.raises(error, match=f"^[\"']?{re.escape(message)}[\"']?$")


def bad_values(**tables: dict[str, Any]) -> Any:
    """Parametrize ``bad, error, message`` from ``TypeError={message: bad, ...}``."""
    kinds = (TypeError, ValueError, KeyError, RuntimeError, MemoryError)
    errors = {e.__name__: e for e in kinds}
    return pytest.mark.parametrize(
        ("bad", "error", "message"),
        [
            pytest.param(bad, errors[name], message, id=make_id(message))
            for name, table in tables.items()
            for message, bad in table.items()
        ],
    )


def make_id(message: str) -> str:
    return re.sub(r"\W+", "_", message).strip("_")[:70]
