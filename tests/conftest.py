from typing import Any

import pytest

from tests.implementations import IMPLEMENTATIONS


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def module(request: pytest.FixtureRequest) -> Any:
    """The implementation under test: each test must pass with every one of them."""
    return IMPLEMENTATIONS[request.param]
