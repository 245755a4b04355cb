"""Serve copies, and make one when all of an image is read.

A cache that fails is no cache: whatever goes wrong with its directory, the download
goes on without it.

Source: contract stores 8, api-images 16 and 25.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imagereg.cache.directory import CacheDirectory, Claim, is_image_id
from imagereg.cache.filling import Filling, Follower, Source, digest_of
from imagereg.db.copies import CopyRepository, Uses
from imagereg.db.images import ImageRepository
from imagereg.errors import ImageRegError, StoreUnavailable
from imagereg.model import Image, Status, now_us
from imagereg.stores.driver import BlobReader, HasPath
from imagereg.stores.filesystem import FileReader

log = logging.getLogger(__name__)

READ_BYTES = 256 * 1024

#: Copies that one process makes at a time; further misses go past the cache.
MOST_FILLINGS = 16

#: How often a copy is begun anew because the one to follow has just died.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class CacheRules:
    """What the operator decided.

    Attributes:
        max_bytes: pruning brings the cache below this; larger images are not cached.
        stall_s: incomplete files older than this, without a maker, are removed.
        files: images of file stores are cached too.
        fsync: copies survive a power cut.
    """

    max_bytes: int
    stall_s: float
    files: bool = True
    fsync: bool = True


class ImageCache:
    """The copies of one node.

    Attributes:
        changed: set when a copy was added or asked for, see `upkeep.py`.
    """

    def __init__(
        self,
        directory: CacheDirectory,
        books: CopyRepository,
        images: ImageRepository,
        rules: CacheRules,
    ) -> None:
        self.directory = directory
        self.books = books
        self.images = images
        self.rules = rules
        self.changed = threading.Event()
        self._places = threading.BoundedSemaphore(MOST_FILLINGS)
        self._lock = threading.Lock()
        self._uses: dict[str, Uses] = {}

    def find(
        self, image: Image, choose: Callable[[int], range] | None = None
    ) -> HasPath | None:
        """Open the verified copy of an image, or the part that ``choose`` picks.

        Returns None when there is none; whatever ``choose`` raises passes through.
        """
        wanted = self._wanted(image)
        if wanted is None:
            return None
        size, digest = wanted
        entry = self.books.find(image.id)
        if entry is None or (entry.size, entry.digest) != (size, digest):
            return None
        part = choose(size) if choose else range(size)
        try:
            reader = self._open(image.id, size, part)
        except OSError as error:
            log.warning("image %s: its copy is not read: %s", image.id, error.strerror)
            return None
        if reader is not None:
            self._count(image.id)
        return reader

    def read_through(self, image: Image, source: Source) -> BlobReader | None:
        """Open all of an image in the stores, and keep a copy of what comes.

        Of many who ask at once, one reads the store and the others read with it.

        Raises:
            ImageRegError: from ``source``.
        """
        for _ in range(_ATTEMPTS):
            claim = self._claim(image)
            if claim is None:
                break
            follower = Follower(claim.reader, image.size or 0, source)
            if claim.writer is not None:
                return self._lead(image, claim, follower, source)
            if follower.has_begun():
                return follower
            # It ended before this reader saw any of it: well, or without a byte.
            follower.close()
            copy = self.find(image)
            if copy is not None:
                return copy
        return source(0)

    def fetch(self, image: Image, source: Source) -> bool:
        """Make a copy now, in this thread; return whether there is one then.

        Raises:
            ImageRegError: from ``source``.
        """
        claim = self._claim(image)
        if claim is None:
            return False
        os.close(claim.reader)
        if claim.writer is None:
            return False
        filling = self._filling(image, claim)
        try:
            reader = None if self.holds(image) else source(0)
        except BaseException:
            filling.abandon()
            raise
        if reader is None:
            filling.abandon()
            return self.holds(image)
        return self._run(filling, reader)

    def may_hold(self, image: Image) -> bool:
        """Return whether copies are made of an image such as this."""
        return self._wanted(image) is not None

    def holds(self, image: Image) -> bool:
        """Return whether there is a verified copy; that does not count as a use."""
        wanted, entry = self._wanted(image), self.books.find(image.id)
        if entry is None or (entry.size, entry.digest) != wanted:
            return False
        return self.directory.size(image.id) == entry.size

    def remove(self, image_id: str) -> int:
        """Remove an image's copy, and what was begun; return the bytes of the first.

        Raises:
            StoreUnavailable: the directory cannot be changed.
        """
        with usable():
            return self.directory.remove(image_id, lambda: self.books.delete(image_id))

    def drop(self, image_id: str) -> int:
        """Remove an image from cache and queue; return the bytes that it held.

        Raises:
            StoreUnavailable: the directory cannot be changed.
        """
        with usable():
            self.directory.dequeue(image_id)
        return self.remove(image_id)

    def forget(self, image_id: str) -> None:
        """Remove the copy of an image that is gone, and its place in the queue.

        What cannot be removed now goes when the cache is looked through again; until
        then nobody can ask for it.
        """
        if not is_image_id(image_id):
            return
        try:
            self.drop(image_id)
        except ImageRegError as error:
            log.warning("image %s: its copy is not removed yet: %s", image_id, error)

    def write_books(self) -> None:
        """Write down the uses that were only counted so far."""
        with self._lock:
            uses, self._uses = self._uses, {}
        if uses:
            self.books.add_uses(uses)

    def _wanted(self, image: Image) -> tuple[int, str] | None:
        """Return size and digest of a copy; None for an image that gets none.

        One that was taken out of use is served from the stores, to administrators.
        Without a digest no copy could be told from a bad one.
        """
        digest = digest_of(image)
        if (
            image.status != Status.ACTIVE
            or not image.size
            or image.size > self.rules.max_bytes
            or digest is None
            or not is_image_id(image.id)
        ):
            return None
        return image.size, digest

    def _claim(self, image: Image) -> Claim | None:
        """Begin a copy, or join one; None where there is to be none."""
        wanted = self._wanted(image)
        if wanted is None:
            return None
        size, digest = wanted
        try:
            if self.directory.free_bytes() < size:
                log.warning("image %s: not cached: there is no room for it", image.id)
                return None
            return self.directory.claim(image.id, digest)
        except OSError as error:
            log.warning("image %s: not cached: %s", image.id, error.strerror)
            return None

    def _lead(
        self, image: Image, claim: Claim, follower: Follower, source: Source
    ) -> BlobReader | None:
        """Read the store for all who ask; return what this client reads."""
        filling = self._filling(image, claim)
        if not self._places.acquire(blocking=False):
            filling.abandon()
            follower.close()
            return source(0)
        with self._given_up(filling, follower):
            # Another copy may have been finished just before this one was begun.
            copy = self.find(image)
            reader = copy or source(0)
            feed = None if copy else self._feed(reader, source)
            if feed is not None:
                self._start(filling, feed)
        if feed is None:
            self._places.release()
            filling.abandon()
        elif feed is reader:
            return follower
        follower.close()
        return reader

    def _feed(self, reader: BlobReader | None, source: Source) -> BlobReader | None:
        """Return what the copy is made of; None for no copy.

        A file goes to the client by the kernel, and its copy is made beside that.
        """
        if not isinstance(reader, HasPath):
            return reader
        return source(0) if self.rules.files else None

    def _start(self, filling: Filling, feed: BlobReader) -> None:
        """Make the copy in a thread, which outlives the client that asked first."""
        threading.Thread(
            target=self._work, args=(filling, feed), name="cache-fill", daemon=True
        ).start()

    def _work(self, filling: Filling, feed: BlobReader) -> None:
        """Make one copy; the border at which nothing may escape."""
        try:
            self._run(filling, feed)
        except Exception:
            log.exception("image %s: not cached", filling.claim.image_id)
        finally:
            self._places.release()

    def _run(self, filling: Filling, feed: BlobReader) -> bool:
        image_id = filling.claim.image_id
        if not filling.run(feed):
            return False
        log.info("image %s: cached", image_id)
        # A record goes before its copy is removed, so whichever of the two came
        # later here sees the other.
        if self.images.find(image_id, None) is None:
            self.forget(image_id)
            return False
        self.changed.set()
        return True

    def _filling(self, image: Image, claim: Claim) -> Filling:
        size, digest = image.size or 0, digest_of(image) or ""
        return Filling(
            directory=self.directory,
            claim=claim,
            size=size,
            digest=digest,
            enter=lambda: self.books.put(image.id, size, digest),
            fsync=self.rules.fsync,
        )

    def _open(self, image_id: str, size: int, part: range) -> HasPath | None:
        """Open the finished copy, unless it is not as long as it must be."""
        descriptor = self.directory.open(image_id)
        if descriptor is None:
            return None
        try:
            if os.fstat(descriptor).st_size != size:
                log.warning("image %s: its copy has another size", image_id)
                os.close(descriptor)
                return None
        except OSError:
            os.close(descriptor)
            raise
        path = self.directory.file(image_id)
        return FileReader(descriptor, path, part, READ_BYTES)

    def _count(self, image_id: str) -> None:
        """Count a use; it is written down with others, see `write_books`."""
        with self._lock:
            before = self._uses.get(image_id)
            self._uses[image_id] = Uses(before.count + 1 if before else 1, now_us())

    @contextmanager
    def _given_up(self, filling: Filling, follower: Follower) -> Iterator[None]:
        """Let go of everything if the block fails."""
        try:
            yield
        except BaseException:
            self._places.release()
            filling.abandon()
            follower.close()
            raise


@contextmanager
def usable() -> Iterator[None]:
    """Turn faults of the cache's directory into those of this house.

    Raises:
        StoreUnavailable: the directory cannot be read or changed.
    """
    try:
        yield
    except OSError as error:
        log.warning("the image cache cannot be used: %s", error)
        raise StoreUnavailable("the image cache cannot be used just now") from error
