from typing import Any

import pytest

from fastrnn import reference


@pytest.fixture(scope="session", params=[reference], ids=["reference"])
def module(request: pytest.FixtureRequest) -> Any:
    """The implementation under test: what is published must hold for each."""
    return request.param
