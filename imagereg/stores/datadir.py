"""One directory of a file store: room, temporary files, finished files.

Names are always opened relative to a handle of the directory and never followed
when they are symbolic links, so that nobody who can plant a link leads the store
elsewhere.  Handles are opened anew for each call: a directory that was mounted
again is found, and one that lost its mount is noticed because ``.tmp`` is gone.

INVARIANT: a temporary file is made, locked, counted and removed under the lock of
``.tmp/.lock``; its own lock lives as long as its writer.  So a temporary file that
nobody has locked belongs to nobody, in this process or another.
"""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from imagereg.errors import (
    BlobNotFound,
    ImageRegError,
    StoreFull,
    StoreUnavailable,
)

TEMPORARY = ".tmp"
LOCK = ".lock"
NO_ROOM = "there is not enough disk space on the image storage media"
NOT_NOW = "the image store cannot be reached or written just now"
NOTHING = "there is no such object in the store"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_ABSENT = frozenset({errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR})


def as_store_error(error: OSError) -> ImageRegError:
    """Return what a failed system call means.  Source: contract stores 1."""
    return StoreFull(NO_ROOM) if error.errno in _FULL else StoreUnavailable(NOT_NOW)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn failed system calls into the failures of a store."""
    try:
        yield
    except OSError as error:
        raise as_store_error(error) from error


@dataclass(frozen=True)
class TemporaryFile:
    """A file under ``.tmp``, held open and locked by its writer."""

    descriptor: int
    name: str


@dataclass(frozen=True)
class DataDir:
    """One directory that holds blobs.

    Attributes:
        path: absolute.
        priority: higher is filled first.
        reserve_bytes: free space that uploads leave alone.
    """

    path: Path
    priority: int = 0
    reserve_bytes: int = 0

    @contextmanager
    def handle(self) -> Iterator[int]:
        """Open the directory."""
        descriptor = os.open(self.path, _DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def temporary(self) -> Iterator[tuple[int, int]]:
        """Open the directory and its ``.tmp``, locked against others."""
        with self.handle() as home:
            tmp = os.open(TEMPORARY, _DIRECTORY | os.O_NOFOLLOW, dir_fd=home)
            try:
                with _locked(tmp):
                    yield home, tmp
            finally:
                os.close(tmp)

    def prepare(self, mode: int) -> None:
        """Create what is missing, and try whether it can be written and locked.

        Args:
            mode: of the files to come; group and others get the directory's x bit
                when they have any bit of it.  0 leaves the directory as it is.

        Raises:
            OSError: it cannot be used.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        present = stat.S_IMODE(self.path.stat().st_mode)
        wanted = present | (stat.S_IXGRP if mode & stat.S_IRWXG else 0)
        wanted |= stat.S_IXOTH if mode & stat.S_IRWXO else 0
        if wanted != present:
            self.path.chmod(wanted)
        (self.path / TEMPORARY).mkdir(mode=0o700, exist_ok=True)
        with self.temporary() as (_, tmp):
            descriptor = self._create("probe", tmp)
            os.close(descriptor.descriptor)
            os.unlink(descriptor.name, dir_fd=tmp)

    def free_bytes(self) -> int:
        """Return free space, less what running uploads have announced only."""
        with self.temporary() as (home, tmp):
            return _free(home) - _promised(tmp)

    def begin(self, key: str, announced_bytes: int) -> TemporaryFile:
        """Create the temporary file of an upload, and keep room for it.

        The file gets its announced length at once, as a hole: that is how other
        uploads, in whatever process, see how much it still wants (ruling S-12).

        Raises:
            StoreFull: the announced bytes do not fit beside the reserve.
            OSError
        """
        with self.temporary() as (home, tmp):
            room = _free(home) - _promised(tmp) - self.reserve_bytes
            if room < max(announced_bytes, 1):
                raise StoreFull(NO_ROOM)
            file = self._create(key, tmp)
            try:
                os.ftruncate(file.descriptor, announced_bytes)
            except OSError:
                os.unlink(file.name, dir_fd=tmp)
                os.close(file.descriptor)
                raise
            return file

    def has_reserve(self) -> bool:
        """Return whether the reserve is still untouched."""
        with self.handle() as home:
            return _free(home) >= self.reserve_bytes

    def discard(self, file: TemporaryFile) -> None:
        """Remove an unfinished upload.  A failure here leaves a leftover, no more."""
        with suppress(OSError), self.temporary() as (_, tmp):
            os.unlink(file.name, dir_fd=tmp)

    def has(self, key: str) -> bool:
        """Return whether anything, even a link, stands under the name ``key``."""
        with self.handle() as home:
            try:
                os.stat(key, dir_fd=home, follow_symlinks=False)
            except OSError as error:
                absence = self._absence(error, home)
                if isinstance(absence, BlobNotFound):
                    return False
                raise absence from error
            return True

    def open(self, key: str) -> int:
        """Return a descriptor of the finished file ``key``.

        Raises:
            BlobNotFound: there is none, or it is no ordinary file.
            OSError: nobody can tell.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self.handle() as home:
            try:
                descriptor = os.open(key, flags, dir_fd=home)
            except OSError as error:
                raise self._absence(error, home) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BlobNotFound(NOTHING)
        return descriptor

    def unlink(self, key: str) -> None:
        """Remove the finished file ``key``.

        Raises:
            BlobNotFound: there is none.
            OSError
        """
        with self.handle() as home:
            try:
                os.unlink(key, dir_fd=home)
            except OSError as error:
                raise self._absence(error, home) from error

    def _absence(self, error: OSError, home: int) -> Exception:
        """Return what it means that a name could not be opened.

        An empty mount point knows no file either, yet the files are not gone: only
        a directory that has its ``.tmp`` can say so.
        """
        if error.errno not in _ABSENT:
            return error
        try:
            os.stat(TEMPORARY, dir_fd=home, follow_symlinks=False)
        except OSError:
            return StoreUnavailable(NOT_NOW)
        return BlobNotFound(NOTHING)

    def entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield name and facts of each ordinary file; those with a dot are not ours.

        Raises:
            OSError: the directory cannot be read, or has lost its ``.tmp``.
        """
        with self.handle() as home:
            os.stat(TEMPORARY, dir_fd=home, follow_symlinks=False)
            with os.scandir(home) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    with suppress(FileNotFoundError):
                        if entry.is_file(follow_symlinks=False):
                            yield entry.name, entry.stat(follow_symlinks=False)

    def sweep(
        self, key: str | None, older_than_s: float, *, pretend: bool = False
    ) -> int:
        """Remove temporary files without a writer, of ``key`` or all; say how many."""
        oldest = time.time() - older_than_s
        removed = 0
        with self.temporary() as (_, tmp):
            for name in _names(tmp):
                if key is not None and name.rpartition(".")[0] != key:
                    continue
                held = _examine(name, tmp)
                if held is None or held.is_live or held.changed_at_s > oldest:
                    continue
                if not pretend:
                    os.unlink(name, dir_fd=tmp)
                removed += 1
        return removed

    def _create(self, key: str, tmp: int) -> TemporaryFile:
        name = f"{key}.{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o666, dir_fd=tmp)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            os.unlink(name, dir_fd=tmp)
            raise
        return TemporaryFile(descriptor, name)


@dataclass(frozen=True)
class _Examined:
    is_live: bool
    changed_at_s: float
    missing_bytes: int


@contextmanager
def _locked(tmp: int) -> Iterator[None]:
    """Hold the lock of a ``.tmp``.

    A file of its own, because NFS cannot lock a directory.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(LOCK, flags, 0o600, dir_fd=tmp)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _free(home: int) -> int:
    room = os.statvfs(home)
    return room.f_bavail * room.f_frsize


def _names(tmp: int) -> list[str]:
    return [name for name in os.listdir(tmp) if not name.startswith(".")]


def _promised(tmp: int) -> int:
    """Bytes that running uploads announced and have not written yet."""
    files = (_examine(name, tmp) for name in _names(tmp))
    return sum(file.missing_bytes for file in files if file and file.is_live)


def _examine(name: str, tmp: int) -> _Examined | None:
    """Return what is known of a temporary file, or None when it is none of ours."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=tmp)
    except OSError:
        return None
    try:
        facts = os.fstat(descriptor)
        missing = max(0, facts.st_size - facts.st_blocks * 512)
        return _Examined(_is_locked(descriptor), facts.st_mtime, missing)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
