"""Many lives of a cache: whatever happens to it, downloads give the image's bytes.

Downloads, downloads that are given up, hits of parts, back ends that lie, break off
or are down, pruning, cleaning, dropping, deletion, and what crashes and operators
leave in the directory, in any order.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from imagereg.cache.copies import ImageCache
from imagereg.errors import StoreUnavailable
from imagereg.model import Image
from tests import databases
from tests.cache.conftest import Cached, Kept, is_at_rest
from tests.cache.remote import CHUNK
from tests.registry import CACHE, LocalRegistry
from tests.server import eventually

SIZES = (1, CHUNK - 1, CHUNK, 3 * CHUNK + 17)
LIMIT = 6 * CHUNK


class CacheLife(RuleBasedStateMachine):
    """One node's cache, and the back ends of its images."""

    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="imagereg-cache-life-")
        config = {"DEFAULT": {**CACHE["DEFAULT"], "image_cache_max_size": LIMIT}}
        self.registry = LocalRegistry(Path(self.folder.name), config)
        upkeep = self.registry.registry.cache
        assert upkeep is not None
        self.cached = Cached(self.registry, upkeep)
        self.made = 0
        self.gone: set[str] = set()
        self.known: dict[str, Kept] = {}

    def teardown(self) -> None:
        self.settle()
        self.registry.close()
        self.folder.cleanup()

    @property
    def cache(self) -> ImageCache:
        return self.cached.cache

    def settle(self) -> None:
        """Wait until no copy is being made."""
        assert eventually(lambda: is_at_rest(self.cache), 60)

    @rule(target=images, size=st.sampled_from(SIZES))
    def create(self, size: int) -> Kept:
        self.made += 1
        kept = self.cached.image(size, self.made)
        self.known[kept.image.id] = kept
        return kept

    @rule(kept=images)
    def download(self, kept: Kept) -> None:
        assert self.cached.read(kept) == kept.data
        self.settle()

    @rule(kept=images, data=st.data())
    def download_a_part(self, kept: Kept, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(kept.data) - 1))
        stop = data.draw(st.integers(start + 1, len(kept.data)))
        reader = self.cache.find(kept.image, lambda size: range(start, stop))
        if reader is not None:
            with reader:
                assert b"".join(reader) == kept.data[start:stop]

    @rule(kept=images)
    def give_up(self, kept: Kept) -> None:
        reader = self.cache.find(kept.image) or self.cache.read_through(
            kept.image, kept.remote.open
        )
        assert reader is not None
        piece = next(iter(reader))
        reader.close()

        assert kept.data.startswith(piece)
        self.settle()

    @rule(kept=images, at=st.integers(0, 3 * CHUNK))
    def break_off(self, kept: Kept, at: int) -> None:
        kept.remote.fails_at = at
        try:
            assert self.cached.read(kept) == kept.data
        except StoreUnavailable:
            assert not self.cache.holds(kept.image)
        finally:
            self.settle()
            kept.remote.fails_at = None

    @rule(kept=images)
    def lie(self, kept: Kept) -> None:
        """A back end gives other bytes: they go out, and are never a copy."""
        held = self.cache.holds(kept.image)
        kept.remote.data = bytes(len(kept.data))
        try:
            read = self.cached.read(kept)
        finally:
            self.settle()
            kept.remote.data = kept.data

        assert read == (kept.data if held else bytes(len(kept.data)))
        assert self.cache.holds(kept.image) is held

    @rule(kept=images)
    def go_down(self, kept: Kept) -> None:
        held = self.cache.holds(kept.image)
        kept.remote.refuses = True
        try:
            assert self.cached.read(kept) == kept.data
            assert held
        except StoreUnavailable:
            assert not held
        finally:
            kept.remote.refuses = False

    @rule()
    def prune(self) -> None:
        self.cached.upkeep.prune()

        assert sum(copy.size for copy in self.cache.books.held()) <= LIMIT

    @rule()
    def clean(self) -> None:
        self.cached.upkeep.clean()

        assert self.cached.names("invalid") == []
        files = {held.image_id for held in self.cache.directory.held()}
        assert {copy.image_id for copy in self.cache.books.held()} <= files

    @rule(kept=images)
    def prefetch(self, kept: Kept) -> None:
        self.cache.directory.enqueue(kept.image.id)
        self.cached.upkeep.prefetch()

        assert self.cache.holds(kept.image)
        assert self.cache.directory.queued() == []

    @rule(kept=images)
    def drop(self, kept: Kept) -> None:
        self.cache.drop(kept.image.id)

        assert self.cache.find(kept.image) is None

    @rule(kept=consumes(images))
    def delete(self, kept: Kept) -> None:
        path = f"/v2/images/{kept.image.id}"
        assert self.registry.admin.request("DELETE", path).status == 204
        self.gone.add(kept.image.id)
        del self.known[kept.image.id]

    @rule(target=images, kept=consumes(images))
    def replace_data(self, kept: Kept) -> Kept:
        """As when the last location went, and other data of the same size came."""
        self.made += 1
        other = self.cached.image(len(kept.data), self.made)
        record = replace(other.image, id=kept.image.id)
        renewed = Kept(record, other.data, other.remote)
        self.known[kept.image.id] = renewed
        self._write(record)
        (self.registry.where / "images" / record.id).write_bytes(other.data)
        return renewed

    def _write(self, record: Image) -> None:
        """Give the stored image the digests of its new data."""
        with self.registry.registry.engine.transaction():
            self.registry.registry.engine.execute(
                "UPDATE images SET checksum = ?, os_hash_value = ? WHERE id = ?",
                (record.checksum, record.os_hash_value, record.id),
            )

    @rule(kept=images, data=st.binary(max_size=100), dead=st.booleans())
    def leave_remains(self, kept: Kept, data: bytes, dead: bool) -> None:
        """As a process that died while it made a copy."""
        digest = f"{kept.image.os_hash_algo}:{kept.image.os_hash_value}"
        claim = self.cache.directory.claim(kept.image.id, digest)
        if claim.writer is not None:
            os.write(claim.writer, data)
            if not dead:
                self.cache.directory.reject(claim, keep=True)
            os.close(claim.writer)
        os.close(claim.reader)

    @rule(kept=images, size=st.integers(0, 2 * CHUNK))
    def leave_a_file(self, kept: Kept, size: int) -> None:
        """As an operator who copies files about, or a crash between two writes."""
        self.cache.books.delete(kept.image.id)
        self.cache.directory.file(kept.image.id).write_bytes(bytes(size))

    @rule(kept=images)
    def lose_the_file(self, kept: Kept) -> None:
        self.cache.directory.file(kept.image.id).unlink(missing_ok=True)

    @rule(kept=images, size=st.integers(0, 2 * CHUNK))
    def cut_the_file(self, kept: Kept, size: int) -> None:
        """A copy of another length is never served."""
        path = self.cache.directory.file(kept.image.id)
        if path.exists() and size != len(kept.data):
            os.truncate(path, size)

    @rule()
    def restart(self) -> None:
        """Another process takes over, with the same directory and books."""
        old = self.cache
        old.write_books()
        new = ImageCache(old.directory, old.books, old.images, old.rules)
        self.cached.upkeep.cache = new

    @invariant()
    def what_is_served_is_the_images(self) -> None:
        for kept in self.known.values():
            reader = self.cache.find(kept.image)
            if reader is not None:
                with reader:
                    assert b"".join(reader) == kept.data

    @invariant()
    def nothing_is_held_of_what_is_gone(self) -> None:
        assert self.gone.isdisjoint(copy.image_id for copy in self.cache.books.held())
        assert not any(self.cache.directory.file(each).exists() for each in self.gone)


TestCacheLife = CacheLife.TestCase
TestCacheLife.settings = settings(
    max_examples=databases.examples(25), stateful_step_count=25, deadline=None
)
