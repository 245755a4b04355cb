"""The body of one request to an S3 store.

Source: DATAPATH 5.
"""

import hashlib

SLICE_BYTES = 256 * 1024


class Part:
    """The body of one request: a file of chunks, none of which is copied."""

    def __init__(self) -> None:
        self._chunks: list[memoryview] = []
        self._size = 0
        self._index = 0
        self._offset = 0

    def __len__(self) -> int:
        return self._size

    def append(self, chunk: memoryview) -> None:
        """Add bytes at the end."""
        if chunk:
            self._chunks.append(chunk)
            self._size += len(chunk)

    def read(self, size: int = -1) -> memoryview | bytes:
        """Return the next bytes, none at the end.

        As many as one call of the system may well send, whatever ``size`` says:
        the libraries below ask for 16 KiB, and take what they get.
        """
        if self._index == len(self._chunks):
            return b""
        chunk = self._chunks[self._index]
        piece = chunk[self._offset : self._offset + SLICE_BYTES]
        self._offset += len(piece)
        if self._offset == len(chunk):
            self._index, self._offset = self._index + 1, 0
        return piece

    def tell(self) -> int:
        """Return the position of the next byte."""
        return sum(map(len, self._chunks[: self._index])) + self._offset

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a position, counted from the start or, with 2, from the end."""
        left = position = min(self._size, position + (self._size if whence else 0))
        self._index = self._offset = 0
        for chunk in self._chunks:
            if left < len(chunk):
                self._offset = left
                break
            left -= len(chunk)
            self._index += 1
        return position

    def md5(self) -> "hashlib._Hash":
        """Return the MD5 of all bytes."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._chunks:
            digest.update(chunk)
        return digest
