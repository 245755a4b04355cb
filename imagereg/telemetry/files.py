"""The log file, which several processes write and others may move away.

A file that was moved is noticed within half a second, so logrotate needs no signal.
Where the operator wants files of a certain size or day instead, whichever process
sees first that it is time moves them on, under a lock; the others notice.
"""

import fcntl
import logging
import os
import time
from contextlib import suppress
from datetime import datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

#: How often it is asked whether the file was moved, in seconds; to ask before each
#: line costs a third of what the line costs.
LOOK_S = 0.5

#: Who may read a log: its owner and a group that the operator chooses.
MODE = 0o640


class LogFile(WatchedFileHandler):
    """A log file.

    Args:
        max_bytes: start a new file beyond; 0 never does.
        daily: start a new file on a new day.
        keep: how many old ones are kept.
    """

    def __init__(
        self, path: Path, *, max_bytes: int = 0, daily: bool = False, keep: int = 30
    ) -> None:
        if not path.exists():
            # Nobody else sees a line before the mode is right.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE))
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._path = path
        self._max_bytes = max_bytes
        self._daily = daily
        self._keep = keep
        self._looked = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, into a new file if it is time for one."""
        if (self._max_bytes or self._daily) and self._is_due():
            self._move_on()
            self._looked = 0.0
        super().emit(record)

    def reopenIfNeeded(self) -> None:  # noqa: N802 - the base class calls it so
        """Open the file anew if it was moved, as far as that was looked at."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            super().reopenIfNeeded()

    def _is_due(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        if self._max_bytes and found.st_size >= self._max_bytes:
            return True
        return self._daily and found.st_size > 0 and _day(found.st_mtime) != _day()

    def _move_on(self) -> None:
        """Move each file one on, unless another process just did."""
        lock = os.open(f"{self._path}.lock", os.O_CREAT | os.O_RDWR, MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_due():
                return
            self._old(self._keep).unlink(missing_ok=True)
            for number in range(self._keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._old(number).rename(self._old(number + 1))
            if self._keep:
                self._path.rename(self._old(1))
            else:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _day(when_s: float | None = None) -> object:
    """Return the local day of a time, or today."""
    moment = time.time() if when_s is None else when_s
    return datetime.fromtimestamp(moment).astimezone().date()
