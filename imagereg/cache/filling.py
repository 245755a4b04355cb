"""Make a copy: read the back end once, for everybody who waits.

The copy is made by a thread of its own, as fast as the back end and the disk go, and
every client reads the growing file at its own pace.  So a client that stalls or goes
away holds up nobody, and memory does not depend on the number of clients.

Clients are given what the back end gives, as they are without a cache; whether that
was right is known at the end, and only a copy that matched is ever given later.
"""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import write

from imagereg.cache import locks
from imagereg.cache.directory import CacheDirectory, Claim
from imagereg.errors import ImageRegError, StoreUnavailable
from imagereg.model import Image
from imagereg.stores.closing import Closing
from imagereg.stores.driver import BlobReader

log = logging.getLogger(__name__)

#: Opens an image's data in the stores, from an offset; None when there are none.
Source = Callable[[int], BlobReader | None]

READ_BYTES = 256 * 1024

#: How long a reader that caught up waits before it looks again, in seconds.
SHORTEST_WAIT_S = 0.001
LONGEST_WAIT_S = 0.05

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def digest_of(image: Image) -> str | None:
    """Return what a copy must match, as ``algorithm:value``; None for no digest.

    Without one nobody could tell a good copy from a bad one, so none is made.
    """
    if image.os_hash_algo and image.os_hash_value:
        return f"{image.os_hash_algo}:{image.os_hash_value}"
    return f"md5:{image.checksum}" if image.checksum else None


@dataclass(frozen=True, slots=True)
class Filling:
    """A copy that this process makes.

    Attributes:
        claim: on the incomplete file, with a writer.
        digest: what the bytes must match.
        enter: writes the finished copy into the books.
        fsync: the copy survives a power cut.
    """

    directory: CacheDirectory
    claim: Claim
    size: int
    digest: str
    enter: Callable[[], None]
    fsync: bool = True

    def run(self, source: BlobReader) -> bool:
        """Copy, verify and publish; return whether there is a finished copy now.

        A copy that fails for want of room is removed, any other one is kept in
        ``invalid/``.
        """
        image_id, keeps = self.claim.image_id, True
        try:
            with source:
                if self._is_copied(source):
                    return self.directory.publish(self.claim, self.enter)
            log.warning("image %s: not cached: the bytes are not its own", image_id)
        except ImageRegError as error:
            log.warning("image %s: not cached: %s", image_id, error)
        except OSError as error:
            keeps = error.errno not in _NO_ROOM
            log.warning("image %s: not cached: %s", image_id, error.strerror)
        finally:
            self._end(keeps=keeps)
        return False

    def abandon(self) -> None:
        """Give up a copy of which nothing was written."""
        self._end(keeps=False)

    @property
    def _writer(self) -> int:
        if self.claim.writer is None:
            message = "somebody else makes this copy"
            raise TypeError(message)
        return self.claim.writer

    def _is_copied(self, source: BlobReader) -> bool:
        algorithm, _, wanted = self.digest.partition(":")
        digest = hashlib.new(algorithm, usedforsecurity=False)
        size = 0
        for chunk in source:
            # Written first, because others wait for it.
            _write_all(self._writer, chunk)
            digest.update(chunk)
            size += len(chunk)
        if size != self.size or digest.hexdigest() != wanted:
            return False
        if self.fsync:
            os.fdatasync(self._writer)
        return True

    def _end(self, *, keeps: bool) -> None:
        """Let go of the file; one that was not published goes out of the way."""
        try:
            self.directory.reject(self.claim, keep=keeps)
        except OSError as error:
            log.warning("image %s: %s", self.claim.image_id, error.strerror)
        finally:
            # Readers see by the lock, which ends here, that nothing will follow.
            os.close(self._writer)


class Follower(Closing):
    """Reads a copy while it is made.

    What the copy turns out to lack, because its maker failed or died, is read from
    the back end.
    """

    def __init__(self, descriptor: int, size: int, source: Source) -> None:
        self._descriptor = descriptor
        self._size = size
        self._source = source
        self._rest: BlobReader | None = None

    def __del__(self) -> None:
        self.close()

    @property
    def size(self) -> int:
        """How many bytes iteration yields."""
        return self._size

    def has_begun(self) -> bool:
        """Wait for the first bytes; False if none will come from this maker."""
        return bool(self._next(0, 1))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks.

        Raises:
            StoreUnavailable: the copy broke off, and the back end cannot go on.
        """
        done = 0
        while done < self._size:
            chunk = self._next(done, min(READ_BYTES, self._size - done))
            if not chunk:
                break
            done += len(chunk)
            yield chunk
        if done < self._size:
            yield from self._read_rest(done)

    def close(self) -> None:
        """Let go of the copy, which others go on with."""
        descriptor, self._descriptor = self._descriptor, -1
        rest, self._rest = self._rest, None
        if descriptor >= 0:
            os.close(descriptor)
        if rest is not None:
            rest.close()

    def _next(self, offset: int, size: int) -> bytes:
        """Return what follows, waiting for it; nothing when nothing ever will."""
        wait_s = SHORTEST_WAIT_S
        while not (chunk := os.pread(self._descriptor, size, offset)):
            if not locks.is_locked(self._descriptor):
                # What came between the two looks is there to be read.
                return os.pread(self._descriptor, size, offset)
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return chunk

    def _read_rest(self, offset: int) -> Iterator[bytes]:
        log.warning("a copy broke off at %d bytes; reading on from the store", offset)
        self._rest = self._source(offset)
        if self._rest is None:
            raise StoreUnavailable("the data went away while they were read")
        yield from self._rest


def _write_all(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[write(descriptor, left) :]
