import importlib.util
import os
from typing import Any

import pytest

from tests.implementations import IMPLEMENTATIONS

# Keras looks at this once, when it is first imported; its NumPy backend cannot train.
os.environ.setdefault(
    "KERAS_BACKEND", "torch" if importlib.util.find_spec("torch") else "numpy"
)


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def module(request: pytest.FixtureRequest) -> Any:
    """The implementation under test: each test must pass with every one of them."""
    return IMPLEMENTATIONS[request.param]
