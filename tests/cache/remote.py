"""A back end that counts how often it is read, and stops or fails as it is told."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from imagereg.errors import StoreUnavailable
from imagereg.stores.driver import BlobReader

CHUNK = 64 * 1024


@dataclass
class Remote:
    """The data of one image, far away.

    Attributes:
        data: what it gives, right or wrong.
        opened: the offset of each read.
        fails_at: the offset at which reads break off.
        refuses: nothing can be opened.
        gate: reads stop before the second half until it is set.
        closed: how many reads were let go of.
    """

    data: bytes
    opened: list[int] = field(default_factory=list)
    fails_at: int | None = None
    refuses: bool = False
    gate: threading.Event | None = None
    closed: int = 0

    def open(self, offset: int) -> BlobReader | None:
        """Open what follows the offset."""
        if self.refuses:
            raise StoreUnavailable("the back end is down")
        self.opened.append(offset)
        return _Reader(self, offset)


class _Reader:
    def __init__(self, remote: Remote, offset: int) -> None:
        self._remote = remote
        self._offset = offset
        self._is_open = True
        self.size = len(remote.data) - offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        remote, offset = self._remote, self._offset
        while offset < len(remote.data):
            if remote.gate is not None and offset >= len(remote.data) // 2:
                assert remote.gate.wait(120)
            if remote.fails_at is not None and offset >= remote.fails_at:
                raise StoreUnavailable("the back end broke off")
            chunk = remote.data[offset : offset + CHUNK]
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._remote.closed += 1
