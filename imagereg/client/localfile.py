"""The file that is uploaded: its ranges, its digests, and whether it stays the same."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from imagereg.errors import FileChanged, Invalid

BLOCK_BYTES = 1024 * 1024

#: Bytes that were just sent, or taken back with a minus.
Count = Callable[[int], None]


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Some bytes of the file: the first, and the one behind the last."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.stop - self.start


class LocalFile:
    """One open file, which any number of threads may read.

    Raises:
        Invalid: it cannot be read, or is no ordinary file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Looked at first: opening a pipe would wait for somebody to write to it.
        if path.exists() and not path.is_file():
            raise Invalid(f"{path}: not an ordinary file")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise Invalid(f"{path}: {error.strerror}") from error
        self._state = self._look()
        self.size = self._state[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, part: Range) -> Iterator[bytes]:
        """Yield the bytes of a range.

        Raises:
            FileChanged: the file has become shorter.
        """
        offset = part.start
        while offset < part.stop:
            block = os.pread(
                self._file.fileno(), min(BLOCK_BYTES, part.stop - offset), offset
            )
            if not block:
                raise FileChanged(f"{self.path} has become shorter meanwhile")
            offset += len(block)
            yield block

    def digest(self, part: Range, algorithm: str) -> str:
        """Return a digest of a range, as lower-case hex."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for block in self.read(part):
            digest.update(block)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if somebody wrote to the file since it was opened."""
        if self._look() != self._state:
            raise FileChanged(f"{self.path} has changed meanwhile")

    def _look(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns


class SentRange:
    """The body of a request: a range of a file, counted as it goes out."""

    def __init__(self, file: LocalFile, part: Range, count: Count) -> None:
        self._blocks = file.read(part)
        self._count = count
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield block
            self.sent += len(block)
            self._count(len(block))

    def take_back(self) -> None:
        """Have what was sent counted as not sent."""
        self._count(-self.sent)
        self.sent = 0


def missing(present: list[Range], size: int, part_bytes: int) -> list[Range]:
    """Return what is not there yet, in parts of a size, in order.

    Parts begin at multiples of their size, so that clients which go on side by side
    cut alike.
    """
    gaps: list[Range] = []
    position = 0
    for have in [*sorted(present), Range(size, size)]:
        while position < have.start:
            stop = min((position // part_bytes + 1) * part_bytes, have.start)
            gaps.append(Range(position, stop))
            position = stop
        position = max(position, have.stop)
    return gaps
