"""Blobs that lie on other people's web servers: read only.

Ranges are asked for with ``Range``; a server that sends everything regardless is
read and what was not wanted is dropped (ruling S-4).

Source: contract stores 4 and 9.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from imagereg.errors import BlobNotFound, StoreReadOnly, StoreUnavailable
from imagereg.stores.closing import Closing
from imagereg.stores.driver import BlobReader, BlobWriter
from imagereg.stores.fetcher import Answer, Fetcher
from imagereg.stores.url_filter import DEFAULT_PORTS, URLRefused

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")

_REFUSED = "the remote source may not be read any more"
_UNUSABLE = "the remote source answers with something else than was asked for"


class HTTPDriver:
    """Reads what others publish; has no keys, and neither writes nor removes."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Refuse: web servers take no images.

        Raises:
            StoreReadOnly: always.
        """
        raise StoreReadOnly("a store of type http takes no data")

    def open(self, url: str, offset: int, length: int | None) -> BlobReader:
        """Open a part of what lies at ``url``.

        Without a Content-Length the reader trusts ``length``, and raises if fewer
        bytes come.
        """
        if length == 0:
            self.size(url)
            return _Empty()
        headers = {}
        if offset or length is not None:
            last = "" if length is None else str(offset + length - 1)
            headers["Range"] = f"bytes={offset}-{last}"
        answer = self._ask("GET", url, headers)
        try:
            skipped, available = _extent(answer, offset)
            wanted = _wanted(length, available)
        except BaseException:
            answer.close()
            raise
        return _HTTPReader(answer, skipped, wanted)

    def size(self, url: str) -> int:
        """Return how many bytes the server says lie there.

        Asks with HEAD, and with GET a server that does not know HEAD.

        Raises:
            StoreUnavailable: also when the server does not say.
        """
        try:
            answer = self._ask("HEAD", url, {})
        except StoreUnavailable:
            answer = self._ask("GET", url, {})
        answer.close()
        if answer.size is None:
            raise StoreUnavailable("the remote source does not say how long it is")
        return answer.size

    def delete(self, url: str) -> None:
        """Let go of the blob, which stays where it is: it belongs to somebody else."""
        self._check_owned(url)

    def find(self, key: str) -> str | None:
        """Return None: nothing was ever stored by key."""
        return None

    def owns(self, url: str) -> bool:
        """Return whether this is the URL of some web server."""
        with suppress(ValueError):
            parts = urlsplit(url)
            return parts.scheme in DEFAULT_PORTS and bool(parts.hostname)
        return False

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        self._check_owned(url)
        try:
            return self._fetcher.request(method, url, headers)
        except URLRefused as error:
            # The filter changed since the location was added, or a name moved.
            raise StoreUnavailable(_REFUSED) from error

    def _check_owned(self, url: str) -> None:
        if not self.owns(url):
            raise BlobNotFound("there is no such object in the store")


def _extent(answer: Answer, offset: int) -> tuple[int, int | None]:
    """Return how many bytes of the body to drop, and how many follow those."""
    if answer.status == 206:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != offset or int(found[2]) < offset:
            raise StoreUnavailable(_UNUSABLE)
        return 0, int(found[2]) - offset + 1
    if answer.status == 416:
        # Nothing follows the last byte; the body is the server's excuse.
        return 0, 0
    if answer.status != 200:
        raise StoreUnavailable(_UNUSABLE)
    if answer.size is None:
        return offset, None
    return min(offset, answer.size), max(0, answer.size - offset)


def _wanted(length: int | None, available: int | None) -> int:
    if length is None and available is None:
        raise StoreUnavailable("the remote source does not say how long it is")
    return min(each for each in (length, available) if each is not None)


class _HTTPReader(Closing):
    """Yields exactly the bytes that were promised."""

    def __init__(self, answer: Answer, skipped: int, size: int) -> None:
        self._answer = answer
        self._skipped = skipped
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        skip, left = self._skipped, self._size
        if not left:
            return
        for chunk in self._answer:
            piece = chunk[skip : skip + left]
            skip -= min(skip, len(chunk))
            left -= len(piece)
            if piece:
                yield piece
            if not left:
                return
        raise StoreUnavailable("the remote source ended before all of it was read")

    def close(self) -> None:
        self._answer.close()


class _Empty(Closing):
    """No bytes of a blob that is there."""

    size = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""
