"""Fixtures for tests of the image cache on a whole registry in this process."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagereg.cache.copies import ImageCache
from imagereg.cache.upkeep import Upkeep
from imagereg.model import Image
from tests.cache.remote import Remote
from tests.registry import CACHE, LocalRegistry
from tests.server import eventually

#: Of more than one chunk, and of an odd length.
SIZE = 300_001


def is_at_rest(cache: ImageCache) -> bool:
    """Return whether no thread is busy with a copy.

    Each looks at the end whether its image is still there, when the copy is already.
    """
    places = cache._places
    return bool(places._value == places._initial_value)  # type: ignore[attr-defined] # no public way to ask


@dataclass
class Kept:
    """An image, and the back end that has its data."""

    image: Image
    data: bytes
    remote: Remote


@dataclass
class Cached:
    """A registry with a cache, which is filled from pretended back ends."""

    registry: LocalRegistry
    upkeep: Upkeep

    @property
    def cache(self) -> ImageCache:
        return self.upkeep.cache

    @property
    def path(self) -> Path:
        return self.cache.directory.path

    def image(self, size: int = SIZE, seed: int = 0) -> Kept:
        """Make an active image, and a back end of its data."""
        data = random.Random(seed).randbytes(size)
        admin = self.registry.admin
        image_id = str(admin.create()["id"])
        assert admin.upload(image_id, data).status == 204
        return Kept(self.stored(image_id), data, Remote(data))

    def stored(self, image_id: str) -> Image:
        """Return the image as it is now."""
        return self.cache.images.get(image_id, None)[0]

    def read(self, kept: Kept) -> bytes:
        """Download all of an image through the cache."""
        reader = self.cache.find(kept.image) or self.cache.read_through(
            kept.image, kept.remote.open
        )
        assert reader is not None
        with reader:
            return b"".join(reader)

    def fill(self, kept: Kept) -> None:
        """Download an image, and wait for its copy."""
        assert self.read(kept) == kept.data
        assert eventually(lambda: self.is_idle() and self.cache.holds(kept.image))

    def is_idle(self) -> bool:
        """Return whether no copy is being made, and none looked at any more."""
        return is_at_rest(self.cache) and not any((self.path / "incomplete").iterdir())

    def names(self, folder: str) -> list[str]:
        """Return the image ids of a folder's files."""
        return sorted(path.name[:36] for path in (self.path / folder).iterdir())


MakeCached = Callable[..., Cached]


@pytest.fixture
def make_cached(tmp_path: Path) -> Iterator[MakeCached]:
    """Yield what makes a registry with a cache; options of [DEFAULT] may be given."""
    made: list[LocalRegistry] = []

    def start(**options: object) -> Cached:
        config = {"DEFAULT": {**CACHE["DEFAULT"], **options}}
        registry = LocalRegistry(tmp_path, config)
        made.append(registry)
        upkeep = registry.registry.cache
        assert upkeep is not None
        return Cached(registry, upkeep)

    yield start
    for registry in made:
        close(registry)


def close(registry: LocalRegistry) -> None:
    """Let go of a registry once nothing works on its cache any more."""
    upkeep = registry.registry.cache
    assert upkeep is not None
    assert eventually(lambda: is_at_rest(upkeep.cache), 60)
    registry.close()


@pytest.fixture
def cached(make_cached: MakeCached) -> Cached:
    """Return a registry with a cache of the usual size."""
    return make_cached()
