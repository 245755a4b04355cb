"""An upload to a file store: unseen until it is whole and on the disk.

Source: ruling S-1.  The order of effects in `FileWriter.commit` is the contract:
data to the disk, then the mode, then the name, then the directory to the disk.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from imagereg.errors import BlobExists, ImageRegError, StoreFull
from imagereg.model import Location
from imagereg.stores.bypass import Blocks, Bypass, Put
from imagereg.stores.datadir import NO_ROOM, DataDir, TemporaryFile, storage_errors
from imagereg.stores.sparse import HoleFinder

RESERVE_CHECK_BYTES = 64 * 1024 * 1024
"""How much an upload of unknown length writes between two looks at the reserve."""

STRIDE_BYTES = 8 * 1024 * 1024
CACHED_STRIDES = 4
"""How many strides of an upload stay in the page cache."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """What a writer is to do.

    Attributes:
        directory: where the blob will lie.
        others: further directories of the store, which may hold the key as well.
        replace: an object in the way gives way.
        mode: of the finished file; 0 leaves it to the umask.
        is_thin: zeros become holes.
        fsync: False trades durability for speed (``upload_fsync``).
    """

    key: str
    directory: DataDir
    others: tuple[DataDir, ...]
    announced_bytes: int
    replace: bool
    mode: int
    is_thin: bool
    fsync: bool


class Trail:
    """Sends written data on to the disk while more arrives, then lets go of it.

    Otherwise the sync at the end would wait for all of it, and a large upload would
    drive everything else out of the page cache.  It also writes through the same
    few pages again and again: where a virtual machine must ask its host for each
    fresh page, that alone makes an upload twice as fast (`bench_upload_path.py`).
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._done = 0

    def follow(self, position: int) -> None:
        """Take note that everything before ``position`` is written."""
        while position - self._done >= STRIDE_BYTES:
            self._advise(self._done)
            self._advise(self._done - CACHED_STRIDES * STRIDE_BYTES)
            self._done += STRIDE_BYTES

    def _advise(self, start: int) -> None:
        """Say that a stride is not needed: Linux writes it if dirty, else drops it."""
        if start >= 0:
            advice = os.POSIX_FADV_DONTNEED
            os.posix_fadvise(self._descriptor, start, STRIDE_BYTES, advice)


class FileWriter:
    """One open upload.

    Args:
        file: made by `DataDir.begin`; the writer closes it.
        locate: what the location of the finished blob will be.
        put: how bytes reach the disk; a test breaks it.
    """

    def __init__(
        self,
        upload: Upload,
        file: TemporaryFile,
        locate: Callable[[DataDir, str], Location],
        put: Put = os.pwrite,
    ) -> None:
        self._upload = upload
        self._file = file
        self._locate = locate
        self._pieces = HoleFinder() if upload.is_thin else Blocks()
        # What lies between holes begins anywhere in memory, and who wants no sync
        # wants the cache.
        may_bypass = upload.fsync and not upload.is_thin
        self._bypass = Bypass(file.descriptor, put, is_worth=may_bypass)
        self._position = 0
        self._trail = Trail(file.descriptor)
        self._next_check = RESERVE_CHECK_BYTES
        self._is_open = True
        self._is_committed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_committed:
            self._upload.directory.discard(self._file)
        with suppress(OSError):
            self._close()

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        with storage_errors():
            for offset, piece in self._pieces.feed(chunk):
                self._write_at(offset, piece)
            self._position += len(chunk)
            self._check_reserve()

    def commit(self) -> Location:
        """Give the blob its name, durably."""
        upload = self._upload
        with storage_errors():
            self._complete()
            if upload.fsync:
                os.fdatasync(self._file.descriptor)
            self._set_mode()
            with upload.directory.temporary() as (home, tmp):
                self._check_free()
                # Some file systems tell of a failed write when the file is closed.
                self._close()
                os.rename(self._file.name, upload.key, src_dir_fd=tmp, dst_dir_fd=home)
                self._is_committed = True
                self._settle(home)
            self._remove_replaced()
        return self._locate(upload.directory, upload.key)

    def _close(self) -> None:
        """Close the file, once: its number may be another file's afterwards."""
        if self._is_open:
            self._is_open = False
            os.close(self._file.descriptor)

    def _write_at(self, offset: int, data: memoryview) -> None:
        """Write all of ``data``; the system may take it in pieces."""
        while data:
            done = self._bypass.put(data, offset)
            offset += done
            data = data[done:]
        self._trail.follow(offset)

    def _check_reserve(self) -> None:
        """Look at the reserve, unless room was set aside for an announced size."""
        if self._upload.announced_bytes or self._position < self._next_check:
            return
        self._next_check += RESERVE_CHECK_BYTES
        if not self._upload.directory.has_reserve():
            raise StoreFull(NO_ROOM)

    def _complete(self) -> None:
        """Write what is held back, and give the file its true length."""
        for offset, piece in self._pieces.finish():
            self._write_at(offset, piece)
        if os.fstat(self._file.descriptor).st_size != self._position:
            os.ftruncate(self._file.descriptor, self._position)

    def _set_mode(self) -> None:
        if not self._upload.mode:
            return
        try:
            os.fchmod(self._file.descriptor, self._upload.mode)
        except OSError as error:
            # The contract wants a warning and no more: the bytes are good.
            _log.warning("cannot set the mode of %s: %s", self._upload.key, error)

    def _check_free(self) -> None:
        upload = self._upload
        if upload.replace:
            return
        if any(place.has(upload.key) for place in (upload.directory, *upload.others)):
            raise BlobExists(f"the store holds an object named `{upload.key}` already")

    def _settle(self, home: int) -> None:
        """Make the name durable, or take it back: the caller will hear a failure."""
        if not self._upload.fsync:
            return
        try:
            os.fsync(home)
        except OSError:
            os.unlink(self._upload.key, dir_fd=home)
            raise

    def _remove_replaced(self) -> None:
        """Another directory may hold an older blob of this key, now in nobody's use."""
        for place in self._upload.others if self._upload.replace else ():
            try:
                if place.has(self._upload.key):
                    place.unlink(self._upload.key)
            except (OSError, ImageRegError) as error:
                # The new blob is committed: `store gc` will find the old one.
                _log.warning("cannot remove %s: %s", self._upload.key, error)
