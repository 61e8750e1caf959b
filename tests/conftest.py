from typing import Any

import pytest

from tests.implementations import IMPLEMENTATIONS


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def module(request: pytest.FixtureRequest) -> Any:
    """The implementation under test: what holds for one must hold for each."""
    return IMPLEMENTATIONS[request.param]
