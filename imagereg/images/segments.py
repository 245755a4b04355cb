"""Several blobs, read as one."""

from collections.abc import Callable, Iterator, Sequence

from imagereg.stores.closing import Closing
from imagereg.stores.driver import BlobReader


class SegmentReader(Closing):
    """The bytes of several readers, one after the other.

    Each is opened when its turn comes, so that many parts hold one file open.

    Args:
        openers: open the parts, in order; each yields what it was asked for, or raises.
        size: how many bytes they have together.
    """

    def __init__(self, openers: Sequence[Callable[[], BlobReader]], size: int) -> None:
        self._openers = openers
        self._size = size
        self._current: BlobReader | None = None

    @property
    def size(self) -> int:
        """How many bytes iteration yields."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""
        for opener in self._openers:
            with opener() as reader:
                self._current = reader
                yield from reader

    def close(self) -> None:
        """Let go of the part that is open; a second call does nothing."""
        reader, self._current = self._current, None
        if reader is not None:
            reader.close()
