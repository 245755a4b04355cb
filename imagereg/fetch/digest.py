"""A digest that is worked out beside the reading and writing of bytes."""

import hashlib
import threading
from queue import SimpleQueue

#: Blocks, of 1 MiB at most, that may wait to be hashed: memory stays bounded.
WAITING_BLOCKS = 4

_ZEROS = bytes(1024 * 1024)


class RunningDigest:
    """One digest over a stream, on a thread of its own.

    hashlib lets go of the interpreter while it works, so that the network and the
    disk go on meanwhile.

    Args:
        algorithm: hashlib's name; None hashes nothing.
    """

    def __init__(self, algorithm: str | None) -> None:
        self._digest = (
            hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
        )
        self._blocks: SimpleQueue[bytes | None] = SimpleQueue()
        self._slots = threading.Semaphore(WAITING_BLOCKS)
        self._thread: threading.Thread | None = None

    def update(self, block: bytes) -> None:
        """Add ``block``, which nobody may change afterwards."""
        if self._digest is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="imagereg-fetch-hash", daemon=True
            )
            self._thread.start()
        self._slots.acquire()
        self._blocks.put(block)

    def update_zeros(self, count: int) -> None:
        """Add ``count`` zero bytes: a hole."""
        while count > 0 and self._digest is not None:
            self.update(_ZEROS if count >= len(_ZEROS) else _ZEROS[:count])
            count -= len(_ZEROS)

    def finish(self) -> str | None:
        """Return the digest of all blocks as lower-case hex, and end the thread."""
        self.close()
        return self._digest.hexdigest() if self._digest else None

    def close(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._blocks.put(None)
            thread.join()

    def _run(self) -> None:
        digest = self._digest
        while digest is not None and (block := self._blocks.get()) is not None:
            digest.update(block)
            self._slots.release()
