"""Locks between everybody on this node, and all who share the directory.

They are record locks on a file, so the kernel gives them up with the process that
holds them, and a compute service's own locks of the same names exclude ours.  They
belong to the open file and not to the process, so that threads exclude each other
too.  Source: contract compute-fetch C-8.
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagereg.errors import FetchLockTimeout
from imagereg.fetch.part import notes_of
from imagereg.fetch.reporting import Reporter

#: How often a taken lock is asked for again, in seconds.
LOOK_S = 0.1

_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


@contextmanager
def held(
    path: Path, timeout_s: float, report: Reporter, *, tidy: bool = False
) -> Iterator[None]:
    """Hold the lock at ``path``, waiting for whoever has it.

    Args:
        path: of the lock's file, which is made when needed.
        timeout_s: how long to wait.
        report: may be cancelled meanwhile.
        tidy: take the file away in the end if nothing was written to it.

    Raises:
        FetchLockTimeout: the wait was too long.
    """
    deadline = time.monotonic() + timeout_s
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise FetchLockTimeout("somebody else has this image in hand")
        report.wait(LOOK_S)
    try:
        yield
    finally:
        # Whoever waits for it notices that the file has gone, and makes one.  A file of
        # another's making is let alone.
        if tidy and not os.fstat(descriptor).st_size and _is_still(path, descriptor):
            notes_of(path).unlink(missing_ok=True)
            path.unlink()
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until it is closed, or None if taken."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _BUSY:
                return None
            raise
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    # struct flock: type, whence, start, length, pid (0 as asked for).  The first byte
    # stands for all: others lock whole files, and qemu wants bytes from 100 on.
    request = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether the file that was locked still has its name."""
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)
