"""Reading from an S3 store: whole and by range, over answers that break off."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from imagereg.errors import StoreUnavailable
from imagereg.stores.closing import Closing
from imagereg.stores.s3_client import S3Client, S3Cut

CHUNK_BYTES = 1024 * 1024

RESUMES = 5
"""How often one reader takes up an answer that broke off."""

_log = logging.getLogger(__name__)


class S3Reader(Closing):
    """A part of one object.

    Args:
        answer: to the GET that began at ``offset``; None for no bytes at all.
        size: how many bytes to yield.
    """

    def __init__(
        self,
        client: S3Client,
        key: str,
        answer: Mapping[str, Any] | None,
        offset: int,
        size: int,
    ) -> None:
        self._client = client
        self._key = key
        self._etag = answer["ETag"] if answer else ""
        self._body = answer["Body"] if answer else None
        self._position = offset
        self._left = size
        self._size = size
        self._resumes = 0

    @property
    def size(self) -> int:
        """How many bytes the reader stands for."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks.

        Raises:
            StoreUnavailable: they cannot be had, even after some tries.
        """
        while self._left:
            try:
                chunk = self._read()
            except S3Cut as cut:
                self._resume(cut)
                continue
            self._position += len(chunk)
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Let go of the object; a second call does nothing."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _read(self) -> bytes:
        if self._body is None:
            raise StoreUnavailable("the object is closed")
        chunk = self._client.read(self._body, min(CHUNK_BYTES, self._left))
        if not chunk:
            raise S3Cut("the object in the store ends too early")
        return chunk

    def _resume(self, cut: S3Cut) -> None:
        """Ask for what is missing, of the very same object."""
        self._resumes += 1
        if self._resumes > RESUMES:
            raise cut
        _log.warning("%s: %s, at byte %d", self._key, cut, self._position)
        self.close()
        last = self._position + self._left - 1
        answer = self._client.call(
            "get_object",
            Key=self._key,
            Range=f"bytes={self._position}-{last}",
            IfMatch=self._etag,
        )
        self._body = answer["Body"]
        check_begins_at(answer, self._position)


def check_begins_at(answer: Mapping[str, Any], offset: int) -> None:
    """Raise unless the answer to a request for a range begins there.

    Raises:
        StoreUnavailable: the service sent something else than was asked for.
    """
    if not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
        answer["Body"].close()
        raise StoreUnavailable("the store sends something else than was asked for")
