"""Reading on in another place where one breaks off.  Source: ruling S-16."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imagereg.errors import BlobNotFound, ImageRegError, StoreUnavailable
from imagereg.stores.closing import Closing
from imagereg.stores.driver import BlobReader, HasPath

#: Opens so many bytes from an offset of the same data, where another copy lies.
Reopen = Callable[[int, int], BlobReader]

_log = logging.getLogger(__name__)


def relay(reader: BlobReader, offset: int, others: Iterable[Reopen]) -> BlobReader:
    """Return ``reader``, continued by the first of ``others`` that can when it breaks.

    ``reader`` begins at ``offset`` of the data; ``others`` are further copies of the
    very same data, the best first.
    """
    if isinstance(reader, HasPath):
        return _FileRelay(reader, offset, others)
    return _Relay(reader, offset, others)


class _Relay(Closing):
    """Bytes of one blob that lies in several places."""

    def __init__(
        self, reader: BlobReader, offset: int, others: Iterable[Reopen]
    ) -> None:
        self._reader = reader
        self._size = reader.size
        self._next = offset
        self._stop = offset + reader.size
        self._others = iter(others)

    @property
    def size(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while self._next < self._stop:
            try:
                for chunk in self._reader:
                    self._next += len(chunk)
                    yield chunk
            except (StoreUnavailable, BlobNotFound) as error:
                if self._next < self._stop:
                    self._move_on(error)

    def close(self) -> None:
        self._reader.close()

    def _move_on(self, reason: ImageRegError) -> None:
        """Read the rest where it can be read; raise ``reason`` if nowhere."""
        self._reader.close()
        for reopen in self._others:
            try:
                reader = reopen(self._next, self._stop - self._next)
            except (StoreUnavailable, BlobNotFound) as error:
                _log.warning("another copy cannot be read either: %s", error)
                continue
            _log.warning("reading on from byte %d elsewhere: %s", self._next, reason)
            self._reader = reader
            return
        raise reason


class _FileRelay(_Relay):
    """The same while the bytes come from an ordinary file: the kernel can send it."""

    _reader: HasPath

    @property
    def path(self) -> Path:
        return self._reader.path

    @property
    def position(self) -> int:
        return self._reader.position

    def fileno(self) -> int:
        return self._reader.fileno()

    def seek(self, position: int) -> int:
        self._next += position - self._reader.position
        return self._reader.seek(position)
