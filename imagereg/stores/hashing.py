"""Both digests of an upload in one pass, on two threads where that pays.

hashlib lets go of the interpreter while it works, so MD5 and the second digest run
beside each other and beside the writing.  Each thread is a lane behind a ring of
`RING_CHUNKS` chunks: memory stays bounded, and the ring small enough for the cache.
Source: DATAPATH 3 and 8, `tests/bench/bench_upload_path.py`.
"""

import hashlib
import os
import threading
from queue import SimpleQueue
from typing import Protocol

from imagereg.stores.closing import Closing

RING_CHUNKS = 4
"""Chunks, of 1 MiB at most, that may wait for one lane."""

LANES_FROM_BYTES = 4 * 1024 * 1024
"""Below this two threads cost more than they bring."""


class Digest(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes, /) -> None:
        """Add ``data``."""

    def hexdigest(self) -> str:
        """Return the digest so far."""


class LaneSupply:
    """How many uploads of this process may hash in lanes at once.

    More lanes than cores bring nothing; an upload that gets none hashes in turn,
    and takes lanes later when another upload has ended.

    Args:
        pairs: how many; without it one for each two cores that are ours.
    """

    def __init__(self, pairs: int | None = None) -> None:
        default = len(os.sched_getaffinity(0)) // 2
        self._free = threading.Semaphore(default if pairs is None else pairs)

    def take(self) -> bool:
        """Claim a pair of lanes, if one is free."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Let another upload have the pair."""
        self._free.release()


class Digests(Closing):
    """MD5 and one other digest over a stream.  Leaving the block ends its threads.

    Args:
        algorithm: hashlib's name of the other digest.
        supply: where lanes come from; None hashes in turn.
    """

    def __init__(self, algorithm: str, supply: LaneSupply | None = None) -> None:
        names = ("md5", algorithm)
        self._digests: tuple[Digest, ...] = tuple(
            hashlib.new(name, usedforsecurity=False) for name in names
        )
        self._supply = supply
        self._lanes: tuple[_Lane, ...] = ()
        self._size = 0

    def update(self, chunk: bytes) -> None:
        """Add ``chunk``; in lanes, its hashing may end after this returns."""
        self._size += len(chunk)
        if self._lanes or self._may_start():
            for lane in self._lanes:
                lane.put(chunk)
            return
        for digest in self._digests:
            digest.update(chunk)

    def finish(self) -> tuple[str, str]:
        """Return MD5 and the other digest of all chunks, as lower-case hex.

        Raises:
            Exception: whatever broke a lane.
        """
        for lane in self._lanes:
            lane.finish()
        md5, other = self._digests
        return md5.hexdigest(), other.hexdigest()

    def close(self) -> None:
        """End the threads, without hashing what still waits for them."""
        lanes, self._lanes = self._lanes, ()
        for lane in lanes:
            lane.abandon()
        if lanes and self._supply:
            self._supply.give_back()

    def _may_start(self) -> bool:
        """Start the lanes once the stream is long enough and a pair is free."""
        supply = self._supply
        if supply is None or self._size < LANES_FROM_BYTES or not supply.take():
            return False
        self._lanes = tuple(_Lane(digest) for digest in self._digests)
        for lane in self._lanes:
            lane.start()
        return True


class _Lane(threading.Thread):
    """One digest on a thread of its own."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(name="imagereg-hash", daemon=True)
        self._digest = digest
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._slots = threading.Semaphore(RING_CHUNKS)
        self._is_abandoned = False
        self._error: Exception | None = None

    def run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if not self._is_abandoned:
                self._hash(chunk)
            self._slots.release()

    def put(self, chunk: bytes) -> None:
        """Queue ``chunk`` when there is room in the ring."""
        self._slots.acquire()
        self._check()
        self._chunks.put(chunk)

    def finish(self) -> None:
        """Wait until all is hashed."""
        self._chunks.put(None)
        self.join()
        self._check()

    def abandon(self) -> None:
        """End the thread; after `finish` this does nothing."""
        self._is_abandoned = True
        self._chunks.put(None)
        self.join()

    def _hash(self, chunk: bytes) -> None:
        try:
            self._digest.update(chunk)
        except Exception as error:  # noqa: BLE001 - a thread's border: `put` raises it
            self._error = error
            self._is_abandoned = True

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
