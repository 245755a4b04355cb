"""Blobs in this process's memory: for tests and for trying things out."""

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from imagereg.errors import BlobExists, BlobNotFound
from imagereg.model import Location
from imagereg.stores.closing import Closing
from imagereg.stores.driver import BlobReader, BlobWriter, ListedBlob

CHUNK_BYTES = 1024 * 1024


class MemoryDriver:
    """A dictionary of blobs; what it holds ends with the process.

    Args:
        name: tells the URLs of several memory stores apart.
    """

    def __init__(self, name: str = "memory") -> None:
        self._prefix = f"memory://{name}/"
        self._blobs: dict[str, bytes] = {}
        self._written_at_s: dict[str, float] = {}

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Begin an upload."""
        self._check_free(key, replace=replace)
        return _MemoryWriter(self, key, replace=replace)

    def open(self, url: str, offset: int, length: int | None) -> BlobReader:
        """Open a part of the blob at ``url`` for reading."""
        data = self._get(url)
        stop = len(data) if length is None else offset + length
        return _MemoryReader(data[offset:stop])

    def size(self, url: str) -> int:
        """Return how many bytes lie at ``url``."""
        return len(self._get(url))

    def delete(self, url: str) -> None:
        """Remove the blob at ``url``."""
        self._get(url)
        self._blobs.pop(url.removeprefix(self._prefix), None)

    def find(self, key: str) -> str | None:
        """Return the URL of the blob with this key, or None."""
        return self._prefix + key if key in self._blobs else None

    def owns(self, url: str) -> bool:
        """Return whether this is a URL of this very store."""
        return url.startswith(self._prefix)

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yield every blob."""
        for key, data in tuple(self._blobs.items()):
            yield ListedBlob(
                key, self._prefix + key, len(data), self._written_at_s[key]
            )

    def canonical(self, url: str) -> str:
        """Return ``url``, which has no other spelling."""
        if not self.owns(url):
            raise BlobNotFound("there is no such object in the store")
        return url

    def spellings(self, key: str) -> Sequence[str]:
        """Return the only URL of this key."""
        return (self._prefix + key,)

    def put(self, key: str, data: bytes, *, replace: bool) -> Location:
        """Keep ``data`` under ``key``, all of it at once."""
        self._check_free(key, replace=replace)
        self._written_at_s[key] = time.time()
        self._blobs[key] = data
        return Location(self._prefix + key)

    def _check_free(self, key: str, *, replace: bool) -> None:
        if not replace and key in self._blobs:
            raise BlobExists(f"the store holds an object named `{key}` already")

    def _get(self, url: str) -> bytes:
        key = url.removeprefix(self._prefix)
        if not self.owns(url) or key not in self._blobs:
            raise BlobNotFound("there is no such object in the store")
        return self._blobs[key]


class _MemoryWriter:
    def __init__(self, driver: MemoryDriver, key: str, *, replace: bool) -> None:
        self._driver = driver
        self._key = key
        self._replace = replace
        self._chunks: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._chunks.clear()

    def write(self, chunk: bytes) -> None:
        self._chunks.append(bytes(chunk))

    def commit(self) -> Location:
        data = b"".join(self._chunks)
        return self._driver.put(self._key, data, replace=self._replace)


class _MemoryReader(Closing):
    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        data = self._data
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]

    def close(self) -> None:
        """Do nothing: the bytes go with the last reference to them."""
