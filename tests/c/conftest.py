from pathlib import Path

import pytest

from tests.c.building import Library, install_library


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libfastrnn is installed."""
    return install_library(tmp_path_factory.mktemp("libfastrnn"))


@pytest.fixture(scope="session")
def library(prefix: Path) -> Library:
    return Library(prefix)
