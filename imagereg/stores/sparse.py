"""Which parts of a stream are worth writing: runs of zeros become holes.

Source: ruling S-7.
"""

from collections.abc import Iterator

BLOCK_BYTES = 4096
"""The usual block of a file system: no hole is finer."""

_ZEROS = bytes(BLOCK_BYTES)


class HoleFinder:
    """Splits a stream, in chunks of any size, into the pieces that hold data.

    Blocks are counted from the start of the stream, so that a run of zeros is
    found however the chunks are cut.
    """

    def __init__(self) -> None:
        self._start = 0
        self._rest = b""

    @property
    def position(self) -> int:
        """How many bytes came in so far."""
        return self._start + len(self._rest)

    def feed(self, chunk: bytes) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of each piece that must be written."""
        data = self._rest + chunk if self._rest else chunk
        stop = len(data) - len(data) % BLOCK_BYTES
        start, self._start, self._rest = self._start, self._start + stop, data[stop:]
        view = memoryview(data)
        for first, last in _runs(data, stop):
            yield start + first, view[first:last]

    def finish(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the last, unfinished block, unless it is all zeros."""
        start, rest = self._start, self._rest
        self._start, self._rest = self.position, b""
        if rest.strip(b"\0"):
            yield start, memoryview(rest)


def _runs(data: bytes, stop: int) -> Iterator[tuple[int, int]]:
    """Yield where runs of blocks that are not all zeros begin and end.

    ``startswith`` compares in place and gives up at the first other byte, which
    makes the search all but free on data that has no zeros.
    """
    first = None
    for offset in range(0, stop, BLOCK_BYTES):
        if data.startswith(_ZEROS, offset):
            if first is not None:
                yield first, offset
                first = None
        elif first is None:
            first = offset
    if first is not None:
        yield first, stop
