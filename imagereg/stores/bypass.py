"""Large uploads past the page cache, where file system and disk are good for it.

Through the cache each byte is copied by a core that hashing needs, and the pages must
be found, written and dropped; the disk can as well read from our memory (``O_DIRECT``).
It asks for whole blocks, in memory that begins with a page.  They are as durable as
any other after the sync that ruling S-1 asks for.

Source: DATAPATH 3, `tests/bench/bench_targets.py`.
"""

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator

BLOCK_BYTES = 1024 * 1024
"""What is written at a time: while it is, no more is received."""

CACHED_BYTES = 32 * 1024 * 1024
"""What goes through the cache first: a small image is often read again soon."""

TRIAL_BYTES = 16 * 1024 * 1024
WORTH_BYTES_PER_S = 256 * 1024 * 1024
"""What a disk must take after the trial, with one block at a time under way.

A slower one may be a server far away, which is faster when more is under way, as
from the cache.
"""

Put = Callable[[int, bytes | memoryview, int], int]

_UNSUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class Blocks:
    """Joins chunks of any size to blocks, which begin with a page of memory."""

    def __init__(self) -> None:
        self._block = memoryview(mmap.mmap(-1, BLOCK_BYTES))
        self._start = 0
        self._held = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of each full block; they change with the next."""
        rest = memoryview(chunk)
        while rest:
            taken = rest[: BLOCK_BYTES - self._held]
            self._block[self._held : self._held + len(taken)] = taken
            self._held += len(taken)
            rest = rest[len(taken) :]
            if self._held == BLOCK_BYTES:
                yield from self.finish()

    def finish(self) -> Iterator[tuple[int, memoryview]]:
        """Yield what is held back, if anything is."""
        if self._held:
            yield self._start, self._block[: self._held]
        self._start += self._held
        self._held = 0


class Bypass:
    """Writes a file's blocks past the page cache, as long as that is worth it.

    Args:
        descriptor: of a file that nobody else writes to.
        put: how bytes reach the disk, as ``os.pwrite``.
        is_worth: False always takes the cache.
    """

    def __init__(self, descriptor: int, put: Put, *, is_worth: bool) -> None:
        self._descriptor = descriptor
        self._put = put
        self._flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        self._is_direct = False
        self._is_worth = is_worth
        self._bytes = 0
        self._took_s = 0.0

    def put(self, data: memoryview, offset: int) -> int:
        """Write some of ``data``, of `Blocks`; return how much.

        Raises:
            OSError: the system does not take it.
        """
        is_block = offset >= CACHED_BYTES and len(data) == BLOCK_BYTES
        if not (is_block and self._is_worth and self._turn(is_direct=True)):
            self._turn(is_direct=False)
            return self._put(self._descriptor, data, offset)
        begun = time.perf_counter()
        try:
            done = self._put(self._descriptor, data, offset)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._is_worth = False
            return self.put(data, offset)
        self._judge(done, time.perf_counter() - begun)
        return done

    def _turn(self, *, is_direct: bool) -> bool:
        """Switch the cache off or on; return whether the file system does so."""
        if self._is_direct != is_direct:
            flags = self._flags | (os.O_DIRECT if is_direct else 0)
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags)
            except OSError:
                self._is_worth = False
                return False
            self._is_direct = is_direct
        return True

    def _judge(self, size: int, took_s: float) -> None:
        """Go back to the cache if the disk alone is slow."""
        self._bytes += size
        self._took_s += took_s
        if self._bytes >= TRIAL_BYTES:
            self._is_worth = self._bytes >= WORTH_BYTES_PER_S * self._took_s
