"""What a backend must do.  What all backends share is in `store.Store`.

Further powers are optional and found by ``isinstance``, never by a driver's name:
`HasPath` for readers whose bytes are an ordinary file, `KeepsLeftovers` for drivers
on which a crash can leave the beginnings of an upload behind, `ChecksItself` for
those that can say whether they are there, `SignsURLs` for drivers
whose backend gives bytes to anybody with a signed URL, and `ListsBlobs` for drivers
that can tell what they hold.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from imagereg.errors import Invalid
from imagereg.model import Location

MAX_KEY_BYTES = 200
"""Leaves room for the suffix of a temporary name below the 255 of file systems."""


class BlobWriter(AbstractContextManager["BlobWriter"], Protocol):
    """An open upload.  Leaving the block without `commit` discards every byte."""

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``.

        Raises:
            StoreFull: there is no room for it.
            StoreUnavailable: the backend refused it.
        """

    def commit(self) -> Location:
        """Make the blob readable, all of it at once and durably; say where it lies.

        Raises:
            BlobExists: the key was taken meanwhile, and may not be replaced.
        """


@runtime_checkable
class BlobReader(AbstractContextManager["BlobReader"], Protocol):
    """Bytes of one blob, to be read once.

    Iteration yields exactly `size` bytes or raises `StoreUnavailable`: a blob that
    ends early is never passed off as a short one.
    """

    @property
    def size(self) -> int:
        """How many bytes iteration yields."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""

    def close(self) -> None:
        """Let go of the blob; a second call does nothing."""


@runtime_checkable
class HasPath(BlobReader, Protocol):
    """A reader over an ordinary file, which the kernel can send by itself.

    ``size`` of the reader says how many bytes to send from `position`: a sender must
    stop there, because the file may go on.  What it has sent it tells by `seek`;
    iteration yields the rest.
    """

    @property
    def path(self) -> Path:
        """Where the file is, for a front-end server that sends it."""

    @property
    def position(self) -> int:
        """Where in the file the next byte lies."""

    def fileno(self) -> int:
        """Return the open file's descriptor."""

    def seek(self, position: int) -> int:
        """Go to ``position`` of the file."""


class StoreDriver(Protocol):
    """One backend, configured.

    Keys have passed `check_key`.  A URL of another store, or one that names no
    valid key, is one at which nothing lies: `BlobNotFound`.
    """

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Begin an upload; ``announced_bytes`` is 0 when the length is unknown.

        Raises:
            BlobExists: the key is taken and ``replace`` is false.
            StoreFull: there is no room for the announced bytes.
            StoreUnavailable: the backend cannot be written.
        """

    def open(self, url: str, offset: int, length: int | None) -> BlobReader:
        """Open ``length`` bytes from ``offset``, or all that follow, for reading.

        Raises:
            BlobNotFound, StoreUnavailable: there is nothing, or nobody can tell.
        """

    def size(self, url: str) -> int:
        """Return how many bytes lie there.  Raises as `open` does."""

    def delete(self, url: str) -> None:
        """Remove the blob; readers that have it open may finish.

        Raises:
            BlobNotFound: there was nothing.
            Forbidden: the backend does not let go of it.
            StoreUnavailable: nobody can tell.
        """

    def find(self, key: str) -> str | None:
        """Return the URL of the committed blob with this key, or None."""

    def owns(self, url: str) -> bool:
        """Return whether this is a URL that the driver would make."""


@runtime_checkable
class ChecksItself(Protocol):
    """A backend that can be asked whether it is there."""

    def check(self, *, writable: bool) -> None:
        """Return if the backend answers, and takes data if it is to.

        Raises:
            StoreUnavailable: it does not.
        """


@runtime_checkable
class KeepsLeftovers(Protocol):
    """A backend that can hold uploads nobody will ever finish."""

    def sweep(
        self,
        *,
        key: str | None = None,
        older_than_s: float = 0.0,
        pretend: bool = False,
    ) -> int:
        """Remove abandoned uploads, of ``key`` or all; say how many.

        Only uploads whose writer is known to be gone are touched, and none at all
        when ``pretend``: then they are counted and stay.

        Raises:
            StoreUnavailable: nobody can tell.
        """


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """One committed blob, as a listing shows it.

    Attributes:
        url: where it lies, as `ListsBlobs.canonical` spells it.
        size: bytes.
        changed_at_s: when it was written, in seconds since 1970.
    """

    key: str
    url: str
    size: int
    changed_at_s: float


@runtime_checkable
class ListsBlobs(Protocol):
    """A backend that can tell what it holds, for `imagereg store gc`.

    An object store pages through its listing (as ``ListObjectsV2`` does) and never
    collects it; ``changed_at_s`` is its ``LastModified``.  Unfinished multipart
    uploads are no blobs: those belong to `KeepsLeftovers`.
    """

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yield every committed blob, in any order, whatever its name.

        They may be of anybody who writes to the same place.

        A blob that comes or goes meanwhile may be yielded or not; every other one is.

        Raises:
            StoreUnavailable: the listing broke off, so what was yielded is not all.
        """

    def canonical(self, url: str) -> str:
        """Return the one spelling of ``url`` that `list_blobs` uses.

        Locations may be written in other ways: by another scheme of the same store,
        or with the credentials that old rows hold.

        Raises:
            BlobNotFound: the URL is not of this store.
        """

    def spellings(self, key: str) -> Sequence[str]:
        """Return every URL by which a client may name the blob of this key.

        `canonical` understands more of them, which only rows of old may hold.
        """


@runtime_checkable
class SignsURLs(Protocol):
    """A backend that serves a blob to whoever holds a URL that the driver signed."""

    def signed_url(
        self, url: str, expires_in_s: int, filename: str | None = None
    ) -> str:
        """Return a URL that reads the blob, ranges included, for ``expires_in_s``.

        It is a key to the bytes: it belongs in an answer to somebody who may have
        them, and never in a log.  Nothing is asked of the backend, so whether the
        blob is there shows when the URL is used.  ``filename`` is what a browser
        calls the file that it saves.

        Raises:
            BlobNotFound: ``url`` is none of this driver.
        """


def is_key(text: str) -> bool:
    """Return whether `check_key` lets a text pass."""
    try:
        check_key(text)
    except Invalid:
        return False
    return True


def check_key(key: str) -> str:
    """Return ``key`` if it is one plain path segment.

    Raises:
        Invalid: it is empty, too long, begins with a dot, or holds a separator or
            a control character.
    """
    # What can be printed has no lone surrogates either, so it can be encoded.
    is_plain = key.isprintable() and "/" not in key and "\\" not in key
    if is_plain and key and key[0] != "." and len(key.encode()) <= MAX_KEY_BYTES:
        return key
    raise Invalid(f"`{key[:MAX_KEY_BYTES]!r}` cannot be the key of a blob")
