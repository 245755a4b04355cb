"""Files of JSON lines that are only ever appended to.

Each line is one write to a file that was opened for appending, so lines of several
processes never mix.  A line that was broken off, by a full disk or because its writer
was killed, ends before the next one, whoever writes that.  The name is looked up anew
whenever the file behind it was moved or removed: rotate by renaming, nobody needs a
signal.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
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
        self._owner = os.getpid()
        self._file = self._open()

    def append(self, lines: Iterable[bytes]) -> None:
        """Append lines, which must not hold line feeds.

        Raises:
            OSError: not all of them could be written.
        """
        with self._lock:
            try:
                is_torn = self._enter()
                for line in lines:
                    # What was broken off ends before the next line.
                    self._write((b"\n" if is_torn else b"") + line + b"\n")
                    is_torn = False
            finally:
                self._turn(fcntl.LOCK_UN)
            if self._sync:
                os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; nothing can be appended any more."""
        with self._lock:
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        if os.write(self._file, data) != len(data):
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def _enter(self) -> bool:
        """Lock the file of that name, and return whether it ends within a line.

        Between this look at its end and the write nobody adds to it.
        """
        # Processes that share an open file, since a fork, would share its lock too.
        if self._owner != os.getpid():
            self._reopen()
        self._turn(fcntl.LOCK_EX)
        mine = os.fstat(self._file)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_ino, named.st_dev) != (mine.st_ino, mine.st_dev):
            self._reopen()
            self._turn(fcntl.LOCK_EX)
            mine = os.fstat(self._file)
        if not stat.S_ISREG(mine.st_mode) or not mine.st_size:
            return False
        # A service may be allowed to write there, and not to read.
        with suppress(OSError):
            return os.pread(self._file, 1, mine.st_size - 1) != b"\n"
        return False

    def _turn(self, kind: int) -> None:
        # Not every file system has locks. Without them lines are whole all the same,
        # but for one after a line that was broken off at that very moment.
        with suppress(OSError):
            fcntl.flock(self._file, kind)

    def _reopen(self) -> None:
        fresh = self._open()
        # This gives the lock back, too.
        os.close(self._file)
        self._file = fresh
        self._owner = os.getpid()

    def _open(self) -> int:
        flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.open(self._path, os.O_WRONLY | flags, MODE)
        # Who has a pipe open for reading, too, never learns that nobody reads it.
        if stat.S_ISREG(os.fstat(file).st_mode):
            with suppress(OSError):
                both = os.open(self._path, os.O_RDWR | flags, MODE)
                os.close(file)
                return both
        return file
