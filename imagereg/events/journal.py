"""Files of JSON lines that are only ever appended to.

Each line is one write to a file that was opened for appending, so lines of several
processes never mix.  The name is looked up anew whenever the file behind it was
moved or removed: rotate by renaming, nobody needs a signal.
"""

import os
import threading
from collections.abc import Iterable
from errno import ENOSPC
from pathlib import Path

#: Others than the service and its group need not know who did what.
MODE = 0o640


class Journal:
    """One such file.

    Args:
        sync: each write is safe on the disk before it counts.

    Raises:
        OSError: it cannot be written to.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._lock = threading.Lock()
        self._is_torn = False
        self._file = self._open()

    def append(self, lines: Iterable[bytes]) -> None:
        """Append lines, which must not hold line feeds.

        Raises:
            OSError: not all of them could be written.
        """
        with self._lock:
            self._follow()
            for line in lines:
                # What was broken off, by a full disk, ends before the next line.
                data = (b"\n" if self._is_torn else b"") + line + b"\n"
                written = os.write(self._file, data)
                self._is_torn = written != len(data)
                if self._is_torn:
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
            if self._sync:
                os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; nothing can be appended any more."""
        with self._lock:
            os.close(self._file)

    def _follow(self) -> None:
        """Open the file again if another one, or none, has its name by now."""
        mine = os.fstat(self._file)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_ino, named.st_dev) != (mine.st_ino, mine.st_dev):
            fresh = self._open()
            os.close(self._file)
            self._file = fresh

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, MODE)
