"""What this node has verified before, of files it shares blocks with.

To share blocks takes no time, to hash them takes as long as ever.  So a file is hashed
when its blocks are shared for the first time, and marked; as long as it is the same
file, unchanged, and asked for with the same hash, it is trusted as far as an image in
the cache is, by ``verify_on_hit``.

Source: contract compute-fetch C-3, C-4.
"""

import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagereg.fetch.facts import Expected
from imagereg.fetch.part import read_notes, write_notes

#: Where marks are, below the directory of the cache.
FOLDER_NAME = ".verified"

#: A file that changed so short ago may change again without looking newer.
SETTLED_NS = 2_000_000_000

#: How long a mark counts where the operator wants files read now and then.
_DAY_S = 86400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What cannot stay the same when the bytes of a file change.

    The time of the last change is the kernel's: nobody sets it.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, descriptor: int) -> "State":
        """Return the state of an open file."""
        found = os.fstat(descriptor)
        return cls(
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )


class Marks:
    """The marks of one node.

    Args:
        root: the directory of the cache; None keeps no marks.
        depth: ``verify_on_hit``.
    """

    def __init__(self, root: Path | None, depth: str) -> None:
        self._folder = root / FOLDER_NAME if root else None
        self._depth = depth

    def knows(self, image_id: str, state: State, expected: Expected) -> bool:
        """Return whether a file in that state was verified, and that still counts."""
        if self._folder is None or self._depth == "always":
            return False
        path = self._folder / f"{image_id}.json"
        found = read_notes(path) or {}
        verified_at = found.pop("verified_at", None)
        if found != _mark(state, expected) or not isinstance(verified_at, float):
            return False
        if self._depth == "daily" and not 0 <= time.time() - verified_at <= _DAY_S:
            return False
        with suppress(OSError):
            os.utime(path)
        return True

    def note(
        self, image_id: str, state: State, expected: Expected, now_ns: int
    ) -> None:
        """Mark a file that was verified in that state.

        Args:
            image_id: of the image whose bytes it has.
            state: since before its bytes were shared, and still.
            expected: what they were compared with.
            now_ns: the time, by the clock of the file's own file system.
        """
        if self._folder is None or now_ns - state.changed_ns < SETTLED_NS:
            return
        mark = {**_mark(state, expected), "verified_at": time.time()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_notes(self._folder / f"{image_id}.json", mark)
        except OSError as error:
            # Without a mark it is hashed again, no more.
            _log.info("image %s: cannot be marked: %s", image_id, error.strerror)

    def forget(self, unused_s: float) -> None:
        """Remove what nobody asked for as long as that."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > unused_s:
                    path.unlink()


def _mark(state: State, expected: Expected) -> dict[str, Any]:
    return {**asdict(state), "algorithm": expected.algorithm, "hash": expected.value}
