"""Fixtures for tests of use cases on a whole registry in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry import LocalRegistry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    """Yield a registry of its own."""
    made = LocalRegistry(tmp_path)
    yield made
    made.close()
