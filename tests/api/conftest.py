"""Fixtures for tests of the API within this process."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.registry import LocalRegistry
from tests.server import Config

# Makes a registry with its own configuration; takes what `LocalRegistry` takes.
Make = Callable[..., LocalRegistry]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry that believes identity headers, shared by a module."""
    made = LocalRegistry(tmp_path_factory.mktemp("registry"))
    yield made
    made.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Yield a function that makes registries, all of which end with the test."""
    with ExitStack() as made:

        def start(
            config: Config | None = None, *, files: Mapping[str, str] | None = None
        ) -> LocalRegistry:
            where = Path(mkdtemp(prefix="registry-", dir=tmp_path))
            registry = LocalRegistry(where, config, files=files)
            made.callback(registry.close)
            return registry

        yield start
